/* library.c: -emit=static-lib, -emit=shared, -emit=header.
 *
 *     libmodel.a    model_code.o (kernels and step functions) | model_api.o (library_api.c) | the runtime's core |
 *                   model_data.o (facts, tokenizer, weights)
 *     libmodel.so   the same, linked; it needs no other library
 *     model.h       library_header.c
 *
 * Weights stream to the end of a file whose other bytes are known by then. Both files of a pair get their names when both
 * are whole.
 */
#include "library.h"
#include "archive.h"
#include "data_object.h"
#include "output.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct library {
    struct qbc *q;
    const struct qbc_described *described;
    struct qbc_bytes code, api, data, core; /* data: without its weights */
    struct output file, header;
    const char *path, *header_path, *header_text;
};

static bool cannot_write(struct qbc *q, const char *path)
{
    qbc_error_in(q, path, "cannot be written: %s", strerror(errno ? errno : EIO));
    return false;
}

/* Two outputs, or none. */
static bool open_outputs(struct library *l)
{
    if (!output_open(&l->file, l->path))
        return cannot_write(l->q, l->path);
    bool good = *l->file.temporary;
    if (!good)
        qbc_error_in(l->q, l->path, "is no regular file, and a library has to be one");
    else if (!output_open(&l->header, l->header_path))
        good = cannot_write(l->q, l->header_path);
    else if (!output_write(&l->header, l->header_text, strlen(l->header_text)))
        good = cannot_write(l->q, l->header_path), output_close(&l->header, false);
    if (!good)
        output_close(&l->file, false);
    return good;
}

static bool close_outputs(struct library *l, bool keep)
{
    bool header = output_close(&l->header, keep);
    if (keep && !header)
        cannot_write(l->q, l->header_path);
    bool file = output_close(&l->file, keep && header);
    if (keep && header && !file) {
        cannot_write(l->q, l->path);
        unlink(l->header_path);
    }
    return keep && header && file;
}

/* --- the weights, at the end of a file */

struct sink {
    struct output *file;
    uint64_t offset;
    atomic_int error;
};

static bool put(void *user, uint64_t offset, const void *bytes, size_t n)
{
    struct sink *s = user;
    if (!output_write_at(s->file, s->offset + offset, bytes, n))
        atomic_store(&s->error, errno ? errno : EIO);
    return !atomic_load(&s->error);
}

/* `head`, then the weights. */
static bool write_all(struct library *l, struct output *file, struct qbc_bytes head)
{
    const uint64_t weights = l->described->section.size;
    struct sink sink = {.file = file, .offset = head.size};
    if (weights)
        put(&sink, weights - 1, "", 1); /* gives the file its size; nobody may write the last padding */
    bool good = output_write_at(file, 0, head.data, head.size) && !atomic_load(&sink.error) &&
                qbc_stream_weights(l->q, l->described, put, &sink);
    errno = atomic_load(&sink.error) ? atomic_load(&sink.error) : errno;
    return (good && !atomic_load(&sink.error)) || (!l->q->errors && cannot_write(l->q, l->path));
}

/* --- static */

static bool write_archive(struct library *l)
{
    const char *p = l->q->options.prefix;
    struct qbc_member *core, *members;
    size_t n_core = qbc_archive_members(l->q, l->core, &core), n = 0;
    if (!n_core) {
        qbc_error_in(l->q, "libqbrt_core.a", "is no archive, or cut; build qbc again");
        return false;
    }
    members = qbc_alloc(l->q, (n_core + 3) * sizeof *members);
    members[n++] = (struct qbc_member){qbc_text(l->q, "%s_code.o", p), l->code.data, l->code.size, l->code.size};
    members[n++] = (struct qbc_member){qbc_text(l->q, "%s_api.o", p), l->api.data, l->api.size, l->api.size};
    for (size_t i = 0; i < n_core; ++i)
        members[n++] = core[i];
    members[n++] = (struct qbc_member){qbc_text(l->q, "%s_data.o", p), l->data.data,
                                       l->data.size + l->described->section.size, l->data.size};
    struct qbc_bytes head = qbc_archive(l->q, l->path, members, n);
    bool good = head.data && write_all(l, &l->file, head);
    free(head.data);
    return good;
}

/* --- shared */

enum { N_INPUTS = 5 }; /* code, api, core, data, the list of names */

static struct qbc_bytes version_script(struct qbc *q)
{
    const char *text = "{ global:";
    for (size_t i = 0; qbc_library_function(i); ++i)
        text = qbc_text(q, "%s %s_%s;", text, q->options.prefix, qbc_library_function(i));
    text = qbc_text(q, "%s local: *; };\n", text);
    return (struct qbc_bytes){(uint8_t *)text, strlen(text)};
}

static bool run_linker(struct library *l, const int *inputs)
{
    struct qbc *q = l->q;
    const char *slash = strrchr(l->path, '/'), *paths[N_INPUTS];
    for (int i = 0; i < N_INPUTS; ++i)
        paths[i] = qbc_text(q, "/proc/self/fd/%d", inputs[i]);
    const char *arguments[] = {
        "ld.lld", "-shared", "-Bsymbolic", "-soname", slash ? slash + 1 : l->path, "--version-script", paths[4],
        "--no-undefined", "--gc-sections", "--build-id=none", "--threads=1", "--hash-style=both", "-s", "-z", "text",
        "-o", l->file.temporary, paths[0], paths[1], paths[2], paths[3], NULL};
    return qbc_run_lld(q, arguments);
}

/* The data lies in a nameless file beside the library: it may be larger than memory. */
static bool link_shared(struct library *l)
{
    struct output data;
    if (!output_open(&data, qbc_text(l->q, "%s.data", l->path)))
        return cannot_write(l->q, l->path);
    const struct qbc_bytes script = version_script(l->q);
    const int inputs[N_INPUTS] = {
        qbc_memory_file(l->q, l->code.data, l->code.size),
        qbc_memory_file(l->q, l->api.data, l->api.size),
        qbc_memory_file(l->q, l->core.data, l->core.size),
        data.file,
        qbc_memory_file(l->q, script.data, script.size),
    };
    bool good = !l->q->errors && write_all(l, &data, l->data) && run_linker(l, inputs);
    for (int i = 0; i < N_INPUTS; ++i)
        if (inputs[i] >= 0 && inputs[i] != data.file)
            close(inputs[i]);
    output_close(&data, false);
    return good;
}

/* --- all of it */

static const char *beside(struct qbc *q, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return qbc_text(q, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
}

static bool make_parts(struct library *l, const struct qbc_linked_root *root)
{
    const struct qbc_data_object data = {
        .prefix = l->q->options.prefix,
        .like = l->code.data,
        .root = root->root.data,
        .root_bytes = root->root.size,
        .weights_bytes = l->described->section.size,
    };
    l->core = qbc_support_file(l->q, "libqbrt_core.a");
    if (!l->core.data)
        return false;
    l->api = qbc_library_api(l->q, root->file_bytes);
    if (!l->api.data)
        return false;
    l->data = qbc_data_object(&data);
    if (!l->data.data)
        qbc_error_in(l->q, l->path, "there is no memory for the facts about the model");
    return l->data.data;
}

static bool emit_pair(struct library *l, const struct qbc_linked_root *root)
{
    const bool shared = !strcmp(l->q->options.emit, "shared");
    l->header_path = beside(l->q, l->path, qbc_text(l->q, "%s.h", l->q->options.prefix));
    bool good = make_parts(l, root) && open_outputs(l);
    if (good)
        good = close_outputs(l, shared ? link_shared(l) : write_archive(l));
    free(l->api.data);
    free(l->data.data);
    free(l->core.data);
    return good;
}

bool qbc_emit_library(struct qbc *q, MlirOperation module, MlirOperation weights, struct qbc_bytes object)
{
    struct library l = {.q = q, .code = object, .path = q->options.output};
    struct qbc_linked_root root = {{0}, 0};
    l.described = qbc_describe(q, module, weights);
    if (!l.described)
        return false;
    root.root.data =
        qbc_qbm_sealed_root(q, l.path, &l.described->artifact, &root.root.size, &root.file_bytes);
    if (!root.root.data)
        return false;
    l.header_text = qbc_library_header(q, l.described, &root);
    bool good = l.header_text;
    if (good && !strcmp(q->options.emit, "header"))
        good = qbc_write_file(q, l.path, l.header_text, strlen(l.header_text));
    else if (good)
        good = emit_pair(&l, &root);
    free(root.root.data);
    return good;
}
