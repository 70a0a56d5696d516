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
/* One entry of a list of integers, or what it is when there is none. */
static int64_t listed(struct qbc_ev *c, const char *name, size_t i, int64_t otherwise)
{
    const int64_t *list;
    return qbc_ints(qbc_ev_context(c->e), c->op, name, &list) > i ? list[i] : otherwise;
}

/* Numbers of the kind that language models have: one dimension, each channel by itself. */
static void convolve_channels(struct qbc_ev *c)
{
    const struct qbc_array *x = c->in[0], *w = c->in[1];
    struct qbc_array *y = &c->out[0];
    int64_t channels = w->dims[0], taps = w->dims[2], from = x->dims[2], to = y->dims[2];
    int64_t pad = listed(c, "pads", 0, 0), stride = listed(c, "strides", 0, 1), step = listed(c, "dilations", 0, 1);
    const float *bias = qbc_ev_has(c, 2) ? c->in[2]->f : NULL;
    for (int64_t i = 0; i < channels * to; ++i) {
        int64_t channel = i / to, first = i % to * stride - pad;
        double sum = bias ? (double)bias[channel] : 0;
        for (int64_t k = 0; k < taps; ++k) {
            int64_t at = first + k * step;
            sum += at < 0 || at >= from ? 0 : (double)w->f[channel * taps + k] * (double)x->f[channel * from + at];
        }
        y->f[i] = (float)sum;
    }
}

static bool is_by_channel(struct qbc_ev *c)
{
    const struct qbc_array *x = c->in[0], *w = c->in[1];
    return x->rank == 3 && x->dims[0] == 1 && w->dims[1] == 1 && x->dims[1] == w->dims[0] &&
           qbc_int(c->op, "group", 1) == w->dims[0];
}

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
    if (!qbc_ev_shape(c, 0, x->element, x->rank, dims))
        return false;
    bool plain = qbc_one_of(auto_pad, (const char *[]){"NOTSET", "VALID", NULL});
    if (is_by_channel(c) && plain && qbc_is_float(x->element) && qbc_ev_known(c, 0) && qbc_ev_known(c, 1) &&
        (!qbc_ev_has(c, 2) || qbc_ev_known(c, 2)) && qbc_ev_numbers(c, 0))
        convolve_channels(c);
    return true;
}

/* codes, scale, zero point -> numbers of the scale's type; they are left unknown */
bool qbc_ev_dequantize(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 2))
        return false;
    enum qbc_element like = c->in[1]->element == QBC_F8E8M0 ? QBC_F32 : c->in[1]->element;
    int64_t asked = qbc_ev_int(c, "output_dtype", 0);
    return qbc_ev_shape_like(c, 0, asked == QBC_F32 || asked == QBC_F16 || asked == QBC_BF16 ? (enum qbc_element)asked : like, c->in[0]);
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
