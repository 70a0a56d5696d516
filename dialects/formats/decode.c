/* decode: the meaning of a format, slow and obvious. Every kernel is compared with it. */
#include "format.h"
#include "half.h"

#include <string.h>

static float decode_float(const struct qbc_blocks *b, int64_t i)
{
    if (b->format->bits == 16)
        return qbc_half_to_float(((const uint16_t *)b->values)[i]);
    return ((const float *)b->values)[i];
}

static float decode_code(const struct qbc_blocks *b, int64_t row, int64_t col)
{
    int64_t group = row * b->groups + col / b->format->group;
    int code = b->codes[row * b->groups * b->format->group + col];
    int zero = b->format->offset == QBC_OFFSET_ZERO ? b->zeros[group] : b->format->bias;
    return qbc_half_to_float(b->scales[group]) * (float)(code - zero);
}

void qbc_format_decode(const struct qbc_blocks *b, float *out)
{
    bool is_float = b->format->codebook == QBC_CODE_FLOAT;
    for (int64_t row = 0; row < b->rows; ++row)
        for (int64_t col = 0; col < b->cols; ++col)
            out[row * b->cols + col] =
                is_float ? decode_float(b, row * b->cols + col) : decode_code(b, row, col);
}
