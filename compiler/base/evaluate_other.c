/* evaluate_other: operations whose shape only is told, weights, and our own dialect, whose results
 * have types: `?` in them is T.
 */
#include "evaluate_ops.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* One spatial dimension of a convolution. */
static int64_t conv_dim(struct qbc_ev *c, const char *auto_pad, size_t d, size_t n, int64_t size,
                        int64_t kernel)
{
    int64_t list[QBC_EV_MOST_OPERANDS], stride = 1, dilation = 1, pads = 0;
    if (qbc_ev_int_list(c, "strides", list) == n)
        stride = list[d];
    if (qbc_ev_int_list(c, "dilations", list) == n)
        dilation = list[d];
    if (qbc_ev_int_list(c, "pads", list) == 2 * n)
        pads = list[d] + list[n + d];
    if (stride < 1 || dilation < 1)
        return -1;
    if (!strncmp(auto_pad, "SAME", 4))
        return (size + stride - 1) / stride;
    int64_t last = size + pads - dilation * (kernel - 1) - 1;
    return last < 0 ? 0 : last / stride + 1;
}

/* x [N, C, spatial...], w [M, C / group, kernel...] -> [N, M, spatial...] */
bool qbc_ev_conv(struct qbc_ev *c)
{
    int64_t dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *x = c->in[0], *w = c->in[1];
    const char *auto_pad = qbc_string(qbc_ev_context(c->e), c->op, "auto_pad", "NOTSET");
    if (x->rank < 3 || w->rank != x->rank)
        return qbc_ev_fail(c, "%s and %s do not fit", qbc_ev_dims_text(c->e, x),
                           qbc_ev_dims_text(c->e, w));
    dims[0] = x->dims[0];
    dims[1] = w->dims[0];
    for (size_t d = 2; d < x->rank; ++d)
        dims[d] = conv_dim(c, auto_pad, d - 2, x->rank - 2, x->dims[d], w->dims[d]);
    return qbc_ev_shape(c, 0, x->element, x->rank, dims);
}

/* codes, scale, zero point -> numbers of the scale's type; they are left unknown */
bool qbc_ev_dequantize(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 2) && qbc_ev_shape_like(c, 0, c->in[1]->element, c->in[0]);
}

bool qbc_ev_quantize(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 2) &&
           qbc_ev_shape_like(c, 0, qbc_ev_has(c, 2) ? c->in[2]->element : QBC_U8, c->in[0]);
}

static bool shape_of_type(struct qbc_ev *c, size_t i, MlirType type)
{
    enum qbc_element element = QBC_F32; /* also for blocks */
    int64_t dims[QBC_MAX_RANK];
    if (!mlirTypeIsARankedTensor(type) || mlirShapedTypeGetRank(type) > QBC_MAX_RANK)
        return qbc_ev_fail(c, "result %zu is no ranked tensor", i);
    qbc_element_of(mlirShapedTypeGetElementType(type), &element);
    size_t rank = (size_t)mlirShapedTypeGetRank(type);
    for (size_t d = 0; d < rank; ++d)
        dims[d] = mlirShapedTypeIsDynamicDim(type, (intptr_t)d)
                      ? qbc_ev_tokens(c->e)
                      : mlirShapedTypeGetDimSize(type, (intptr_t)d);
    return qbc_ev_shape(c, i, element ? element : QBC_F32, rank, dims);
}

bool qbc_ev_typed(struct qbc_ev *c)
{
    for (size_t i = 0; i < c->n_out; ++i)
        if (!shape_of_type(c, i, mlirValueGetType(mlirOperationGetResult(c->op, (intptr_t)i))))
            return false;
    return true;
}

/* The numbers are read when somebody wants them: evaluate.c. */
bool qbc_ev_weight(struct qbc_ev *c)
{
    return qbc_ev_typed(c);
}
