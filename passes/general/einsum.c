/* einsum: sums of products over letters: for each index of the result a fold over the letters that it does not have. */
#include "einsum.h"
#include "general.h"

#include <string.h>

struct sum {
    struct qbc_einsum e;
    struct qbc_einsum_term all; /* those of the result, then the others */
    struct g_tensor *in[QBC_EINSUM_OPERANDS];
    struct g_size size[QBC_EINSUM_LETTERS];
    enum qbc_element element;
};

struct sum_walk {
    const struct sum *s;
    MlirValue index[QBC_EINSUM_TERM]; /* of each letter of `all` */
};

static struct g_num operand_at(struct general *g, const struct sum_walk *w, size_t k)
{
    const struct qbc_einsum_term *t = &w->s->e.in[k];
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0; i < t->n; ++i) {
        const char *letter = memchr(w->s->all.letter, t->letter[i], w->s->all.n);
        own[i] = g_is(w->s->in[k]->size[i], 1) ? k_i64(&g->k, 0) : w->index[letter - w->s->all.letter];
    }
    return g_convert(g, g_at(g, w->s->in[k], own), w->s->element);
}

static void add_product(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    struct sum_walk *w = user;
    memcpy(w->index + w->s->e.out.n, at, (w->s->all.n - w->s->e.out.n) * sizeof *at);
    struct g_num product = operand_at(g, w, 0);
    for (size_t k = 1; k < w->s->e.n; ++k)
        product = g_do(g, G_MUL, product, operand_at(g, w, k));
    *sum = g_do(g, G_ADD, *sum, product);
}

static struct g_num summed_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct sum *s = t->user;
    struct sum_walk w = {.s = s};
    struct g_size size[QBC_EINSUM_TERM];
    size_t own = s->e.out.n, n = s->all.n - own;
    struct g_num sum = g_int(g, s->element, 0);
    if (own)
        memcpy(w.index, index, own * sizeof *index);
    for (size_t i = 0; i < n; ++i)
        size[i] = s->size[(unsigned char)s->all.letter[own + i]];
    g_fold(g, n, size, 1, &sum, add_product, &w);
    return sum;
}

/* The size of each letter: that of an axis which is not 1, where there is one. */
static bool take_sizes(struct g_op *o, struct sum *s)
{
    bool seen[QBC_EINSUM_LETTERS] = {false};
    for (size_t k = 0; k < s->e.n; ++k)
        for (size_t i = 0; i < s->e.in[k].n; ++i) {
            size_t letter = (unsigned char)s->e.in[k].letter[i];
            struct g_size size = s->in[k]->size[i], *have = &s->size[letter];
            if (seen[letter] && g_is_known(size) && g_is_known(*have) && size.n != 1 && have->n != 1 && size.n != have->n) {
                g_refuse(o, "axis '%c' has two sizes, %lld and %lld", (int)letter, (long long)have->n, (long long)size.n);
                return false;
            }
            *have = !seen[letter] || g_is(*have, 1) ? size : *have;
            seen[letter] = true;
        }
    for (size_t i = 0; i < s->e.out.n; ++i)
        if (!seen[(unsigned char)s->e.out.letter[i]]) {
            g_refuse(o, "no operand has axis '%c' of the result", s->e.out.letter[i]);
            return false;
        }
    return true;
}

void g_lower_einsum(struct g_op *o)
{
    struct general *g = o->g;
    struct sum *s = qbc_alloc(g->q, sizeof *s);
    size_t ranks[QBC_EINSUM_OPERANDS], at;
    struct g_size size[QBC_EINSUM_TERM];
    if (o->n_in > QBC_EINSUM_OPERANDS || !o->n_in) {
        g_refuse(o, "it has %zu operands, not 1 to %d", o->n_in, QBC_EINSUM_OPERANDS);
        return;
    }
    for (size_t k = 0; k < o->n_in; ++k) {
        s->in[k] = g_solid(g, o->in[k]);
        ranks[k] = s->in[k]->rank;
    }
    const char *wrong = qbc_einsum_parse(g_attr_text(o, "equation", ""), o->n_in, ranks, &s->e, &at);
    bool fits = !wrong && qbc_einsum_letters(&s->e, &s->all) && s->all.n - s->e.out.n <= 2 * QBC_MAX_RANK && s->e.out.n <= QBC_MAX_RANK;
    if (!fits) {
        g_refuse(o, "its equation %s (operand %zu)", wrong ? wrong : "has too many axes", at);
        return;
    }
    if (!take_sizes(o, s))
        return;
    s->element = g_number_element(s->in[0]->element);
    for (size_t i = 0; i < s->e.out.n; ++i)
        size[i] = s->size[(unsigned char)s->e.out.letter[i]];
    o->out[0] = g_solid(g, g_function(g, s->in[0]->element, s->e.out.n, size, summed_at, s, 1));
}
