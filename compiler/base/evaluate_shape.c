/* evaluate_shape: shapes as numbers, numbers as shapes, and arrays seen with other dims. */
#include "evaluate_ops.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

bool qbc_ev_identity(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 1) && qbc_ev_alias(c, c->in[0]->rank, c->in[0]->dims);
}

/* Nothing is dropped, and the mask is all ones: a compiled model is used, not trained, even where an exporter (dynamo, of
 * modules that were not told) left the training mode on. */
bool qbc_ev_dropout(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 1, QBC_BOOL, c->in[0]))
        return false;
    if (c->n_out > 1 && qbc_ev_numbers(c, 1))
        for (size_t i = 0; i < c->out[1].n; ++i)
            c->out[1].i[i] = 1;
    return qbc_ev_identity(c);
}

bool qbc_ev_constant(struct qbc_ev *c)
{
    MlirAttribute value = mlirOperationGetAttributeByName(c->op, qbc_str("value"));
    if (mlirAttributeIsNull(value) || !mlirAttributeIsADenseElements(value) ||
        !qbc_ev_dense(c->e, value, c->out))
        return qbc_ev_fail(c, "its 'value' is no dense tensor of numbers");
    return true;
}

bool qbc_ev_shape_of(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1))
        return false;
    int64_t rank = (int64_t)c->in[0]->rank;
    int64_t start = qbc_ev_int(c, "start", 0), end = qbc_ev_int(c, "end", rank);
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    if (!qbc_ev_shape(c, 0, QBC_I64, 1, (int64_t[]){end - start}))
        return false;
    if (qbc_ev_numbers(c, 0))
        memcpy(c->out->i, c->in[0]->dims + start, (size_t)(end - start) * sizeof *c->out->i);
    return true;
}

bool qbc_ev_size_of(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape(c, 0, QBC_I64, 0, NULL))
        return false;
    if (qbc_ev_numbers(c, 0))
        c->out->i[0] = (int64_t)c->in[0]->n;
    return true;
}

static bool wanted_shape(struct qbc_ev *c, size_t operand, int64_t *dims, size_t *n)
{
    if (!qbc_ev_wants(c, operand) || !qbc_ev_list(c, operand, "shape", dims, n))
        return false;
    if (*n > QBC_MAX_RANK)
        return qbc_ev_fail(c, *n == SIZE_MAX ? "it has no shape operand"
                                             : "the result has more dimensions than supported");
    return true;
}

/* 0 keeps a dimension (unless allowzero, or fold-shapes has worked it out), one -1 takes what is
 * left. */
bool qbc_ev_reshape(struct qbc_ev *c)
{
    int64_t dims[QBC_EV_MOST_OPERANDS], known = 1;
    size_t n, open = SIZE_MAX;
    if (!wanted_shape(c, 1, dims, &n))
        return false;
    const struct qbc_array *x = c->in[0];
    bool allow_zero = qbc_ev_int(c, "allowzero", 0) != 0 || !qbc_ev_has(c, 1);
    for (size_t i = 0; i < n; ++i) {
        if (dims[i] == 0 && !allow_zero && i < x->rank)
            dims[i] = x->dims[i];
        if (dims[i] == -1 && open == SIZE_MAX)
            open = i;
        else if (dims[i] < 0 || dims[i] > INT32_MAX)
            return qbc_ev_fail(c, "its shape holds %lld", (long long)dims[i]);
        else
            known = known && known > INT64_MAX / (dims[i] + 1) ? INT64_MAX : known * dims[i];
    }
    if (open != SIZE_MAX) {
        if (known == 0 || (int64_t)x->n % known)
            return qbc_ev_fail(c, "%s cannot be split into parts of %lld elements",
                               qbc_ev_dims_text(c->e, x), (long long)known);
        dims[open] = (int64_t)x->n / known;
    }
    return qbc_ev_alias(c, n, dims);
}

bool qbc_ev_flatten(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *x = c->in[0];
    int64_t axis = qbc_ev_int(c, "axis", 1), dims[2] = {1, 1};
    axis = axis < 0 ? axis + (int64_t)x->rank : axis;
    for (size_t i = 0; i < x->rank; ++i)
        dims[(int64_t)i >= axis] *= x->dims[i];
    return qbc_ev_alias(c, 2, dims);
}

bool qbc_ev_squeeze(struct qbc_ev *c)
{
    int64_t axes[QBC_EV_MOST_OPERANDS], dims[QBC_MAX_RANK];
    size_t n, rank = 0;
    bool drop[QBC_MAX_RANK] = {0};
    if (!qbc_ev_wants(c, 1) || !qbc_ev_list(c, 1, "axes", axes, &n))
        return false;
    const struct qbc_array *x = c->in[0];
    for (size_t i = 0; n == SIZE_MAX && i < x->rank; ++i)
        drop[i] = x->dims[i] == 1;
    for (size_t i = 0; n != SIZE_MAX && i < n; ++i) {
        if (!qbc_ev_axis(&axes[i], x->rank) || x->dims[axes[i]] != 1)
            return qbc_ev_fail(c, "axis %lld of %s is not 1", (long long)axes[i],
                               qbc_ev_dims_text(c->e, x));
        drop[axes[i]] = true;
    }
    for (size_t i = 0; i < x->rank; ++i)
        if (!drop[i])
            dims[rank++] = x->dims[i];
    return qbc_ev_alias(c, rank, dims);
}

bool qbc_ev_unsqueeze(struct qbc_ev *c)
{
    int64_t axes[QBC_EV_MOST_OPERANDS], dims[QBC_MAX_RANK];
    size_t n;
    bool fresh[QBC_MAX_RANK] = {0};
    if (!qbc_ev_wants(c, 1) || !qbc_ev_list(c, 1, "axes", axes, &n))
        return false;
    const struct qbc_array *x = c->in[0];
    if (n > QBC_MAX_RANK || x->rank + n > QBC_MAX_RANK)
        return qbc_ev_fail(c, "the result has more dimensions than supported");
    size_t rank = x->rank + n, from = 0;
    for (size_t i = 0; i < n; ++i) {
        if (!qbc_ev_axis(&axes[i], rank) || fresh[axes[i]])
            return qbc_ev_fail(c, "axis %lld is outside the result or given twice",
                               (long long)axes[i]);
        fresh[axes[i]] = true;
    }
    for (size_t i = 0; i < rank; ++i)
        dims[i] = fresh[i] ? 1 : x->dims[from++];
    return qbc_ev_alias(c, rank, dims);
}

bool qbc_ev_transpose(struct qbc_ev *c)
{
    int64_t perm[QBC_EV_MOST_OPERANDS], dims[QBC_MAX_RANK], own[QBC_MAX_RANK];
    int64_t strides[QBC_MAX_RANK];
    unsigned seen = 0;
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *x = c->in[0];
    size_t n = qbc_ev_int_list(c, "perm", perm);
    for (size_t i = 0; n == SIZE_MAX && i < x->rank; ++i)
        perm[i] = (int64_t)(x->rank - 1 - i);
    if (n != SIZE_MAX && n != x->rank)
        return qbc_ev_fail(c, "perm has %zu entries for %s", n, qbc_ev_dims_text(c->e, x));
    qbc_ev_strides(x, own);
    for (size_t i = 0; i < x->rank; ++i) {
        if (!qbc_ev_axis(&perm[i], x->rank) || seen >> perm[i] & 1)
            return qbc_ev_fail(c, "perm is no permutation");
        seen |= 1u << perm[i];
        dims[i] = x->dims[perm[i]];
        strides[i] = own[perm[i]];
    }
    if (!qbc_ev_shape(c, 0, x->element, x->rank, dims))
        return false;
    if (qbc_ev_known(c, 0) && qbc_ev_numbers(c, 0))
        qbc_ev_strided(c, 0, 0, strides);
    return true;
}

bool qbc_ev_expand(struct qbc_ev *c)
{
    int64_t dims[QBC_EV_MOST_OPERANDS], strides[QBC_MAX_RANK];
    size_t n, rank;
    if (!wanted_shape(c, 1, dims, &n))
        return false;
    struct qbc_array *x = c->in[0], wanted = {.rank = n};
    memcpy(wanted.dims, dims, n * sizeof *dims);
    if (!qbc_ev_broadcast(c, 2, (struct qbc_array *[]){x, &wanted}, &rank, dims) ||
        !qbc_ev_shape(c, 0, x->element, rank, dims))
        return false;
    if (!qbc_ev_known(c, 0) || !qbc_ev_numbers(c, 0))
        return true;
    qbc_ev_broadcast_strides(x, rank, strides);
    qbc_ev_strided(c, 0, 0, strides);
    return true;
}

/* One of Range's bounds: an operand, or after fold-shapes a text. */
static bool bound(struct qbc_ev *c, size_t operand, const char *name, double *out)
{
    MlirAttribute text = mlirOperationGetAttributeByName(c->op, qbc_str(name));
    int64_t value;
    if (qbc_ev_has(c, operand)) {
        bool known = qbc_ev_known(c, operand) && c->in[operand]->n;
        *out = known ? qbc_ev_get(c->in[operand], 0) : 0;
        return known || qbc_ev_fail(c, "its %s is not known", name);
    }
    if (mlirAttributeIsNull(text) || !mlirAttributeIsAString(text) ||
        !qbc_ev_affine(c->e, mlirStringAttrGetValue(text), &value))
        return qbc_ev_fail(c, "it has no %s", name);
    *out = (double)value;
    return true;
}

bool qbc_ev_range(struct qbc_ev *c)
{
    double start, limit, delta;
    if (!bound(c, 0, "start", &start) || !bound(c, 1, "limit", &limit) ||
        !bound(c, 2, "delta", &delta))
        return false;
    enum qbc_element element = qbc_ev_has(c, 0) ? c->in[0]->element : QBC_I64;
    double n = ceil((limit - start) / delta);
    if (!(n <= (double)QBC_EV_LARGEST))
        return qbc_ev_fail(c, "it has too many elements, or its step is 0");
    if (!qbc_ev_shape(c, 0, element, 1, (int64_t[]){n > 0 ? (int64_t)n : 0}))
        return false;
    if (!qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < c->out->n; ++i)
        qbc_ev_put(c->out, i, start + (double)i * delta);
    return true;
}

bool qbc_ev_constant_of_shape(struct qbc_ev *c)
{
    int64_t dims[QBC_EV_MOST_OPERANDS];
    size_t n;
    struct qbc_array value = {.element = QBC_F32};
    MlirAttribute attribute = mlirOperationGetAttributeByName(c->op, qbc_str("value"));
    if (!wanted_shape(c, 0, dims, &n))
        return false;
    if (!mlirAttributeIsNull(attribute) && (!mlirAttributeIsADenseElements(attribute) ||
                                            !qbc_ev_dense(c->e, attribute, &value) || value.n != 1))
        return qbc_ev_fail(c, "its 'value' is not one number");
    if (!qbc_ev_shape(c, 0, value.element, n, dims))
        return false;
    if (!qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; value.known && i < c->out->n; ++i)
        qbc_ev_copy(c->out, i, &value, 0);
    return true;
}
