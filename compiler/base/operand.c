/* operand: what an operand of attention is made of (pattern.h).
 *
 * It must be a rotation of each head of one level-1 value, or of heads put together of columns of several (columns.c), by angles
 * that depend on the position only, times a factor; for keys and values after the rows of the past, each head maybe repeated.
 * Ones in one column of each pair make it a table of cosines and sines, in which qbc_rotary_fit
 * finds the law; random numbers, other positions and a random past verify it.
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

enum { MOST_POSITIONS = 192, SHORT = 24, PAST = 37, NEW = 3 };

/* --- what it is made of */

static bool find_sources(struct qbc *q, MlirOperation func, MlirOperation attention,
                         struct qbc_operand *o)
{
    struct qbc_values leaves = qbc_leaves(q, o->value, 0, NULL);
    size_t n_rows = 0, n_past = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        const char *input = qbc_input(q, func, leaves.v[i]);
        bool past = input && !strcmp(input, "past");
        if (qbc_is_level1(leaves.v[i]) && n_rows++ < QBC_MOST_SOURCES)
            o->source[n_rows - 1] = leaves.v[i];
        if (past && n_past++ == 0)
            o->past = leaves.v[i];
    }
    o->n_sources = n_rows;
    o->rows = o->source[0];
    if (n_rows < 1 || n_rows > QBC_MOST_SOURCES || n_past > 1)
        qbc_miss(q, attention,
                 "an operand is made of %zu activations and %zu inputs of past keys or values, not "
                 "of one or %d and at most one", n_rows, n_past, QBC_MOST_SOURCES);
    return n_rows >= 1 && n_rows <= QBC_MOST_SOURCES && n_past <= 1;
}

static bool verify(struct qbc *q, MlirOperation func, const struct qbc_operand *o, int64_t tokens,
                   int64_t past)
{
    struct qbc_sample s = qbc_sample_take(q, func, o, tokens, past, QBC_RANDOM);
    bool good = s.y && qbc_sample_agrees(q, &s, o);
    qbc_evaluation_destroy(s.e);
    return good;
}

/* --- finding the law */

/* At position 0 nothing is turned: y = factor * x, column by column. */
static double column_factor(const struct qbc_sample *s, const struct qbc_operand *o, int64_t column)
{
    int64_t d = o->head_dim, group = s->heads / o->heads;
    double above = 0, below = 0;
    for (int64_t h = 0; h < s->heads; ++h) {
        double x = (double)s->x->f[h / group * d + column];
        above += x * (double)s->y[h * d + column];
        below += x * x;
    }
    return below > 0 ? above / below : 0;
}

/* The last column that changes with the position, plus 1; even. *first: the first one. */
static int64_t columns_that_turn(const struct qbc_sample *s, const struct qbc_operand *o, int64_t *first)
{
    int64_t d = o->head_dim, group = s->heads / o->heads, last = 0;
    *first = d;
    for (int64_t i = 0; i < s->rows * s->heads * d; ++i) {
        int64_t row = i / d, column = i % d, t = row / s->heads, h = row % s->heads / group;
        double x = (double)s->x->f[(t * o->heads + h) * d + column];
        bool turned = !qbc_near(o->factor * x, (double)s->y[i], 0, 3e-6 * qbc_sample_size(t) * fabs(o->factor));
        last = turned && column + 1 > last ? column + 1 : last;
        *first = turned && column < *first ? column : *first;
    }
    return (last + 1) & ~(int64_t)1;
}

/* The table of cosines and sines that ones in one column of each pair make. */
static const char *fit_table(struct qbc *q, const struct qbc_sample *s, struct qbc_operand *o)
{
    struct qbc_rotary *r = &o->rotary;
    size_t half = (size_t)r->dim / 2, n = (size_t)s->tokens;
    float *cosines = qbc_alloc(q, n * half * sizeof *cosines);
    float *sines = qbc_alloc(q, n * half * sizeof *sines);
    double factor = o->factor * r->scale;
    for (size_t i = 0; i < n * half; ++i) {
        const float *head = s->y + (int64_t)(i / half) * s->heads * o->head_dim;
        size_t pair = i % half, a = r->adjacent ? 2 * pair : pair;
        size_t b = r->adjacent ? a + 1 : a + half;
        cosines[i] = (float)((double)head[a] / factor);
        sines[i] = (float)((double)head[b] / factor);
    }
    return qbc_rotary_fit(q, n, cosines, sines, r);
}

static bool try_law(struct qbc *q, MlirOperation func, const struct qbc_sample *random,
                    struct qbc_operand *o, int64_t dim, bool adjacent)
{
    double scale = dim < o->head_dim ? column_factor(random, o, 0) / o->factor : 1;
    o->rotary = (struct qbc_rotary){.dim = dim, .adjacent = adjacent};
    o->rotary.scale = qbc_shortest(scale, 3e-6);
    enum qbc_pattern ones = adjacent ? QBC_ONES_ADJACENT : QBC_ONES_HALF;
    struct qbc_sample s = qbc_sample_take(q, func, o, random->tokens, 0, ones);
    bool good = s.y && !fit_table(q, &s, o) && qbc_sample_agrees(q, random, o);
    qbc_evaluation_destroy(s.e);
    return good;
}

static bool find_law(struct qbc *q, MlirOperation func, MlirOperation attention,
                     struct qbc_operand *o)
{
    struct qbc_values tables;
    int64_t length = qbc_sample_tables(q, o, &tables);
    int64_t n = length && length < MOST_POSITIONS ? length : MOST_POSITIONS, first;
    struct qbc_sample s = qbc_sample_take(q, func, o, n, 0, QBC_RANDOM);
    bool good = false;
    if (s.y) {
        o->factor = column_factor(&s, o, o->head_dim - 1);
        o->rotary = (struct qbc_rotary){.scale = 1};
        int64_t dim = columns_that_turn(&s, o, &first);
        if (dim && first && o->from) {
            qbc_columns_turn(q, o, first);
            qbc_evaluation_destroy(s.e);
            return find_law(q, func, attention, o);
        }
        good = dim == 0 && qbc_sample_agrees(q, &s, o);
        bool behind = first > 1 && !o->from; /* columns.c puts those that turn first */
        for (int i = 0; i < 4 && dim && n > 1 && !good && !behind; ++i)
            good = try_law(q, func, &s, o, i < 2 ? dim : o->head_dim, i % 2);
    }
    const char *problem = qbc_evaluation_problem(s.e, NULL);
    if (!s.y)
        qbc_miss(q, attention, "an operand cannot be computed: %s",
                 *problem ? problem : "its heads are not those of one activation");
    else if (!good)
        qbc_miss(q, attention, "an operand is no rotation of each head by its position");
    qbc_evaluation_destroy(s.e);
    for (size_t i = 0; good && i < tables.n; ++i)
        good = qbc_rotary_check_table(q, attention, &o->rotary, tables.v[i]);
    if (good && length)
        qbc_limit_context(q, attention, length);
    return good;
}

/* Frequencies to the last bit, where the graph holds them. */
static void exact_frequencies(struct qbc *q, struct qbc_operand *o)
{
    struct qbc_rotary *r = &o->rotary;
    struct qbc_values leaves = qbc_leaves(q, o->value, 0, NULL);
    for (size_t i = 0; r->dim && r->theta == 0 && i < leaves.n; ++i) {
        struct qbc_strided s;
        if (!qbc_is_constant(leaves.v[i]) || !qbc_strided_of(q, NULL, leaves.v[i], &s))
            continue;
        float *stored = qbc_strided_read(q, &s, (size_t)r->dim / 2);
        bool same = stored;
        for (int64_t k = 0; same && k < r->dim / 2; ++k)
            same = qbc_near((double)stored[k], (double)r->frequencies[k], 3 * r->precision, 0);
        if (same)
            r->frequencies = stored;
    }
}

static double past_factor(const struct qbc_sample *s, const struct qbc_operand *o)
{
    double above = 0, below = 0;
    for (int64_t d = 0; d < o->head_dim; ++d) {
        const float *old = qbc_sample_old_head(s, o, 0, 0);
        above += old ? (double)old[d] * (double)s->y[d] : 0;
        below += old ? (double)old[d] * (double)old[d] : 0;
    }
    return below > 0 ? above / below : 0;
}

static bool find_past(struct qbc *q, MlirOperation func, MlirOperation attention,
                      struct qbc_operand *o)
{
    struct qbc_sample s = qbc_sample_take(q, func, o, NEW, PAST, QBC_RANDOM);
    o->past_factor = s.y && s.old ? past_factor(&s, o) : 1;
    bool good = s.y && qbc_sample_agrees(q, &s, o);
    qbc_evaluation_destroy(s.e);
    if (!good)
        qbc_miss(q, attention,
                 "with %d tokens in the past an operand is another function of positions than "
                 "without", PAST);
    return good;
}

/* As it was in another layer, or found out. */
static bool find_turns(struct qbc *q, MlirOperation func, MlirOperation attention, struct qbc_operand *o,
                       const struct qbc_operand *like)
{
    if (like->factor != 0 && !like->from == !o->from) {
        o->factor = like->factor;
        o->rotary = like->rotary;
        qbc_columns_turn(q, o, like->first);
        if (verify(q, func, o, SHORT, 0))
            return true;
        qbc_columns_turn(q, o, o->first ? o->head_dim - o->first : 0);
    }
    if (!find_law(q, func, attention, o))
        return false;
    exact_frequencies(q, o);
    return true;
}

bool qbc_operand_find(struct qbc *q, MlirOperation func, MlirOperation attention,
                      struct qbc_operand *o, const struct qbc_operand *like)
{
    o->past_factor = 1;
    if (!find_sources(q, func, attention, o))
        return false;
    int64_t width = qbc_dim(o->rows, 1);
    o->heads = width / o->head_dim;
    if (o->n_sources > 1 || width % o->head_dim || !find_turns(q, func, attention, o, like)) {
        if (!qbc_columns_find(q, func, o)) {
            qbc_miss(q, attention, "an operand's heads are not put together of columns of what it is made of");
            return false;
        }
        if (!find_turns(q, func, attention, o, like))
            return false;
    }
    return !qbc_has_past(func) || find_past(q, func, attention, o);
}

/* --- the cache */

bool qbc_operand_check_present(struct qbc *q, MlirOperation func, MlirOperation attention,
                               const struct qbc_operand *o)
{
    intptr_t i = qbc_present_of(func, o->past);
    if (i < 0)
        return true;
    struct qbc_operand present = *o;
    present.value = mlirOperationGetOperand(qbc_return_of(func), i);
    present.factor = o->factor / o->past_factor;
    present.past_factor = 1;
    struct qbc_sample s = qbc_sample_take(q, func, &present, NEW, PAST, QBC_RANDOM);
    bool good = s.y && s.heads % o->heads == 0 && qbc_sample_agrees(q, &s, &present);
    qbc_evaluation_destroy(s.e);
    if (!good)
        qbc_miss(q, attention, "the model's output %ld is not its past with the new rows", (long)i);
    return good;
}

MlirValue qbc_operand_emit(struct qbc_build *b, MlirOperation func, const struct qbc_operand *o)
{
    MlirValue v = o->from ? qbc_columns_emit(b, o) : o->rows;
    if (o->rotary.dim)
        v = qbc_rotary_emit(b, &o->rotary, v, o->head_dim);
    if (mlirValueIsNull(o->past))
        return v;
    v = qbc_op(b, "qb.append", mlirValueGetType(v), 2, o->past, v);
    intptr_t i = qbc_present_of(func, o->past);
    if (i >= 0)
        mlirOperationSetOperand(qbc_return_of(func), i, v);
    return v;
}
