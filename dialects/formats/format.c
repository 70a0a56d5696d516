/* format: look-up in formats.def, sizes, and memory for blocks. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

static const struct qbc_format *const formats[] = {
#define FORMAT(name) &qbc_format_##name,
#include "formats.def"
#undef FORMAT
};

enum { N_FORMATS = sizeof formats / sizeof *formats, ALIGNMENT = 64 };

const struct qbc_format *qbc_format_find(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; ++i)
        if (!strcmp(formats[i]->name, name))
            return formats[i];
    return NULL;
}

const struct qbc_format *qbc_format_at(size_t i)
{
    return i < N_FORMATS ? formats[i] : NULL;
}

int64_t qbc_format_groups(const struct qbc_format *f, int64_t cols)
{
    return (cols + f->group - 1) / f->group;
}

/* Bits of a group beside its codes. */
static int extra_bits(const struct qbc_format *f)
{
    return (f->scale == QBC_SCALE_F16 ? 16 : 0) + (f->offset == QBC_OFFSET_ZERO ? 8 : 0);
}

double qbc_format_bits(const struct qbc_format *f)
{
    return f->bits + (double)extra_bits(f) / f->group;
}

int64_t qbc_format_bytes(const struct qbc_format *f, int64_t rows, int64_t cols)
{
    int64_t group_bytes = (f->group * f->bits + 7) / 8 + extra_bits(f) / 8;
    return rows * qbc_format_groups(f, cols) * group_bytes;
}

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
