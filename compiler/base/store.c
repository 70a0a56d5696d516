/* store: the weights of a model, where its files hold them.
 *
 * Files are mapped read-only and read in rows; qbc_view_release gives pages back, so that the
 * memory of a compilation is a few tensors and not the model.
 */
#include "changes.h"
#include "coded.h"

#include <math.h>
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
    qbc_note_input(q, path);
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

int qbc_element_bits(enum qbc_element element)
{
    switch (element) {
    case QBC_U2:
    case QBC_I2:
        return 2;
    case QBC_U4:
    case QBC_I4:
    case QBC_F4E2M1:
        return 4;
    case QBC_U8:
    case QBC_I8:
    case QBC_BOOL:
    case QBC_F8E4M3FN:
    case QBC_F8E4M3FNUZ:
    case QBC_F8E5M2:
    case QBC_F8E5M2FNUZ:
    case QBC_F8E8M0:
        return 8;
    case QBC_U16:
    case QBC_I16:
    case QBC_F16:
    case QBC_BF16:
        return 16;
    case QBC_F32:
    case QBC_I32:
    case QBC_U32:
        return 32;
    case QBC_I64:
    case QBC_F64:
    case QBC_U64:
        return 64;
    }
    return 0;
}

size_t qbc_element_bytes(enum qbc_element element)
{
    return ((size_t)qbc_element_bits(element) + 7) / 8;
}

int64_t qbc_source_elements(const struct qbc_source *source)
{
    int64_t n = 1;
    if (!source->coded && !source->changed && !source->stack)
        return (int64_t)source->bytes * 8 / qbc_element_bits(source->element);
    for (size_t i = 0; i < source->rank; ++i)
        n *= source->dims[i];
    return n;
}

const struct qbc_source *qbc_weight_source(struct qbc *q, MlirOperation weight)
{
    const char *name = qbc_string(q, weight, "source", qbc_string(q, weight, "name", ""));
    MlirAttribute blocks = mlirOperationGetAttributeByName(weight, qbc_str("blocks"));
    if (qbc_has(weight, "values"))
        return qbc_values_source(q, weight);
    return mlirAttributeIsNull(blocks) ? qbc_store_find(q, name) : qbc_coded_source(q, name, blocks);
}

/* Does every element of the view lie inside its source? Written so that nothing overflows. */
int64_t qbc_view_at(const struct qbc_view *v, int64_t row, int64_t col)
{
    int64_t *along = v->rows == 1 ? &col : &row, runs = v->run ? *along / v->run : 0;
    *along -= runs * v->run;
    return v->offset + runs * v->run_stride + row * v->row_stride + col * v->col_stride;
}

static bool inside(const struct qbc_view *v)
{
    double runs = v->run > 0 ? (double)((v->rows == 1 ? v->cols : v->rows) - 1) : 0;
    double last = (double)v->offset + (double)(v->rows - 1) * (double)v->row_stride +
                  (double)(v->cols - 1) * (double)v->col_stride;
    if (v->run > 0) /* no strides so large that what lies between overflows */
        last = fmax(last, (double)v->offset + runs * (double)v->run_stride) < 0x1p62
                   ? (double)qbc_view_at(v, v->rows - 1, v->cols - 1)
                   : 0x1p62;
    return v->run >= 0 && v->run_stride >= 0 && v->rows > 0 && v->cols > 0 && v->offset >= 0 && v->row_stride >= 0 &&
           v->col_stride >= 0 && last < (double)qbc_source_elements(v->source);
}

bool qbc_view_of(struct qbc *q, MlirOperation weight, struct qbc_view *out)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    const char *name = qbc_string(q, weight, "source", "");
    const int64_t *strides, *shape; /* of the tensor that a piece of a composite is a piece of */
    bool is_piece = qbc_ints(q, weight, "shape", &shape) == 2;
    size_t rank = is_piece ? 2 : qbc_rank(w), n = qbc_ints(q, weight, "strides", &strides);
    *out = (struct qbc_view){.source = qbc_weight_source(q, weight)};
    if (!out->source) {
        bool there = qbc_store_find(q, name);
        qbc_error(q, weight, there ? "the blocks do not fit tensor '%s'" : "the model has no tensor '%s'", name);
        return false;
    }
    if (rank < 1 || rank > 2 || n != rank) {
        qbc_error(q, weight, "a weight is a vector or a matrix with a stride for each dimension");
        return false;
    }
    out->rows = is_piece ? shape[0] : rank == 2 ? qbc_dim(w, 0) : 1;
    out->cols = is_piece ? shape[1] : qbc_dim(w, rank - 1);
    out->row_stride = rank == 2 ? strides[0] : 0;
    out->col_stride = strides[rank - 1];
    out->offset = qbc_int(weight, "offset", 0);
    if (qbc_ints(q, weight, "runs", &strides) == 2) {
        out->run = strides[0];
        out->run_stride = strides[1];
    }
    if (!inside(out)) {
        qbc_error(q, weight, "the view leaves tensor '%s'", name);
        return false;
    }
    return qbc_changed_view(q, weight, out);
}

/* At most PIECE elements to f32. In the file they may lie at any address, so they are copied. */
enum { PIECE = 256 };
static void convert_piece(enum qbc_element element, const void *from, size_t n, float *restrict out)
{
    uint16_t halves[PIECE];
    double wide[PIECE];
    switch (element) {
    case QBC_F16:
        memcpy(halves, from, n * sizeof *halves);
        qbc_halves_to_floats(n, halves, out);
        return;
    case QBC_BF16:
        memcpy(halves, from, n * sizeof *halves);
        for (size_t i = 0; i < n; ++i) {
            uint32_t bits = (uint32_t)halves[i] << 16;
            memcpy(out + i, &bits, sizeof bits);
        }
        return;
    case QBC_F64:
        memcpy(wide, from, n * sizeof *wide);
        for (size_t i = 0; i < n; ++i)
            out[i] = (float)wide[i];
        return;
    default: /* the recogniser makes weights of float sources only */
        memset(out, 0, n * sizeof *out);
    }
}

/* n consecutive elements as f32 */
static void convert(const struct qbc_source *s, int64_t first, int64_t n, float *restrict out)
{
    int64_t size = (int64_t)qbc_element_bytes(s->element);
    const char *from = (const char *)s->data + first * size;
    if (s->coded)
        qbc_coded_read(s->coded, first, n, out);
    else if (s->stack)
        qbc_stack_read(s->stack, first, n, out);
    else if (s->element == QBC_F32)
        memcpy(out, from, (size_t)n * sizeof *out);
    else
        for (int64_t i = 0; i < n; i += PIECE)
            convert_piece(s->element, from + i * size, (size_t)(n - i < PIECE ? n - i : PIECE), out + i);
}

/* Part of a transposed view: `rows` x `cols` starting at element `first`, through a buffer, so that
 * both sides are walked in whole cache lines whatever the strides are. */
enum { BLOCK_ROWS = 64, BLOCK_COLS = 16 };
static void read_block(const struct qbc_view *view, int64_t first, int64_t rows, int64_t cols,
                       float *restrict out)
{
    float block[BLOCK_COLS][BLOCK_ROWS];
    for (int64_t c = 0; c < cols; ++c)
        convert(view->source, first + c * view->col_stride, rows, block[c]);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c)
            out[r * view->cols + c] = block[c][r];
}

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

/* Run by run, each of which is a plain view. */
static void read_runs(const struct qbc_view *view, int64_t row, int64_t rows, float *out)
{
    bool vector = view->rows == 1;
    int64_t n = vector ? view->cols : rows;
    for (int64_t i = 0; i < n;) {
        int64_t at = (vector ? 0 : row) + i, rest = view->run - at % view->run, now = rest < n - i ? rest : n - i;
        struct qbc_view run = *view;
        run.run = 0;
        run.offset = vector ? qbc_view_at(view, 0, at) : qbc_view_at(view, at, 0);
        run.rows = vector ? 1 : now;
        run.cols = vector ? now : view->cols;
        qbc_view_read(&run, 0, run.rows, out + (vector ? i : i * view->cols));
        i += now;
    }
}

void qbc_view_read(const struct qbc_view *view, int64_t row, int64_t rows, float *out)
{
    if (view->source->changed) {
        qbc_changed_read(view->source->changed, row, rows, out);
        return;
    }
    if (view->run) {
        read_runs(view, row, rows, out);
        return;
    }
    if (view->source->stack && view->col_stride == 1 && view->row_stride == view->cols) { /* many rows of a part at once */
        qbc_stack_read(view->source->stack, view->offset + row * view->row_stride, rows * view->cols, out);
        return;
    }
    int64_t first = view->offset + row * view->row_stride;
    bool lines = view->row_stride == 1; /* elements of neighbouring rows lie together */
    int64_t height = lines ? BLOCK_ROWS : 1;
    if (view->col_stride == 1) {
        for (int64_t r = 0; r < rows; ++r)
            convert(view->source, first + r * view->row_stride, view->cols, out + r * view->cols);
        return;
    }
    for (int64_t c = 0; c < view->cols; c += BLOCK_COLS)
        for (int64_t r = 0; r < rows; r += height)
            read_block(view, first + r * view->row_stride + c * view->col_stride,
                       at_most(rows - r, height), at_most(view->cols - c, BLOCK_COLS),
                       out + r * view->cols + c);
}

static void release(const struct qbc_source *source, const char *first, const char *end)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)first + page - 1) & ~(page - 1), to = (uintptr_t)end & ~(page - 1);
    if (source->mapped && to > from)
        madvise((void *)from, to - from, MADV_DONTNEED); /* clean file pages: read again if needed */
}

void qbc_view_release(const struct qbc_view *view)
{
    const char *data = view->source->data;
    if (view->source->changed)
        qbc_changed_release(view->source->changed);
    else if (view->source->stack)
        qbc_stack_release(view->source->stack);
    else
        release(view->source, data, data + view->source->bytes);
}

void qbc_view_release_rows(const struct qbc_view *view, int64_t row, int64_t rows)
{
    int64_t size = (int64_t)qbc_element_bytes(view->source->element);
    if (view->source->changed || view->source->stack)
        return;
    const char *first = (const char *)view->source->data + (view->offset + row * view->row_stride) * size;
    if (view->col_stride == 1 && view->row_stride == view->cols && !view->source->coded && !view->run)
        release(view->source, first, first + rows * view->cols * size);
}
