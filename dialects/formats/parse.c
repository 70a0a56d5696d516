/* parse: the name of a leaf.
 *
 *     KIND [SPAN] [OFFSET] [SCALE]
 *
 *     SPAN      gN        N columns of a row share a scale
 *               cN        N rows of a column do
 *               row       the row does
 *               tensor    the tensor does
 *     OFFSET    z         an integer zero point for each group
 *               m         a minimum for each group
 *     SCALE     .TYPE     type of the scale: f16 (when nothing is said), bf16, f32, e8m0; e4m3 under a scale of the tensor
 *               .CODExN   scales are codes (u4, u6, u8, i6, i8), N of them under an f16 scale; "row", "tensor" instead of xN
 *               ...o      and the least scale of the tensor is stored and added
 *
 * kinds.c lists the kinds, docs/formats.md has examples.
 */
#include "parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool qbc_reader_fail(struct qbc_reader *r, const char *at, const char *format, ...)
{
    va_list args;
    size_t n = (size_t)snprintf(r->why, QBC_FORMAT_WHY, "character %d: ", (int)(at - r->text) + 1);
    va_start(args, format);
    vsnprintf(r->why + n, QBC_FORMAT_WHY - n, format, args);
    va_end(args);
    return false;
}

bool qbc_reader_put(struct qbc_reader *r, const char *text)
{
    size_t n = strlen(text);
    if (r->n_out + n >= sizeof r->out)
        return qbc_reader_fail(r, r->at, "a name has at most %d characters", QBC_FORMAT_NAME - 1);
    memcpy(r->out + r->n_out, text, n + 1);
    r->n_out += n;
    return true;
}

bool qbc_reader_skip(struct qbc_reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || strncmp(r->at, word, n))
        return false;
    r->at += n;
    return qbc_reader_put(r, word);
}

static bool is_digit(const struct qbc_reader *r, const char *at)
{
    return at < r->end && *at >= '0' && *at <= '9';
}

bool qbc_reader_number(struct qbc_reader *r, const char *what, int low, int high, int *out)
{
    enum { MOST = 1 << 20 };
    const char *start = r->at;
    int n = 0;
    for (; is_digit(r, r->at) && n < MOST; ++r->at)
        n = 10 * n + *r->at - '0';
    if (r->at == start || (*start == '0' && r->at > start + 1))
        return qbc_reader_fail(r, start, "%s, a number from %d to %d, is missing", what, low, high);
    if (n < low || n > high)
        return qbc_reader_fail(r, start, "%s is from %d to %d, not %d", what, low, high, n);
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    *out = n;
    return qbc_reader_put(r, text);
}

bool qbc_reader_decimal(struct qbc_reader *r, const char *what, double *out)
{
    const char *start = r->at;
    char text[16] = "";
    while (is_digit(r, r->at))
        ++r->at;
    if (r->at < r->end && *r->at == '.' && is_digit(r, r->at + 1))
        for (++r->at; is_digit(r, r->at);)
            ++r->at;
    size_t n = (size_t)(r->at - start);
    if (!n || n >= sizeof text || (n > 1 && start[0] == '0' && start[1] != '.'))
        return qbc_reader_fail(r, start, "%s, a number such as 0.5, is missing", what);
    memcpy(text, start, n);
    if (memchr(text, '.', n) && text[n - 1] == '0')
        return qbc_reader_fail(r, start, "write %s without a 0 at its end", what);
    *out = strtod(text, NULL);
    if (*out <= 0)
        return qbc_reader_fail(r, start, "%s is above 0", what);
    return qbc_reader_put(r, text);
}

/* --- who shares a scale */

enum {
    RUN = 32,   /* columns of a run of codes where a whole row shares its scale */
    TILE = 256, /* columns that a trellis goes around */
};

static bool read_span(struct qbc_reader *r, struct qbc_format *f)
{
    const char *start = r->at;
    bool learned = f->codebook == QBC_CODE_LEARNED; /* its tables are shared, and scaled already */
    f->scale = learned ? QBC_SCALE_NONE : QBC_SCALE_F16;
    if (qbc_reader_skip(r, "g"))
        return qbc_reader_number(r, "the length of a group", 1, QBC_MAX_GROUP, &f->group);
    if (!learned && qbc_reader_skip(r, "c")) {
        f->group = 1;
        return qbc_reader_number(r, "the rows of a group", 2, QBC_MAX_GROUP, &f->group_rows);
    }
    bool row = qbc_reader_skip(r, "row");
    if (!row && !qbc_reader_skip(r, "tensor"))
        return qbc_reader_fail(r, start, "say who shares a scale: g32 (32 columns), c128 (128 rows), row or tensor");
    enum qbc_span span = row ? QBC_SPAN_ROW : QBC_SPAN_TENSOR;
    f->group = f->codebook == QBC_CODE_COMPUTED ? TILE : f->digits ? RUN * f->digits : RUN; /* whole numbers of digits */
    f->scale = QBC_SCALE_NONE;
    if (learned) {
        f->table_span = span;
        return true;
    }
    f->outer = QBC_SCALE_F16;
    f->outer_span = span;
    return true;
}

/* --- offsets */

static bool read_offset(struct qbc_reader *r, struct qbc_format *f)
{
    const char *start = r->at;
    if (qbc_reader_skip(r, "z"))
        f->offset = QBC_OFFSET_ZERO;
    else if (qbc_reader_skip(r, "m"))
        f->offset = QBC_OFFSET_MIN;
    else
        return true;
    bool affine = f->codebook == QBC_CODE_AFFINE, table = f->codebook == QBC_CODE_TABLE && !f->selector_bits;
    if (f->offset == QBC_OFFSET_ZERO ? !affine : !affine && !table)
        return qbc_reader_fail(r, start, "these codes have no %s",
                               f->offset == QBC_OFFSET_ZERO ? "zero point" : "minimum");
    if (affine)
        f->bias = f->low = 0;
    return true;
}

/* --- scales */

static const struct {
    const char *name;
    enum qbc_scale type;
} types[] = {
    {"f16", QBC_SCALE_F16},   {"bf16", QBC_SCALE_BF16}, {"f32", QBC_SCALE_F32}, {"e8m0", QBC_SCALE_E8M0},
    {"e4m3", QBC_SCALE_E4M3}, {"u4", QBC_SCALE_U4},     {"u6", QBC_SCALE_U6},   {"u8", QBC_SCALE_U8},
    {"i6", QBC_SCALE_I6},     {"i8", QBC_SCALE_I8},
};

static bool read_type(struct qbc_reader *r, enum qbc_scale *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i)
        if (qbc_reader_skip(r, types[i].name)) {
            *type = types[i].type;
            return true;
        }
    return qbc_reader_fail(r, r->at, "no type of scales; they are f16, bf16, f32, e8m0, e4m3, u4, u6, u8, i6, i8");
}

static bool read_outer(struct qbc_reader *r, struct qbc_format *f)
{
    const char *start = r->at;
    int n = 0;
    f->outer = QBC_SCALE_F16;
    f->outer_span = QBC_SPAN_BLOCK;
    if (qbc_reader_skip(r, "x")) {
        if (!qbc_reader_number(r, "how many scales share an outer one", 2, 64, &n))
            return false;
        f->block = n * f->group;
    } else if (qbc_reader_skip(r, "row")) {
        f->outer_span = QBC_SPAN_ROW;
    } else if (qbc_reader_skip(r, "tensor")) {
        f->outer_span = QBC_SPAN_TENSOR;
    } else {
        return qbc_reader_fail(r, start, "say how many scale codes share a scale: x8, row or tensor");
    }
    if (f->scale == QBC_SCALE_U8 && f->offset == QBC_OFFSET_NONE)
        f->floor = qbc_reader_skip(r, "o");
    return true;
}

static bool read_scale(struct qbc_reader *r, struct qbc_format *f)
{
    const char *start = r->at;
    enum qbc_scale type = QBC_SCALE_F16;
    size_t kept = r->n_out;
    if (!qbc_reader_skip(r, "."))
        return true;
    if (!read_type(r, &type))
        return false;
    if (f->codebook == QBC_CODE_LEARNED)
        return qbc_reader_fail(r, start, "learned tables have no scale beside them");
    if (f->scale == QBC_SCALE_NONE && type > QBC_SCALE_F32)
        return qbc_reader_fail(r, start, "the scale of a row or tensor is .f16, .bf16 or .f32");
    if (type == QBC_SCALE_F16)
        r->out[r->n_out = kept] = 0; /* what is meant anyway is not said */
    if (f->offset == QBC_OFFSET_MIN && type != QBC_SCALE_F16 && type != QBC_SCALE_BF16 && type != QBC_SCALE_F32 &&
        (type < QBC_SCALE_U4 || type > QBC_SCALE_U8))
        return qbc_reader_fail(r, start, "minima are f16, bf16, f32, or codes u4, u6 or u8");
    if (f->codebook == QBC_CODE_PLANES && type > QBC_SCALE_F32)
        return qbc_reader_fail(r, start, "the scales of planes are f16, bf16 or f32");
    if (f->scale == QBC_SCALE_NONE) {
        f->outer = type;
        return true;
    }
    f->scale = type;
    if (type == QBC_SCALE_E4M3) {
        f->outer = QBC_SCALE_F32;
        f->outer_span = QBC_SPAN_TENSOR;
    }
    return type < QBC_SCALE_U4 || read_outer(r, f);
}

/* --- what does not go together */

static bool fits_together(struct qbc_reader *r, const struct qbc_format *f)
{
    if (f->group_rows > 1 && (f->scale > QBC_SCALE_F32 || f->digits))
        return qbc_reader_fail(r, r->text, "groups of rows have plain scales (f16, bf16, f32) and plain codes");
    if (f->codebook == QBC_CODE_PLANES && f->scale == QBC_SCALE_NONE)
        return qbc_reader_fail(r, r->text, "planes have a scale for each group");
    if (f->codebook == QBC_CODE_COMPUTED && f->scale != QBC_SCALE_NONE && f->group * f->bits < 32)
        return qbc_reader_fail(r, r->text, "a trellis needs groups of more than %d columns", 31 / f->bits);
    if (f->vector_cols > 1 && f->group % f->vector_cols)
        return qbc_reader_fail(r, r->text, "vectors of %d columns do not divide a group of %d", f->vector_cols,
                               f->group);
    return true;
}

bool qbc_parse_leaf(struct qbc_reader *r, struct qbc_format *f)
{
    if (!qbc_parse_kind(r, f) || !read_span(r, f) || !read_offset(r, f) || !read_scale(r, f))
        return false;
    if (r->at < r->end)
        return qbc_reader_fail(r, r->at, "'%.*s' means nothing here", (int)(r->end - r->at), r->at);
    return fits_together(r, f);
}
