/* compose_parse: operators between leaves.
 *
 *     FORMAT  = SUM { @ N % [r] [p] | SUM }     N % of the columns (r: rows) in the first, the last has the rest; p: the columns
 *                                               are permuted, the most important first
 *     SUM     = PRODUCT { + PRODUCT             planes: one is added to the other
 *                       | + sparse N % [x]      N % of each row's weights are corrected by an f16; x: any of them
 *                       | + lr N }              a product of rank N is added
 *     PRODUCT = ATOM [ *uv ]                    times an f16 for each row and one for each column
 *     ATOM    = a leaf | ( FORMAT )
 *
 * Each function appends to the canonical name; parts are remembered by where their names are in it.
 */
#include "parse.h"

#include <string.h>

static bool add_part(struct qbc_reader *r, struct qbc_format *f, size_t from)
{
    if (f->n_parts == QBC_FORMAT_PARTS)
        return qbc_reader_fail(r, r->at, "a format has at most %d parts", QBC_FORMAT_PARTS);
    f->part[f->n_parts].from = (uint8_t)from;
    f->part[f->n_parts++].length = (uint8_t)(r->n_out - from);
    return true;
}

/* What was read since `from` becomes the only part of a new composite. */
static struct qbc_format around(struct qbc_reader *r, enum qbc_codebook codebook, size_t from)
{
    struct qbc_format f = {.codebook = codebook, .group = 1};
    add_part(r, &f, from);
    return f;
}

static bool read_atom(struct qbc_reader *r, struct qbc_format *f)
{
    const char *start = r->at, *end = r->end;
    if (qbc_reader_skip(r, "(")) {
        if (!qbc_parse_composite(r, f))
            return false;
        if (!qbc_reader_skip(r, ")"))
            return qbc_reader_fail(r, r->at, "')' is missing");
        return f->codebook >= QBC_CODE_SUM || qbc_reader_fail(r, start, "needless parentheses");
    }
    r->end = r->at + strcspn(r->at, "@|+*()");
    if (r->end > end)
        r->end = end;
    bool good = qbc_parse_name(r, f);
    r->end = end;
    return good;
}

static bool read_product(struct qbc_reader *r, struct qbc_format *f)
{
    size_t from = r->n_out;
    if (!read_atom(r, f))
        return false;
    size_t until = r->n_out;
    if (!qbc_reader_skip(r, "*uv"))
        return true;
    *f = around(r, QBC_CODE_SCALED, from);
    f->part[0].length = (uint8_t)(until - from);
    return true;
}

/* "sparse0.5%" or "lr16", behind a '+'. */
static bool read_extra(struct qbc_reader *r, struct qbc_format *f, size_t from, size_t until, bool sparse)
{
    *f = around(r, sparse ? QBC_CODE_SPARSE : QBC_CODE_LOWRANK, from);
    f->part[0].length = (uint8_t)(until - from);
    if (!sparse)
        return qbc_reader_number(r, "the rank", 1, 1024, &f->rank);
    const char *start = r->at;
    if (!qbc_reader_decimal(r, "a share", &f->sparse) || !qbc_reader_skip(r, "%"))
        return qbc_reader_fail(r, start, "write a share of the weights, for example +sparse0.5%%");
    f->sparse /= 100;
    f->any = qbc_reader_skip(r, "x");
    return f->sparse <= 0.5 || qbc_reader_fail(r, start, "at most half of the weights are sparse");
}

static bool read_sum(struct qbc_reader *r, struct qbc_format *f)
{
    size_t from = r->n_out;
    bool is_sum = false; /* made here, so that it may grow */
    if (!read_product(r, f))
        return false;
    for (size_t until = r->n_out; qbc_reader_skip(r, "+"); until = r->n_out) {
        struct qbc_format next;
        bool sparse = qbc_reader_skip(r, "sparse"), rank = !sparse && qbc_reader_skip(r, "lr");
        size_t start = r->n_out;
        if (sparse || rank) {
            if (!read_extra(r, f, from, until, sparse))
                return false;
            is_sum = false;
            continue;
        }
        if (!is_sum) {
            *f = around(r, QBC_CODE_SUM, from);
            f->part[0].length = (uint8_t)(until - from);
        }
        is_sum = true;
        if (!read_product(r, &next) || !add_part(r, f, start))
            return false;
    }
    return true;
}

static bool read_share(struct qbc_reader *r, struct qbc_format *f, double *left)
{
    double share = 0;
    const char *start = r->at;
    if (!qbc_reader_decimal(r, "a share", &share) || !qbc_reader_skip(r, "%"))
        return qbc_reader_fail(r, start, "write a share of the columns, for example i4g32@25%%|i2g32");
    *left -= share;
    f->part[f->n_parts - 1].share = (float)(share / 100);
    f->by_rows = qbc_reader_skip(r, "r") || f->by_rows;
    f->permuted = qbc_reader_skip(r, "p") || f->permuted;
    if (f->by_rows && f->permuted)
        return qbc_reader_fail(r, start, "rows are not permuted");
    if (*left <= 0)
        return qbc_reader_fail(r, start, "these shares leave nothing for the last part");
    return qbc_reader_skip(r, "|") || qbc_reader_fail(r, r->at, "'|' and the format of the rest are missing");
}

bool qbc_parse_composite(struct qbc_reader *r, struct qbc_format *f)
{
    size_t from = r->n_out;
    double left = 100;
    if (!read_sum(r, f))
        return false;
    bool split = false;
    while (r->at < r->end && *r->at == '@') {
        if (!split)
            *f = around(r, QBC_CODE_SPLIT, from);
        split = true;
        struct qbc_format next;
        if (!qbc_reader_skip(r, "@") || !read_share(r, f, &left))
            return false;
        from = r->n_out;
        if (!read_sum(r, &next) || !add_part(r, f, from))
            return false;
    }
    return true;
}
