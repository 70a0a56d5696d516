/* evaluate_walk: indices of row-major arrays: broadcasting, strides, walks. */
#include "evaluate_ops.h"

#include <stdio.h>
#include <string.h>

const char *qbc_ev_dims_text(struct qbc_evaluation *e, const struct qbc_array *a)
{
    enum { LONGEST = 24 };
    char *text = qbc_ev_alloc(e, 3 + a->rank * LONGEST), *end = text;
    *end++ = '[';
    for (size_t i = 0; i < a->rank; ++i)
        end += snprintf(end, LONGEST, "%s%lld", i ? ", " : "", (long long)a->dims[i]);
    *end = ']';
    return text;
}

bool qbc_ev_broadcast(struct qbc_ev *c, size_t n, struct qbc_array *const *arrays, size_t *rank,
                      int64_t *dims)
{
    *rank = 0;
    for (size_t i = 0; i < n; ++i)
        *rank = arrays[i]->rank > *rank ? arrays[i]->rank : *rank;
    for (size_t d = 0; d < *rank; ++d) {
        dims[d] = 1;
        for (size_t i = 0; i < n; ++i) {
            const struct qbc_array *a = arrays[i];
            size_t missing = *rank - a->rank;
            int64_t dim = d < missing ? 1 : a->dims[d - missing];
            if (dim != 1 && dims[d] != 1 && dim != dims[d])
                return qbc_ev_fail(c, "shapes %s and %s do not fit together",
                                   qbc_ev_dims_text(c->e, arrays[0]), qbc_ev_dims_text(c->e, a));
            if (dim != 1)
                dims[d] = dim;
        }
    }
    return true;
}

void qbc_ev_strides(const struct qbc_array *a, int64_t *strides)
{
    int64_t stride = 1;
    for (size_t d = a->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= a->dims[d];
    }
}

void qbc_ev_broadcast_strides(const struct qbc_array *a, size_t rank, int64_t *strides)
{
    int64_t own[QBC_MAX_RANK];
    size_t missing = rank - a->rank;
    qbc_ev_strides(a, own);
    for (size_t d = 0; d < rank; ++d)
        strides[d] = d < missing || a->dims[d - missing] == 1 ? 0 : own[d - missing];
}

void qbc_ev_walk_start(struct qbc_ev_walk *w, size_t rank, const int64_t *dims)
{
    memset(w, 0, sizeof *w);
    w->rank = rank;
    memcpy(w->dims, dims, rank * sizeof *dims);
}

void qbc_ev_walk_next(struct qbc_ev_walk *w)
{
    for (size_t d = w->rank; d-- > 0;) {
        for (int k = 0; k < 3; ++k)
            w->at[k] += w->stride[k][d];
        if (++w->index[d] < w->dims[d])
            return;
        for (int k = 0; k < 3; ++k)
            w->at[k] -= w->stride[k][d] * w->dims[d];
        w->index[d] = 0;
    }
}

void qbc_ev_copy(struct qbc_array *to, size_t to_index, const struct qbc_array *from,
                 size_t from_index)
{
    if (to->f)
        to->f[to_index] = from->f[from_index];
    else
        to->i[to_index] = from->i[from_index];
}

void qbc_ev_strided(struct qbc_ev *c, size_t i, int64_t offset, const int64_t *strides)
{
    struct qbc_array *out = &c->out[i];
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, out->rank, out->dims);
    memcpy(w.stride[0], strides, out->rank * sizeof *strides);
    for (size_t o = 0; o < out->n; ++o, qbc_ev_walk_next(&w))
        qbc_ev_copy(out, o, c->in[0], (size_t)(offset + w.at[0]));
}
