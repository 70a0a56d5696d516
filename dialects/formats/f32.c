/* f32: the weight itself. Vectors (norm gains), and tensors that are to lose nothing. */
#include "format.h"

const struct qbc_format qbc_format_f32 = {
    .name = "f32",
    .bits = 32,
    .group = 1,
    .codebook = QBC_CODE_FLOAT,
};
