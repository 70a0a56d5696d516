/* einsum: see einsum.h. */
#include "einsum.h"

#include <ctype.h>
#include <string.h>

/* Reads one term up to a comma or arrow; `rank` tells how much "..." covers (of the result: what
 * the operands had). */
static bool read_term(const char **s, size_t rank, size_t *covered, struct qbc_einsum_term *t)
{
    size_t letters = 0;
    t->n = 0;
    for (const char *p = *s; *p && *p != ',' && *p != '-'; ++p)
        letters += isalpha((unsigned char)*p) != 0;
    for (; **s && **s != ',' && **s != '-'; ++*s) {
        if (!strncmp(*s, "...", 3)) {
            size_t n = rank == SIZE_MAX ? *covered : rank >= letters ? rank - letters : 0;
            for (size_t k = n; k-- > 0 && t->n < QBC_EINSUM_TERM;)
                t->letter[t->n++] = (char)('0' + k);
            *covered = n > *covered ? n : *covered;
            *s += 2;
        } else if (isalpha((unsigned char)**s) && t->n < QBC_EINSUM_TERM) {
            t->letter[t->n++] = **s;
        } else if (**s != ' ') {
            return false;
        }
    }
    return rank == SIZE_MAX || t->n == rank;
}

/* Without an arrow the result has the letters that occur once, in order. */
static void implied(const struct qbc_einsum_term *terms, size_t n, size_t covered, struct qbc_einsum_term *out)
{
    int seen[QBC_EINSUM_LETTERS] = {0};
    out->n = 0;
    for (size_t k = 0; k < n; ++k)
        for (size_t i = 0; i < terms[k].n; ++i)
            ++seen[(unsigned char)terms[k].letter[i]];
    for (size_t k = covered; k-- > 0;)
        out->letter[out->n++] = (char)('0' + k);
    for (int letter = 'A'; letter < QBC_EINSUM_LETTERS; ++letter)
        if (seen[letter] == 1 && out->n < QBC_EINSUM_TERM)
            out->letter[out->n++] = (char)letter;
}

const char *qbc_einsum_parse(const char *s, size_t n, const size_t *ranks, struct qbc_einsum *out, size_t *at)
{
    size_t covered = 0;
    out->n = n;
    for (*at = 0; *at < n; ++*at) {
        if (!read_term(&s, ranks[*at], &covered, &out->in[*at]))
            return "does not fit this operand";
        if (*s == ',')
            ++s;
    }
    if (s[0] != '-') {
        implied(out->in, n, covered, &out->out);
        return *s ? "has more terms than operands" : NULL;
    }
    s += 2;
    return s[-1] == '>' && read_term(&s, SIZE_MAX, &covered, &out->out) ? NULL : "cannot be read";
}

bool qbc_einsum_letters(const struct qbc_einsum *e, struct qbc_einsum_term *all)
{
    *all = e->out;
    for (size_t k = 0; k < e->n; ++k)
        for (size_t i = 0; i < e->in[k].n; ++i) {
            if (memchr(all->letter, e->in[k].letter[i], all->n))
                continue;
            if (all->n == QBC_EINSUM_TERM)
                return false;
            all->letter[all->n++] = e->in[k].letter[i];
        }
    return true;
}
