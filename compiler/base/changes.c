/* changes: see changes.h.
 *
 * What leaves rows by themselves is done to the rows that are asked for. What mixes rows needs all of them: the changed
 * tensor is kept while it is read, one of them at a time.
 */
#include "changes_inside.h"
#include "hadamard.h"

#include <stdlib.h>
#include <string.h>

static void turn_by_matrix(const struct qbc_change *c, float *v, int64_t runs, int64_t lanes, float *piece)
{
    int64_t n = c->order;
    for (int64_t run = 0; run < runs; ++run, v += n * lanes) {
        const float *m = c->matrix + run % c->matrices * n * n;
        memcpy(piece, v, (size_t)(n * lanes) * sizeof *v);
        memset(v, 0, (size_t)(n * lanes) * sizeof *v);
        for (int64_t a = 0; a < n; ++a)
            for (int64_t b = 0; b < n; ++b) {
                const float *from = piece + (c->transposed ? b : a) * lanes;
                float *to = v + (c->transposed ? a : b) * lanes;
                for (int64_t i = 0; i < lanes; ++i)
                    to[i] += m[a * n + b] * from[i];
            }
    }
}

/* `runs` vectors in a row, of elements of `lanes` numbers. */
static void turn(const struct qbc_change *c, float *v, int64_t runs, int64_t lanes)
{
    if (!c->matrix) {
        qbc_hadamard_turn(v, runs, c->order, c->factor, c->hadamard, lanes, c->transposed);
        return;
    }
    float *piece = malloc((size_t)(c->order * lanes) * sizeof *piece);
    if (!piece)
        abort(); /* as LLVM does; a tensor of this size was there a moment ago */
    turn_by_matrix(c, v, runs, lanes, piece);
    free(piece);
}

static void move_elements(const struct qbc_change *c, int64_t row, int64_t rows, int64_t cols, float *w)
{
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < cols; ++k) {
            int64_t at = c->rows ? row + r : k;
            float *x = &w[r * cols + k];
            *x = c->scale ? *x * c->scale[at] : *x + c->add[at];
        }
}

/* Rows [row, row + rows) of the tensor; all of them where rows are mixed. */
static void apply(const struct qbc_changed *changed, int64_t row, int64_t rows, float *w)
{
    int64_t cols = changed->stored.cols;
    for (size_t i = 0; i < changed->n; ++i) {
        const struct qbc_change *c = &changed->list[i];
        if (!c->order)
            move_elements(c, row, rows, cols, w);
        else if (c->rows)
            turn(c, w, rows / c->order, cols);
        else if (!c->matrix || c->matrices == 1)
            turn(c, w, rows * (cols / c->order), 1);
        else
            for (int64_t r = 0; r < rows; ++r)
                turn(c, w + r * cols, cols / c->order, 1);
    }
}

static void fill_cache(const struct qbc_changed *c)
{
    const struct qbc_view *v = &c->stored;
    free(c->cache->data);
    c->cache->owner = c;
    c->cache->data = malloc((size_t)(v->rows * v->cols) * sizeof(float));
    if (!c->cache->data)
        abort();
    qbc_view_read(v, 0, v->rows, c->cache->data);
    apply(c, 0, v->rows, c->cache->data);
}

void qbc_changed_read(struct qbc_changed *changed, int64_t row, int64_t rows, float *out)
{
    struct qbc_changed_cache *cache = changed->cache;
    int64_t cols = changed->stored.cols;
    if (!changed->mixes) {
        qbc_view_read(&changed->stored, row, rows, out);
        apply(changed, row, rows, out);
        return;
    }
    pthread_mutex_lock(&cache->lock);
    if (cache->owner != changed)
        fill_cache(changed);
    memcpy(out, cache->data + row * cols, (size_t)(rows * cols) * sizeof *out);
    pthread_mutex_unlock(&cache->lock);
}

static void empty(struct qbc_changed_cache *cache)
{
    free(cache->data);
    cache->data = NULL;
    cache->owner = NULL;
}

void qbc_changed_release(struct qbc_changed *changed)
{
    pthread_mutex_lock(&changed->cache->lock);
    if (changed->cache->owner == changed)
        empty(changed->cache);
    pthread_mutex_unlock(&changed->cache->lock);
    qbc_view_release(&changed->stored);
}

void qbc_changes_destroy(struct qbc_changes *changes)
{
    if (changes && changes->cache)
        empty(changes->cache);
}
