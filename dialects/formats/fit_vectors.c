/* fit_vectors: a table of vectors for the tensor, and the nearest of them for each vector of weights.
 *
 * Weights are first divided by the scale of their group (row, tensor), the root of their mean square, so that one table serves all.
 * The weights of errors are not told apart by columns in the search of the nearest vector (a vector's columns have much the same);
 * they are in the table's means.
 */
#include "cluster.h"
#include "fit_leaf.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>

/* --- scales */

static float root_mean_square(const float *w, int64_t stride, int64_t rows, int64_t cols)
{
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c)
            sum += (double)w[r * stride + c] * (double)w[r * stride + c];
    return (float)sqrt(sum / (double)(rows * cols));
}

/* Stores the scales of rows [row, row + n); false: one is too large. */
static bool put_scales(struct qbc_blocks *b, int64_t row, int64_t n, const float *w)
{
    const struct qbc_format *f = b->format;
    bool good = true;
    for (int64_t r = 0; r < n; ++r) {
        bool by_row = f->scale == QBC_SCALE_NONE && f->outer_span == QBC_SPAN_ROW;
        if (by_row)
            qbc_put_number(b->outer, f->outer, row + r,
                           qbc_scale_encode(f->outer, root_mean_square(w + r * b->cols, 0, 1, b->cols)));
        for (int64_t g = 0; g * f->group < b->cols; ++g) {
            int64_t rest = b->cols - g * f->group, cols = rest < f->group ? rest : f->group;
            float scale = root_mean_square(w + r * b->cols + g * f->group, 0, 1, cols);
            if (f->scale != QBC_SCALE_NONE)
                qbc_put_number(b->scales, f->scale, qbc_group_index(b, row + r, g),
                               qbc_scale_encode(f->scale, scale));
            good = good && isfinite(qbc_group_scale(b, row + r, g, 0));
        }
    }
    return good;
}

/* --- vectors of normalized weights; what is outside the matrix is 0 */

static void gather(const struct qbc_blocks *b, int64_t row, int64_t n, const float *w, int64_t r, int64_t col, float *out)
{
    const struct qbc_format *f = b->format;
    for (int i = 0; i < f->vector_rows; ++i)
        for (int j = 0; j < f->vector_cols; ++j) {
            bool inside = r + i < n && col + j < b->cols;
            float scale = inside ? qbc_group_scale(b, row + r + i, (col + j) / f->group, 0) : 0;
            *out++ = scale != 0 ? w[(r + i) * b->cols + col + j] / scale : 0;
        }
}

void qbc_prepare_vectors(struct qbc_blocks *b, int64_t n, const float *w, const float *h)
{
    const struct qbc_format *f = b->format;
    int entry = qbc_table_entry(f);
    int64_t down = qbc_ceil_div(n, f->vector_rows), across = qbc_ceil_div(b->cols, f->vector_cols), count = down * across;
    float *vectors = malloc((size_t)(count * entry) * sizeof *vectors), *weights = malloc((size_t)count * sizeof *weights);
    struct qbc_blocks sample;
    if (f->outer_span == QBC_SPAN_TENSOR && f->outer != QBC_SCALE_NONE)
        qbc_put_number(b->outer, f->outer, 0, qbc_scale_encode(f->outer, root_mean_square(w, b->cols, n, b->cols)));
    bool good = qbc_blocks_create(&sample, f, n, b->cols) && vectors && weights;
    if (good && sample.outer && f->outer_span == QBC_SPAN_TENSOR)
        qbc_put_number(sample.outer, f->outer, 0, qbc_number(b->outer, f->outer, 0));
    if (good)
        put_scales(&sample, 0, n, w);
    for (int64_t i = 0; i < count && good; ++i) {
        int64_t col = i % across * f->vector_cols;
        gather(&sample, 0, n, w, i / across * f->vector_rows, col, vectors + i * entry);
        weights[i] = 0;
        for (int j = 0; j < f->vector_cols && col + j < b->cols; ++j)
            weights[i] += h ? h[col + j] : 1;
    }
    if (good)
        qbc_cluster(vectors, weights, count, entry, 1 << f->bits, QBC_CLUSTER_ROUNDS, b->tables);
    qbc_blocks_destroy(&sample);
    free(vectors);
    free(weights);
}

static int nearest(const struct qbc_blocks *b, const float *table, const float *vector)
{
    int entry = qbc_table_entry(b->format), best = 0;
    float least = INFINITY;
    for (int code = 0; code <= b->format->high; ++code) {
        float distance = 0;
        for (int i = 0; i < entry; ++i)
            distance += (vector[i] - table[code * entry + i]) * (vector[i] - table[code * entry + i]);
        if (distance < least) {
            least = distance;
            best = code;
        }
    }
    return best;
}

int64_t qbc_fit_vectors(struct qbc_blocks *b, int64_t row, int64_t n, const float *w)
{
    enum { MOST_ENTRY = 256 };
    const struct qbc_format *f = b->format;
    size_t numbers = (size_t)qbc_table_entry(f) << f->bits;
    for (int64_t i = 0; i < n * b->cols; ++i)
        if (!isfinite(w[i]))
            return i;
    float *table = malloc(numbers * sizeof *table), vector[MOST_ENTRY];
    if (!table || !put_scales(b, row, n, w)) {
        free(table);
        return 0;
    }
    qbc_halves_to_floats(numbers, b->tables, table);
    for (int64_t r = 0; r < n; r += f->vector_rows)
        for (int64_t col = 0; col < b->groups * f->group; col += f->vector_cols) {
            gather(b, row, n, w, r, col, vector);
            b->codes[qbc_code_index(b, row + r, col)] = (uint8_t)nearest(b, table, vector);
        }
    free(table);
    return -1;
}
