/* i4g128z: 128 weights share one f16 scale and one zero point; 4.1875 bits a weight.
 *
 *     w[i] = scale * (code[i] - zero)       code and zero in 0..15
 *
 * The range of a group is extended to contain 0, so that 0 is a value of every group.
 * Source: AWQ and GPTQ "asymmetric, group 128"; ONNX MatMulNBits with block_size 128.
 */
#include "format.h"

const struct qbc_format qbc_format_i4g128z = {
    .name = "i4g128z",
    .bits = 4,
    .group = 128,
    .codebook = QBC_CODE_AFFINE,
    .low = 0,
    .high = 15,
    .scale = QBC_SCALE_F16,
    .offset = QBC_OFFSET_ZERO,
};
