/* Packing: round trips over all widths and sizes, the order of bytes against a second reading of
 * packing.h, sizes. */
#include "check.h"
#include "named.h"
#include "packing.h"

#include <stdlib.h>
#include <string.h>

static struct qbc_format format_of(int bits, int group, bool zero)
{
    struct qbc_format f = {.name = "test",
                           .bits = bits,
                           .group = group,
                           .codebook = QBC_CODE_AFFINE,
                           .bias = 1 << (bits - 1),
                           .low = bits == 8,
                           .high = (1 << bits) - 1,
                           .scale = QBC_SCALE_F16};
    if (zero)
        f.offset = QBC_OFFSET_ZERO;
    return f;
}

static void fill(struct qbc_blocks *b, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    int levels = f->high - f->low + 1;
    for (int64_t i = 0; i < b->rows * b->groups * f->group; ++i)
        b->codes[i] = (uint8_t)(f->low + (int)(check_random(seed) >> 33) % levels);
    for (int64_t i = 0; i < b->rows * b->groups; ++i) {
        b->scales[i] = (uint16_t)(check_random(seed) >> 40);
        if (b->zeros)
            b->zeros[i] = (uint8_t)(f->low + (int)(check_random(seed) >> 33) % levels);
    }
}

/* The code of (row, k) of a panel, read bit by bit as packing.h says, independently of packing.c.
 */
static int read_code(const struct qbc_format *f, struct qbc_packing p, const uint8_t *panel,
                     int64_t group_bytes, int row, int64_t k)
{
    static const int widths[] = {8, 4, 2, 1};
    const uint8_t *at = panel + k / f->group * group_bytes;
    int c = (int)(k % f->group) / p.depth, chunks = f->group / p.depth, code = 0, shift = 0;
    for (int i = 0; i < 4; ++i) {
        int w = widths[i];
        if (!(f->bits & w))
            continue;
        int v = (chunks * w + 7) / 8;
        uint8_t byte = at[c % v * p.rows * p.depth + row * p.depth + (int)(k % p.depth)];
        code |= (byte >> (w * (c / v)) & ((1 << w) - 1)) << shift;
        at += v * p.rows * p.depth;
        shift += w;
    }
    return p.is_signed ? (int8_t)code + f->bias : code;
}

static void check_order(const struct qbc_blocks *b, struct qbc_packing p, const uint8_t *packed)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    int64_t wrong = 0, size = b->groups * b->format->group;
    for (int64_t row = 0; row < b->rows; ++row) {
        const uint8_t *panel = packed + row / p.rows * l.panel_bytes;
        int in_panel = (int)(row % p.rows);
        for (int64_t k = 0; k < size; ++k)
            wrong += read_code(b->format, p, panel, l.group_bytes, in_panel, k) !=
                     b->codes[row * size + k];
        for (int64_t g = 0; g < b->groups; ++g) {
            const uint8_t *group = panel + g * l.group_bytes;
            uint16_t scale;
            memcpy(&scale, group + l.scales_offset + 2 * in_panel, 2);
            wrong += scale != b->scales[row * b->groups + g];
            if (b->zeros)
                wrong += group[l.zeros_offset + in_panel] != b->zeros[row * b->groups + g];
        }
    }
    CHECK(!wrong, "%ld codes, scales or zeros are not where packing.h says", (long)wrong);
}

/* The last panel's padding, and nothing outside the tensor is touched. */
static void check_padding(const struct qbc_blocks *b, struct qbc_packing p, const uint8_t *packed)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    const uint8_t *panel = packed + (l.panels - 1) * l.panel_bytes;
    struct qbc_packing raw = {p.rows, p.depth, false};
    int wrong = 0;
    for (int row = (int)(b->rows - (l.panels - 1) * p.rows); row < p.rows; ++row)
        for (int64_t g = 0; g < l.groups; ++g) {
            const uint8_t *scale = panel + g * l.group_bytes + l.scales_offset + 2 * row;
            CHECK(!scale[0] && !scale[1], "padding row %d has a scale", row);
            for (int64_t k = g * b->format->group; k < (g + 1) * b->format->group; ++k)
                wrong += read_code(b->format, raw, panel, l.group_bytes, row, k) != 0;
        }
    CHECK(!wrong, "%d bytes of padding rows are not 0", wrong);
    CHECK(packed[l.bytes] == 0xa5, "a byte after the tensor was written");
}

static bool same_blocks(const struct qbc_blocks *a, const struct qbc_blocks *b)
{
    size_t groups = (size_t)(a->rows * a->groups);
    return !memcmp(a->codes, b->codes, groups * (size_t)a->format->group) &&
           !memcmp(a->scales, b->scales, groups * 2) &&
           (!a->zeros || !memcmp(a->zeros, b->zeros, groups));
}

static void round_trip(const struct qbc_format *f, struct qbc_packing p, int64_t rows, int64_t cols)
{
    struct qbc_blocks b, back;
    struct qbc_layout l = qbc_layout(f, p, rows, cols);
    uint64_t seed = (uint64_t)(rows * 1000 + cols);
    uint8_t *packed = malloc((size_t)l.bytes + 1);
    CHECK(packed && qbc_blocks_create(&b, f, rows, cols) && qbc_blocks_create(&back, f, rows, cols),
          "memory");
    fill(&b, &seed);
    memset(packed, 0xa5, (size_t)l.bytes + 1); /* pack must write every byte */
    int64_t first = (l.panels / 2) * p.rows;   /* in two pieces, as the emitter does */
    if (first)
        qbc_pack(&b, p, 0, first, packed);
    qbc_pack(&b, p, first, rows - first, packed + first / p.rows * l.panel_bytes);
    check_order(&b, p, packed);
    check_padding(&b, p, packed);
    qbc_unpack(&back, p, packed);
    CHECK(same_blocks(&b, &back), "%d bits, group %d, %d x %d, %ld x %ld do not come back", f->bits,
          f->group, p.rows, p.depth, (long)rows, (long)cols);
    qbc_blocks_destroy(&b);
    qbc_blocks_destroy(&back);
    free(packed);
}

static void all_codes(void)
{
    static const int panels[] = {1, 8, 16, 32}, depths[] = {1, 4}, groups[] = {32, 128, 20};
    static const int64_t sizes[][2] = {{1, 1},    {7, 33},   {8, 32},  {32, 128},
                                       {33, 172}, {65, 344}, {3, 1000}};
    for (int bits = 1; bits <= 8; ++bits)
        for (int i = 0; i < 4 * 2 * 3 * 7 * 2; ++i) {
            struct qbc_packing p = {panels[i % 4], depths[i / 4 % 2], false};
            struct qbc_format f = format_of(bits, groups[i / 8 % 3], i / 168 % 2);
            const int64_t *size = sizes[i / 24 % 7];
            round_trip(&f, p, size[0], size[1]);
            p.is_signed = bits == 8 && !f.offset;
            if (p.is_signed)
                round_trip(&f, p, size[0], size[1]);
        }
}

static void layout_of(int bits, int group, int rows, int depth, const struct qbc_layout *want)
{
    struct qbc_format f = format_of(bits, group, false);
    struct qbc_layout l =
        qbc_layout(&f, (struct qbc_packing){rows, depth, false}, 2 * rows, 3 * group);
    CHECK(l.n_fields == want->n_fields && l.chunks == want->chunks &&
              l.scales_offset == want->scales_offset && l.group_bytes == want->group_bytes,
          "%d bits: %d fields, %d chunks, scales at %d, %d bytes", bits, l.n_fields, l.chunks,
          l.scales_offset, l.group_bytes);
    for (int i = 0; i < want->n_fields; ++i)
        CHECK(!memcmp(&l.field[i], &want->field[i], sizeof l.field[i]), "%d bits: field %d", bits,
              i);
}

static void known_layouts(void)
{
    layout_of(4, 32, 8, 4,
              &(struct qbc_layout){.n_fields = 1,
                                   .field = {{4, 0, 4, 0}},
                                   .chunks = 8,
                                   .scales_offset = 128,
                                   .group_bytes = 144});
    layout_of(5, 32, 8, 4,
              &(struct qbc_layout){.n_fields = 2,
                                   .field = {{4, 0, 4, 0}, {1, 4, 1, 128}},
                                   .chunks = 8,
                                   .scales_offset = 160,
                                   .group_bytes = 176});
    layout_of(7, 32, 16, 1,
              &(struct qbc_layout){.n_fields = 3,
                                   .field = {{4, 0, 16, 0}, {2, 4, 8, 256}, {1, 6, 4, 384}},
                                   .chunks = 32,
                                   .scales_offset = 448,
                                   .group_bytes = 480});
    layout_of(8, 32, 1, 4,
              &(struct qbc_layout){.n_fields = 1,
                                   .field = {{8, 0, 8, 0}},
                                   .chunks = 8,
                                   .scales_offset = 32,
                                   .group_bytes = 34});
}

/* Packing adds nothing but the rows that fill the last panel. */
static void sizes_add_up(void)
{
    static const int panels[] = {1, 8, 16, 32};
    static const char *const names[] = {"f32", "f16", "i8g32", "i4g32", "i4g128z", "i3g64", "i2g128z", NULL};
    for (size_t i = 0; names[i]; ++i)
        for (int j = 0; j < 4; ++j) {
            const struct qbc_format *f = named(names[i]);
            int depth = f->codebook == QBC_CODE_FLOAT ? 1 : 4;
            struct qbc_packing p = {panels[j], depth, false};
            int64_t full = qbc_layout(f, p, 96, 1000).bytes,
                    tail = qbc_layout(f, p, 97, 1000).bytes;
            CHECK(full == qbc_format_bytes(f, 96, 1000), "%s by %d: %ld bytes", f->name, p.rows,
                  (long)full);
            CHECK(tail == qbc_format_bytes(f, 96 + p.rows, 1000), "%s by %d: tail", f->name,
                  p.rows);
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
    CHECK(packed && qbc_blocks_create(&b, f, rows, cols) && qbc_blocks_create(&back, f, rows, cols),
          "memory");
    for (int64_t i = 0; i < rows * cols * size; ++i)
        ((uint8_t *)b.values)[i] = (uint8_t)(check_random(&seed) >> 30);
    memset(packed, 0xa5, (size_t)l.bytes);
    qbc_pack(&b, p, 0, rows, packed);
    int64_t wrong = 0;
    for (int64_t row = 0; row < l.panels * panel; ++row)
        for (int64_t k = 0; k < cols; ++k) {
            const uint8_t *have =
                packed + row / panel * l.panel_bytes + (k * panel + row % panel) * size;
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
