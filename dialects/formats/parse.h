/* parse.h: reading the name of a format. parse.c has the leaves' suffixes, kinds.c what comes first, compose.c the
 * operators between leaves. */
#ifndef QBC_PARSE_H
#define QBC_PARSE_H

#include "format.h"

struct qbc_reader {
    const char *text, *at, *end;
    char *why;                 /* [QBC_FORMAT_WHY] */
    char out[QBC_FORMAT_NAME]; /* the canonical name, as far as read */
    size_t n_out;
};

/* False, always: with a message that begins with where. */
bool qbc_reader_fail(struct qbc_reader *r, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool qbc_reader_put(struct qbc_reader *r, const char *text); /* to the canonical name; false: too long */
bool qbc_reader_skip(struct qbc_reader *r, const char *word); /* true: it stood here, and was put */
/* A whole number without leading zeros from low to high, which is put; else false, failed. */
bool qbc_reader_number(struct qbc_reader *r, const char *what, int low, int high, int *out);
bool qbc_reader_decimal(struct qbc_reader *r, const char *what, double *out); /* "0.5"; positive */

/* A leaf, up to r->end, which the caller has set. */
bool qbc_parse_leaf(struct qbc_reader *r, struct qbc_format *f);
/* What comes first in a leaf: "i4", "nf3", "t1.6", ...: the codebook. */
bool qbc_parse_kind(struct qbc_reader *r, struct qbc_format *f);
/* A leaf, or a name of formats.def or names.def (names.c). */
bool qbc_parse_name(struct qbc_reader *r, struct qbc_format *f);
/* All of a name (compose_parse.c). */
bool qbc_parse_composite(struct qbc_reader *r, struct qbc_format *f);

#endif
