/* compose_fit: fits of formats made of formats.
 *
 *     SUM       each part gets what those before it leave; with QBC_FIT_RANGE each is fitted again, against all others, while
 *               the error falls
 *     SPLIT     each part gets its own columns or rows; permuted: columns in falling order of h_k sum of w_nk^2
 *     SCALED    v_k = root of the mean square of a column over that of all, u_n the same of a row of w / v; the part gets w / (u v)
 *     SPARSE    the largest sqrt(h) |w| of a row are 0 for the part and do not count there, and the f16 is what the part then lacks
 *     LOWRANK   B: the main right singular vectors of what the part alone leaves (columns scaled by sqrt(h)), by subspace iteration; A
 *               by projection, then the part again, while the error falls
 */
#include "fit_leaf.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4, POWER_STEPS = 8 };

/* n rows of w, and room for as many. */
struct slab {
    const struct qbc_blocks *b;
    int64_t row, n;
    const float *w, *h;
    float *rest, *decoded;
};

static int64_t size_of(const struct slab *s)
{
    return s->n * s->b->cols;
}

static bool slab_create(struct slab *s)
{
    s->rest = malloc((size_t)size_of(s) * sizeof *s->rest);
    s->decoded = malloc((size_t)size_of(s) * sizeof *s->decoded);
    return s->rest && s->decoded;
}

static void slab_destroy(struct slab *s)
{
    free(s->rest);
    free(s->decoded);
}

static double error_of(const struct slab *s)
{
    double sum = 0;
    qbc_format_decode_rows(s->b, s->row, s->n, s->decoded);
    for (int64_t i = 0; i < size_of(s); ++i) {
        double e = (double)s->w[i] - (double)s->decoded[i];
        sum += (s->h ? (double)s->h[i % s->b->cols] : 1) * e * e;
    }
    return sum;
}

static int64_t not_finite(const float *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(w[i]))
            return i;
    return -1;
}

/* --- sums */

/* rest = w - all parts but one */
static void leave(struct slab *s, int except)
{
    memcpy(s->rest, s->w, (size_t)size_of(s) * sizeof *s->rest);
    for (int i = 0; i < s->b->format->n_parts; ++i) {
        if (i == except)
            continue;
        qbc_format_decode_rows(&s->b->parts[i], s->row, s->n, s->decoded);
        for (int64_t k = 0; k < size_of(s); ++k)
            s->rest[k] -= s->decoded[k];
    }
}

static int64_t fit_sum(enum qbc_fit how, struct slab *s)
{
    double last = INFINITY;
    int n = s->b->format->n_parts;
    memcpy(s->rest, s->w, (size_t)size_of(s) * sizeof *s->rest);
    for (int round = 0; round < ROUNDS; ++round) {
        for (int i = 0; i < n; ++i) {
            if (round)
                leave(s, i);
            int64_t bad = qbc_format_fit_weighted(how, &s->b->parts[i], s->row, s->n, s->rest, s->h);
            if (bad >= 0)
                return bad;
            qbc_format_decode_rows(&s->b->parts[i], s->row, s->n, s->decoded);
            for (int64_t k = 0; k < size_of(s) && !round; ++k)
                s->rest[k] -= s->decoded[k];
        }
        double error = error_of(s);
        if (how == QBC_FIT_RTN || !(error < last))
            break;
        last = error;
    }
    return -1;
}

/* --- splits */

static int64_t source_of(const struct qbc_blocks *b, int64_t position)
{
    return b->left ? b->left[position] : position;
}

/* Columns first .. of n rows, and their weights, as a matrix of their own. */
static void columns(const struct qbc_blocks *b, int64_t first, int64_t cols, int64_t n, const float *w, const float *h,
                    float *out, float *out_h)
{
    for (int64_t i = 0; i < n * cols; ++i)
        out[i] = w[i / cols * b->cols + source_of(b, first + i % cols)];
    for (int64_t k = 0; h && k < cols; ++k)
        out_h[k] = h[source_of(b, first + k)];
}

/* Fits, or prepares (row < 0), each part with its columns. */
static int64_t fit_columns(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h)
{
    int64_t bad = -1, first = 0;
    for (int i = 0; i < b->format->n_parts && bad < 0; first += b->parts[i++].cols) {
        int64_t cols = b->parts[i].cols;
        float *part = malloc((size_t)(n * cols) * sizeof *part + 1), *part_h = malloc((size_t)cols * sizeof *part_h + 1);
        if (part && part_h && cols) {
            columns(b, first, cols, n, w, h, part, part_h);
            if (row < 0)
                qbc_format_prepare(&b->parts[i], n, part, h ? part_h : NULL);
            else
                bad = qbc_format_fit_weighted(how, &b->parts[i], row, n, part, h ? part_h : NULL);
            bad = bad < 0 ? bad : bad / cols * b->cols + source_of(b, first + bad % cols);
        }
        free(part);
        free(part_h);
    }
    return bad;
}

static int64_t fit_part_rows(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h)
{
    int64_t first = 0;
    for (int i = 0; i < b->format->n_parts; first += b->parts[i++].rows) {
        int64_t from = row > first ? row : first, end = first + b->parts[i].rows;
        int64_t until = row + n < end ? row + n : end;
        if (from >= until)
            continue;
        int64_t bad = qbc_format_fit_weighted(how, &b->parts[i], from - first, until - from, w + (from - row) * b->cols, h);
        if (bad >= 0)
            return (from - row) * b->cols + bad;
    }
    return -1;
}

struct ranked {
    double value;
    int64_t index;
};

static int falling(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static void permute(struct qbc_blocks *b, int64_t n, const float *w, const float *h)
{
    struct ranked *ranked = calloc((size_t)b->cols, sizeof *ranked);
    if (!ranked)
        return;
    for (int64_t i = 0; i < n * b->cols; ++i)
        ranked[i % b->cols].value += (double)w[i] * (double)w[i] * (h ? (double)h[i % b->cols] : 1);
    for (int64_t k = 0; k < b->cols; ++k)
        ranked[k].index = k;
    qsort(ranked, (size_t)b->cols, sizeof *ranked, falling);
    for (int64_t k = 0; k < b->cols; ++k)
        b->left[k] = (uint16_t)ranked[k].index;
    free(ranked);
}

/* --- scales of rows and columns */

static void prepare_columns(struct qbc_blocks *b, int64_t n, const float *w)
{
    double all = 0;
    for (int64_t i = 0; i < n * b->cols; ++i)
        all += (double)w[i] * (double)w[i] / (double)(n * b->cols);
    for (int64_t k = 0; k < b->cols; ++k) {
        double sum = 0;
        for (int64_t r = 0; r < n; ++r)
            sum += (double)w[r * b->cols + k] * (double)w[r * b->cols + k] / (double)n;
        b->right[k] = qbc_float_to_half(all > 0 && sum > 0 ? (float)sqrt(sum / all) : 1);
    }
}

/* rest = w / (u v), u being chosen when `choose`. False: a scale is too large. */
static bool divide(struct slab *s, uint16_t *u, const uint16_t *v)
{
    bool good = true;
    for (int64_t r = 0; r < s->n; ++r) {
        double sum = 0;
        for (int64_t k = 0; k < s->b->cols; ++k) {
            float column = qbc_half_to_float(v[k]), x = column != 0 ? s->w[r * s->b->cols + k] / column : 0;
            s->rest[r * s->b->cols + k] = x;
            sum += (double)x * (double)x / (double)s->b->cols;
        }
        u[r] = qbc_float_to_half((float)sqrt(sum));
        float row = qbc_half_to_float(u[r]);
        good = good && isfinite(row);
        for (int64_t k = 0; k < s->b->cols; ++k)
            s->rest[r * s->b->cols + k] = row != 0 ? s->rest[r * s->b->cols + k] / row : 0;
    }
    return good;
}

static int64_t fit_scaled(enum qbc_fit how, struct slab *s)
{
    if (!divide(s, s->b->left + s->row, s->b->right))
        return 0;
    float *h = malloc((size_t)s->b->cols * sizeof *h);
    for (int64_t k = 0; h && k < s->b->cols; ++k) {
        float v = qbc_half_to_float(s->b->right[k]);
        h[k] = (s->h ? s->h[k] : 1) * v * v;
    }
    int64_t bad = qbc_format_fit_weighted(how, &s->b->parts[0], s->row, s->n, s->rest, h);
    free(h);
    return bad;
}

/* --- sparse corrections */

static void choose_sparse(struct slab *s, int64_t r, int64_t count, struct ranked *ranked)
{
    for (int64_t k = 0; k < s->b->cols; ++k)
        ranked[k] = (struct ranked){s->b->format->any ? qbc_any_rank(s->row + r, k)
                                                      : fabs((double)s->w[r * s->b->cols + k]) * sqrt(s->h ? (double)s->h[k] : 1), k};
    qsort(ranked, (size_t)s->b->cols, sizeof *ranked, falling);
    for (int64_t i = 0; i < count; ++i) {
        s->b->right[(s->row + r) * count + i] = (uint16_t)ranked[i].index;
        s->rest[r * s->b->cols + ranked[i].index] = 0;
    }
}

/* Row by row, as each has other columns that do not count; of parts whose rows depend on each other all at once. */
static int64_t fit_beside_sparse(enum qbc_fit how, struct slab *s, int64_t count)
{
    struct qbc_blocks *part = &s->b->parts[0];
    int64_t cols = s->b->cols, bad = -1;
    if (qbc_is_composite(part->format) || qbc_group_rows(part->format) > 1 || qbc_vector_rows(part->format) > 1)
        return qbc_format_fit_weighted(how, part, s->row, s->n, s->rest, s->h);
    float *h = malloc((size_t)cols * sizeof *h);
    for (int64_t r = 0; h && r < s->n && bad < 0; ++r) {
        for (int64_t k = 0; k < cols; ++k)
            h[k] = s->h ? s->h[k] : 1;
        for (int64_t i = 0; i < count; ++i)
            h[s->b->right[(s->row + r) * count + i]] = 0;
        bad = qbc_format_fit_weighted(how, part, s->row + r, 1, s->rest + r * cols, h);
        bad = bad < 0 ? bad : r * cols + bad;
    }
    free(h);
    return h ? bad : 0;
}

static int64_t fit_sparse(enum qbc_fit how, struct slab *s)
{
    int64_t count = qbc_format_sparse(s->b->format, s->b->cols), cols = s->b->cols;
    struct ranked *ranked = malloc((size_t)cols * sizeof *ranked);
    memcpy(s->rest, s->w, (size_t)size_of(s) * sizeof *s->rest);
    for (int64_t r = 0; ranked && r < s->n; ++r)
        choose_sparse(s, r, count, ranked);
    free(ranked);
    int64_t bad = fit_beside_sparse(how, s, count);
    if (bad >= 0)
        return bad;
    qbc_format_decode_rows(&s->b->parts[0], s->row, s->n, s->decoded);
    for (int64_t i = 0; i < s->n * count; ++i) {
        int64_t at = i / count * cols + s->b->right[s->row * count + i];
        uint16_t half = qbc_float_to_half(s->w[at] - s->decoded[at]);
        if ((half & 0x7fff) == 0x7c00)
            return at;
        s->b->left[s->row * count + i] = half;
    }
    return -1;
}

/* --- low rank */

/* Rows of v [rank][cols] become orthonormal; those that are nothing become 0. */
static void orthonormalize(double *v, int64_t rank, int64_t cols)
{
    for (int64_t i = 0; i < rank; ++i) {
        double norm = 0;
        for (int64_t j = 0; j < i; ++j) {
            double dot = 0;
            for (int64_t k = 0; k < cols; ++k)
                dot += v[i * cols + k] * v[j * cols + k];
            for (int64_t k = 0; k < cols; ++k)
                v[i * cols + k] -= dot * v[j * cols + k];
        }
        for (int64_t k = 0; k < cols; ++k)
            norm += v[i * cols + k] * v[i * cols + k];
        norm = norm > 1e-30 ? 1 / sqrt(norm) : 0;
        for (int64_t k = 0; k < cols; ++k)
            v[i * cols + k] *= norm;
    }
}

/* v = v E^T E */
static void power_step(const float *e, const float *h, int64_t n, int64_t rank, int64_t cols, double *v, double *next)
{
    memset(next, 0, (size_t)(rank * cols) * sizeof *next);
    for (int64_t r = 0; r < n; ++r)
        for (int64_t i = 0; i < rank; ++i) {
            double dot = 0;
            for (int64_t k = 0; k < cols; ++k)
                dot += (double)e[r * cols + k] * sqrt(h ? (double)h[k] : 1) * v[i * cols + k];
            for (int64_t k = 0; k < cols; ++k)
                next[i * cols + k] += dot * (double)e[r * cols + k] * sqrt(h ? (double)h[k] : 1);
        }
    memcpy(v, next, (size_t)(rank * cols) * sizeof *v);
    orthonormalize(v, rank, cols);
}

static void prepare_rank(struct qbc_blocks *b, struct slab *s)
{
    int64_t rank = b->format->rank, cols = b->cols;
    double *v = malloc((size_t)(rank * cols) * sizeof *v), *next = malloc((size_t)(rank * cols) * sizeof *next);
    uint64_t seed = 1;
    for (int64_t i = 0; v && i < rank * cols; ++i) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        v[i] = (double)(int64_t)seed;
    }
    if (v && next) {
        orthonormalize(v, rank, cols);
        for (int step = 0; step < POWER_STEPS; ++step)
            power_step(s->rest, s->h, s->n, rank, cols, v, next);
        for (int64_t i = 0; i < rank * cols; ++i) {
            double root = sqrt(s->h ? (double)s->h[i % cols] : 1);
            b->right[i] = qbc_float_to_half(root > 0 ? (float)(v[i] / root) : 0);
        }
    }
    free(v);
    free(next);
}

/* A row of A: least squares of rest against the rows of B, which are orthonormal but for weights and rounding. */
static void project(const struct qbc_blocks *b, const float *rest, const float *h, uint16_t *a)
{
    for (int64_t i = 0; i < b->format->rank; ++i) {
        double dot = 0, norm = 0;
        for (int64_t k = 0; k < b->cols; ++k) {
            double v = (double)qbc_half_to_float(b->right[i * b->cols + k]), weight = h ? (double)h[k] : 1;
            dot += weight * v * (double)rest[k];
            norm += weight * v * v;
        }
        a[i] = qbc_float_to_half(norm > 0 ? (float)(dot / norm) : 0);
    }
}

/* rest = w - A B */
static void take_product_off(struct slab *s)
{
    int64_t rank = s->b->format->rank, cols = s->b->cols;
    for (int64_t i = 0; i < size_of(s); ++i) {
        float sum = 0;
        for (int64_t k = 0; k < rank; ++k)
            sum += qbc_half_to_float(s->b->left[(s->row + i / cols) * rank + k]) *
                   qbc_half_to_float(s->b->right[k * cols + i % cols]);
        s->rest[i] = s->w[i] - sum;
    }
}

static int64_t fit_rank(enum qbc_fit how, struct slab *s)
{
    int64_t rank = s->b->format->rank, cols = s->b->cols;
    double last = INFINITY;
    memset(s->b->left + s->row * rank, 0, (size_t)(s->n * rank) * sizeof *s->b->left);
    for (int round = 0; round < ROUNDS; ++round) {
        take_product_off(s);
        int64_t bad = qbc_format_fit_weighted(how, &s->b->parts[0], s->row, s->n, s->rest, s->h);
        if (bad >= 0)
            return bad;
        qbc_format_decode_rows(&s->b->parts[0], s->row, s->n, s->decoded);
        for (int64_t i = 0; i < size_of(s); ++i)
            s->rest[i] = s->w[i] - s->decoded[i];
        for (int64_t r = 0; r < s->n; ++r)
            project(s->b, s->rest + r * cols, s->h, s->b->left + (s->row + r) * rank);
        double error = error_of(s);
        if (!(error < last))
            break;
        last = error;
    }
    return -1;
}

/* --- all of them */

int64_t qbc_fit_composite(enum qbc_fit how, struct qbc_blocks *b, int64_t row, int64_t n, const float *w, const float *h)
{
    struct slab s = {.b = b, .row = row, .n = n, .w = w, .h = h};
    enum qbc_codebook codebook = b->format->codebook;
    int64_t bad = not_finite(w, n * b->cols);
    if (bad >= 0)
        return bad;
    if (codebook == QBC_CODE_SPLIT)
        return b->format->by_rows ? fit_part_rows(how, b, row, n, w, h) : fit_columns(how, b, row, n, w, h);
    if (!slab_create(&s))
        bad = 0;
    else if (codebook == QBC_CODE_SUM)
        bad = fit_sum(how, &s);
    else if (codebook == QBC_CODE_SCALED)
        bad = fit_scaled(how, &s);
    else if (codebook == QBC_CODE_SPARSE)
        bad = fit_sparse(how, &s);
    else
        bad = fit_rank(how, &s);
    slab_destroy(&s);
    return bad;
}

/* Parts of a sum see what those before them leave of the sample. A sample has its own blocks, as rows of b may be fewer. */
static bool prepare_parts(struct qbc_blocks *b, struct slab *s)
{
    memcpy(s->rest, s->w, (size_t)size_of(s) * sizeof *s->rest);
    if (b->format->codebook == QBC_CODE_SCALED) {
        prepare_columns(b, s->n, s->w);
        divide(s, b->left, b->right);
    }
    for (int i = 0; i < b->format->n_parts; ++i) {
        struct qbc_blocks *part = &b->parts[i];
        qbc_format_prepare(part, s->n, s->rest, s->h);
        qbc_format_fit_weighted(QBC_FIT_RTN, part, 0, s->n, s->rest, s->h);
        qbc_format_decode_rows(part, 0, s->n, s->decoded);
        for (int64_t k = 0; k < size_of(s); ++k)
            s->rest[k] -= s->decoded[k];
    }
    if (b->format->codebook == QBC_CODE_LOWRANK)
        prepare_rank(b, s);
    return true;
}

bool qbc_prepare_composite(struct qbc_blocks *b, int64_t n, const float *w, const float *h)
{
    struct slab s = {.b = b, .n = n < b->rows ? n : b->rows, .w = w, .h = h};
    if (b->format->codebook == QBC_CODE_SPLIT && !b->format->by_rows) {
        if (b->left)
            permute(b, n, w, h);
        fit_columns(QBC_FIT_RTN, b, -1, n, w, h);
        return true;
    }
    int64_t first = 0;
    for (int i = 0; b->format->by_rows && i < b->format->n_parts; first += b->parts[i++].rows)
        if (first + b->parts[i].rows <= n && b->parts[i].rows > 0)
            qbc_format_prepare(&b->parts[i], b->parts[i].rows, w + first * b->cols, h);
    bool good = b->format->by_rows || (slab_create(&s) && prepare_parts(b, &s));
    slab_destroy(&s);
    return good;
}
