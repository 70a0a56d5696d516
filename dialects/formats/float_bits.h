/* float_bits.h: a float as its bits, and back. */
#ifndef QBC_FLOAT_BITS_H
#define QBC_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

static inline float qbc_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t qbc_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif
