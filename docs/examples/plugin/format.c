/* house5: 64 weights share one f16 scale; 5.25 bits a weight.
 *
 *     w[i] = scale * (code[i] - 16)          code in 1..31, so that the range is symmetric
 */
#include "house.h"

const struct qbc_format house_format = {
    .name = "house5",
    .bits = 5,
    .group = 64,
    .codebook = QBC_CODE_AFFINE,
    .bias = 16,
    .low = 1,
    .high = 31,
    .scale = QBC_SCALE_F16,
};
