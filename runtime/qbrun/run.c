/* run.c: a model that is no language model: arrays from .npy files in, one .npy a result out. */
#include "npy.h"
#include "tool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The file that an option names for an input; NULL: none. */
static const char *file_for(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->n_inputs; i++) {
        const char *equals = strrchr(o->inputs[i], '=');
        if (strlen(name) == (size_t)(equals - o->inputs[i]) && !strncmp(o->inputs[i], name, strlen(name)))
            return equals + 1;
    }
    return NULL;
}

static bool check_names(const struct tool *tool)
{
    const struct options *o = &tool->options;
    for (size_t i = 0; i < o->n_inputs; i++) {
        size_t length = (size_t)(strrchr(o->inputs[i], '=') - o->inputs[i]), k = 0;
        while (k < tool->facts->n_inputs && (strlen(qbrt_input(tool->model, k).name) != length ||
                                             strncmp(qbrt_input(tool->model, k).name, o->inputs[i], length)))
            k++;
        if (k == tool->facts->n_inputs)
            return complain("the model has no input '%.*s'; --info lists them", (int)length, o->inputs[i]);
    }
    return true;
}

/* "|u1" is "<u1": one byte has no order. */
static bool same_type(const char *a, const char *b)
{
    return b && a[1] == b[1] && a[2] == b[2];
}

static bool fits(const char *path, const struct npy_header *h, struct qbrt_port p)
{
    bool same = h->rank == p.rank;
    for (size_t i = 0; same && i < p.rank; i++)
        same = h->dims[i] == (uint64_t)p.dims[i];
    if (!same)
        return complain("'%s': its shape is not that of input '%s'; --info tells what that is", path, p.name);
    return same_type(h->type, npy_type_of(p.element)) ||
           complain("'%s': its type is '%s', input '%s' is '%s'", path, h->type, p.name, npy_type_of(p.element));
}

static bool read_inputs(const struct tool *tool, void **data)
{
    for (size_t i = 0; i < tool->facts->n_inputs; i++) {
        const struct qbrt_port p = qbrt_input(tool->model, i);
        const char *path = file_for(&tool->options, p.name), *wrong;
        struct npy_header header;
        if (!path)
            return complain("input '%s' is missing: --input %s=FILE.npy", p.name, p.name);
        if ((wrong = npy_read_array(path, &header, &data[i])))
            return complain("'%s': %s", path, wrong);
        if (!fits(path, &header, p))
            return false;
    }
    return true;
}

static bool write_result(const struct tool *tool, size_t i, const struct qbrt_array *result)
{
    const struct qbrt_port p = qbrt_result(tool->model, i);
    char path[OUTPUT_PATH];
    struct output o;
    size_t dims[QBRT_MOST_RANK], bytes = qbrt_element_bytes(p.element);
    for (size_t d = 0; d < p.rank; d++) {
        dims[d] = (size_t)result->dims[d];
        bytes *= dims[d];
    }
    npy_result_path(tool->options.output, p.name, path, sizeof path);
    bool good = output_open(&o, path);
    if (good) {
        good = npy_write_header(&o, npy_type_of(p.element), p.rank, dims) && output_write(&o, result->data, bytes);
        good = output_close(&o, good) && good;
    }
    return good || complain("cannot write '%s': %s", path, strerror(errno));
}

static void *allocate(void *context, size_t bytes)
{
    (void)context;
    return aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
}

static bool run(struct tool *tool, void **data, struct qbrt_array *results)
{
    if (!check_names(tool) || !read_inputs(tool, data) ||
        !tool_check(tool, qbrt_run(tool->model, (const void *const *)data, results, allocate, NULL)))
        return false;
    if (mkdir(tool->options.output, 0777) && errno != EEXIST)
        return complain("cannot make the folder '%s': %s", tool->options.output, strerror(errno));
    for (size_t i = 0; i < tool->facts->n_results; i++)
        if (!write_result(tool, i, &results[i]))
            return false;
    return true;
}

/* What was allocated goes with the process. */
bool task_run(struct tool *tool)
{
    void **data = calloc(tool->facts->n_inputs + 1, sizeof *data);
    struct qbrt_array *results = calloc(tool->facts->n_results + 1, sizeof *results);
    bool good = data && results ? run(tool, data, results) : complain("there is not enough memory");
    for (size_t i = 0; data && i < tool->facts->n_inputs; i++)
        free(data[i]);
    free(data);
    free(results);
    return good;
}
