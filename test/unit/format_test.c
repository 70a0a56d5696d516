/* Formats: look-up, sizes, halves, decode against bytes made by hand, and a lint of the table. */
#include "check.h"
#include "named.h"
#include "format.h"
#include "half.h"

#include <math.h>
#include <string.h>

static void look_up(void)
{
    for (size_t i = 0; qbc_format_at(i); ++i)
        CHECK(qbc_format_find(qbc_format_at(i)->name) == qbc_format_at(i), "row %zu", i);
    CHECK(!qbc_format_find("i4g33") && !qbc_format_find(""), "found what is not there");
    for (size_t i = 0; qbc_format_example(i); ++i)
        CHECK(!strcmp(named(qbc_format_example(i))->name, qbc_format_example(i)), "%s is printed as %s",
              qbc_format_example(i), named(qbc_format_example(i))->name);
}

static void size_of(const char *name, int64_t rows, int64_t cols, int64_t bytes, double bits)
{
    const struct qbc_format *f = named(name);
    CHECK(qbc_format_bytes(f, rows, cols) == bytes, "%s %ld x %ld: %ld bytes, not %ld", name,
          (long)rows, (long)cols, (long)qbc_format_bytes(f, rows, cols), (long)bytes);
    CHECK(fabs(qbc_format_bits(f) - bits) < 1e-12, "%s: %g bits", name, qbc_format_bits(f));
}

static void sizes(void)
{
    size_of("f32", 3, 5, 60, 32);
    size_of("f16", 3, 5, 30, 16);
    size_of("bf16", 3, 5, 30, 16);
    size_of("i8g32", 1, 32, 34, 8.5);
    size_of("i8g32", 2, 33, 4 * 34, 8.5);
    size_of("i4g32", 1, 32, 18, 4.5);
    size_of("i4g32", 7, 344, 7 * 11 * 18, 4.5);
    size_of("i4g128z", 1, 128, 67, 4.1875);
    size_of("i4g128z", 5, 1000, 5 * 8 * 67, 4.1875);
    /* beyond 32 bits: an embedding of 262144 x 16384 */
    size_of("f32", 262144, 16384, INT64_C(1) << 34, 32);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float value_of_half(int half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return (float)(half & 0x8000 ? -magnitude : magnitude);
}

static void halves(void)
{
    for (int h = 0; h < 1 << 16; ++h) {
        float value = qbc_half_to_float((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00)
            CHECK(isnan(value) && (qbc_float_to_half(value) & 0x7e00) == 0x7e00, "%#x", h);
        else
            CHECK(qbc_float_to_half(value) == h, "%#x becomes %#x", h, qbc_float_to_half(value));
        if ((h & 0x7fff) < 0x7c00)
            CHECK(bits_of(value) == bits_of(value_of_half(h)), "%#x is %g", h, (double)value);
        /* half way to the next half: the even one; a little more or less: the nearer one */
        if ((h & 0x7fff) >= 0x7bff)
            continue;
        float middle = (value + qbc_half_to_float((uint16_t)(h + 1))) / 2;
        float far = h & 0x8000 ? -INFINITY : INFINITY;
        CHECK(qbc_float_to_half(middle) == h + (h & 1), "middle above %#x", h);
        CHECK(qbc_float_to_half(nextafterf(middle, far)) == h + 1, "above the middle of %#x", h);
        CHECK(qbc_float_to_half(nextafterf(middle, 0)) == h, "below the middle of %#x", h);
    }
    CHECK(qbc_float_to_half(65519.996f) == 0x7bff, "largest that does not overflow");
    CHECK(qbc_float_to_half(65520.0f) == 0x7c00, "65520 overflows");
    CHECK(qbc_float_to_half(-INFINITY) == 0xfc00, "-infinity");
    CHECK(qbc_float_to_half(1e-40f) == 0 && qbc_float_to_half(-1e-40f) == 0x8000, "underflow");
}

/* The loops over many numbers are compiled differently; they must agree. */
static void many_halves(void)
{
    enum { N = 1003 };
    static float floats[N], back[N];
    static uint16_t many[N];
    uint64_t seed = 7;
    for (int i = 0; i < N; ++i) {
        uint32_t bits = (uint32_t)check_random(&seed);
        memcpy(&floats[i], &bits, sizeof bits);
        if (i & 1) /* most patterns overflow or underflow: keep half of them near 1 */
            floats[i] = ldexpf(check_normal(&seed), (int)(bits % 40) - 25);
    }
    qbc_floats_to_halves(N, floats, many);
    qbc_halves_to_floats(N, many, back);
    for (int i = 0; i < N; ++i) {
        CHECK(many[i] == qbc_float_to_half(floats[i]), "%d: %g", i, (double)floats[i]);
        CHECK(bits_of(back[i]) == bits_of(qbc_half_to_float(many[i])), "%d: %#x", i, many[i]);
    }
}

static void decode_symmetric(const char *name, int bias)
{
    struct qbc_blocks b;
    const struct qbc_format *f = named(name);
    CHECK(qbc_blocks_create(&b, f, 2, 34), "memory"); /* a full group and one of 2 columns */
    CHECK(b.groups == 2, "%ld groups", (long)b.groups);
    b.scales[0] = 0x3800; /* 0.5 */
    b.scales[1] = 0xc200; /* -3 */
    b.scales[2] = 0x0001; /* 2^-24 */
    b.scales[3] = 0;
    for (int i = 0; i < 2 * 64; ++i)
        b.codes[i] = (uint8_t)(f->low + i % (f->high - f->low + 1));
    float w[2 * 34];
    qbc_format_decode(&b, w);
    for (int k = 0; k < 32; ++k) {
        CHECK(w[k] == 0.5f * (float)(b.codes[k] - bias), "%s: w[%d] = %g", name, k, (double)w[k]);
        CHECK(w[34 + k] == ldexpf((float)(b.codes[64 + k] - bias), -24), "%s: second row", name);
    }
    CHECK(w[33] == -3.0f * (float)(b.codes[33] - bias), "%s: the tail is %g", name, (double)w[33]);
    CHECK(w[34 + 32] == 0 && w[34 + 33] == 0, "%s: scale 0 decodes to 0", name);
    qbc_blocks_destroy(&b);
}

static void decode_zero_point(void)
{
    struct qbc_blocks b;
    CHECK(qbc_blocks_create(&b, named("i4g128z"), 1, 130), "memory");
    b.scales[0] = 0x3c00; /* 1 */
    b.scales[1] = 0x4000; /* 2 */
    b.zeros[0] = 3;
    b.zeros[1] = 15;
    for (int i = 0; i < 256; ++i)
        b.codes[i] = i & 15;
    float w[130];
    qbc_format_decode(&b, w);
    for (int k = 0; k < 128; ++k)
        CHECK(w[k] == (float)((k & 15) - 3), "w[%d] = %g", k, (double)w[k]);
    CHECK(w[128] == -30 && w[129] == -28, "the tail is %g, %g", (double)w[128], (double)w[129]);
    qbc_blocks_destroy(&b);
}

static void decode_floats(void)
{
    static const uint16_t half[3] = {0x3c00, 0xc000, 0x7bff};
    static const float single[3] = {1.25f, -1e-30f, 3e38f};
    float w[3];
    struct qbc_blocks b;
    CHECK(qbc_blocks_create(&b, named("f16"), 1, 3), "memory");
    memcpy(b.values, half, sizeof half);
    qbc_format_decode(&b, w);
    CHECK(w[0] == 1 && w[1] == -2 && w[2] == 65504, "%g %g %g", (double)w[0], (double)w[1],
          (double)w[2]);
    qbc_blocks_destroy(&b);
    CHECK(qbc_blocks_create(&b, named("f32"), 3, 1), "memory");
    memcpy(b.values, single, sizeof single);
    qbc_format_decode(&b, w);
    CHECK(!memcmp(w, single, sizeof w), "f32 is itself");
    qbc_blocks_destroy(&b);
}

/* What the kernels rely on. */
static void lint(const struct qbc_format *f)
{
    const char *name = f->name;
    if (f->codebook >= QBC_CODE_SUM) {
        CHECK(f->n_parts >= 1, "%s: a composite has parts", name);
        return;
    }
    if (f->codebook == QBC_CODE_FLOAT) {
        CHECK((f->bits == 16 || f->bits == 32) && f->group == 1, "%s: a float of 16 or 32 bits", name);
        CHECK(f->scale == QBC_SCALE_NONE && f->offset == QBC_OFFSET_NONE, "%s: scale", name);
        return;
    }
    CHECK(f->bits >= 1 && f->bits <= 8, "%s: %d bits", name, f->bits);
    CHECK(f->low >= 0 && f->low < f->high && f->high < 1 << f->bits, "%s: codes in use", name);
    if (f->codebook != QBC_CODE_AFFINE)
        return;
    CHECK(f->offset != QBC_OFFSET_NONE || (f->bias >= f->low && f->bias <= f->high), "%s: bias %d is no code", name,
          f->bias);
    CHECK(f->offset == QBC_OFFSET_NONE || f->low == 0, "%s: zero points start at 0", name);
    CHECK(f->bits < 8 || f->offset != QBC_OFFSET_NONE || f->low > f->bias - 128,
          "%s: -128 is no operand of an integer product", name);
}

int main(void)
{
    look_up();
    sizes();
    halves();
    many_halves();
    decode_symmetric("i8g32", 128);
    decode_symmetric("i4g32", 8);
    decode_zero_point();
    decode_floats();
#define FORMAT(row) CHECK(!strcmp(qbc_format_##row.name, #row), "row %s is called %s", #row, qbc_format_##row.name);
#include "formats.def"
#undef FORMAT
    for (size_t i = 0; qbc_format_example(i); ++i)
        lint(named(qbc_format_example(i)));
    return check_failures() != 0;
}
