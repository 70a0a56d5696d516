/* ggml's formats: the bytes that llama.cpp's quantizer wrote mean the same floats here, to the last bit.
 *
 * test/unit/inputs/gguf has, for each, 512 weights as ggml_quantize_chunk stored them (NAME.bin), and what its dequantizer makes of
 * them (NAME.f32; the gguf package from PyPI gives the same). Below is a second reading of ggml's block layouts: it takes the
 * codes and scales out of the bytes; decoding them is ours.
 */
#include "named.h"

#include <string.h>

enum { COLUMNS = 512, SUPER = 256 };

struct reader {
    struct qbc_blocks *b;
    const uint8_t *at;
};

static uint16_t half(struct reader *r)
{
    uint16_t bits;
    memcpy(&bits, r->at, 2);
    r->at += 2;
    return bits;
}

/* Two nibbles a byte, 16 columns apart. */
static void nibbles(struct reader *r, uint8_t *codes)
{
    for (int i = 0; i < 16; ++i, ++r->at) {
        codes[i] = *r->at & 15;
        codes[16 + i] = *r->at >> 4;
    }
}

static void fifth_bits(struct reader *r, uint32_t high, uint8_t *codes)
{
    nibbles(r, codes);
    for (int i = 0; i < 32; ++i)
        codes[i] |= (uint8_t)((high >> i & 1) << 4);
}

/* Groups of 32 with a scale of their own. */
static void read_simple(struct reader *r, const char *name, int64_t group)
{
    uint8_t *codes = r->b->codes + group * 32;
    uint32_t high;
    bool five = name[1] == '5', min = name[3] == '1';
    r->b->scales[group] = strcmp(name, "mxfp4") ? half(r) : *r->at++;
    if (min)
        r->b->mins[group] = half(r);
    if (!strcmp(name, "q8_0")) {
        for (int i = 0; i < 32; ++i)
            codes[i] = (uint8_t)(*r->at++ + 128);
    } else if (five) {
        memcpy(&high, r->at, 4);
        r->at += 4;
        fifth_bits(r, high, codes);
    } else {
        nibbles(r, codes);
    }
}

static void read_q2_k(struct reader *r, int64_t block)
{
    uint8_t *codes = r->b->codes + block * SUPER;
    for (int i = 0; i < 16; ++i) {
        r->b->scales[block * 16 + i] = r->at[i] & 15;
        r->b->mins[block * 16 + i] = r->at[i] >> 4;
    }
    for (int i = 0; i < SUPER; ++i)
        codes[i] = r->at[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
    r->at += 80;
    r->b->outer[block] = half(r);
    r->b->outer_mins[block] = half(r);
}

static void read_q3_k(struct reader *r, int64_t block)
{
    uint8_t *codes = r->b->codes + block * SUPER;
    const uint8_t *mask = r->at, *low = r->at + 32, *scales = r->at + 96;
    for (int i = 0; i < SUPER; ++i) {
        int turn = i / 32;
        codes[i] = (uint8_t)((low[i / 128 * 32 + i % 32] >> (2 * (turn % 4)) & 3) | (mask[i % 32] >> turn & 1) << 2);
    }
    for (int i = 0; i < 16; ++i)
        r->b->scales[block * 16 + i] =
            (uint16_t)((scales[i % 8] >> (i / 8 * 4) & 15) | (scales[8 + i % 4] >> (2 * (i / 4)) & 3) << 4);
    r->at += 108;
    r->b->outer[block] = half(r);
}

/* Eight scales and eight minima of 6 bits in 12 bytes. */
static void read_scales(struct reader *r, int64_t block)
{
    const uint8_t *s = r->at;
    for (int j = 0; j < 8; ++j) {
        r->b->scales[block * 8 + j] = j < 4 ? s[j] & 63 : (uint16_t)((s[j + 4] & 15) | s[j - 4] >> 6 << 4);
        r->b->mins[block * 8 + j] = j < 4 ? s[j + 4] & 63 : (uint16_t)(s[j + 4] >> 4 | s[j] >> 6 << 4);
    }
    r->at += 12;
}

static void read_q45_k(struct reader *r, int64_t block, bool five)
{
    uint8_t *codes = r->b->codes + block * SUPER;
    r->b->outer[block] = half(r);
    r->b->outer_mins[block] = half(r);
    read_scales(r, block);
    const uint8_t *high = r->at, *low = r->at + (five ? 32 : 0);
    for (int i = 0; i < SUPER; ++i) {
        codes[i] = low[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15;
        if (five)
            codes[i] |= (uint8_t)((high[i % 32] >> (i / 32) & 1) << 4);
    }
    r->at = low + 128;
}

static void read_q6_k(struct reader *r, int64_t block)
{
    uint8_t *codes = r->b->codes + block * SUPER;
    const uint8_t *low = r->at, *high = r->at + 128;
    for (int i = 0; i < SUPER; ++i) {
        int half_block = i / 128, turn = i % 128 / 32, l = i % 32;
        int four = low[half_block * 64 + turn % 2 * 32 + l] >> (turn / 2 * 4) & 15;
        codes[i] = (uint8_t)(four | (high[half_block * 32 + l] >> (2 * turn) & 3) << 4);
    }
    for (int i = 0; i < 16; ++i)
        r->b->scales[block * 16 + i] = r->at[192 + i];
    r->at += 208;
    r->b->outer[block] = half(r);
}

static void read_iq4_xs(struct reader *r, int64_t block)
{
    r->b->outer[block] = half(r);
    uint16_t high = half(r);
    for (int i = 0; i < 8; ++i)
        r->b->scales[block * 8 + i] = (uint16_t)((r->at[i / 2] >> (i % 2 * 4) & 15) | (high >> (2 * i) & 3) << 4);
    r->at += 4;
    for (int i = 0; i < 8; ++i)
        nibbles(r, r->b->codes + block * SUPER + 32 * i);
}

static void read_super(struct reader *r, const char *name, int64_t block)
{
    if (!strcmp(name, "iq4_xs"))
        read_iq4_xs(r, block);
    else if (name[1] == '2')
        read_q2_k(r, block);
    else if (name[1] == '3')
        read_q3_k(r, block);
    else if (name[1] == '6')
        read_q6_k(r, block);
    else
        read_q45_k(r, block, name[1] == '5');
}

static size_t load(const char *name, const char *ending, void *to, size_t most)
{
    char path[128];
    snprintf(path, sizeof path, "test/unit/inputs/gguf/%s.%s", name, ending);
    FILE *file = fopen(path, "rb");
    CHECK(file, "%s is missing", path);
    size_t n = file ? fread(to, 1, most, file) : 0;
    if (file)
        fclose(file);
    return n;
}

static void check(const char *name)
{
    static uint8_t bytes[4096];
    static float want[COLUMNS], got[COLUMNS];
    const struct qbc_format *f = named(name);
    struct qbc_blocks b;
    size_t n = load(name, "bin", bytes, sizeof bytes);
    REQUIRE(load(name, "f32", want, sizeof want) == sizeof want);
    CHECK((int64_t)n == qbc_format_bytes(f, 1, COLUMNS), "%s: %zu bytes there, %ld by our count", name, n,
          (long)qbc_format_bytes(f, 1, COLUMNS));
    REQUIRE(qbc_blocks_create(&b, f, 1, COLUMNS));
    struct reader r = {&b, bytes};
    for (int64_t i = 0; i < (f->block ? COLUMNS / SUPER : COLUMNS / 32); ++i)
        if (f->block)
            read_super(&r, name, i);
        else
            read_simple(&r, name, i);
    CHECK(r.at == bytes + n, "%s: %ld bytes were read of %zu", name, (long)(r.at - bytes), n);
    qbc_format_decode(&b, got);
    int wrong = 0;
    for (int i = 0; i < COLUMNS; ++i)
        if (memcmp(&got[i], &want[i], 4) && !(got[i] == 0 && want[i] == 0) && !wrong++)
            CHECK(false, "%s: weight %d is %a, not %a", name, i, (double)got[i], (double)want[i]);
    qbc_blocks_destroy(&b);
}

int main(void)
{
    static const char *const names[] = {"q8_0", "q4_0", "q4_1", "q5_0",   "q5_1",   "q2_k", "q3_k",
                                        "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        check(names[i]);
    return check_failures() != 0;
}
