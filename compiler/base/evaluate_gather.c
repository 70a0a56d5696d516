/* evaluate_gather: elements taken, or put, by index. An index outside makes the numbers unknown,
 * never the shape: which indices a model really uses is only known when it runs.
 */
#include "evaluate_ops.h"

#include <string.h>

static bool in_range(int64_t *index, int64_t dim)
{
    if (*index < 0)
        *index += dim;
    return *index >= 0 && *index < dim;
}

/* The numbers of result 0 turn out not to be known. */
static void forget(struct qbc_ev *c)
{
    c->out->known = false;
    c->out->f = NULL;
    c->out->i = NULL;
}

/* data [outer, dim, inner], indices -> [outer, indices, inner] */
bool qbc_ev_gather(struct qbc_ev *c)
{
    int64_t dims[2 * QBC_MAX_RANK], axis = qbc_ev_int(c, "axis", 0);
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1];
    if (!qbc_ev_axis(&axis, data->rank))
        return qbc_ev_fail(c, "its axis is outside %s", qbc_ev_dims_text(c->e, data));
    size_t rank = 0, inner = 1;
    for (size_t d = 0; d < (size_t)axis; ++d)
        dims[rank++] = data->dims[d];
    for (size_t d = 0; d < indices->rank; ++d)
        dims[rank++] = indices->dims[d];
    for (size_t d = (size_t)axis + 1; d < data->rank; ++d) {
        dims[rank++] = data->dims[d];
        inner *= (size_t)data->dims[d];
    }
    if (!qbc_ev_shape(c, 0, data->element, rank, dims))
        return false;
    if (!qbc_ev_known(c, 1) || !indices->i || !qbc_ev_known(c, 0) || !qbc_ev_numbers(c, 0))
        return true;
    size_t dim = (size_t)data->dims[axis];
    for (size_t o = 0; o < c->out->n; ++o) {
        int64_t index = indices->i[o / inner % indices->n];
        if (!in_range(&index, (int64_t)dim))
            return forget(c), true;
        size_t outer = o / inner / indices->n;
        qbc_ev_copy(c->out, o, data, (outer * dim + (size_t)index) * inner + o % inner);
    }
    return true;
}

bool qbc_ev_gather_elements(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", 0), strides[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1];
    bool fits = qbc_ev_axis(&axis, data->rank) && indices->rank == data->rank;
    for (size_t d = 0; fits && d < data->rank; ++d)
        fits = (int64_t)d == axis || indices->dims[d] <= data->dims[d];
    if (!fits)
        return qbc_ev_fail(c, "indices %s do not fit %s", qbc_ev_dims_text(c->e, indices),
                           qbc_ev_dims_text(c->e, data));
    if (!qbc_ev_shape_like(c, 0, data->element, indices))
        return false;
    if (!qbc_ev_all_known(c) || !indices->i || !qbc_ev_numbers(c, 0))
        return true;
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, indices->rank, indices->dims);
    qbc_ev_strides(data, strides);
    memcpy(w.stride[0], strides, sizeof strides);
    for (size_t o = 0; o < c->out->n; ++o, qbc_ev_walk_next(&w)) {
        int64_t index = indices->i[o];
        if (!in_range(&index, data->dims[axis]))
            return forget(c), true;
        qbc_ev_copy(c->out, o, data, (size_t)(w.at[0] + (index - w.index[axis]) * strides[axis]));
    }
    return true;
}

/* The last dimension of `indices` is a coordinate in the dims of `data` after the batch. Gives the
 * offset in data, or -1 when a coordinate is outside. */
static int64_t coordinate(const struct qbc_array *data, const struct qbc_array *indices, size_t at,
                          size_t batch)
{
    int64_t strides[QBC_MAX_RANK], offset = 0;
    size_t n = (size_t)indices->dims[indices->rank - 1];
    qbc_ev_strides(data, strides);
    for (size_t k = 0; k < n; ++k) {
        int64_t index = indices->i[at * n + k];
        if (!in_range(&index, data->dims[batch + k]))
            return -1;
        offset += index * strides[batch + k];
    }
    return offset;
}

static bool nd_fits(struct qbc_ev *c, const struct qbc_array *data, const struct qbc_array *indices,
                    size_t batch)
{
    bool fits = indices->rank >= 1 && batch < indices->rank && batch < data->rank &&
                indices->dims[indices->rank - 1] <= (int64_t)(data->rank - batch);
    for (size_t d = 0; fits && d < batch; ++d)
        fits = indices->dims[d] == data->dims[d];
    return fits || qbc_ev_fail(c, "indices %s do not fit %s", qbc_ev_dims_text(c->e, indices),
                               qbc_ev_dims_text(c->e, data));
}

bool qbc_ev_gather_nd(struct qbc_ev *c)
{
    int64_t dims[2 * QBC_MAX_RANK];
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1];
    int64_t batch_dims = qbc_ev_int(c, "batch_dims", 0);
    if (batch_dims < 0 || batch_dims > QBC_MAX_RANK ||
        !nd_fits(c, data, indices, (size_t)batch_dims))
        return qbc_ev_fail(c, "its batch_dims or indices do not fit");
    size_t batch = (size_t)batch_dims, rank = 0, inner = 1, per_batch = 1, batches = 1;
    for (size_t d = 0; d + 1 < indices->rank; ++d) {
        dims[rank++] = indices->dims[d];
        *(d < batch ? &batches : &per_batch) *= (size_t)indices->dims[d];
    }
    for (size_t d = batch + (size_t)indices->dims[indices->rank - 1]; d < data->rank; ++d) {
        dims[rank++] = data->dims[d];
        inner *= (size_t)data->dims[d];
    }
    if (!qbc_ev_shape(c, 0, data->element, rank, dims))
        return false;
    if (!qbc_ev_all_known(c) || !indices->i || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t o = 0; o < c->out->n; ++o) {
        size_t at = o / inner;
        int64_t offset = coordinate(data, indices, at, batch);
        if (offset < 0)
            return forget(c), true;
        qbc_ev_copy(c->out, o, data,
                    at / per_batch * (data->n / batches) + (size_t)offset + o % inner);
    }
    return true;
}

/* [rank, how many]: the shape itself depends on the numbers. */
bool qbc_ev_non_zero(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1))
        return false;
    if (!qbc_ev_known(c, 0))
        return qbc_ev_fail(c, "the shape depends on numbers that are not known");
    const struct qbc_array *x = c->in[0];
    int64_t found = 0, k = 0;
    for (size_t i = 0; i < x->n; ++i)
        found += qbc_ev_get(x, i) != 0;
    if (!qbc_ev_shape(c, 0, QBC_I64, 2, (int64_t[]){(int64_t)x->rank, found}))
        return false;
    if (!qbc_ev_numbers(c, 0))
        return true;
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, x->rank, x->dims);
    for (size_t i = 0; i < x->n; ++i, qbc_ev_walk_next(&w))
        if (qbc_ev_get(x, i) != 0) {
            for (size_t d = 0; d < x->rank; ++d)
                c->out->i[(int64_t)d * found + k] = w.index[d];
            ++k;
        }
    return true;
}

/* indices, depth, [off, on] -> indices' dims with depth put in at axis */
bool qbc_ev_one_hot(struct qbc_ev *c)
{
    int64_t dims[QBC_MAX_RANK + 1], axis = qbc_ev_int(c, "axis", -1);
    if (!qbc_ev_wants(c, 3))
        return false;
    const struct qbc_array *indices = c->in[0], *values = c->in[2];
    if (!qbc_ev_known(c, 1) || !c->in[1]->n)
        return qbc_ev_fail(c, "its depth is not known");
    size_t rank = indices->rank + 1, from = 0, inner = 1;
    if (!qbc_ev_axis(&axis, rank) || rank > QBC_MAX_RANK)
        return qbc_ev_fail(c, "its axis is outside the result");
    int64_t depth = (int64_t)qbc_ev_get(c->in[1], 0);
    for (size_t d = 0; d < rank; ++d) {
        dims[d] = (int64_t)d == axis ? depth : indices->dims[from++];
        inner *= (size_t)((int64_t)d > axis ? dims[d] : 1);
    }
    if (!qbc_ev_shape(c, 0, values->element, rank, dims))
        return false;
    if (!qbc_ev_all_known(c) || values->n != 2 || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t o = 0; o < c->out->n; ++o) {
        size_t outer = o / inner / (size_t)depth;
        int64_t index = (int64_t)qbc_ev_get(indices, outer * inner + o % inner);
        index = index < 0 ? index + depth : index;
        qbc_ev_copy(c->out, o, values, index == (int64_t)(o / inner % (size_t)depth));
    }
    return true;
}

/* --- Scatter: the result is data with some elements replaced */

static bool scatter_start(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 3) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]))
        return false;
    const char *how = qbc_string(qbc_ev_context(c->e), c->op, "reduction", "none");
    if (strcmp(how, "none") || !qbc_ev_all_known(c) || !c->in[1]->i || !qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < c->out->n; ++i)
        qbc_ev_copy(c->out, i, c->in[0], i);
    return true;
}

bool qbc_ev_scatter_elements(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", 0), strides[QBC_MAX_RANK];
    if (!scatter_start(c))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1], *updates = c->in[2];
    if (!qbc_ev_axis(&axis, data->rank) || indices->rank != data->rank || updates->n != indices->n)
        return qbc_ev_fail(c, "indices %s do not fit %s", qbc_ev_dims_text(c->e, indices),
                           qbc_ev_dims_text(c->e, data));
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, indices->rank, indices->dims);
    qbc_ev_strides(data, strides);
    memcpy(w.stride[0], strides, sizeof strides);
    for (size_t o = 0; c->out->known && o < indices->n; ++o, qbc_ev_walk_next(&w)) {
        int64_t index = indices->i[o];
        int64_t at =
            w.at[0] + (index + (index < 0 ? data->dims[axis] : 0) - w.index[axis]) * strides[axis];
        if (!in_range(&index, data->dims[axis]) || at < 0 || at >= (int64_t)data->n)
            forget(c);
        else
            qbc_ev_copy(c->out, (size_t)at, updates, o);
    }
    return true;
}

bool qbc_ev_scatter_nd(struct qbc_ev *c)
{
    if (!scatter_start(c))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1], *updates = c->in[2];
    if (!nd_fits(c, data, indices, 0))
        return false;
    size_t inner = 1, n = 1;
    for (size_t d = 0; d + 1 < indices->rank; ++d)
        n *= (size_t)indices->dims[d];
    for (size_t d = (size_t)indices->dims[indices->rank - 1]; d < data->rank; ++d)
        inner *= (size_t)data->dims[d];
    if (updates->n != n * inner)
        return qbc_ev_fail(c, "updates %s do not fit indices %s", qbc_ev_dims_text(c->e, updates),
                           qbc_ev_dims_text(c->e, indices));
    for (size_t at = 0; c->out->known && at < n; ++at) {
        int64_t offset = coordinate(data, indices, at, 0);
        if (offset < 0)
            return forget(c), true;
        for (size_t i = 0; i < inner; ++i)
            qbc_ev_copy(c->out, (size_t)offset + i, updates, at * inner + i);
    }
    return true;
}

/* Packed bytes hold 8 / bits codes of the last dimension; the result has the scales' type. */
bool qbc_ev_gather_block_quantized(struct qbc_ev *c)
{
    int64_t dims[2 * QBC_MAX_RANK], axis = qbc_ev_int(c, "gather_axis", 0);
    int64_t bits = qbc_ev_int(c, "bits", 4);
    if (!qbc_ev_wants(c, 3))
        return false;
    const struct qbc_array *data = c->in[0], *indices = c->in[1];
    if (!qbc_ev_axis(&axis, data->rank) || bits < 1 || bits > 8)
        return qbc_ev_fail(c, "its gather_axis or bits do not fit %s",
                           qbc_ev_dims_text(c->e, data));
    int64_t codes = data->element == QBC_U8 ? 8 / bits : 1;
    size_t rank = 0;
    for (size_t d = 0; d < data->rank; ++d) {
        for (size_t k = 0; (int64_t)d == axis && k < indices->rank; ++k)
            dims[rank++] = indices->dims[k];
        if ((int64_t)d != axis)
            dims[rank++] = data->dims[d] * (d + 1 == data->rank ? codes : 1);
    }
    return qbc_ev_shape(c, 0, c->in[2]->element, rank, dims);
}
