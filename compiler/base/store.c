/* store: the weights of a model, where its files hold them.
 *
 * Files are mapped read-only and read in rows; qbc_view_release gives pages back, so that the
 * memory of a compilation is a few tensors and not the model.
 */
#include "qbc.h"

#include <errno.h>
#include <fcntl.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
    struct mapping *next;
    void *data;
    size_t bytes;
};

struct qbc_store {
    struct mapping *mappings;
    struct qbc_source *sources; /* open hashing on name; empty slots have no name */
    size_t n, capacity;
};

struct qbc_store *qbc_store_create(struct qbc *q)
{
    return qbc_alloc(q, sizeof(struct qbc_store));
}

void qbc_store_destroy(struct qbc_store *store)
{
    for (struct mapping *m = store ? store->mappings : NULL; m; m = m->next)
        munmap(m->data, m->bytes);
}

const void *qbc_store_map(struct qbc *q, const char *path, size_t *bytes)
{
    *bytes = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status)) {
        qbc_error_in(q, path, "cannot be opened: %s", strerror(errno));
        if (file >= 0)
            close(file);
        return NULL;
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        qbc_error_in(q, path, S_ISREG(status.st_mode) ? "the file is empty" : "not a regular file");
        close(file);
        return NULL;
    }
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED) {
        qbc_error_in(q, path, "cannot be mapped: %s", strerror(errno));
        return NULL;
    }
    struct mapping *m = qbc_alloc(q, sizeof *m);
    *m = (struct mapping){q->store->mappings, data, (size_t)status.st_size};
    q->store->mappings = m;
    *bytes = m->bytes;
    return data;
}

static size_t hash(const char *name)
{
    size_t h = 1469598103934665603u; /* FNV-1a */
    for (; *name; ++name)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

static struct qbc_source *slot(struct qbc_store *store, const char *name)
{
    size_t i = hash(name) & (store->capacity - 1);
    while (store->sources[i].name && strcmp(store->sources[i].name, name))
        i = (i + 1) & (store->capacity - 1);
    return &store->sources[i];
}

static void grow(struct qbc *q)
{
    struct qbc_store *store = q->store, old = *store;
    store->capacity = old.capacity ? old.capacity * 2 : 256;
    store->sources = qbc_alloc(q, store->capacity * sizeof *store->sources);
    for (size_t i = 0; i < old.capacity; ++i)
        if (old.sources[i].name)
            *slot(store, old.sources[i].name) = old.sources[i];
}

void qbc_store_add(struct qbc *q, struct qbc_source source)
{
    struct qbc_store *store = q->store;
    if (2 * store->n >= store->capacity)
        grow(q);
    struct qbc_source *to = slot(store, source.name);
    store->n += !to->name;
    *to = source;
}

const struct qbc_source *qbc_store_find(struct qbc *q, const char *name)
{
    if (!q->store->capacity)
        return NULL;
    const struct qbc_source *found = slot(q->store, name);
    return found->name ? found : NULL;
}

size_t qbc_element_bytes(enum qbc_element element)
{
    switch (element) {
    case QBC_U8:
    case QBC_I8:
    case QBC_BOOL:
        return 1;
    case QBC_U16:
    case QBC_I16:
    case QBC_F16:
    case QBC_BF16:
        return 2;
    case QBC_F32:
    case QBC_I32:
    case QBC_U32:
        return 4;
    case QBC_I64:
    case QBC_F64:
    case QBC_U64:
        return 8;
    }
    return 0;
}

/* Does every element of the view lie inside its source? Written so that nothing overflows. */
static bool inside(const struct qbc_view *v)
{
    size_t size = qbc_element_bytes(v->source->element);
    double last = (double)v->offset + (double)(v->rows - 1) * (double)v->row_stride +
                  (double)(v->cols - 1) * (double)v->col_stride;
    return v->rows > 0 && v->cols > 0 && v->offset >= 0 && v->row_stride >= 0 &&
           v->col_stride >= 0 && last < (double)v->source->bytes / (double)size;
}

bool qbc_view_of(struct qbc *q, MlirOperation weight, struct qbc_view *out)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    const char *name = qbc_string(q, weight, "source", "");
    const int64_t *strides;
    size_t rank = qbc_rank(w), n = qbc_ints(q, weight, "strides", &strides);
    *out = (struct qbc_view){.source = qbc_store_find(q, name)};
    if (!out->source) {
        qbc_error(q, weight, "the model has no tensor '%s'", name);
        return false;
    }
    if (rank < 1 || rank > 2 || n != rank) {
        qbc_error(q, weight, "a weight is a vector or a matrix with a stride for each dimension");
        return false;
    }
    out->rows = rank == 2 ? qbc_dim(w, 0) : 1;
    out->cols = qbc_dim(w, rank - 1);
    out->row_stride = rank == 2 ? strides[0] : 0;
    out->col_stride = strides[rank - 1];
    out->offset = qbc_int(weight, "offset", 0);
    if (!inside(out)) {
        qbc_error(q, weight, "the view leaves tensor '%s'", name);
        return false;
    }
    return true;
}

static float element(const struct qbc_source *s, int64_t i)
{
    uint32_t bits;
    float value;
    switch (s->element) {
    case QBC_F32:
        memcpy(&value, (const char *)s->data + 4 * i, 4);
        return value;
    case QBC_F16: {
        uint16_t half;
        memcpy(&half, (const char *)s->data + 2 * i, 2);
        return qbc_half_to_float(half);
    }
    case QBC_BF16: {
        uint16_t top;
        memcpy(&top, (const char *)s->data + 2 * i, 2);
        bits = (uint32_t)top << 16;
        memcpy(&value, &bits, 4);
        return value;
    }
    case QBC_F64: {
        double wide;
        memcpy(&wide, (const char *)s->data + 8 * i, 8);
        return (float)wide;
    }
    default:
        return 0; /* the recogniser makes weights of float sources only */
    }
}

/* Transposed sources are walked in tiles, so that a cache line is used while it is there. */
void qbc_view_read(const struct qbc_view *view, int64_t row, int64_t rows, float *out)
{
    enum { TILE = 64 };
    const struct qbc_source *s = view->source;
    if (view->col_stride == 1 && s->element == QBC_F32) {
        for (int64_t r = 0; r < rows; ++r)
            memcpy(out + r * view->cols,
                   (const float *)s->data + view->offset + (row + r) * view->row_stride,
                   (size_t)view->cols * sizeof *out);
        return;
    }
    for (int64_t c0 = 0; c0 < view->cols; c0 += TILE)
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = c0; c < view->cols && c < c0 + TILE; ++c)
                out[r * view->cols + c] = element(s, view->offset + (row + r) * view->row_stride +
                                                         c * view->col_stride);
}

void qbc_view_release(const struct qbc_view *view)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)view->source->data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)view->source->data + view->source->bytes) & ~(page - 1);
    if (view->source->mapped && end > first)
        madvise((void *)first, end - first, MADV_DONTNEED); /* clean file pages: read again if needed */
}
