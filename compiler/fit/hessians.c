/* hessians: see hessians.h. */
#include "hessians.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct piece {
    struct piece *next;
    void *data;
    size_t bytes;
};

struct named {
    struct named *next;
    const char *weight;
    const float *h;
    int64_t cols;
};

struct qbc_hessians {
    struct piece *pieces;
    struct named *names;
};

static struct qbc_hessians *of(struct qbc *q)
{
    if (!q->hessians)
        q->hessians = qbc_alloc(q, sizeof *q->hessians);
    return q->hessians;
}

float *qbc_hessian_create(struct qbc *q, int64_t cols)
{
    return qbc_paged(q, (size_t)(cols * cols));
}

float *qbc_paged(struct qbc *q, size_t n)
{
    struct qbc_hessians *all = of(q);
    size_t bytes = n * sizeof(float);
    FILE *file = tmpfile();
    void *data = MAP_FAILED;
    if (file && !ftruncate(fileno(file), (off_t)bytes))
        data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    int error = errno;
    if (file)
        fclose(file);
    if (data == MAP_FAILED) {
        qbc_error_in(q, "calibration", "no room for %zu MB in the folder of temporary files (TMPDIR): %s", bytes >> 20,
                     strerror(error));
        return NULL;
    }
    struct piece *piece = qbc_alloc(q, sizeof *piece);
    *piece = (struct piece){all->pieces, data, bytes};
    all->pieces = piece;
    return data;
}

void qbc_hessian_name(struct qbc *q, const char *weight, const float *h, int64_t cols)
{
    struct named *name = qbc_alloc(q, sizeof *name);
    *name = (struct named){of(q)->names, weight, h, cols};
    q->hessians->names = name;
}

const float *qbc_hessian_find(const struct qbc *q, const char *weight, int64_t cols)
{
    for (const struct named *n = q->hessians ? q->hessians->names : NULL; n; n = n->next)
        if (!strcmp(n->weight, weight) && n->cols == cols)
            return n->h;
    return NULL;
}

size_t qbc_paged_size(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE) / sizeof(float);
    return (n + page - 1) / page * page;
}

void qbc_paged_release(const float *data, size_t n)
{
    madvise((void *)(uintptr_t)data, n * sizeof *data, MADV_DONTNEED); /* shared: the file has them */
}

void qbc_hessian_release(const float *h, int64_t cols)
{
    qbc_paged_release(h, (size_t)(cols * cols));
}

void qbc_hessians_destroy(struct qbc *q)
{
    for (struct piece *p = q->hessians ? q->hessians->pieces : NULL; p; p = p->next)
        munmap(p->data, p->bytes);
    q->hessians = NULL;
    q->factors = NULL;
}
