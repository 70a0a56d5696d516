/* operand: what an operand of attention is made of (pattern.h).
 *
 * It must be a rotation of each head of one level-1 value, by angles that depend on the position
 * only, times a factor; for keys and values after the rows of the past, each head maybe repeated.
 * Ones in one column of each pair make it a table of cosines and sines, in which qbc_rotary_fit finds
 * the law; random numbers, other positions and a random past verify it.
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

enum { MOST_POSITIONS = 192, SHORT = 24, PAST = 37, NEW = 3 };
enum pattern { RANDOM, HALF, ADJACENT };

struct sample {
    struct qbc_evaluation *e;
    int64_t tokens, past;
    int64_t old_rows, rows;          /* of y: those of the past, and all */
    const struct qbc_array *x, *old; /* what was put in */
    const float *y;                  /* [rows][heads][head_dim]; NULL: could not be computed */
    int64_t heads;                   /* of y */
};

/* --- what it is made of */

static bool find_sources(struct qbc *q, MlirOperation func, MlirOperation attention,
                         struct qbc_operand *o)
{
    struct qbc_values leaves = qbc_leaves(q, o->value, 0, NULL);
    size_t n_rows = 0, n_past = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        const char *input = qbc_input(q, func, leaves.v[i]);
        bool past = input && !strcmp(input, "past");
        if (qbc_is_level1(leaves.v[i]) && n_rows++ == 0)
            o->rows = leaves.v[i];
        if (past && n_past++ == 0)
            o->past = leaves.v[i];
    }
    if (n_rows != 1 || n_past > 1) {
        qbc_miss(q, attention, "an operand is made of %zu activations and %zu inputs of past keys or "
                               "values, not of one and at most one", n_rows, n_past);
        return false;
    }
    int64_t width = qbc_dim(o->rows, 1);
    o->heads = width / o->head_dim;
    if (width % o->head_dim)
        qbc_miss(q, attention, "an operand of %ld columns has no heads of %ld", width, o->head_dim);
    return width % o->head_dim == 0;
}

/* Positions for which the cone has stored tables, which it lists; 0: it has none. */
static int64_t find_tables(struct qbc *q, const struct qbc_operand *o, struct qbc_values *tables)
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

/* --- numbers */

static void fill(struct qbc_array *x, enum pattern pattern, const struct qbc_operand *o)
{
    int64_t d = o->rotary.dim;
    if (pattern == RANDOM)
        qbc_fill_random(x, 11);
    for (size_t i = 0; pattern != RANDOM && i < x->n; ++i) {
        int64_t column = (int64_t)i % o->head_dim;
        x->f[i] = column < d && (pattern == HALF ? column < d / 2 : column % 2 == 0);
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

static void read_result(struct qbc *q, const struct qbc_operand *o, struct sample *s)
{
    const struct qbc_array *y = qbc_floats_of(s->e, o->value);
    int64_t d = o->head_dim;
    if (!y || y->rank < 2 || y->n == 0 || (int64_t)y->n % (s->rows * d))
        return;
    s->heads = (int64_t)y->n / (s->rows * d);
    bool heads_first = y->rank >= 3 && y->dims[y->rank - 2] == s->rows;
    s->y = heads_first ? side_by_side(q, y, s->heads, s->rows, d) : y->f;
    if (s->heads % o->heads)
        s->y = NULL;
}

static struct sample evaluate(struct qbc *q, MlirOperation func, const struct qbc_operand *o,
                              int64_t tokens, int64_t past, enum pattern pattern)
{
    struct sample s = {.e = qbc_probe(q, func, tokens, past), .tokens = tokens, .past = past};
    struct qbc_values tables;
    find_tables(q, o, &tables);
    for (size_t i = 0; i < tables.n; ++i)
        qbc_evaluate(s.e, tables.v[i]); /* reads them, which nothing else does when they are long */
    if (!mlirValueIsNull(o->past)) {
        s.old = qbc_bind_random(q, s.e, o->past, 12);
        s.old_rows = past;
    }
    s.rows = s.old_rows + tokens;
    struct qbc_array *x = qbc_bind_zero(q, s.e, o->rows);
    s.x = x;
    if (x) {
        fill(x, pattern, o);
        read_result(q, o, &s);
    }
    return s;
}

/* A head of the past, which is [1, heads, P, D] or [1, P, heads, D]. */
static const float *old_head(const struct sample *s, const struct qbc_operand *o, int64_t position,
                             int64_t head)
{
    const struct qbc_array *a = s->old;
    if (!a || a->rank < 3 || (int64_t)a->n != s->past * o->heads * o->head_dim)
        return NULL;
    bool heads_first = a->dims[a->rank - 2] == s->past;
    int64_t row = heads_first ? head * s->past + position : position * o->heads + head;
    return a->f + row * o->head_dim;
}

static bool same_head(const float *want, const float *have, const struct qbc_operand *o,
                      double factor)
{
    for (int64_t d = 0; d < o->head_dim; ++d)
        if (!qbc_near(factor * (double)want[d], (double)have[d], 0,
                      fabs(factor) * (2e-4 + 2 * o->rotary.precision)))
            return false;
    return true;
}

/* Is y what the operand's description says? */
static bool agrees(struct qbc *q, const struct sample *s, const struct qbc_operand *o)
{
    int64_t d = o->head_dim, group = s->heads / o->heads;
    float *turned = qbc_alloc(q, (size_t)d * sizeof *turned);
    for (int64_t r = 0; r < s->rows; ++r)
        for (int64_t h = 0; h < s->heads; ++h) {
            int64_t t = r - s->old_rows;
            const float *have = s->y + (r * s->heads + h) * d;
            const float *old = t < 0 ? old_head(s, o, r, h / group) : NULL;
            if (t >= 0) {
                memcpy(turned, s->x->f + (t * o->heads + h / group) * d, (size_t)d * sizeof *turned);
                qbc_rotary_apply(&o->rotary, s->past + t, turned);
            }
            if ((t < 0 && !old) ||
                !same_head(old ? old : turned, have, o, old ? o->past_factor : o->factor))
                return false;
        }
    return true;
}

static bool verify(struct qbc *q, MlirOperation func, const struct qbc_operand *o, int64_t tokens,
                   int64_t past)
{
    struct sample s = evaluate(q, func, o, tokens, past, RANDOM);
    bool good = s.y && agrees(q, &s, o);
    qbc_evaluation_destroy(s.e);
    return good;
}

/* --- finding the law */

/* At position 0 nothing is turned: y = factor * x, column by column. */
static double column_factor(const struct sample *s, const struct qbc_operand *o, int64_t column)
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

/* The last column that changes with the position, plus 1; even. */
static int64_t columns_that_turn(const struct sample *s, const struct qbc_operand *o)
{
    int64_t d = o->head_dim, group = s->heads / o->heads, last = 0;
    for (int64_t i = 0; i < s->rows * s->heads * d; ++i) {
        int64_t row = i / d, column = i % d, t = row / s->heads, h = row % s->heads / group;
        double x = (double)s->x->f[(t * o->heads + h) * d + column];
        bool turned = !qbc_near(o->factor * x, (double)s->y[i], 0, 3e-6 * fabs(o->factor));
        last = turned && column + 1 > last ? column + 1 : last;
    }
    return (last + 1) & ~(int64_t)1;
}

/* The table of cosines and sines that ones in one column of each pair make. */
static const char *fit_table(struct qbc *q, const struct sample *s, struct qbc_operand *o)
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

static bool try_law(struct qbc *q, MlirOperation func, const struct sample *random,
                    struct qbc_operand *o, int64_t dim, bool adjacent)
{
    double scale = dim < o->head_dim ? column_factor(random, o, 0) / o->factor : 1;
    o->rotary = (struct qbc_rotary){.dim = dim, .adjacent = adjacent};
    o->rotary.scale = qbc_shortest(scale, 3e-6);
    struct sample s = evaluate(q, func, o, random->tokens, 0, adjacent ? ADJACENT : HALF);
    bool good = s.y && !fit_table(q, &s, o) && agrees(q, random, o);
    qbc_evaluation_destroy(s.e);
    return good;
}

static bool find_law(struct qbc *q, MlirOperation func, MlirOperation attention,
                     struct qbc_operand *o)
{
    struct qbc_values tables;
    int64_t length = find_tables(q, o, &tables);
    int64_t n = length && length < MOST_POSITIONS ? length : MOST_POSITIONS;
    struct sample s = evaluate(q, func, o, n, 0, RANDOM);
    bool good = false;
    if (s.y) {
        o->factor = column_factor(&s, o, o->head_dim - 1);
        o->rotary = (struct qbc_rotary){.scale = 1};
        int64_t dim = columns_that_turn(&s, o);
        good = dim == 0 && agrees(q, &s, o);
        for (int i = 0; i < 4 && dim && n > 1 && !good; ++i)
            good = try_law(q, func, &s, o, i < 2 ? dim : o->head_dim, i % 2);
    }
    if (!s.y)
        qbc_miss(q, attention, "an operand cannot be computed: %s",
                 qbc_evaluation_problem(s.e, NULL));
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

static double past_factor(const struct sample *s, const struct qbc_operand *o)
{
    double above = 0, below = 0;
    for (int64_t d = 0; d < o->head_dim; ++d) {
        const float *old = old_head(s, o, 0, 0);
        above += old ? (double)old[d] * (double)s->y[d] : 0;
        below += old ? (double)old[d] * (double)old[d] : 0;
    }
    return below > 0 ? above / below : 0;
}

static bool find_past(struct qbc *q, MlirOperation func, MlirOperation attention,
                      struct qbc_operand *o)
{
    struct sample s = evaluate(q, func, o, NEW, PAST, RANDOM);
    o->past_factor = s.y && s.old ? past_factor(&s, o) : 1;
    bool good = s.y && agrees(q, &s, o);
    qbc_evaluation_destroy(s.e);
    if (!good)
        qbc_miss(q, attention,
                 "with %d tokens in the past an operand is another function of positions than "
                 "without", PAST);
    return good;
}

bool qbc_operand_find(struct qbc *q, MlirOperation func, MlirOperation attention,
                      struct qbc_operand *o, const struct qbc_operand *like)
{
    bool known = false;
    o->past_factor = 1;
    o->head_dim = qbc_int(attention, "head_dim", 1);
    if (!find_sources(q, func, attention, o))
        return false;
    if (like->factor != 0) {
        o->factor = like->factor;
        o->rotary = like->rotary;
        known = verify(q, func, o, SHORT, 0);
    }
    if (!known) {
        if (!find_law(q, func, attention, o))
            return false;
        exact_frequencies(q, o);
    }
    return !qbc_has_past(func) || find_past(q, func, attention, o);
}

/* --- the cache */

/* The function's result that is this past with the new rows; -1: none. */
static intptr_t present_of(MlirOperation func, MlirValue past)
{
    intptr_t n = mlirOperationGetNumOperands(qbc_return_of(func));
    for (intptr_t i = 0; i < n && !mlirValueIsNull(past); ++i) {
        MlirAttribute a = qbc_function_attr(func, "res_attrs", (size_t)i, "qb.past");
        if (!mlirAttributeIsNull(a) && mlirAttributeIsAInteger(a) &&
            mlirIntegerAttrGetValueInt(a) == mlirBlockArgumentGetArgNumber(past))
            return i;
    }
    return -1;
}

bool qbc_operand_check_present(struct qbc *q, MlirOperation func, MlirOperation attention,
                               const struct qbc_operand *o)
{
    intptr_t i = present_of(func, o->past);
    if (i < 0)
        return true;
    struct qbc_operand present = *o;
    present.value = mlirOperationGetOperand(qbc_return_of(func), i);
    present.factor = o->factor / o->past_factor;
    present.past_factor = 1;
    struct sample s = evaluate(q, func, &present, NEW, PAST, RANDOM);
    bool good = s.y && s.heads == o->heads && agrees(q, &s, &present);
    qbc_evaluation_destroy(s.e);
    if (!good)
        qbc_miss(q, attention, "the model's output %ld is not its past with the new rows", (long)i);
    return good;
}

MlirValue qbc_operand_emit(struct qbc_build *b, MlirOperation func, const struct qbc_operand *o)
{
    MlirValue v = o->rows;
    if (o->rotary.dim)
        v = qbc_rotary_emit(b, &o->rotary, v, o->head_dim);
    if (mlirValueIsNull(o->past))
        return v;
    v = qbc_op(b, "qb.append", mlirValueGetType(o->rows), 2, o->past, v);
    intptr_t i = present_of(func, o->past);
    if (i >= 0)
        mlirOperationSetOperand(qbc_return_of(func), i, v);
    return v;
}
