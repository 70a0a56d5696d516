/* scale: the types that scales are stored in. Codes are whole numbers that an outer scale multiplies. */
#include "derive.h"
#include "float_bits.h"
#include "half.h"

#include <math.h>

static const struct {
    int bits;
    int low, high, bias; /* codes: low .. high are stored with bias added */
} types[] = {
    [QBC_SCALE_NONE] = {0},
    [QBC_SCALE_F16] = {16},
    [QBC_SCALE_BF16] = {16},
    [QBC_SCALE_F32] = {32},
    [QBC_SCALE_E8M0] = {8},
    [QBC_SCALE_E4M3] = {8},
    [QBC_SCALE_U4] = {4, 0, 15, 0},
    [QBC_SCALE_U6] = {6, 0, 63, 0},
    [QBC_SCALE_U8] = {8, 0, 255, 0},
    [QBC_SCALE_I6] = {6, -32, 31, 32}, /* as ggml's Q3_K and IQ4_XS store them */
    [QBC_SCALE_I8] = {8, -128, 127, 256},
};

int qbc_scale_bits(enum qbc_scale type)
{
    return types[type].bits;
}

/* --- eight bits of exponent alone: 2^(e - 127), 255 is NaN */

static float decode_e8m0(uint32_t e)
{
    return e == 255 ? NAN : ldexpf(1, (int)e - 127);
}

/* `value` is the scale that would make the largest element 4 .. 8 units: e2m1's own range. */
static uint32_t encode_e8m0(float value)
{
    if (!(value > 0))
        return value == 0 ? 0 : 255;
    if (isinf(value))
        return 255;
    int e = ilogbf(value) + 127;
    return (uint32_t)(e < 0 ? 0 : e > 254 ? 254 : e);
}

/* --- e4m3: no infinity, 0x7f is NaN, 448 is the largest */

static float decode_e4m3(uint32_t bits)
{
    int e = (int)bits >> 3 & 15, fraction = (int)bits & 7;
    float magnitude = e ? ldexpf((float)(8 + fraction), e - 10) : ldexpf((float)fraction, -9);
    if ((bits & 127) == 127)
        magnitude = NAN;
    return bits & 128 ? -magnitude : magnitude;
}

static uint32_t encode_e4m3(float value)
{
    uint32_t sign = signbit(value) ? 128 : 0;
    float magnitude = fabsf(value);
    if (isnan(value))
        return 127;
    if (magnitude > 448)
        return sign | 126;
    int e = magnitude < 0x1p-6f ? -6 : ilogbf(magnitude);
    int steps = (int)rintf(ldexpf(magnitude, 3 - e)); /* 8 .. 16 of them; below 8: subnormal */
    uint32_t bits = (uint32_t)(steps + (e + 6) * 8);
    return bits ? sign | bits : 0;
}

/* --- bf16 */

static uint32_t encode_bf16(float value)
{
    uint32_t bits = qbc_bits_of(value);
    if (isnan(value))
        return (bits >> 16 | 64) & 0xffff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

float qbc_scale_decode(enum qbc_scale type, uint32_t bits)
{
    switch (type) {
    case QBC_SCALE_NONE:
        return 1;
    case QBC_SCALE_F16:
        return qbc_half_to_float((uint16_t)bits);
    case QBC_SCALE_BF16:
        return qbc_float_of(bits << 16);
    case QBC_SCALE_F32:
        return qbc_float_of(bits);
    case QBC_SCALE_E8M0:
        return decode_e8m0(bits);
    case QBC_SCALE_E4M3:
        return decode_e4m3(bits);
    case QBC_SCALE_I8:
        return (float)(int8_t)bits;
    default:
        return (float)((int)bits - types[type].bias);
    }
}

static uint32_t encode_code(enum qbc_scale type, float value)
{
    float low = (float)types[type].low, high = (float)types[type].high;
    float code = rintf(value < low ? low : value > high ? high : value);
    return (uint32_t)((int)code + types[type].bias) & ((1u << types[type].bits) - 1);
}

uint32_t qbc_scale_encode(enum qbc_scale type, float value)
{
    switch (type) {
    case QBC_SCALE_NONE:
        return 0;
    case QBC_SCALE_F16: {
        uint16_t half = qbc_float_to_half(value);
        return half & 0x7fff ? half : 0;
    }
    case QBC_SCALE_BF16:
        return encode_bf16(value) & 0x7fff ? encode_bf16(value) : 0;
    case QBC_SCALE_F32:
        return value == 0 ? 0 : qbc_bits_of(value);
    case QBC_SCALE_E8M0:
        return encode_e8m0(value);
    case QBC_SCALE_E4M3:
        return encode_e4m3(value);
    default:
        return encode_code(type, value);
    }
}

float qbc_scale_most(enum qbc_scale type)
{
    switch (type) {
    case QBC_SCALE_F16:
        return 65504;
    case QBC_SCALE_E8M0:
        return 0x1p127f;
    case QBC_SCALE_E4M3:
        return 448;
    default:
        return qbc_scale_is_code(type) ? (float)types[type].high : 0x1.fep127f;
    }
}
