/* blocks: memory for blocks. */
#include "format.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 };

static size_t padded(int64_t bytes)
{
    return ((size_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}
bool qbc_blocks_create(struct qbc_blocks *b, const struct qbc_format *f, int64_t rows, int64_t cols)
{
    int64_t groups = qbc_format_groups(f, cols);
    *b = (struct qbc_blocks){.format = f, .rows = rows, .cols = cols, .groups = groups};
    if (f->codebook == QBC_CODE_FLOAT) {
        b->values = calloc((size_t)(rows * cols), (size_t)f->bits / 8);
        return b->values;
    }
    size_t codes = padded(rows * groups * f->group), scales = padded(rows * groups * 2);
    size_t zeros = f->offset == QBC_OFFSET_ZERO ? padded(rows * groups) : 0;
    char *memory = calloc(1, codes + scales + zeros);
    if (!memory)
        return false;
    b->codes = (uint8_t *)memory;
    b->scales = (uint16_t *)(void *)(memory + codes);
    b->zeros = zeros ? (uint8_t *)memory + codes + scales : NULL;
    return true;
}

void qbc_blocks_destroy(struct qbc_blocks *b)
{
    free(b->codes);
    free(b->values);
    *b = (struct qbc_blocks){0};
}
