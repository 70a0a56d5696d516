/* i8g32: 32 weights share one f16 scale; 8.5 bits a weight.
 *
 *     w[i] = scale * (code[i] - 128)        code in 1..255
 *
 * Narrow: -128 is never used, because x86 sign tricks and pairwise 16-bit sums need
 * |product| <= 127 * 127. Source: the arithmetic of ggml's Q8_0.
 */
#include "format.h"

const struct qbc_format qbc_format_i8g32 = {
    .name = "i8g32",
    .bits = 8,
    .group = 32,
    .codebook = QBC_CODE_AFFINE,
    .bias = 128,
    .low = 1,
    .high = 255,
    .scale = QBC_SCALE_F16,
};
