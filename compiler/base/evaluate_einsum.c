/* evaluate_einsum: Einsum (einsum.h). Numbers: of one or two operands. */
#include "einsum.h"
#include "evaluate_ops.h"

#include <string.h>

enum { LETTERS = QBC_EINSUM_LETTERS, MOST_TERM = QBC_EINSUM_TERM, MOST_LABELS = QBC_MAX_RANK };
static const size_t most_steps = (size_t)1 << 24;

static bool letter_sizes(struct qbc_ev *c, const struct qbc_einsum_term *terms, int64_t *size)
{
    for (size_t k = 0; k < c->n_in; ++k)
        for (size_t i = 0; i < terms[k].n; ++i) {
            int64_t *known = &size[(unsigned char)terms[k].letter[i]], dim = c->in[k]->dims[i];
            if (*known > 1 && dim != 1 && *known != dim)
                return qbc_ev_fail(c, "axis '%c' has two sizes, %lld and %lld", terms[k].letter[i],
                                   (long long)*known, (long long)dim);
            *known = *known < 0 || *known == 1 ? dim : *known;
        }
    return true;
}

static void strides_of(const struct qbc_array *a, const struct qbc_einsum_term *t, const struct qbc_einsum_term *all,
                       int64_t *strides)
{
    int64_t own[QBC_MAX_RANK];
    qbc_ev_strides(a, own);
    for (size_t d = 0; d < all->n; ++d)
        for (size_t i = 0; i < t->n; ++i)
            if (t->letter[i] == all->letter[d] && a->dims[i] != 1)
                strides[d] += own[i];
}

/* Walks over the result's letters, then all others; the result's offset is the first stride. */
static void einsum_numbers(struct qbc_ev *c, const struct qbc_einsum *e, const int64_t *size)
{
    struct qbc_ev_walk w;
    struct qbc_einsum_term all;
    int64_t dims[MOST_TERM];
    size_t steps = 1;
    if (!qbc_einsum_letters(e, &all))
        return;
    for (size_t d = 0; d < all.n; ++d) {
        dims[d] = size[(unsigned char)all.letter[d]];
        if (dims[d] && steps > most_steps / (size_t)dims[d])
            return;
        steps *= (size_t)dims[d];
    }
    if (all.n > MOST_LABELS || c->n_in > 2 || !qbc_ev_work(c, steps) || !qbc_ev_numbers(c, 0))
        return;
    qbc_ev_walk_start(&w, all.n, dims);
    strides_of(c->out, &e->out, &all, w.stride[0]);
    for (size_t k = 0; k < c->n_in; ++k)
        strides_of(c->in[k], &e->in[k], &all, w.stride[k + 1]);
    for (size_t s = 0; s < steps; ++s, qbc_ev_walk_next(&w)) {
        double product = qbc_ev_get(c->in[0], (size_t)w.at[1]);
        product *= c->n_in > 1 ? qbc_ev_get(c->in[1], (size_t)w.at[2]) : 1;
        qbc_ev_put(c->out, (size_t)w.at[0], qbc_ev_get(c->out, (size_t)w.at[0]) + product);
    }
}

bool qbc_ev_einsum(struct qbc_ev *c)
{
    struct qbc_einsum e;
    size_t ranks[QBC_EINSUM_OPERANDS], at;
    int64_t size[LETTERS], dims[MOST_TERM];
    const char *equation = qbc_string(qbc_ev_context(c->e), c->op, "equation", "");
    if (c->n_in > QBC_EINSUM_OPERANDS)
        return qbc_ev_fail(c, "more than %d operands", QBC_EINSUM_OPERANDS);
    if (!qbc_ev_wants(c, c->n_in ? c->n_in : 1))
        return false;
    for (size_t k = 0; k < c->n_in; ++k)
        ranks[k] = c->in[k]->rank;
    const char *wrong = qbc_einsum_parse(equation, c->n_in, ranks, &e, &at);
    if (wrong)
        return qbc_ev_fail(c, "its equation %s (operand %zu)", wrong, at);
    memset(size, -1, sizeof size);
    if (!letter_sizes(c, e.in, size))
        return false;
    for (size_t i = 0; i < e.out.n; ++i)
        dims[i] = size[(unsigned char)e.out.letter[i]]; /* -1, a letter nobody has, is refused next */
    if (!qbc_ev_shape(c, 0, c->in[0]->element, e.out.n, dims))
        return false;
    if (qbc_ev_all_known(c))
        einsum_numbers(c, &e, size);
    return true;
}
