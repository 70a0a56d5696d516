/* einsum.h: the equation of an Einsum, "bhid,bhjd->bhij". A letter is an axis with one size; "..." stands for leading axes, which
 * get the letters 0, 1, ... counted from the right.
 */
#ifndef QBC_EINSUM_H
#define QBC_EINSUM_H

#include "base.h"

enum { QBC_EINSUM_LETTERS = 128, QBC_EINSUM_TERM = 2 * QBC_MAX_RANK, QBC_EINSUM_OPERANDS = 8 };

struct qbc_einsum_term {
    size_t n;
    char letter[QBC_EINSUM_TERM + 1];
};

struct qbc_einsum {
    size_t n; /* of operands */
    struct qbc_einsum_term in[QBC_EINSUM_OPERANDS], out;
};

/* NULL, or what is wrong; *at: with which operand, or their number. At most QBC_EINSUM_OPERANDS ranks. */
const char *qbc_einsum_parse(const char *equation, size_t n, const size_t *ranks, struct qbc_einsum *out, size_t *at);
/* All letters, those of the result first; false: more than QBC_EINSUM_TERM. */
bool qbc_einsum_letters(const struct qbc_einsum *e, struct qbc_einsum_term *all);

#endif
