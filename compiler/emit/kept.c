/* kept: see kept.h. */
#include "kept.h"
#include "checksum.h"
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct qbc_keeper {
    struct output output;
    atomic_bool failed;
};

bool qbc_keeps(const struct qbc *q)
{
    return q->keeps;
}

static const char *path_of(struct qbc *q, const char *name)
{
    return qbc_text(q, "%s/%016llx.kept", q->options.resume, (unsigned long long)qbrt_checksum(name, strlen(name)));
}

/* --- is it the same compilation? Lines of text, so that an error can say what differs. */

static void add_file(FILE *to, const char *what, const char *path)
{
    struct stat s = {0};
    if (path && !stat(path, &s))
        fprintf(to, "%s %s, %lld bytes, of %lld.%09ld\n", what, path, (long long)s.st_size, (long long)s.st_mtim.tv_sec,
                s.st_mtim.tv_nsec);
    else
        fprintf(to, "%s %s\n", what, path ? path : "-");
}

static char *describe(const struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    const struct {
        const char *name, *value;
    } options[] = {{"-quant", o->quant}, {"-fit", o->fit}, {"-formats", o->formats}, {"-transform", o->transform},
                   {"-act", o->act}, {"-kv", o->kv}, {"bounds", o->eval || o->max_ppl || o->max_kld ? "yes" : NULL}};
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    fprintf(to, "qbc " QBC_VERSION "\n");
    for (size_t i = 0; i < q->n_inputs; ++i)
        add_file(to, "model", q->inputs[i]);
    add_file(to, "-calib", o->calib);
    add_file(to, "-eval", o->eval);
    add_file(to, "-precision", o->precision);
    for (size_t i = 0; i < sizeof options / sizeof *options; ++i)
        fprintf(to, "%s %s\n", options[i].name, options[i].value ? options[i].value : "-");
    for (size_t i = 0; i < o->n_quant_tensor; ++i)
        fprintf(to, "-quant-tensor %s\n", o->quant_tensor[i]);
    fprintf(to, "-ctx %lld\n", (long long)o->context);
    fclose(to);
    return text;
}

static const void *map(const char *path, size_t *bytes)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat s;
    void *data = MAP_FAILED;
    if (file >= 0 && !fstat(file, &s) && s.st_size > 0) {
        *bytes = (size_t)s.st_size;
        data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    }
    if (file >= 0)
        close(file);
    return data == MAP_FAILED ? NULL : data;
}

static void complain_about(struct qbc *q, const char *there, size_t n, const char *ours)
{
    size_t at = 0, line = 0;
    while (at < n && ours[at] == there[at])
        line = ours[at++] == '\n' ? at : line;
    qbc_error_in(q, "-resume", "'%s' is of another compilation: it has '%.*s', this one '%.*s'; name another folder, or remove it",
                 q->options.resume, (int)strcspn(there + line, "\n"), there + line, (int)strcspn(ours + line, "\n"), ours + line);
}

bool qbc_kept_open(struct qbc *q)
{
    if (!q->options.resume)
        return true;
    const char *path = qbc_text(q, "%s/compilation", q->options.resume);
    char *ours = describe(q);
    size_t n = 0;
    if (mkdir(q->options.resume, 0777) && errno != EEXIST) {
        qbc_error_in(q, "-resume", "'%s': %s", q->options.resume, strerror(errno));
        free(ours);
        return false;
    }
    const char *mapped = map(path, &n), *there = mapped ? qbc_copy(q, mapped, n) : NULL;
    if (mapped)
        munmap((void *)(uintptr_t)mapped, n);
    struct output o;
    if (ours && there && strcmp(ours, there))
        complain_about(q, there, n, ours);
    else if (ours && !there && (!output_open(&o, path) || !output_close(&o, output_write(&o, ours, strlen(ours)))))
        qbc_error_in(q, "-resume", "'%s' cannot be written: %s", path, strerror(errno));
    free(ours);
    q->keeps = !q->errors;
    return q->keeps;
}

/* --- entries */

const void *qbc_kept_find(struct qbc *q, const char *name, size_t *bytes)
{
    *bytes = 0;
    return q->keeps ? map(path_of(q, name), bytes) : NULL;
}

void qbc_kept_release(const void *data, size_t bytes)
{
    if (data)
        munmap((void *)(uintptr_t)data, bytes);
}

struct qbc_keeper *qbc_kept_begin(struct qbc *q, const char *name)
{
    struct qbc_keeper *k = q->keeps ? malloc(sizeof *k) : NULL;
    if (!k)
        return NULL;
    atomic_init(&k->failed, !output_open(&k->output, path_of(q, name)));
    return k;
}

void qbc_kept_write(struct qbc_keeper *k, size_t offset, const void *bytes, size_t n)
{
    if (k && !atomic_load(&k->failed) && !output_write_at(&k->output, offset, bytes, n))
        atomic_store(&k->failed, true);
}

void qbc_kept_end(struct qbc *q, struct qbc_keeper *k, bool whole)
{
    if (!k)
        return;
    bool failed = atomic_load(&k->failed), closed = output_close(&k->output, whole && !failed);
    if (whole && (failed || !closed)) {
        qbc_warn_in(q, "-resume", "'%s' cannot be written: %s; nothing more is kept", q->options.resume, strerror(errno));
        q->keeps = false;
    }
    free(k);
}

void qbc_kept_put(struct qbc *q, const char *name, const void *bytes, size_t n)
{
    struct qbc_keeper *k = qbc_kept_begin(q, name);
    qbc_kept_write(k, 0, bytes, n);
    qbc_kept_end(q, k, true);
}

void qbc_kept_remove(struct qbc *q, const char *name)
{
    if (q->keeps)
        unlink(path_of(q, name));
}
