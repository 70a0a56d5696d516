/* cut-linear: a product whose columns go different ways is several products.
 *
 *   before   %y = "qb.linear"(%x, %w)  [T, 128];  %a, %b = Split of %y's columns
 *   after    %a = "qb.linear"(%x, %w[0:64]);  %b = "qb.linear"(%x, %w[64:128])
 *
 * A bias between them is cut too:   %z = "qb.bias"(%y, %b);  %a, %b = Split of %z's columns
 *
 * So exports that pack query, key and value, or gate and up, into one matrix become like the others.
 * The parts are views of the one stored tensor.
 *
 * needs    recognise-linear, recognise-bias
 * leaves   no Split or Slice of a linear's columns
 * keeps    linears that something uses as a whole, or other than by a run of columns
 */
#include "pattern.h"

enum { TOKENS = 3, MOST_PARTS = 64 };

struct part {
    MlirValue value;
    int64_t first, width;
    struct qbc_dims dims;
};

struct parts {
    struct part part[MOST_PARTS];
    size_t n;
    bool good;
};

/* With y bound to 0, 1, 2, ...: is v a run of y's columns, row by row? */
static bool is_run(struct qbc_evaluation *e, MlirValue v, int64_t columns, struct part *out)
{
    const struct qbc_array *a = qbc_floats_of(e, v);
    if (!a || a->n == 0 || a->n % TOKENS)
        return false;
    *out = (struct part){.value = v, .first = (int64_t)a->f[0], .width = (int64_t)a->n / TOKENS};
    for (int64_t t = 0; t < TOKENS; ++t)
        for (int64_t j = 0; j < out->width; ++j)
            if ((int64_t)a->f[t * out->width + j] != t * columns + out->first + j)
                return false;
    return out->first + out->width <= columns;
}

static void look_at_user(struct qbc_evaluation *e, struct qbc_shapes *s, MlirOperation user,
                         int64_t columns, struct parts *p)
{
    bool cuts = qbc_is(user, "onnx.Split") || qbc_is(user, "onnx.Slice") ||
                qbc_is(user, "onnx.Gather");
    p->good &= cuts;
    for (intptr_t i = 0; cuts && i < mlirOperationGetNumResults(user); ++i) {
        MlirValue v = mlirOperationGetResult(user, i);
        if (qbc_uses(v) == 0)
            continue;
        p->good = p->good && p->n < MOST_PARTS && is_run(e, v, columns, &p->part[p->n]) &&
                  qbc_shapes_width(s, v, &p->part[p->n].dims) == p->part[p->n].width;
        p->n += p->good;
    }
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
        if (!mlirValueIsNull(r) && !qbc_same(qbc_strip(r), r) &&
            qbc_same(mlirOperationGetOperand(users.op[i], 0), v))
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
    rows.offset += part->first * rows.strides[0];
    rows.dims[0] = part->width;
    return qbc_weight(b, &rows, rows.rank, (size_t[]){0, 1});
}

static void cut(struct qbc *q, MlirOperation linear, MlirOperation bias, const struct part *part)
{
    struct qbc_build b = qbc_before(q, linear);
    MlirType type = qbc_rows_type(q, part->width);
    MlirValue w = cut_weight(&b, mlirOperationGetOperand(linear, 1), part);
    MlirValue shift = mlirOperationIsNull(bias) ? w : cut_weight(&b, mlirOperationGetOperand(bias, 1), part);
    if (mlirValueIsNull(w) || mlirValueIsNull(shift))
        return;
    MlirValue y = qbc_op(&b, "qb.linear", type, 2, mlirOperationGetOperand(linear, 0), w);
    if (!mlirOperationIsNull(bias))
        y = qbc_op(&b, "qb.bias", type, 2, y, shift);
    mlirValueReplaceAllUsesOfWith(part->value, qbc_unrows(&b, y, &part->dims));
}

static void visit(struct qbc *q, MlirOperation linear)
{
    MlirOperation func = mlirOperationGetParentOperation(linear);
    MlirValue y = mlirOperationGetResult(linear, 0);
    MlirOperation bias = qbc_only_user(y);
    if (!mlirOperationIsNull(bias) && qbc_is(bias, "qb.bias"))
        y = mlirOperationGetResult(bias, 0);
    else
        bias = (MlirOperation){NULL};
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    struct qbc_shapes shapes;
    struct parts *p = qbc_alloc(q, sizeof *p);
    p->good = true;
    qbc_shapes_open(q, func, &shapes);
    if (qbc_bind_iota(q, e, y))
        look(q, e, &shapes, y, qbc_dim(y, 1), p);
    qbc_shapes_close(&shapes);
    qbc_evaluation_destroy(e);
    if (!p->good)
        return;
    for (size_t i = 0; i < p->n; ++i)
        cut(q, linear, bias, &p->part[i]);
}

void qbc_pass_cut_linear(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.linear", visit);
    qbc_tidy(q, module);
}
