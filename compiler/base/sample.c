/* sample: an operand of attention, computed from numbers of our own (pattern.h). */
#include "pattern.h"

#include <math.h>
#include <string.h>

/* Positions for which the cone has stored tables, which it lists; 0: it has none. */
int64_t qbc_sample_tables(struct qbc *q, const struct qbc_operand *o, struct qbc_values *tables)
{
    struct qbc_values leaves = qbc_leaves(q, o->value, 0, NULL);
    int64_t length = 0;
    *tables = (struct qbc_values){qbc_alloc(q, (leaves.n + 1) * sizeof(MlirValue)), 0};
    for (size_t i = 0; i < leaves.n; ++i) {
        struct qbc_strided s;
        if (!qbc_is_constant(leaves.v[i]) || !qbc_strided_of(q, NULL, leaves.v[i], &s) ||
            !qbc_strided_matrix(&s) || s.dims[0] < 2 || s.dims[1] < 2)
            continue;
        tables->v[tables->n++] = leaves.v[i];
        length = length && length < s.dims[0] ? length : s.dims[0];
    }
    return length;
}

/* Rows differ in size, so that what keeps numbers within bounds shows. */
double qbc_sample_size(int64_t token)
{
    return token % 4 == 3 ? 64 : 1;
}

static void fill(struct qbc_array *x, enum qbc_pattern pattern, const struct qbc_operand *o)
{
    int64_t d = o->rotary.dim;
    int64_t width = o->heads * o->head_dim;
    if (pattern == QBC_RANDOM)
        qbc_fill_random(x, 11);
    for (size_t i = 0; pattern == QBC_RANDOM && i < x->n; ++i)
        x->f[i] *= (float)qbc_sample_size((int64_t)i / width);
    for (size_t i = 0; pattern != QBC_RANDOM && i < x->n; ++i) {
        int64_t column = (int64_t)i % o->head_dim;
        x->f[i] = column < d && (pattern == QBC_ONES_HALF ? column < d / 2 : column % 2 == 0);
    }
}

/* [heads, rows, D] as [rows, heads, D]. */
static const float *side_by_side(struct qbc *q, const struct qbc_array *a, int64_t heads,
                                 int64_t rows, int64_t d)
{
    float *out = qbc_alloc(q, a->n * sizeof *out);
    for (int64_t h = 0; h < heads; ++h)
        for (int64_t r = 0; r < rows; ++r)
            memcpy(out + (r * heads + h) * d, a->f + (h * rows + r) * d, (size_t)d * sizeof *out);
    return out;
}

/* n heads with column `first` of each as the first one. */
static const float *shifted(struct qbc *q, const struct qbc_operand *o, const float *heads, size_t n)
{
    size_t d = (size_t)o->head_dim, first = (size_t)o->first;
    if (!first)
        return heads;
    float *out = qbc_alloc(q, n * d * sizeof *out);
    for (size_t i = 0; i < n; ++i) {
        memcpy(out + i * d, heads + i * d + first, (d - first) * sizeof *out);
        memcpy(out + i * d + d - first, heads + i * d, first * sizeof *out);
    }
    return out;
}

const float *qbc_sample_heads(struct qbc *q, struct qbc_evaluation *e, const struct qbc_operand *o, int64_t rows, int64_t *heads)
{
    const struct qbc_array *y = qbc_floats_of(e, o->value);
    int64_t d = o->head_dim;
    if (!y || y->rank < 2 || y->n == 0 || (int64_t)y->n % (rows * d))
        return NULL;
    *heads = (int64_t)y->n / (rows * d);
    bool heads_first = y->rank >= 3 && y->dims[y->rank - 2] == rows;
    return shifted(q, o, heads_first ? side_by_side(q, y, *heads, rows, d) : y->f, (size_t)(rows * *heads));
}

static void read_result(struct qbc *q, const struct qbc_operand *o, struct qbc_sample *s)
{
    s->y = qbc_sample_heads(q, s->e, o, s->rows, &s->heads);
    if (!s->y || s->heads % o->heads)
        s->y = NULL;
}

/* Gives the operand's sources the numbers x [tokens][heads * head_dim]; a column that several are made of has the last one's,
 * and so have they all then. */
static bool bind_rows(struct qbc *q, struct qbc_evaluation *e, const struct qbc_operand *o, struct qbc_array *x, int64_t tokens)
{
    int64_t width = o->heads * o->head_dim, first = 0;
    for (size_t i = 0; i < o->n_sources; ++i) {
        struct qbc_array *source = qbc_bind_zero(q, e, o->source[i]);
        int64_t columns = qbc_dim(o->source[i], 1);
        if (!source || (int64_t)source->n != tokens * columns)
            return false;
        for (int put = 1; put >= 0; --put)
            for (int64_t k = 0; k < tokens * width; ++k) {
                int64_t from = (o->from ? o->from[k % width] : k % width) - first, at = k / width * columns + from;
                if (from < 0 || from >= columns)
                    continue;
                if (put)
                    source->f[at] = x->f[k];
                else
                    x->f[k] = source->f[at];
            }
        first += columns;
    }
    return true;
}

/* Heads of the past; it may have each of the rows' heads several times. 0: it has other heads. */
static int64_t past_heads(const struct qbc_array *a, int64_t past, const struct qbc_operand *o)
{
    int64_t each = past * o->head_dim, heads = a && a->rank >= 3 && each > 0 ? (int64_t)a->n / each : 0;
    return heads > 0 && (int64_t)a->n == heads * each && heads % o->heads == 0 ? heads : 0;
}

/* The numbers of a head, again for those that are the same one. */
static void repeat_heads(struct qbc_array *a, int64_t past, const struct qbc_operand *o)
{
    int64_t heads = past_heads(a, past, o), times = heads / o->heads;
    bool heads_first = heads && a->dims[a->rank - 2] == past;
    for (int64_t h = 0; h < heads; ++h)
        for (int64_t p = 0; p < past && h % times; ++p) {
            int64_t to = heads_first ? h * past + p : p * heads + h;
            int64_t from = heads_first ? h / times * times * past + p : p * heads + h / times * times;
            memcpy(a->f + to * o->head_dim, a->f + from * o->head_dim, (size_t)o->head_dim * sizeof *a->f);
        }
}

/* Of one call. `numbers`: what the rows are; NULL: by the pattern. */
static struct qbc_sample take(struct qbc *q, MlirOperation func, const struct qbc_operand *o, int64_t tokens, int64_t past,
                              enum qbc_pattern pattern, const float *numbers)
{
    tokens = qbc_tokens_or(func, tokens);
    struct qbc_sample s = {.e = qbc_probe(q, func, tokens, past), .tokens = tokens, .past = past};
    struct qbc_values tables;
    qbc_sample_tables(q, o, &tables);
    for (size_t i = 0; i < tables.n; ++i)
        qbc_evaluate(s.e, tables.v[i]); /* reads them, which nothing else does when they are long */
    if (!mlirValueIsNull(o->past)) {
        struct qbc_array *old = qbc_bind_zero(q, s.e, o->past);
        if (old) {
            qbc_fill_random(old, 12);
            repeat_heads(old, past, o);
        }
        if (old) {
            struct qbc_array *seen = qbc_alloc(q, sizeof *seen);
            *seen = *old;
            seen->f = (float *)(uintptr_t)shifted(q, o, old->f, old->n / (size_t)o->head_dim);
            s.old = seen;
        }
        s.old_rows = past;
    }
    s.rows = s.old_rows + tokens;
    struct qbc_array *x = qbc_alloc(q, sizeof *x);
    x->n = (size_t)(tokens * o->heads * o->head_dim);
    x->f = qbc_alloc(q, x->n * sizeof *x->f);
    if (numbers)
        memcpy(x->f, numbers, x->n * sizeof *x->f);
    else
        fill(x, pattern, o);
    s.x = x;
    if (bind_rows(q, s.e, o, x, tokens))
        read_result(q, o, &s);
    return s;
}

/* In a graph for one token a call: as many calls, whose last rows together are what one of `tokens` tokens would give. */
static struct qbc_sample take_steps(struct qbc *q, MlirOperation func, const struct qbc_operand *o, int64_t tokens, int64_t past,
                                    enum qbc_pattern pattern)
{
    size_t width = (size_t)(o->heads * o->head_dim), row = 0;
    struct qbc_array *x = qbc_alloc(q, sizeof *x);
    x->n = (size_t)tokens * width;
    x->f = qbc_alloc(q, x->n * sizeof *x->f);
    fill(x, pattern, o);
    struct qbc_sample s = take(q, func, o, 1, past, pattern, x->f);
    float *y = NULL;
    memcpy(x->f, s.x->f, width * sizeof *x->f);
    if (s.y) {
        row = (size_t)(s.heads * o->head_dim);
        y = qbc_alloc(q, (size_t)(s.old_rows + tokens) * row * sizeof *y);
        memcpy(y, s.y, (size_t)s.rows * row * sizeof *y);
    }
    for (int64_t t = 1; t < tokens && y; ++t) {
        struct qbc_sample one = take(q, func, o, 1, past + t, pattern, x->f + (size_t)t * width);
        bool good = one.y && one.heads == s.heads;
        memcpy(x->f + (size_t)t * width, one.x->f, width * sizeof *x->f); /* columns that are the same one */
        if (good)
            memcpy(y + (size_t)(s.old_rows + t) * row, one.y + (size_t)(one.rows - 1) * row, row * sizeof *y);
        y = good ? y : NULL;
        qbc_evaluation_destroy(one.e);
    }
    s.tokens = tokens;
    s.rows = s.old_rows + tokens;
    s.x = x;
    s.y = y;
    return s;
}

struct qbc_sample qbc_sample_take(struct qbc *q, MlirOperation func, const struct qbc_operand *o,
                              int64_t tokens, int64_t past, enum qbc_pattern pattern)
{
    if (qbc_is_step(func))
        return take_steps(q, func, o, tokens, past, pattern);
    return take(q, func, o, tokens, past, pattern, NULL);
}

/* A head of the past, which is [1, heads, P, D] or [1, P, heads, D]. */
const float *qbc_sample_old_head(const struct qbc_sample *s, const struct qbc_operand *o,
                                 int64_t position, int64_t head)
{
    const struct qbc_array *a = s->old;
    int64_t heads = past_heads(a, s->past, o), at = head * (heads / o->heads);
    if (!heads)
        return NULL;
    bool heads_first = a->dims[a->rank - 2] == s->past;
    int64_t row = heads_first ? at * s->past + position : position * heads + at;
    return a->f + row * o->head_dim;
}

static bool same_head(const float *want, const float *have, const struct qbc_operand *o,
                      double factor, double size)
{
    for (int64_t d = 0; d < o->head_dim; ++d)
        if (!qbc_near(factor * (double)want[d], (double)have[d], 0,
                      size * fabs(factor) * (2e-4 + 2 * o->rotary.precision)))
            return false;
    return true;
}

/* Is y what the operand's description says? */
bool qbc_sample_agrees(struct qbc *q, const struct qbc_sample *s, const struct qbc_operand *o)
{
    int64_t d = o->head_dim, group = s->heads / o->heads;
    float *turned = qbc_alloc(q, (size_t)d * sizeof *turned);
    for (int64_t r = 0; r < s->rows; ++r)
        for (int64_t h = 0; h < s->heads; ++h) {
            int64_t t = r - s->old_rows;
            const float *have = s->y + (r * s->heads + h) * d;
            const float *old = t < 0 ? qbc_sample_old_head(s, o, r, h / group) : NULL;
            if (t >= 0) {
                const float *x = s->x->f + (t * o->heads + h / group) * d;
                memcpy(turned, x, (size_t)d * sizeof *turned);
                qbc_rotary_apply(&o->rotary, s->past + t, turned);
            }
            if ((t < 0 && !old) ||
                !same_head(old ? old : turned, have, o, old ? o->past_factor : o->factor, old ? 1 : qbc_sample_size(t)))
                return false;
        }
    return true;
}

