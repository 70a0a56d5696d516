/* evaluate_matmul: products. Numbers are computed where both sides have them and there are few. */
#include "evaluate_ops.h"

#include <string.h>

static const size_t most_products = (size_t)1 << 26;

/* A matrix, or a stack of them, as numpy's matmul sees an operand. */
struct side {
    int64_t rows, cols;
    int64_t row_stride, col_stride;
    struct qbc_array batch; /* rank and dims of the stack */
};

static struct side side_of(const struct qbc_array *a, bool transposed, bool is_left)
{
    struct side s = {.rows = 1, .cols = 1};
    if (a->rank == 1) { /* a row on the left, a column on the right */
        *(is_left ? &s.cols : &s.rows) = a->dims[0];
        s.row_stride = is_left ? 0 : 1;
        s.col_stride = is_left ? 1 : 0;
        return s;
    }
    s.rows = a->dims[a->rank - 2];
    s.cols = a->dims[a->rank - 1];
    s.row_stride = s.cols;
    s.col_stride = 1;
    if (transposed)
        s = (struct side){s.cols, s.rows, s.col_stride, s.row_stride, s.batch};
    s.batch.rank = a->rank - 2;
    memcpy(s.batch.dims, a->dims, s.batch.rank * sizeof *a->dims);
    return s;
}

static double dot(const struct qbc_array *a, size_t at, int64_t a_step, const struct qbc_array *b,
                  size_t bt, int64_t b_step, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; ++k)
        sum += qbc_ev_get(a, at + (size_t)(k * a_step)) * qbc_ev_get(b, bt + (size_t)(k * b_step));
    return sum;
}

static void multiply(struct qbc_ev *c, const struct side *a, const struct side *b, size_t rank,
                     const int64_t *batch)
{
    struct qbc_ev_walk w;
    double alpha = (double)qbc_ev_float(c, "alpha", 1);
    size_t to = 0, stacks = 1;
    qbc_ev_walk_start(&w, rank, batch);
    qbc_ev_broadcast_strides(&a->batch, rank, w.stride[0]);
    qbc_ev_broadcast_strides(&b->batch, rank, w.stride[1]);
    for (size_t d = 0; d < rank; ++d)
        stacks *= (size_t)batch[d];
    for (size_t s = 0; s < stacks; ++s, qbc_ev_walk_next(&w)) {
        size_t at = (size_t)(w.at[0] * a->rows * a->cols);
        size_t bt = (size_t)(w.at[1] * b->rows * b->cols);
        for (int64_t i = 0; i < a->rows; ++i)
            for (int64_t j = 0; j < b->cols; ++j)
                qbc_ev_put(c->out, to++,
                           alpha * dot(c->in[0], at + (size_t)(i * a->row_stride), a->col_stride,
                                       c->in[1], bt + (size_t)(j * b->col_stride), b->row_stride,
                                       a->cols));
    }
}

/* MatMul, and FusedMatMul with its transA, transB and alpha. */
bool qbc_ev_matmul(struct qbc_ev *c)
{
    int64_t dims[QBC_MAX_RANK + 2], batch[QBC_MAX_RANK];
    size_t n_batch;
    if (!qbc_ev_wants(c, 2))
        return false;
    if (!c->in[0]->rank || !c->in[1]->rank || qbc_ev_int(c, "transBatchA", 0) ||
        qbc_ev_int(c, "transBatchB", 0))
        return qbc_ev_fail(c, "an operand is a scalar, or its batch is transposed");
    struct side a = side_of(c->in[0], qbc_ev_int(c, "transA", 0) != 0, true);
    struct side b = side_of(c->in[1], qbc_ev_int(c, "transB", 0) != 0, false);
    if (a.cols != b.rows)
        return qbc_ev_fail(c, "%s times %s: %lld columns meet %lld rows",
                           qbc_ev_dims_text(c->e, c->in[0]), qbc_ev_dims_text(c->e, c->in[1]),
                           (long long)a.cols, (long long)b.rows);
    if (!qbc_ev_broadcast(c, 2, (struct qbc_array *[]){&a.batch, &b.batch}, &n_batch, batch))
        return false;
    size_t rank = n_batch;
    memcpy(dims, batch, n_batch * sizeof *dims);
    if (c->in[0]->rank > 1)
        dims[rank++] = a.rows;
    if (c->in[1]->rank > 1)
        dims[rank++] = b.cols;
    if (!qbc_ev_shape(c, 0, c->in[0]->element, rank, dims))
        return false;
    bool few = !c->out->n || (size_t)a.cols <= most_products / c->out->n;
    if (few && qbc_ev_all_known(c) && qbc_ev_work(c, c->out->n * (size_t)a.cols) &&
        qbc_ev_numbers(c, 0))
        multiply(c, &a, &b, n_batch, batch);
    return true;
}

/* alpha a b + beta c, matrices only */
bool qbc_ev_gemm(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 2) || !qbc_ev_matmul(c))
        return false;
    if (c->out->rank != 2)
        return qbc_ev_fail(c, "its operands are no matrices");
    if (!qbc_ev_has(c, 2) || !c->out->known)
        return true;
    struct qbc_ev_walk w;
    double beta = (double)qbc_ev_float(c, "beta", 1);
    if (c->in[2]->rank > 2)
        return qbc_ev_fail(c, "its third operand is no matrix");
    qbc_ev_walk_start(&w, 2, c->out->dims);
    qbc_ev_broadcast_strides(c->in[2], 2, w.stride[0]);
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w)) {
        if ((size_t)w.at[0] >= c->in[2]->n)
            return qbc_ev_fail(c, "its third operand does not fit");
        qbc_ev_put(c->out, i, qbc_ev_get(c->out, i) + beta * qbc_ev_get(c->in[2], (size_t)w.at[0]));
    }
    return true;
}

/* x [.., K], codes of [N, K] -> [.., N] */
bool qbc_ev_matmul_nbits(struct qbc_ev *c)
{
    int64_t dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *x = c->in[0];
    if (!x->rank || x->dims[x->rank - 1] != qbc_ev_int(c, "K", -1))
        return qbc_ev_fail(c, "%s does not fit its K", qbc_ev_dims_text(c->e, x));
    memcpy(dims, x->dims, x->rank * sizeof *dims);
    dims[x->rank - 1] = qbc_ev_int(c, "N", -1);
    return qbc_ev_shape(c, 0, x->element, x->rank, dims);
}
