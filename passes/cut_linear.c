/* cut-linear: a product whose columns go different ways is several products.
 *
 *   before   %y = "qb.linear"(%x, %w)  [T, 128];  %a, %b = Split of %y's columns
 *   after    %a = "qb.linear"(%x, %w[0:64]);  %b = "qb.linear"(%x, %w[64:128])
 *
 * A bias or a scale between them is cut too:   %z = "qb.bias"(%y, %b);  %a, %b = Split of %z's columns
 *
 * Or heads of queries, keys and values lie mixed in it, [heads, 3, head_dim]: then a part's rows come in runs, and what reads
 * them may transpose them first.
 *
 * So exports that pack query, key and value, or gate and up, into one matrix become like the others.
 * The parts are views of the one stored tensor.
 *
 * needs    recognise-linear, recognise-bias
 * leaves   no Split or Slice of a linear's columns; biases of the parts
 * keeps    linears that something uses as a whole, or other than by columns that lie in equal runs; heads of which some columns
 *          turn and some do not (partial rotary embedding), which are put together again
 */
#include "pattern.h"

#include <string.h>

enum { TOKENS = 3, MOST_PARTS = 64, MOST_VECTORS = 3 };

struct part {
    MlirValue value;
    int64_t first, width;
    int64_t run, run_stride; /* its columns lie in runs; 0: in one */
    struct qbc_dims dims;
    size_t t; /* which of them is T */
};

struct parts {
    struct part part[MOST_PARTS];
    size_t n;
    bool good;
};

/* Column j of a part, in the whole. */
static int64_t column_of(const struct part *p, int64_t j)
{
    return p->run ? p->first + j / p->run * p->run_stride + j % p->run : p->first + j;
}

/* Element j of token t, in the order of the other dimensions. */
static int64_t element_of(const struct qbc_array *a, size_t axis, int64_t t, int64_t j)
{
    int64_t inner = 1;
    for (size_t d = axis + 1; d < a->rank; ++d)
        inner *= a->dims[d];
    return (int64_t)a->f[(j / inner * a->dims[axis] + t) * inner + j % inner];
}

/* The run at the start, and how far away the next one is. */
static void find_runs(const struct qbc_array *a, struct part *p)
{
    int64_t run = 1;
    while (run < p->width && element_of(a, p->t, 0, run) == p->first + run)
        ++run;
    if (run == p->width)
        return;
    p->run = run;
    p->run_stride = element_of(a, p->t, 0, run) - p->first;
}

/* Are all elements for a token, which dim t counts, columns of rows numbered on, in equal runs? */
static bool is_part_along(const struct qbc_array *a, size_t t_dim, int64_t tokens, int64_t columns, struct part *out)
{
    out->t = t_dim;
    out->run = out->run_stride = 0;
    out->width = (int64_t)a->n / tokens;
    out->first = element_of(a, out->t, 0, 0);
    find_runs(a, out);
    for (int64_t t = 0; t < tokens; ++t)
        for (int64_t j = 0; j < out->width; ++j)
            if (element_of(a, out->t, t, j) != t * columns + column_of(out, j) || column_of(out, j) >= columns)
                return false;
    return out->run_stride >= 0 && (!out->run || out->width % out->run == 0);
}

/* With y bound to 0, 1, 2, ...: are all of v's elements for a token y's columns? */
static bool is_part(struct qbc_evaluation *e, struct qbc_shapes *s, MlirValue v, int64_t columns, struct part *out)
{
    const struct qbc_array *a = qbc_floats_of(e, v);
    int64_t tokens = s->fixed ? s->fixed : TOKENS;
    *out = (struct part){.value = v};
    if (!a || a->n == 0 || a->n % (size_t)tokens || !qbc_shapes_dims(s, v, &out->dims) || out->dims.rank != a->rank)
        return false;
    if (s->step)
        return is_part_along(a, 0, tokens, columns, out);
    for (size_t t = 0; t < a->rank; ++t)
        if (qbc_is_tokens(s, out->dims.at[t]) && a->dims[t] == tokens && is_part_along(a, t, tokens, columns, out))
            return true;
    return false;
}

static void look_at_user(struct qbc_evaluation *e, struct qbc_shapes *s, MlirOperation user,
                         int64_t columns, struct parts *p)
{
    bool cuts = qbc_is(user, "onnx.Split") || qbc_is(user, "onnx.Slice") ||
                qbc_is(user, "onnx.Gather") || qbc_is(user, "onnx.GatherND");
    p->good &= cuts;
    for (intptr_t i = 0; cuts && i < mlirOperationGetNumResults(user); ++i) {
        MlirValue v = mlirOperationGetResult(user, i);
        if (qbc_uses(v) == 0)
            continue;
        p->good = p->good && p->n < MOST_PARTS && is_part(e, s, v, columns, &p->part[p->n]);
        p->n += p->good;
    }
}

/* The same elements in other dims, or in another order. */
static bool moves(MlirOperation op, MlirValue v, MlirValue result)
{
    bool first = qbc_same(mlirOperationGetOperand(op, 0), v);
    return first && (!qbc_same(qbc_strip(result), result) || qbc_is(op, "onnx.Transpose"));
}

/* Users of v, or of v in other dims. */
static void look(struct qbc *q, struct qbc_evaluation *e, struct qbc_shapes *s, MlirValue v,
                 int64_t columns, struct parts *p)
{
    struct qbc_ops users = qbc_users(q, v);
    for (size_t i = 0; i < users.n && p->good; ++i) {
        MlirValue r = mlirOperationGetNumResults(users.op[i]) == 1
                          ? mlirOperationGetResult(users.op[i], 0)
                          : (MlirValue){NULL};
        if (!mlirValueIsNull(r) && moves(users.op[i], v, r))
            look(q, e, s, r, columns, p);
        else
            look_at_user(e, s, users.op[i], columns, p);
    }
}

/* Rows part->first .. of a weight. */
static MlirValue cut_weight(struct qbc_build *b, MlirValue w, const struct part *part)
{
    struct qbc_strided rows;
    if (!qbc_strided_of(b->q, NULL, w, &rows))
        return (MlirValue){NULL};
    if (rows.run)
        return (MlirValue){NULL};
    rows.run = part->run;
    rows.run_stride = part->run_stride * rows.strides[0];
    rows.offset += part->first * rows.strides[0];
    rows.dims[0] = part->width;
    return qbc_weight(b, &rows, rows.rank, (size_t[]){0, 1});
}

/* Rows in the part's dims: T is first, or put where it was. */
static MlirValue in_place(struct qbc_build *b, const struct part *part, MlirValue rows)
{
    struct qbc_dims dims = part->dims;
    int64_t perm[QBC_MAX_RANK];
    size_t before = 0;
    while (before < part->t && dims.at[before] == 1)
        ++before;
    if (before >= part->t)
        return qbc_unrows(b, rows, &dims);
    for (size_t d = part->t; d > before; --d)
        dims.at[d] = dims.at[d - 1];
    dims.at[before] = QBC_T;
    for (size_t d = 0; d < dims.rank; ++d)
        perm[d] = (int64_t)(d == part->t ? before : d >= before && d < part->t ? d + 1 : d);
    return qbc_transpose(b, qbc_unrows(b, rows, &dims), dims.rank, perm);
}

/* `chain`: the product, and what biases and scales follow it. */
static void cut(struct qbc *q, const struct qbc_ops *chain, const struct part *part)
{
    struct qbc_build b = qbc_before(q, chain->op[0]);
    MlirType type = qbc_rows_type(q, part->width);
    MlirValue y = mlirOperationGetOperand(chain->op[0], 0), w[MOST_VECTORS + 1];
    for (size_t i = 0; i < chain->n; ++i) {
        w[i] = cut_weight(&b, mlirOperationGetOperand(chain->op[i], 1), part);
        if (mlirValueIsNull(w[i]))
            return;
    }
    for (size_t i = 0; i < chain->n; ++i)
        y = qbc_op(&b, qbc_op_name(chain->op[i]), type, 2, y, w[i]);
    mlirValueReplaceAllUsesOfWith(part->value, in_place(&b, part, y));
}

/* A product, and the biases and scales that nothing but the next one reads. */
static struct qbc_ops chain_of(struct qbc *q, MlirOperation linear)
{
    struct qbc_ops chain = {qbc_alloc(q, (MOST_VECTORS + 1) * sizeof *chain.op), 1};
    chain.op[0] = linear;
    while (chain.n <= MOST_VECTORS) {
        MlirOperation user = qbc_only_user(mlirOperationGetResult(chain.op[chain.n - 1], 0));
        if (mlirOperationIsNull(user) || (!qbc_is(user, "qb.bias") && !qbc_is(user, "qb.scale")))
            break;
        chain.op[chain.n++] = user;
    }
    return chain;
}

/* --- parts that are put together again are no parts of their own: columns of heads that turn, and those that do not */

enum { MOST_STEPS = 32 };

static bool ends_walk(MlirOperation op)
{
    return mlirOperationGetNumResults(op) != 1 || strncmp(qbc_op_name(op), "onnx.", 5) || qbc_is(op, "onnx.MatMul");
}

/* The Concats along whatever is made of v without products, nearest first. */
static struct qbc_ops concats_after(struct qbc *q, MlirValue v)
{
    struct qbc_ops found = {qbc_alloc(q, MOST_STEPS * sizeof *found.op), 0};
    MlirValue list[MOST_STEPS] = {v};
    for (size_t i = 0, n = 1; i < n; ++i) {
        struct qbc_ops users = qbc_users(q, list[i]);
        for (size_t k = 0; k < users.n && n < MOST_STEPS; ++k) {
            if (qbc_is(users.op[k], "onnx.Concat"))
                found.op[found.n++] = users.op[k];
            if (!ends_walk(users.op[k]))
                list[n++] = mlirOperationGetResult(users.op[k], 0);
        }
    }
    return found;
}

static bool meet_again(struct qbc *q, const struct parts *p)
{
    struct qbc_ops concats[MOST_PARTS];
    for (size_t i = 0; i < p->n; ++i) {
        concats[i] = concats_after(q, p->part[i].value);
        for (size_t j = 0; j < i; ++j)
            for (size_t a = 0; a < concats[i].n; ++a)
                for (size_t b = 0; b < concats[j].n; ++b)
                    if (mlirOperationEqual(concats[i].op[a], concats[j].op[b]))
                        return true;
    }
    return false;
}

static bool in_runs(const struct parts *p)
{
    for (size_t i = 0; i < p->n; ++i)
        if (p->part[i].run)
            return true;
    return false;
}

static void visit(struct qbc *q, MlirOperation linear)
{
    MlirOperation func = mlirOperationGetParentOperation(linear);
    struct qbc_ops chain = chain_of(q, linear);
    MlirValue y = mlirOperationGetResult(chain.op[chain.n - 1], 0);
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    struct qbc_shapes shapes;
    struct parts *p = qbc_alloc(q, sizeof *p);
    p->good = true;
    qbc_shapes_open(q, func, &shapes);
    if (qbc_bind_iota(q, e, y))
        look(q, e, &shapes, y, qbc_dim(y, 1), p);
    qbc_shapes_close(&shapes);
    qbc_evaluation_destroy(e);
    if (!p->good || (in_runs(p) && meet_again(q, p)))
        return;
    for (size_t i = 0; i < p->n; ++i)
        cut(q, &chain, &p->part[i]);
}

void qbc_pass_cut_linear(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.linear", visit);
    qbc_tidy(q, module);
    qbc_each(q, module, "func.func", qbc_biases); /* of the parts */
    qbc_tidy(q, module);
}
