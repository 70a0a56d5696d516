/* evaluate_einsum: "bhid,bhjd->bhij". A letter is an axis with one size; "..." stands for leading
 * axes, which get the letters 0, 1, ... counted from the right. Numbers: of one or two operands.
 */
#include "evaluate_ops.h"

#include <ctype.h>
#include <string.h>

enum { LETTERS = 128, MOST_TERM = 2 * QBC_MAX_RANK, MOST_LABELS = QBC_MAX_RANK };
static const size_t most_steps = (size_t)1 << 24;

struct term {
    size_t n;
    char letter[MOST_TERM + 1];
};

/* Reads one term up to a comma or arrow; `rank` tells how much "..." covers (of the result: what
 * the operands had). */
static bool read_term(const char **s, size_t rank, size_t *covered, struct term *t)
{
    size_t letters = 0;
    t->n = 0;
    for (const char *p = *s; *p && *p != ',' && *p != '-'; ++p)
        letters += isalpha((unsigned char)*p) != 0;
    for (; **s && **s != ',' && **s != '-'; ++*s) {
        if (!strncmp(*s, "...", 3)) {
            size_t n = rank == SIZE_MAX ? *covered : rank >= letters ? rank - letters : 0;
            for (size_t k = n; k-- > 0 && t->n < MOST_TERM;)
                t->letter[t->n++] = (char)('0' + k);
            *covered = n > *covered ? n : *covered;
            *s += 2;
        } else if (isalpha((unsigned char)**s) && t->n < MOST_TERM) {
            t->letter[t->n++] = **s;
        } else if (**s != ' ') {
            return false;
        }
    }
    return rank == SIZE_MAX || t->n == rank;
}

/* Without an arrow the result has the letters that occur once, in order. */
static void implied(const struct term *terms, size_t n, size_t covered, struct term *out)
{
    int seen[LETTERS] = {0};
    out->n = 0;
    for (size_t k = 0; k < n; ++k)
        for (size_t i = 0; i < terms[k].n; ++i)
            ++seen[(unsigned char)terms[k].letter[i]];
    for (size_t k = covered; k-- > 0;)
        out->letter[out->n++] = (char)('0' + k);
    for (int letter = 'A'; letter < LETTERS; ++letter)
        if (seen[letter] == 1 && out->n < MOST_TERM)
            out->letter[out->n++] = (char)letter;
}

static bool parse(struct qbc_ev *c, const char *s, struct term *terms, struct term *out)
{
    size_t covered = 0;
    for (size_t k = 0; k < c->n_in; ++k) {
        if (!read_term(&s, c->in[k]->rank, &covered, &terms[k]))
            return qbc_ev_fail(c, "its equation does not fit operand %zu", k);
        if (*s == ',')
            ++s;
    }
    if (s[0] != '-') {
        implied(terms, c->n_in, covered, out);
        return *s == 0 || qbc_ev_fail(c, "its equation has more terms than operands");
    }
    s += 2;
    return (s[-1] == '>' && read_term(&s, SIZE_MAX, &covered, out)) ||
           qbc_ev_fail(c, "its equation cannot be read");
}

static bool letter_sizes(struct qbc_ev *c, const struct term *terms, int64_t *size)
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

static void strides_of(const struct qbc_array *a, const struct term *t, const struct term *all,
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
static void einsum_numbers(struct qbc_ev *c, const struct term *terms, const struct term *out,
                           const int64_t *size)
{
    struct qbc_ev_walk w;
    struct term all = *out;
    int64_t dims[MOST_TERM];
    size_t steps = 1;
    for (size_t k = 0; k < c->n_in; ++k)
        for (size_t i = 0; i < terms[k].n; ++i)
            if (!memchr(all.letter, terms[k].letter[i], all.n) && all.n < MOST_TERM)
                all.letter[all.n++] = terms[k].letter[i];
    for (size_t d = 0; d < all.n; ++d) {
        dims[d] = size[(unsigned char)all.letter[d]];
        if (dims[d] && steps > most_steps / (size_t)dims[d])
            return;
        steps *= (size_t)dims[d];
    }
    if (all.n > MOST_LABELS || c->n_in > 2 || !qbc_ev_work(c, steps) || !qbc_ev_numbers(c, 0))
        return;
    qbc_ev_walk_start(&w, all.n, dims);
    strides_of(c->out, out, &all, w.stride[0]);
    for (size_t k = 0; k < c->n_in; ++k)
        strides_of(c->in[k], &terms[k], &all, w.stride[k + 1]);
    for (size_t s = 0; s < steps; ++s, qbc_ev_walk_next(&w)) {
        double product = qbc_ev_get(c->in[0], (size_t)w.at[1]);
        product *= c->n_in > 1 ? qbc_ev_get(c->in[1], (size_t)w.at[2]) : 1;
        qbc_ev_put(c->out, (size_t)w.at[0], qbc_ev_get(c->out, (size_t)w.at[0]) + product);
    }
}

bool qbc_ev_einsum(struct qbc_ev *c)
{
    enum { MOST_OPERANDS = 8 };
    struct term terms[MOST_OPERANDS], out;
    int64_t size[LETTERS], dims[MOST_TERM];
    const char *equation = qbc_string(qbc_ev_context(c->e), c->op, "equation", "");
    if (c->n_in > MOST_OPERANDS)
        return qbc_ev_fail(c, "more than %d operands", MOST_OPERANDS);
    if (!qbc_ev_wants(c, c->n_in ? c->n_in : 1) || !parse(c, equation, terms, &out))
        return false;
    memset(size, -1, sizeof size);
    if (!letter_sizes(c, terms, size))
        return false;
    for (size_t i = 0; i < out.n; ++i)
        dims[i] = size[(unsigned char)out.letter[i]]; /* -1, a letter nobody has, is refused next */
    if (!qbc_ev_shape(c, 0, c->in[0]->element, out.n, dims))
        return false;
    if (qbc_ev_all_known(c))
        einsum_numbers(c, terms, &out, size);
    return true;
}
