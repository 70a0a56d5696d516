/* bf16: the upper half of an f32, rounded to nearest even. */
#include "format.h"

const struct qbc_format qbc_format_bf16 = {
    .name = "bf16",
    .bits = 16,
    .group = 1,
    .codebook = QBC_CODE_FLOAT,
    .brain = true,
};
