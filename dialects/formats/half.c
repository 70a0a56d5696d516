/* half: see half.h. Written without branches, so that compilers make vectors of the loops. */
#include "float_bits.h"
#include "half.h"

/* With the exponent's bits moved to their place the value is 2^112 too small; the multiplication
 * is exact and serves subnormals as well. */
static inline float widen(uint16_t half)
{
    uint32_t magnitude = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    uint32_t bits = qbc_bits_of(qbc_float_of(magnitude << 13) * 0x1p112f);
    return qbc_float_of(bits | (magnitude >= 0x7c00 ? 0x7f800000u : 0) | sign);
}

/* Three cases, all computed: subnormal results (adding 0.5 leaves the rounded fraction in the low
 * bits), normal ones (half a unit, less one bit if the last is even, carries upwards), and what
 * is not finite. */
static inline uint16_t narrow(float value)
{
    uint32_t bits = qbc_bits_of(value) & 0x7fffffffu, sign = qbc_bits_of(value) >> 16 & 0x8000u;
    uint32_t small = qbc_bits_of(qbc_float_of(bits < 0x38800000u ? bits : 0) + 0.5f) - 0x3f000000u;
    uint32_t normal = (bits + 0xfffu + (bits >> 13 & 1) - 0x38000000u) >> 13;
    uint32_t special = bits > 0x7f800000u ? 0x7e00u : 0x7c00u;
    uint32_t finite = bits < 0x38800000u ? small : normal;
    return (uint16_t)(sign |
                      (bits >= 0x477ff000u ? special : finite)); /* 65520 rounds to infinity */
}

float qbc_half_to_float(uint16_t half)
{
    return widen(half);
}

uint16_t qbc_float_to_half(float value)
{
    return narrow(value);
}

void qbc_halves_to_floats(size_t n, const uint16_t *restrict halves, float *restrict floats)
{
    for (size_t i = 0; i < n; ++i)
        floats[i] = widen(halves[i]);
}

void qbc_floats_to_halves(size_t n, const float *restrict floats, uint16_t *restrict halves)
{
    for (size_t i = 0; i < n; ++i)
        halves[i] = narrow(floats[i]);
}
