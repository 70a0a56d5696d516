/* parts: pieces of a composite tensor by name (parts.h). */
#include "derive.h"
#include "half.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct qbc_format qbc_format_u16 = {.name = "u16", .codebook = QBC_CODE_FLOAT, .bits = 16, .group = 1};

void qbc_part_name(const struct qbc_format *f, int i, char *out)
{
    switch (f->codebook) {
    case QBC_CODE_SUM:
        snprintf(out, QBC_FORMAT_NAME, "sum%d", i);
        return;
    case QBC_CODE_SPLIT:
        snprintf(out, QBC_FORMAT_NAME, "%s%d", f->by_rows ? "rows" : "columns", i);
        return;
    default:
        strcpy(out, f->codebook == QBC_CODE_SCALED ? "scaled" : f->codebook == QBC_CODE_SPARSE ? "dense" : "rest");
    }
}

int qbc_part_of_path(const struct qbc_format *f, const char **path)
{
    size_t length = strcspn(*path, "/");
    for (int i = 0; qbc_is_composite(f) && i < f->n_parts; ++i) {
        char name[QBC_FORMAT_NAME];
        qbc_part_name(f, i, name);
        if (strlen(name) != length || strncmp(name, *path, length))
            continue;
        *path += length + ((*path)[length] == '/');
        return i;
    }
    return -1;
}

/* A table that is there as it is. */
static struct qbc_blocks table(const struct qbc_format *f, int64_t rows, int64_t cols, void *values)
{
    return (struct qbc_blocks){.format = f, .rows = rows, .cols = cols, .groups = cols, .values = values};
}

/* f16 as f32, which is what the epilogues of products read. */
static struct qbc_blocks as_floats(struct qbc_piece *p, const uint16_t *halves, int64_t n)
{
    float *values = p->memory = malloc((size_t)n * sizeof *values + 1);
    for (int64_t i = 0; values && i < n; ++i)
        values[i] = qbc_half_to_float(halves[i]);
    return table(&qbc_format_f32, 1, n, values);
}

static struct qbc_blocks inverse_of(struct qbc_piece *p, const uint16_t *order, int64_t n)
{
    uint16_t *values = p->memory = malloc((size_t)n * sizeof *values + 1);
    for (int64_t i = 0; values && i < n; ++i)
        values[order[i]] = (uint16_t)i;
    return table(&qbc_format_u16, n, 1, values);
}

static struct qbc_blocks transposed(struct qbc_piece *p, const uint16_t *from, int64_t rows, int64_t cols)
{
    uint16_t *values = p->memory = malloc((size_t)(rows * cols) * sizeof *values + 1);
    for (int64_t i = 0; values && i < rows * cols; ++i)
        values[i % cols * rows + i / cols] = from[i];
    return table(&qbc_format_f16, cols, rows, values);
}

static bool open_table(const struct qbc_blocks *b, const char *name, struct qbc_piece *p)
{
    const struct qbc_format *f = b->format;
    enum qbc_codebook kind = f->codebook;
    int64_t sparse = kind == QBC_CODE_SPARSE ? qbc_format_sparse(f, b->cols) : 0;
    if (kind == QBC_CODE_SPLIT && f->permuted && !strcmp(name, "order"))
        p->blocks = table(&qbc_format_u16, b->cols, 1, b->left);
    else if (kind == QBC_CODE_SPLIT && f->permuted && !strcmp(name, "inverse"))
        p->blocks = inverse_of(p, b->left, b->cols);
    else if (kind == QBC_CODE_SCALED && !strcmp(name, "u"))
        p->blocks = as_floats(p, b->left, b->rows);
    else if (kind == QBC_CODE_SCALED && !strcmp(name, "v"))
        p->blocks = as_floats(p, b->right, b->cols);
    else if (sparse && !strcmp(name, "values"))
        p->blocks = table(&qbc_format_f16, b->rows, sparse, b->left);
    else if (sparse && !strcmp(name, "indices"))
        p->blocks = table(&qbc_format_u16, b->rows, sparse, b->right);
    else if (kind == QBC_CODE_LOWRANK && !strcmp(name, "a"))
        p->blocks = table(&qbc_format_f16, b->rows, f->rank, b->left);
    else if (kind == QBC_CODE_LOWRANK && !strcmp(name, "b"))
        p->blocks = table(&qbc_format_f16, f->rank * b->cols, 1, b->right);
    else if (kind == QBC_CODE_LOWRANK && !strcmp(name, "b_transposed"))
        p->blocks = transposed(p, b->right, f->rank, b->cols);
    return p->blocks.values;
}

bool qbc_piece_open(const struct qbc_blocks *whole, const char *path, struct qbc_piece *out)
{
    *out = (struct qbc_piece){.memory = NULL};
    for (int i; *path; whole = &whole->parts[i]) {
        i = qbc_part_of_path(whole->format, &path);
        if (i < 0)
            return open_table(whole, path, out);
    }
    out->blocks = *whole;
    out->blocks.memory = NULL;
    return true;
}

void qbc_piece_close(struct qbc_piece *piece)
{
    free(piece->memory);
    *piece = (struct qbc_piece){.memory = NULL};
}
