/* evaluate_array: arrays of the evaluator: counting, memory, the shapes of results. */
#include "evaluate_ops.h"

#include <string.h>

static const size_t most_elements = (size_t)1 << 46;

bool qbc_is_float(enum qbc_element element)
{
    return element == QBC_F32 || element == QBC_F16 || element == QBC_F64 || element == QBC_BF16;
}

bool qbc_ev_count(struct qbc_array *a)
{
    a->n = 1;
    if (a->rank > QBC_MAX_RANK)
        return false;
    for (size_t d = 0; d < a->rank; ++d) {
        if (a->dims[d] < 0 || (a->dims[d] && a->n > most_elements / (size_t)a->dims[d]))
            return false;
        a->n *= (size_t)a->dims[d];
    }
    return true;
}

bool qbc_ev_make_room(struct qbc_evaluation *e, struct qbc_array *a)
{
    if (a->n > QBC_EV_LARGEST)
        return false;
    if (qbc_is_float(a->element))
        a->f = qbc_ev_alloc(e, a->n * sizeof *a->f + 1);
    else
        a->i = qbc_ev_alloc(e, a->n * sizeof *a->i + 1);
    a->known = true;
    return true;
}

struct qbc_array qbc_array_create(struct qbc_evaluation *e, enum qbc_element element, size_t rank,
                                  const int64_t *dims)
{
    struct qbc_array a = {.element = element, .rank = rank};
    if (rank > QBC_MAX_RANK)
        return a;
    if (rank)
        memcpy(a.dims, dims, rank * sizeof *dims);
    if (qbc_ev_count(&a))
        qbc_ev_make_room(e, &a);
    return a;
}

/* --- of operations */

bool qbc_ev_has(const struct qbc_ev *c, size_t i)
{
    return i < c->n_in && c->in[i];
}

bool qbc_ev_wants(struct qbc_ev *c, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (!qbc_ev_has(c, i))
            return qbc_ev_fail(c, "operand %zu is missing", i);
    return true;
}

bool qbc_ev_shape(struct qbc_ev *c, size_t i, enum qbc_element element, size_t rank,
                  const int64_t *dims)
{
    if (i >= c->n_out)
        return true;
    if (rank > QBC_MAX_RANK)
        return qbc_ev_fail(c, "the result has %zu dimensions, at most %d are supported", rank,
                           QBC_MAX_RANK);
    struct qbc_array *a = &c->out[i];
    *a = (struct qbc_array){.element = element, .rank = rank};
    for (size_t d = 0; d < rank; ++d) {
        a->dims[d] = dims[d];
        if (dims[d] < 0)
            return qbc_ev_fail(c, "dimension %zu of the result would be %lld", d,
                               (long long)dims[d]);
    }
    return qbc_ev_count(a) || qbc_ev_fail(c, "the result has too many elements");
}

bool qbc_ev_shape_like(struct qbc_ev *c, size_t i, enum qbc_element element,
                       const struct qbc_array *like)
{
    return qbc_ev_shape(c, i, element, like->rank, like->dims);
}

bool qbc_ev_numbers(struct qbc_ev *c, size_t i)
{
    enum { LARGEST_RESULT = 1 << 22 };
    return i < c->n_out && c->out[i].n <= LARGEST_RESULT && qbc_ev_work(c, c->out[i].n) &&
           qbc_ev_make_room(c->e, &c->out[i]);
}

bool qbc_ev_alias(struct qbc_ev *c, size_t rank, const int64_t *dims)
{
    if (!qbc_ev_shape(c, 0, c->in[0]->element, rank, dims))
        return false;
    if (c->out[0].n != c->in[0]->n)
        return qbc_ev_fail(c, "%s has %zu elements, the result would have %zu",
                           qbc_ev_dims_text(c->e, c->in[0]), c->in[0]->n, c->out[0].n);
    if (qbc_ev_known(c, 0)) {
        c->out[0].known = true;
        c->out[0].f = c->in[0]->f;
        c->out[0].i = c->in[0]->i;
    }
    return true;
}
