/* f16: IEEE half precision, rounded to nearest even; magnitudes above 65504 do not fit. */
#include "format.h"

const struct qbc_format qbc_format_f16 = {
    .name = "f16",
    .bits = 16,
    .group = 1,
    .codebook = QBC_CODE_FLOAT,
};
