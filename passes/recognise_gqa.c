/* recognise-gqa: ONNX Runtime's grouped-query attention, which is rotary embedding, cache and
 * attention in one operation.
 *
 *   before   GroupQueryAttention(%q, %k, %v, %past_k, %past_v, %last, %total, %cos, %sin)
 *   after    qb.rope of %q and %k by the law of the tables, qb.append to the pasts, qb.attention
 *
 * needs    recognise-linear, unpack-attention
 * leaves   qb.attention; the operation's outputs of new keys and values become the appends
 * keeps    what it does otherwise (soft cap, attention bias, sinks, quantized cache), and notes it
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { MOST_POSITIONS = 4096 }; /* that a law is read off; the rest of a table is compared */
enum operand { Q, K, V, PAST_K, PAST_V, LAST, TOTAL, COS, SIN, POSITIONS, BIAS, SINK, MORE };

struct gqa {
    MlirOperation op;
    int64_t heads, kv_heads, head_dim, window;
    double scale, amplitude; /* of the cosines; 0: no rotation */
    struct qbc_rotary rotary;
    struct qbc_dims dims; /* of the result */
};

static bool is_plain(struct qbc *q, MlirOperation op)
{
    static const char *const unsupported[] = {"an attention bias", "attention sinks",
                                              "an operand after the sinks"};
    for (intptr_t i = BIAS; i < mlirOperationGetNumOperands(op); ++i)
        if (!mlirValueIsNull(qbc_operand_at(op, i))) {
            qbc_miss(q, op, "%s is not supported", unsupported[i < MORE ? i - BIAS : 2]);
            return false;
        }
    if (qbc_float(op, "softcap", 0) != 0 || qbc_int(op, "smooth_softmax", 0) > 0) {
        qbc_miss(q, op, "a soft cap or smooth softmax is not supported");
        return false;
    }
    for (intptr_t i = Q; i <= V; ++i)
        if (!qbc_is_level1(qbc_strip(qbc_operand_at(op, i)))) {
            qbc_miss(q, op, "query, key or value is no result of a linear layer or norm");
            return false;
        }
    return true;
}

/* The result's heads are queries of one width; keys and values have that width too. */
static bool has_heads(struct qbc *q, struct qbc_shapes *s, struct gqa *g)
{
    int64_t width[3];
    for (intptr_t i = Q; i <= V; ++i)
        width[i] = qbc_shapes_width(s, qbc_operand_at(g->op, i), NULL);
    g->heads = qbc_int(g->op, "num_heads", 0);
    g->kv_heads = qbc_int(g->op, "kv_num_heads", 0);
    g->head_dim = g->heads > 0 ? width[Q] / g->heads : 0;
    bool good = g->head_dim > 0 && g->kv_heads > 0 && g->heads % g->kv_heads == 0 &&
                width[Q] == g->heads * g->head_dim && width[K] == g->kv_heads * g->head_dim &&
                width[V] == width[K] &&
                qbc_shapes_width(s, mlirOperationGetResult(g->op, 0), &g->dims) == width[Q];
    if (!good)
        qbc_miss(q, g->op, "%ld query heads and %ld key heads do not fit widths %ld, %ld, %ld",
                 g->heads, g->kv_heads, width[Q], width[K], width[V]);
    g->scale = qbc_float(g->op, "scale", 0);
    if (g->scale == 0)
        g->scale = good ? 1 / sqrt((double)g->head_dim) : 0;
    int64_t window = qbc_int(g->op, "local_window_size", -1);
    g->window = window > 0 ? window : 0;
    return good;
}

/* Are all numbers of operand i those of a sequence from `first` with a step? */
static bool counts(struct qbc_evaluation *e, MlirOperation op, intptr_t i, int64_t first,
                   int64_t step)
{
    MlirValue v = qbc_operand_at(op, i);
    const struct qbc_array *a = mlirValueIsNull(v) ? NULL : qbc_evaluate(e, v);
    if (mlirValueIsNull(v))
        return true;
    if (!a || !a->known || !a->i)
        return false;
    for (size_t j = 0; j < a->n; ++j)
        if (a->i[j] != first + step * (int64_t)j)
            return false;
    return a->n > 0;
}

/* The lengths must be those of tokens P .. P + T - 1 and nothing padded. */
static bool has_lengths(struct qbc *q, struct qbc_shapes *s, MlirOperation op)
{
    for (int i = 0; i < 2; ++i) {
        int64_t all = s->past[i] + s->tokens[i];
        if (!counts(s->at[i], op, LAST, all - 1, 0) || !counts(s->at[i], op, TOTAL, all, 0) ||
            !counts(s->at[i], op, POSITIONS, s->past[i], 1)) {
            qbc_miss(q, op, "its sequence lengths or positions are not those of unpadded tokens");
            return false;
        }
    }
    return true;
}

/* The first rows of a table, and the dims of all of it. */
static float *read_table(struct qbc *q, struct qbc_shapes *s, MlirValue v, struct qbc_strided *view)
{
    if (mlirValueIsNull(v) || !qbc_strided_of(q, s->at[0], v, view) || !qbc_strided_matrix(view))
        return NULL;
    struct qbc_strided first = *view;
    first.dims[0] = view->dims[0] < MOST_POSITIONS ? view->dims[0] : MOST_POSITIONS;
    return qbc_strided_read(q, &first, (size_t)(first.dims[0] * first.dims[1]));
}

/* Of an operation with the same tables, which need not be looked at again. */
static bool same_rotary(const struct gqa *like, struct gqa *g)
{
    bool same = like && like->amplitude > 0 &&
                qbc_int(g->op, "rotary_interleaved", 0) ==
                    qbc_int(like->op, "rotary_interleaved", 0) &&
                like->head_dim == g->head_dim;
    for (intptr_t i = COS; same && i <= SIN; ++i)
        same = !mlirValueIsNull(qbc_operand_at(g->op, i)) &&
               qbc_same(qbc_operand_at(g->op, i), qbc_operand_at(like->op, i));
    if (!same)
        return false;
    g->rotary = like->rotary;
    g->amplitude = like->amplitude;
    return true;
}

static bool has_rotary(struct qbc *q, struct qbc_shapes *s, const struct gqa *like, struct gqa *g)
{
    struct qbc_strided c, n;
    g->rotary = (struct qbc_rotary){.scale = 1};
    g->amplitude = 0;
    if (!qbc_int(g->op, "do_rotary", 0) || same_rotary(like, g))
        return true;
    const float *cosines = read_table(q, s, qbc_operand_at(g->op, COS), &c);
    const float *sines = read_table(q, s, qbc_operand_at(g->op, SIN), &n);
    if (!cosines || !sines || c.dims[0] != n.dims[0] || c.dims[1] != n.dims[1] || c.dims[0] < 2 ||
        2 * c.dims[1] > g->head_dim) {
        qbc_miss(q, g->op, "its cosines and sines are no stored tables of one size");
        return false;
    }
    g->rotary.dim = 2 * c.dims[1];
    g->rotary.adjacent = qbc_int(g->op, "rotary_interleaved", 0);
    size_t rows = (size_t)(c.dims[0] < MOST_POSITIONS ? c.dims[0] : MOST_POSITIONS);
    double amplitude = (double)cosines[0];
    float *table = qbc_alloc(q, 2 * rows * (size_t)c.dims[1] * sizeof *table);
    float *second = table + rows * (size_t)c.dims[1];
    for (size_t i = 0; i < rows * (size_t)c.dims[1]; ++i) {
        table[i] = (float)((double)cosines[i] / amplitude);
        second[i] = (float)((double)sines[i] / amplitude);
    }
    const char *problem = amplitude > 0 ? qbc_rotary_fit(q, rows, table, second, &g->rotary)
                                        : "its first cosine is not positive";
    if (problem) {
        qbc_miss(q, g->op, "its rotary tables hold no rotation: %s", problem);
        return false;
    }
    g->amplitude = qbc_shortest(amplitude, g->rotary.precision);
    if (g->rotary.dim < g->head_dim)
        g->rotary.scale = g->amplitude;
    qbc_limit_context(q, g->op, c.dims[0]);
    return qbc_rotary_check_table(q, g->op, &g->rotary, qbc_operand_at(g->op, COS)) &&
           qbc_rotary_check_table(q, g->op, &g->rotary, qbc_operand_at(g->op, SIN));
}

static void set_facts(struct qbc *q, MlirOperation attention, const struct gqa *g)
{
    qbc_set_int(q, attention, "heads", g->heads);
    qbc_set_int(q, attention, "kv_heads", g->kv_heads);
    qbc_set_int(q, attention, "head_dim", g->head_dim);
    double scale = g->scale;
    if (g->rotary.dim == g->head_dim) /* keys and queries both: YaRN's attention factor */
        scale *= g->amplitude * g->amplitude;
    qbc_set_float(q, attention, "scale", (float)qbc_exact_scale(scale, g->head_dim));
    if (g->window)
        qbc_set_int(q, attention, "window", g->window);
}

static void apply(struct qbc *q, MlirOperation func, struct gqa *g)
{
    struct qbc_build b = qbc_before(q, g->op);
    MlirValue in[3], pasts[3] = {{NULL}, qbc_operand_at(g->op, PAST_K), qbc_operand_at(g->op, PAST_V)};
    for (intptr_t i = Q; i <= V; ++i) {
        struct qbc_operand o = {.rows = qbc_strip(qbc_operand_at(g->op, i)),
                                .past = pasts[i],
                                .head_dim = g->head_dim,
                                .rotary = i == V ? (struct qbc_rotary){.dim = 0} : g->rotary};
        in[i] = qbc_operand_emit(&b, func, &o);
        if (i > Q && i < mlirOperationGetNumResults(g->op))
            mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(g->op, i), in[i]);
    }
    MlirType type = qbc_rows_type(q, g->heads * g->head_dim);
    MlirValue y = qbc_op(&b, "qb.attention", type, 3, in[Q], in[K], in[V]);
    set_facts(q, qbc_def_any(y), g);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(g->op, 0), qbc_unrows(&b, y, &g->dims));
}

void qbc_pass_recognise_gqa(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, "onnx.com.microsoft.GroupQueryAttention");
    struct gqa *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i) {
        found[n].op = ops.op[i];
        n += is_plain(q, ops.op[i]) && has_heads(q, &shapes, &found[n]) &&
             has_lengths(q, &shapes, ops.op[i]) && has_rotary(q, &shapes, n ? &found[n - 1] : NULL, &found[n]);
    }
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, func, &found[i]);
    qbc_tidy(q, module);
}
