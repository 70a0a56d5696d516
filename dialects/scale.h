/* scale.h: numbers beside codes (scales, minima) as they are stored. */
#ifndef QBC_SCALE_H
#define QBC_SCALE_H

#include "format.h"

/* --- scale.c: types of scales */
int qbc_scale_bits(enum qbc_scale type);
static inline bool qbc_scale_is_code(enum qbc_scale type)
{
    return type >= QBC_SCALE_U4;
}
/* The value of stored bits; a code's is a whole number. */
float qbc_scale_decode(enum qbc_scale type, uint32_t bits);
/* The nearest (e8m0: the power of two for this magnitude, 4 * 2^n being the largest element's). What underflows is +0; what is
 * too large is infinite (or the largest, where the type has no infinity); codes are clamped to their range. */
uint32_t qbc_scale_encode(enum qbc_scale type, float value);
float qbc_scale_most(enum qbc_scale type); /* the largest finite one, or code */

/* --- numbers in blocks: stored bits, 16 a number, f32 two */
static inline int qbc_words(enum qbc_scale type)
{
    return type == QBC_SCALE_F32 ? 2 : 1;
}
static inline uint32_t qbc_number(const uint16_t *words, enum qbc_scale type, int64_t i)
{
    return type == QBC_SCALE_F32 ? words[2 * i] | (uint32_t)words[2 * i + 1] << 16 : words[i];
}
static inline void qbc_put_number(uint16_t *words, enum qbc_scale type, int64_t i, uint32_t bits)
{
    int n = qbc_words(type);
    words[n * i] = (uint16_t)bits;
    if (n > 1)
        words[n * i + 1] = (uint16_t)(bits >> 16);
}

#endif
