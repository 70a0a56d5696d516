/* kinds: what a leaf's name begins with, and the codebook that it stands for. A row each: longer prefixes first. */
#include "parse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- whole numbers */

static bool levels_from(struct qbc_format *f, const int8_t *level, int n, float unit)
{
    f->codebook = QBC_CODE_TABLE;
    f->high = n - 1;
    f->unit = unit;
    memcpy(f->level, level, (size_t)n);
    return true;
}

static bool make_sign(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->bits = 1;
    return levels_from(f, (const int8_t[]){-1, 1}, 2, 1);
}

/* Symmetric until a suffix says something else. One bit is a sign. -128 is no operand of an integer product. */
static bool make_int(struct qbc_reader *r, struct qbc_format *f)
{
    if (f->bits == 1) {
        memcpy(strrchr(r->out, 'i'), "b", 1);
        return make_sign(r, f);
    }
    f->codebook = QBC_CODE_AFFINE;
    f->high = (1 << f->bits) - 1;
    f->bias = 1 << (f->bits - 1);
    f->low = f->bits == 8;
    return true;
}

/* Three or five levels; several codes may be digits of one number. */
static bool make_digits(struct qbc_format *f, int bits, int levels, int digits, int radix_bits)
{
    f->codebook = QBC_CODE_AFFINE;
    f->bits = bits;
    f->bias = levels / 2;
    f->high = levels - 1;
    f->digits = digits;
    f->radix_bits = radix_bits;
    return true;
}

static bool make_ternary(struct qbc_reader *r, struct qbc_format *f)
{
    if (qbc_reader_skip(r, "1.67"))
        return make_digits(f, 2, 3, 3, 5); /* 27 <= 32 */
    if (qbc_reader_skip(r, "1.6"))
        return make_digits(f, 2, 3, 5, 8); /* 243 <= 256 */
    if (qbc_reader_skip(r, "2"))
        return make_digits(f, 2, 3, 0, 0);
    return qbc_reader_fail(r, r->at, "ternary codes take t2, t1.67 or t1.6 bits");
}

static bool make_five(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    return make_digits(f, 3, 5, 3, 7); /* 125 <= 128 */
}

/* --- tables */

static bool make_normal_float(struct qbc_reader *r, struct qbc_format *f)
{
    /* quantiles of a normal distribution, between 0.9677083 and its mirror image, over the largest; arXiv 2305.14314 */
    static const int8_t nf[4][32] = {
        {-127, 0, 43, 127},
        {-127, -61, -28, 0, 20, 43, 71, 127},
        {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127},
        {-127, -105, -90, -79, -69, -61, -53, -46, -40, -34, -28, -22, -16, -11, -5, 0,
         5,    10,   15,  20,  26,  31,  37,  43,  49,  56,  63,  71,  81,  92,  106, 127},
    };
    (void)r;
    return levels_from(f, nf[f->bits - 2], 1 << f->bits, 1.0f / 127);
}

/* Least mean error for a normal distribution, over the largest: J. Max, Quantizing for minimum distortion, 1960. */
static bool make_lloyd_max(struct qbc_reader *r, struct qbc_format *f)
{
    static const int8_t level[4][16] = {
        {-127, 127},
        {-127, -38, 38, 127},
        {-127, -79, -45, -14, 14, 45, 79, 127},
        {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127},
    };
    (void)r;
    return levels_from(f, level[f->bits - 1], 1 << f->bits, 1.0f / 127);
}

/* ggml's 4-bit table; no exact zero. */
static bool make_iq4(struct qbc_reader *r, struct qbc_format *f)
{
    static const int8_t level[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    (void)r;
    f->bits = 4;
    return levels_from(f, level, 16, 1);
}

/* Small floats without infinities: sign, exponent, mantissa. Levels are multiples of the least subnormal. */
static bool make_float(struct qbc_reader *r, struct qbc_format *f)
{
    int exponent = f->bits, mantissa = 0;
    const char *start = r->at - 1;
    if (!qbc_reader_skip(r, "m") || !qbc_reader_number(r, "bits of the mantissa", 0, 4, &mantissa))
        return qbc_reader_fail(r, r->at, "a small float is written e2m1: bits of exponent and mantissa");
    f->bits = 1 + exponent + mantissa;
    int half = 1 << (f->bits - 1), bias = (1 << (exponent - 1)) - 1;
    int8_t level[QBC_MOST_LEVELS];
    for (int code = 0; code < half; ++code) {
        int e = code >> mantissa, fraction = code & ((1 << mantissa) - 1);
        int magnitude = e ? ((1 << mantissa) + fraction) << (e - 1) : fraction;
        if (f->bits > 6 || magnitude > 127)
            return qbc_reader_fail(r, start, "values of e%dm%d are no 8-bit multiples of the least", exponent,
                                   mantissa);
        level[code] = (int8_t)magnitude;
        level[half + code] = (int8_t)-magnitude;
    }
    return levels_from(f, level, 2 * half, ldexpf(1, 1 - bias - mantissa));
}

/* One of four values takes the code of -0; a selector for each group. arXiv 2411.11745 */
static bool make_bitmod(struct qbc_reader *r, struct qbc_format *f)
{
    static const int8_t plain[2][8] = {{0, 1, 2, 4}, {0, 1, 2, 3, 4, 6, 8, 12}};
    static const int8_t special[2][4] = {{3, -3, 6, -6}, {10, -10, 16, -16}};
    int half = 1 << (f->bits - 1);
    (void)r;
    f->codebook = QBC_CODE_TABLE;
    f->high = 2 * half - 1;
    f->selector_bits = 2;
    for (int s = 0; s < 4; ++s)
        for (int code = 0; code < half; ++code) {
            int8_t *table = f->level + s * 2 * half, value = plain[f->bits - 3][code];
            table[code] = value;
            table[half + code] = (int8_t)(code ? -value : special[f->bits - 3][s]);
        }
    return true;
}

/* sign(q) |q|^(1/a), q = -Q .. Q, over its largest: denser near 0 for a < 1. arXiv 2308.05600 */
static bool make_power(struct qbc_reader *r, struct qbc_format *f)
{
    int8_t level[QBC_MOST_LEVELS] = {-127};
    int reach = (1 << (f->bits - 1)) - 1, zero = reach + 1;
    double a = 0;
    const char *start = r->at;
    if (!qbc_reader_skip(r, "a") || !qbc_reader_decimal(r, "the exponent", &a))
        return qbc_reader_fail(r, start, "a power is written pow4a0.5: bits and exponent");
    if (a > 1)
        return qbc_reader_fail(r, start, "the exponent is at most 1");
    for (int q = 0; q <= reach; ++q) {
        level[zero + q] = (int8_t)rint(127 * pow((double)q / reach, 1 / a));
        level[zero - q] = (int8_t)-level[zero + q];
    }
    levels_from(f, level, 2 * zero, 1.0f / 127);
    f->low = 1;
    return true;
}

/* --- levels and vectors that are stored */

/* A table for each group, row, or the tensor; "lut4row" has no scale beside it. */
static bool make_learned(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->codebook = QBC_CODE_LEARNED;
    f->high = (1 << f->bits) - 1;
    return true;
}

static int log2_of(int n)
{
    int bits = 0;
    while (1 << bits < n)
        ++bits;
    return 1 << bits == n ? bits : -1;
}

/* vq8x256: vectors of 8 columns, 256 of them; vq1x256: numbers; vq4x16n: of 4 rows; vq2x2x16: of 2 rows and 2 columns */
static bool make_vector(struct qbc_reader *r, struct qbc_format *f)
{
    int entries = 0, more = 0;
    const char *start = r->at;
    f->codebook = QBC_CODE_VECTOR;
    f->vector_cols = f->bits;
    f->vector_rows = 1;
    if (!qbc_reader_skip(r, "x") || !qbc_reader_number(r, "entries of the table", 2, 256, &entries))
        return qbc_reader_fail(r, start, "a vector codebook is written vq8x256: columns and entries");
    if (qbc_reader_skip(r, "x")) {
        if (!qbc_reader_number(r, "entries of the table", 2, 256, &more))
            return false;
        f->vector_rows = f->vector_cols;
        f->vector_cols = entries;
        entries = more;
    } else if (qbc_reader_skip(r, "n")) {
        f->vector_rows = f->vector_cols;
        f->vector_cols = 1;
    }
    if (f->vector_rows > 16 || f->vector_cols > 16)
        return qbc_reader_fail(r, start, "a vector has at most 16 rows or columns");
    f->bits = log2_of(entries);
    f->high = entries - 1;
    f->table_span = QBC_SPAN_TENSOR;
    return f->bits > 0 || qbc_reader_fail(r, start, "entries are a power of two");
}

/* QTIP's 3INST: arXiv 2406.11235 */
static bool make_trellis(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->codebook = QBC_CODE_COMPUTED;
    f->high = (1 << f->bits) - 1;
    return true;
}

/* --- planes */

static bool make_planes(struct qbc_format *f, int planes, int base, int step, int low)
{
    f->codebook = QBC_CODE_PLANES;
    f->planes = planes;
    f->plane_base = base;
    f->plane_step = step;
    f->plane_low = low;
    f->high = 1;
    for (int k = 0; k < planes; ++k)
        f->high *= base;
    f->high -= 1;
    return true;
}

/* z + sum of s_k b_k, b in {0, 1}: HLQ */
static bool make_bits(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->offset = QBC_OFFSET_MIN;
    return make_planes(f, f->bits, 2, 1, 0);
}

/* z + sum of s_k b_k, b in {-1, 1}: BCQ, LUT-GEMM */
static bool make_signs(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->offset = QBC_OFFSET_MIN;
    return make_planes(f, f->bits, 2, 2, -1);
}

/* Two planes without a base: DB-LLM's dual binarization */
static bool make_dual(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->bits = 2;
    return make_planes(f, 2, 2, 1, 0);
}

/* a1 t1 + a2 t2, ternary; code 3 (t1 + 1) + t2 + 1, five of them in 16 bits: PTQTP */
static bool make_nine(struct qbc_reader *r, struct qbc_format *f)
{
    (void)r;
    f->bits = 4;
    f->digits = 5;
    f->radix_bits = 16;
    return make_planes(f, 2, 3, 1, -1);
}

enum { MOST_EACH = 8 };

/* `each`: the beginnings that the row reads, one of each width at least; tests walk them. */
static const struct {
    const char *prefix;
    int least, most; /* the number that follows; 0: none */
    bool (*make)(struct qbc_reader *r, struct qbc_format *f);
    const char *each[MOST_EACH];
} kinds[] = {
    {"trellis", 1, 4, make_trellis, {"trellis1", "trellis2", "trellis3", "trellis4"}},
    {"bitmod", 3, 4, make_bitmod, {"bitmod3", "bitmod4"}},
    {"fdb2", 0, 0, make_dual, {"fdb2"}},
    {"bcq", 1, QBC_MOST_PLANES, make_signs, {"bcq1", "bcq2", "bcq3", "bcq4"}},
    {"lut", 1, 5, make_learned, {"lut1", "lut2", "lut3", "lut4", "lut5"}},
    {"pow", 2, 6, make_power, {"pow2a0.5", "pow3a0.7", "pow4a0.5", "pow5a1", "pow6a0.3"}},
    {"iq4", 0, 0, make_iq4, {"iq4"}},
    {"bp", 1, QBC_MOST_PLANES, make_bits, {"bp1", "bp2", "bp3", "bp4"}},
    {"lm", 1, 4, make_lloyd_max, {"lm1", "lm2", "lm3", "lm4"}},
    {"nf", 2, 5, make_normal_float, {"nf2", "nf3", "nf4", "nf5"}},
    {"vq", 1, 16, make_vector, {"vq8x256", "vq2x16", "vq4x16n", "vq2x2x16"}},
    {"b1", 0, 0, make_sign, {"b1"}},
    {"l5", 0, 0, make_five, {"l5"}},
    {"p9", 0, 0, make_nine, {"p9"}},
    {"e", 1, 4, make_float, {"e2m0", "e2m1", "e3m0", "e2m2", "e2m3", "e1m4"}},
    {"i", 1, 8, make_int, {"i8", "i7", "i6", "i5", "i4", "i3", "i2"}},
    {"t", 0, 0, make_ternary, {"t2", "t1.67", "t1.6"}},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *qbc_format_kind(size_t i)
{
    for (size_t row = 0; row < N_KINDS; ++row)
        for (size_t n = 0; n < MOST_EACH && kinds[row].each[n]; ++n)
            if (i-- == 0)
                return kinds[row].each[n];
    return NULL;
}

bool qbc_parse_kind(struct qbc_reader *r, struct qbc_format *f)
{
    for (size_t i = 0; i < N_KINDS; ++i)
        if (qbc_reader_skip(r, kinds[i].prefix))
            return (!kinds[i].most || qbc_reader_number(r, "the number of bits", kinds[i].least, kinds[i].most,
                                                        &f->bits)) &&
                   kinds[i].make(r, f);
    return qbc_reader_fail(r, r->at, "no kind of codes begins like '%.*s'", (int)(r->end - r->at), r->at);
}
