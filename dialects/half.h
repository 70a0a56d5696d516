/* half.h: IEEE half precision in C11, bit for bit: rounding to nearest even, subnormals, infinity
 * and NaN. No FTZ or DAZ may be set. */
#ifndef QBC_HALF_H
#define QBC_HALF_H

#include <stddef.h>
#include <stdint.h>

float qbc_half_to_float(uint16_t half);
uint16_t qbc_float_to_half(float value); /* overflow gives infinity */

/* The same for n numbers, many times faster a number. */
void qbc_halves_to_floats(size_t n, const uint16_t *halves, float *floats);
void qbc_floats_to_halves(size_t n, const float *floats, uint16_t *halves);

#endif
