/* Packing: round trips over all formats and sizes, the order of bytes against a second reading of packing.h, sizes. */
#include "check.h"
#include "named.h"
#include "packing.h"

#include <stdlib.h>
#include <string.h>

/* --- blocks of random stored numbers */

static uint8_t random_below(uint64_t *seed, int n)
{
    return (uint8_t)((check_random(seed) >> 33) % (uint64_t)n);
}

static void fill_bytes(void *at, size_t n, int below, uint64_t *seed)
{
    for (size_t i = 0; at && i < n; ++i)
        ((uint8_t *)at)[i] = random_below(seed, below);
}

static int scale_bits(enum qbc_scale type)
{
    static const int bits[] = {0, 16, 16, 32, 8, 8, 4, 6, 8, 6, 8};
    return bits[type];
}

/* Scales of less than 16 bits are in words, whose high byte is 0. */
static void fill_words(uint16_t *at, size_t n, enum qbc_scale type, uint64_t *seed)
{
    int bits = scale_bits(type);
    for (size_t i = 0; at && i < n * (bits == 32 ? 2 : 1); ++i)
        at[i] = (uint16_t)(check_random(seed) >> 40 & (bits < 16 ? (1u << bits) - 1 : 0xffff));
}

struct counts {
    size_t codes, groups, outers, tables;
};

/* How much of each there is; an independent count. */
static struct counts count(const struct qbc_blocks *b)
{
    const struct qbc_format *f = b->format;
    int64_t down = f->vector_rows > 1 ? f->vector_rows : 1, across = f->vector_cols > 1 ? f->vector_cols : 1;
    int64_t row_groups = f->group_rows > 1 ? (b->rows + f->group_rows - 1) / f->group_rows : b->rows;
    int64_t width = b->groups * f->group, entry = f->codebook == QBC_CODE_VECTOR ? down * across : 1;
    int64_t spans[] = {row_groups * b->groups, f->block ? b->rows * width / f->block : 0, b->rows, 1};
    struct counts n = {(size_t)((b->rows + down - 1) / down * (width / across)), (size_t)(row_groups * b->groups), 0, 0};
    n.outers = f->outer ? (size_t)spans[f->outer_span] : 0;
    n.tables = b->tables ? (size_t)(spans[f->table_span] * entry) << f->bits : 0;
    return n;
}

static void fill(struct qbc_blocks *b, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    struct counts n = count(b);
    size_t planes = f->codebook == QBC_CODE_PLANES ? (size_t)f->planes : 1;
    for (size_t i = 0; i < n.codes; ++i)
        b->codes[i] = (uint8_t)(f->low + random_below(seed, f->high - f->low + 1));
    fill_words(b->scales, n.groups * planes, f->scale, seed);
    fill_words(b->mins, n.groups, f->scale, seed);
    fill_words(b->outer, n.outers, f->outer, seed);
    fill_words(b->outer_mins, n.outers, f->outer, seed);
    fill_words(b->tables, n.tables, QBC_SCALE_F16, seed);
    fill_bytes(b->selectors, n.groups, 1 << f->selector_bits, seed);
    fill_bytes(b->zeros, f->scale ? n.groups : n.outers, f->high + 1, seed);
    b->floor = f->floor ? 0.25f : 0;
}

static bool same(const void *a, const void *b, size_t bytes)
{
    return !a || !memcmp(a, b, bytes);
}

static size_t words(enum qbc_scale type)
{
    return scale_bits(type) == 32 ? 4 : 2;
}

static bool same_blocks(const struct qbc_blocks *a, const struct qbc_blocks *b)
{
    const struct qbc_format *f = a->format;
    struct counts n = count(a);
    size_t planes = f->codebook == QBC_CODE_PLANES ? (size_t)f->planes : 1;
    return same(a->codes, b->codes, n.codes) && same(a->scales, b->scales, n.groups * planes * words(f->scale)) &&
           same(a->mins, b->mins, n.groups * words(f->scale)) && same(a->selectors, b->selectors, n.groups) &&
           same(a->zeros, b->zeros, f->scale ? n.groups : n.outers) && same(a->outer, b->outer, n.outers * words(f->outer)) &&
           same(a->outer_mins, b->outer_mins, n.outers * words(f->outer)) && same(a->tables, b->tables, n.tables * 2) &&
           a->floor == b->floor;
}

/* --- packing.h, read independently of packing.c */

/* Chunk `c` of so many, of `bits` bits, at byte `byte` of vectors of `size` bytes. */
static int read_chunk(const uint8_t *at, int c, int chunks, int bits, int size, int byte)
{
    int code = 0;
    for (int shift = 0; shift < bits;) {
        int w = 8;
        while (w > bits - shift)
            w /= 2;
        int v = (chunks * w + 7) / 8;
        code |= (at[c % v * size + byte] >> (w * (c / v)) & ((1 << w) - 1)) << shift;
        at += v * size;
        shift += w;
    }
    return code;
}

/* Digit n of a fraction of so many bits. */
static int read_digit(int64_t fraction, int bits, int base, int n)
{
    fraction *= base;
    return n ? read_digit(fraction & ((1 << bits) - 1), bits, base, n - 1) : (int)(fraction >> bits);
}

/* The code of (row, k) of a panel; k counts codes. */
static int read_code(const struct qbc_format *f, const struct qbc_layout *l, struct qbc_packing p, const uint8_t *panel, int row,
                     int64_t k)
{
    int across = f->vector_cols > 1 ? f->vector_cols : 1, down = f->vector_rows > 1 ? f->vector_rows : 1;
    int per_span = l->span / across, size = p.rows * p.depth / down, chunks = per_span / p.depth;
    int64_t span = k / per_span;
    const uint8_t *at = panel + span / l->spans * l->unit_bytes + span % l->spans * l->span_bytes;
    int i = (int)(k % per_span), c = i / p.depth, byte = row / down * p.depth + i % p.depth;
    if (!f->digits) {
        int code = read_chunk(at, c, chunks, f->bits, size, byte);
        return p.is_signed ? (int8_t)code + f->bias : code;
    }
    int numbers = (chunks + f->digits - 1) / f->digits, parts = qbc_number_parts(f), bits = f->radix_bits / parts, code = 0;
    int64_t number = read_chunk(at, c % numbers, numbers, f->radix_bits, size, byte);
    for (int part = 0, place = 1; part < parts; ++part, place *= qbc_number_base(f))
        code += place * read_digit(number >> part * bits & ((1 << bits) - 1), bits, qbc_number_base(f), c / numbers);
    return code;
}

static void check_order(const struct qbc_blocks *b, struct qbc_packing p, const uint8_t *packed)
{
    const struct qbc_format *f = b->format;
    struct qbc_layout l = qbc_layout(f, p, b->rows, b->cols);
    int across = f->vector_cols > 1 ? f->vector_cols : 1, down = f->vector_rows > 1 ? f->vector_rows : 1;
    int64_t wrong = 0, width = b->groups * f->group / across;
    for (int64_t row = 0; row < b->rows; row += down)
        for (int64_t k = 0; k < width; ++k)
            wrong += read_code(f, &l, p, packed + row / p.rows * l.panel_bytes, (int)(row % p.rows), k) !=
                     b->codes[row / down * width + k];
    CHECK(!wrong, "%s: %ld codes are not where packing.h says", f->name, (long)wrong);
    if (f->scale != QBC_SCALE_F16 || f->group_rows > 1 || f->codebook == QBC_CODE_PLANES)
        return;
    for (int64_t row = 0; row < b->rows; ++row)
        for (int64_t g = 0; g < b->groups; ++g) {
            const uint8_t *unit = packed + row / p.rows * l.panel_bytes + g / l.groups * l.unit_bytes;
            wrong += memcmp(unit + l.scales.offset + 2 * (g % l.groups * p.rows + row % p.rows),
                            &b->scales[row * b->groups + g], 2) != 0;
        }
    CHECK(!wrong, "%s: %ld scales are not where packing.h says", f->name, (long)wrong);
}

/* Bytes of the last panel's padding rows: those of the first bytes of each vector, at least. */
static void check_padding(const struct qbc_blocks *b, struct qbc_packing p, const uint8_t *packed)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    const uint8_t *panel = packed + (l.panels - 1) * l.panel_bytes;
    struct qbc_packing raw = {p.rows, p.depth, false};
    int wrong = 0, across = b->format->vector_cols > 1 ? b->format->vector_cols : 1;
    int down = b->format->vector_rows > 1 ? b->format->vector_rows : 1;
    for (int row = (int)(b->rows - (l.panels - 1) * p.rows + down - 1) / down * down; row < p.rows; ++row)
        for (int64_t k = 0; k < b->groups * b->format->group / across; ++k)
            wrong += read_code(b->format, &l, raw, panel, row, k) != 0;
    CHECK(!wrong, "%s: %d codes of padding rows are not 0", b->format->name, wrong);
    CHECK(packed[l.bytes] == 0xa5, "%s: a byte after the tensor was written", b->format->name);
}

static void round_trip(const struct qbc_format *f, struct qbc_packing p, int64_t rows, int64_t cols)
{
    struct qbc_blocks b, back;
    struct qbc_layout l = qbc_layout(f, p, rows, cols);
    uint64_t seed = (uint64_t)(rows * 1000 + cols);
    uint8_t *packed = malloc((size_t)l.bytes + 1);
    CHECK(packed && qbc_blocks_create(&b, f, rows, cols) && qbc_blocks_create(&back, f, rows, cols), "memory");
    fill(&b, &seed);
    memset(packed, 0xa5, (size_t)l.bytes + 1); /* pack must write every byte */
    int64_t first = (l.panels / 2) * p.rows;   /* in two pieces, as the emitter does */
    if (first)
        qbc_pack(&b, p, 0, first, packed);
    qbc_pack(&b, p, first, rows - first, packed + first / p.rows * l.panel_bytes);
    qbc_pack_tail(&b, p, packed + l.tail_offset);
    check_order(&b, p, packed);
    check_padding(&b, p, packed);
    qbc_unpack(&back, p, packed);
    CHECK(same_blocks(&b, &back), "%s, %d x %d, %ld x %ld does not come back", f->name, p.rows, p.depth, (long)rows,
          (long)cols);
    qbc_blocks_destroy(&b);
    qbc_blocks_destroy(&back);
    free(packed);
}

static bool goes_with(const struct qbc_format *f, struct qbc_packing p)
{
    int unit = f->block ? f->block : f->group;
    return (p.depth == 1 || (f->codebook != QBC_CODE_VECTOR && f->group % p.depth == 0 && unit % p.depth == 0)) &&
           (f->vector_rows < 2 || p.rows % f->vector_rows == 0) && (f->group_rows < 2 || f->group_rows % p.rows == 0);
}

static void all_codes(void)
{
    static const struct qbc_packing packings[] = {{8, 1, false}, {16, 4, false}, {64, 1, false}, {8, 8, false}, {16, 16, false}};
    static const int64_t sizes[][2] = {{1, 1}, {7, 33}, {8, 32}, {33, 172}, {65, 344}, {3, 1000}};
    static const char *const more[] = {"i1g32", "i3g20z", "i8g128", "i7g96", "t1.67g96", "t1.6row", "i5tensor", "i4g32m.u8row",
                                       "i4g16.f32", "nf5g24.bf16", "i4rowz", "lut2g64", "lut3tensor", "vq4x16n", "vq2x2x16row",
                                       "bp4g32", "i2g512", "nf4g64.u8x16o", NULL};
    struct qbc_format f;
    for (size_t i = 0; qbc_format_example(i) || more[0]; ++i) {
        const char *name = qbc_format_example(i);
        size_t examples = 0;
        while (qbc_format_example(examples))
            ++examples;
        if (!name && !(name = more[i - examples]))
            break;
        if (!qbc_format_parse(name, &f, NULL) || f.codebook == QBC_CODE_FLOAT || f.codebook >= QBC_CODE_SUM)
            continue;
        for (size_t j = 0; j < 5 * 6; ++j) {
            struct qbc_packing p = packings[j % 5];
            if (goes_with(&f, p))
                round_trip(&f, p, sizes[j / 5][0], sizes[j / 5][1]);
            p.is_signed = f.codebook == QBC_CODE_AFFINE && f.bits == 8 && f.offset == QBC_OFFSET_NONE;
            if (p.is_signed && goes_with(&f, p))
                round_trip(&f, p, sizes[j / 5][0], sizes[j / 5][1]);
        }
    }
}

/* --- sizes */

static void layout_of(const char *name, int rows, int depth, const struct qbc_layout *want)
{
    const struct qbc_format *f = named(name);
    struct qbc_layout l = qbc_layout(f, (struct qbc_packing){rows, depth, false}, 2 * rows, 1024);
    CHECK(l.codes.n == want->codes.n && l.chunks == want->chunks && l.scales.offset == want->scales.offset &&
              l.unit_bytes == want->unit_bytes && l.span == want->span,
          "%s: %d fields, %d chunks, spans of %d, scales at %d, %d bytes", name, l.codes.n, l.chunks, l.span, l.scales.offset,
          l.unit_bytes);
    for (int i = 0; i < want->codes.n; ++i)
        CHECK(!memcmp(&l.codes.field[i], &want->codes.field[i], sizeof l.codes.field[i]), "%s: field %d", name, i);
}

static void known_layouts(void)
{
    layout_of("i4g32", 8, 4,
              &(struct qbc_layout){.codes = {.n = 1, .field = {{4, 0, 4, 0}}}, .chunks = 8, .span = 32,
                                   .scales = {.offset = 128}, .unit_bytes = 144});
    layout_of("i5g32", 8, 4,
              &(struct qbc_layout){.codes = {.n = 2, .field = {{4, 0, 4, 0}, {1, 4, 1, 128}}}, .chunks = 8, .span = 32,
                                   .scales = {.offset = 160}, .unit_bytes = 176});
    layout_of("i7g32", 16, 1,
              &(struct qbc_layout){.codes = {.n = 3, .field = {{4, 0, 16, 0}, {2, 4, 8, 256}, {1, 6, 4, 384}}}, .chunks = 32,
                                   .span = 32, .scales = {.offset = 448}, .unit_bytes = 480});
    /* eight spans of 128 bytes, eight scales and minima of 6 bits, two f16, for eight rows */
    layout_of("q4_k", 8, 4,
              &(struct qbc_layout){.codes = {.n = 1, .field = {{4, 0, 4, 0}}}, .chunks = 8, .span = 32,
                                   .scales = {.offset = 1024}, .unit_bytes = 1024 + 48 + 48 + 32});
    /* numbers of five digits in 8 bits for all of 160 columns */
    layout_of("t1.6g160", 8, 4,
              &(struct qbc_layout){.codes = {.n = 1, .field = {{8, 0, 8, 0}}}, .chunks = 40, .span = 160,
                                   .scales = {.offset = 256}, .unit_bytes = 272});
}

/* Packing adds nothing but the rows that fill the last panel, and what the tensor shares starts at 64 bytes. */
static void sizes_add_up(void)
{
    static const int panels[] = {8, 16, 32};
    static const char *const names[] = {"f32",  "f16",  "i8g32", "i4g32",  "i4g128z", "i3g64", "i2g128z", "q2_k",     "q3_k", "q4_k",
                                        "q5_k", "q6_k", "iq4_xs", "mxfp4", "bp2g64",  "i4row", "bitmod3g128", "t1.6g160", "p9g160",
                                        "l5g96", NULL};
    for (size_t i = 0; names[i]; ++i)
        for (int j = 0; j < 3; ++j) {
            const struct qbc_format *f = named(names[i]);
            struct qbc_packing p = {panels[j], f->codebook == QBC_CODE_FLOAT ? 1 : 4, false};
            int64_t full = qbc_layout(f, p, 96, 1000).bytes, tail = qbc_layout(f, p, 97, 1000).bytes;
            CHECK(full == qbc_format_bytes(f, 96, 1000), "%s by %d: %ld bytes, not %ld", f->name, p.rows, (long)full,
                  (long)qbc_format_bytes(f, 96, 1000));
            CHECK(tail == qbc_format_bytes(f, 96 + p.rows, 1000), "%s by %d: tail", f->name, p.rows);
        }
}

static void floats(const char *name, int panel, int64_t rows, int64_t cols)
{
    const struct qbc_format *f = named(name);
    struct qbc_packing p = {panel, 1, false};
    struct qbc_layout l = qbc_layout(f, p, rows, cols);
    struct qbc_blocks b, back;
    uint8_t *packed = malloc((size_t)l.bytes);
    int size = f->bits / 8;
    uint64_t seed = 3;
    CHECK(packed && qbc_blocks_create(&b, f, rows, cols) && qbc_blocks_create(&back, f, rows, cols), "memory");
    fill_bytes(b.values, (size_t)(rows * cols * size), 256, &seed);
    memset(packed, 0xa5, (size_t)l.bytes);
    qbc_pack(&b, p, 0, rows, packed);
    int64_t wrong = 0;
    for (int64_t row = 0; row < l.panels * panel; ++row)
        for (int64_t k = 0; k < cols; ++k) {
            const uint8_t *have = packed + row / panel * l.panel_bytes + (k * panel + row % panel) * size;
            const uint8_t *want = (const uint8_t *)b.values + (row * cols + k) * size;
            wrong += memcmp(have, row < rows ? want : (const uint8_t *)"\0\0\0", (size_t)size) != 0;
        }
    CHECK(!wrong, "%s by %d: %ld values are not k-major", name, panel, (long)wrong);
    qbc_unpack(&back, p, packed);
    CHECK(!memcmp(b.values, back.values, (size_t)(rows * cols * size)), "%s by %d", name, panel);
    qbc_blocks_destroy(&b);
    qbc_blocks_destroy(&back);
    free(packed);
}

int main(void)
{
    all_codes();
    known_layouts();
    sizes_add_up();
    floats("f32", 16, 33, 7);
    floats("f32", 1, 1, 100);
    floats("f16", 8, 24, 5);
    floats("f16", 32, 3, 64);
    return check_failures() != 0;
}
