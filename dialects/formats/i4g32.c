/* i4g32: 32 weights share one f16 scale; 4.5 bits a weight.
 *
 *     w[i] = scale * (code[i] - 8)          code in 0..15
 *
 * There is one more code below 8 than above, so the scale's sign is chosen such that the weight of
 * largest magnitude gets code 0. Source: the arithmetic of ggml's Q4_0, whose tensors convert
 * without loss.
 */
#include "format.h"

const struct qbc_format qbc_format_i4g32 = {
    .name = "i4g32",
    .bits = 4,
    .group = 32,
    .codebook = QBC_CODE_AFFINE,
    .bias = 8,
    .low = 0,
    .high = 15,
    .scale = QBC_SCALE_F16,
};
