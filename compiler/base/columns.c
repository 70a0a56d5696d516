/* columns: heads of attention that are put together of columns of level-1 values (pattern.h).
 *
 * Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) has keys of which some columns are a head's own and some, which turn,
 * are the same for all heads; some exporters' queries have the pairs of their columns apart. At position 0 nothing is turned, so
 * there each column of a head is one of the sources', times a factor: with sources of ones the factor shows, with sources that
 * number their columns it shows which one.
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>

enum { RUN_NUMBERS = 5, MOST_RUNS = 64 }; /* a run: source, first column, columns from head to head, step, length */

/* Binds the sources to ones, or to the numbers of their columns from 1 on; what the heads are then. */
static const float *take(struct qbc *q, struct qbc_evaluation *e, const struct qbc_operand *o, bool number, int64_t *heads)
{
    float n = 1;
    if (!mlirValueIsNull(o->past) && !qbc_bind_zero(q, e, o->past))
        return NULL;
    for (size_t i = 0; i < o->n_sources; ++i) {
        struct qbc_array *x = qbc_bind_zero(q, e, o->source[i]);
        if (!x)
            return NULL;
        for (size_t k = 0; k < x->n; ++k)
            x->f[k] = number ? n++ : 1;
    }
    return qbc_sample_heads(q, e, o, 1, heads);
}

/* The fewest heads of which the others are repetitions, in order. */
static int64_t different_heads(const int64_t *from, int64_t heads, int64_t dim)
{
    for (int64_t n = 1; n < heads; ++n) {
        bool same = heads % n == 0;
        for (int64_t i = 0; same && i < heads * dim; ++i)
            same = from[i] == from[i / dim / (heads / n) * (heads / n) * dim + i % dim];
        if (same)
            return n;
    }
    return heads;
}

/* Which source a column is of; *at: which of its columns. */
static int64_t source_of(const struct qbc_operand *o, int64_t column, int64_t *at)
{
    size_t i = 0;
    for (*at = column; i + 1 < o->n_sources && *at >= qbc_dim(o->source[i], 1); ++i)
        *at -= qbc_dim(o->source[i], 1);
    return (int64_t)i;
}

/* The run that begins at column `column` of a head. */
static void find_run(const struct qbc_operand *o, int64_t column, int64_t *run)
{
    int64_t at, next, source = source_of(o, o->from[column], &at), n = 1;
    int64_t step = column + 1 < o->head_dim ? o->from[column + 1] - o->from[column] : 1;
    const int64_t *second = o->from + (o->heads > 1 ? o->head_dim : 0);
    int64_t apart = second[column] - o->from[column];
    while (column + n < o->head_dim && o->from[column + n] - o->from[column + n - 1] == step &&
           second[column + n] - o->from[column + n] == apart && source_of(o, o->from[column + n], &next) == source)
        ++n;
    run[0] = source;
    run[1] = at;
    run[2] = apart;
    run[3] = n > 1 ? step : 1;
    run[4] = n;
}

/* Are the columns of all heads as far apart as those of the first two, in few runs? */
static bool is_regular(const struct qbc_operand *o)
{
    int64_t d = o->head_dim, run[RUN_NUMBERS], n = 0;
    for (int64_t i = 0; i < o->heads * d; ++i) {
        int64_t column = i % d, apart = o->heads > 1 ? o->from[d + column] - o->from[column] : 0;
        if (o->from[i] != o->from[column] + i / d * apart)
            return false;
    }
    for (int64_t column = 0; column < d; ++n, column += run[4])
        find_run(o, column, run);
    return n < MOST_RUNS; /* turning them may cut one in two */
}

bool qbc_columns_find(struct qbc *q, MlirOperation func, struct qbc_operand *o)
{
    struct qbc_evaluation *one = qbc_probe(q, func, 1, 0), *all = qbc_probe(q, func, 1, 0);
    int64_t heads = 0, again = 0, columns = 0, *from = NULL;
    o->first = 0;
    for (size_t i = 0; i < o->n_sources; ++i)
        columns += qbc_dim(o->source[i], 1);
    const float *factors = take(q, one, o, false, &heads), *numbers = take(q, all, o, true, &again);
    bool good = factors && numbers && heads == again;
    if (good)
        from = qbc_alloc(q, (size_t)(heads * o->head_dim) * sizeof *from);
    for (int64_t i = 0; good && i < heads * o->head_dim; ++i) {
        double column = (double)numbers[i] / (double)factors[i] - 1;
        good = isfinite(column) && qbc_near(column, round(column), 0, 0.01) && round(column) >= 0 && round(column) < (double)columns;
        from[i] = good ? (int64_t)round(column) : 0;
    }
    qbc_evaluation_destroy(one);
    qbc_evaluation_destroy(all);
    if (!good)
        return false;
    o->heads = different_heads(from, heads, o->head_dim);
    int64_t *kept = qbc_alloc(q, (size_t)(o->heads * o->head_dim) * sizeof *kept);
    for (int64_t i = 0; i < o->heads * o->head_dim; ++i)
        kept[i] = from[i / o->head_dim * (heads / o->heads) * o->head_dim + i % o->head_dim];
    o->from = kept;
    return is_regular(o);
}

void qbc_columns_turn(struct qbc *q, struct qbc_operand *o, int64_t first)
{
    int64_t d = o->head_dim, n = o->heads * d;
    if (!o->from || !first)
        return;
    int64_t *from = qbc_alloc(q, (size_t)n * sizeof *from);
    for (int64_t i = 0; i < n; ++i)
        from[i] = o->from[i / d * d + (i % d + first) % d];
    o->from = from;
    o->first = (o->first + first) % d;
}

MlirValue qbc_columns_emit(struct qbc_build *b, const struct qbc_operand *o)
{
    int64_t runs[MOST_RUNS * RUN_NUMBERS];
    size_t n = 0;
    for (int64_t column = 0; column < o->head_dim && n < MOST_RUNS; column += runs[n++ * RUN_NUMBERS + 4])
        find_run(o, column, &runs[n * RUN_NUMBERS]);
    MlirOperation op = qbc_make(b, "qb.heads", qbc_rows_type(b->q, o->heads * o->head_dim), NULL, o->n_sources, o->source);
    qbc_set_int(b->q, op, "heads", o->heads);
    qbc_set_int(b->q, op, "head_dim", o->head_dim);
    qbc_set(op, "runs", mlirDenseI64ArrayGet(b->q->mlir, (intptr_t)(n * RUN_NUMBERS), runs));
    return mlirOperationGetResult(op, 0);
}
