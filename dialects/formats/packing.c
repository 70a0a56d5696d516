/* packing: codes to panels and back. packing.h tells the order; formats and tiles are parameters.
 *
 * A group of a panel is first brought into chunk order, one byte a code, in a small buffer; every
 * field is then a shift, a mask and an "or" over whole vectors.
 */
#include "packing.h"

#include <stdlib.h>
#include <string.h>

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static void split_fields(struct qbc_layout *l, int bits)
{
    int shift = 0, offset = 0;
    for (int width = 8; width; width /= 2) {
        if (!(bits & width))
            continue;
        int vectors = ceil_div(l->chunks * width, 8);
        l->field[l->n_fields++] = (struct qbc_field){width, shift, vectors, offset};
        shift += width;
        offset += vectors * l->vector_bytes;
    }
    l->scales_offset = offset;
}

struct qbc_layout qbc_layout(const struct qbc_format *f, struct qbc_packing p, int64_t rows,
                             int64_t cols)
{
    struct qbc_layout l = {.groups = qbc_format_groups(f, cols)};
    if (f->codebook == QBC_CODE_FLOAT) {
        l.chunks = 1;
        l.vector_bytes = p.rows * f->bits / 8;
        l.scales_offset = l.zeros_offset = l.group_bytes = l.vector_bytes;
    } else {
        l.chunks = f->group / p.depth;
        l.vector_bytes = p.rows * p.depth;
        split_fields(&l, f->bits);
        l.zeros_offset = l.scales_offset + (f->scale == QBC_SCALE_F16 ? 2 * p.rows : 0);
        l.group_bytes = l.zeros_offset + (f->offset == QBC_OFFSET_ZERO ? p.rows : 0);
    }
    l.panels = (rows + p.rows - 1) / p.rows;
    l.panel_bytes = l.groups * l.group_bytes;
    l.bytes = l.panels * l.panel_bytes;
    return l;
}

/* One panel's worth of one group: where it is in the blocks, and how many rows are real. */
struct part {
    const struct qbc_blocks *b;
    struct qbc_packing p;
    const struct qbc_layout *l;
    int64_t row, group;
    int rows;
};

static size_t code_index(const struct part *t, int row)
{
    return (size_t)(((t->row + row) * t->b->groups + t->group) * t->b->format->group);
}

/* codes of the group -> chunks, [chunk][row][depth]; rows that are padding stay as they are */
static void gather(const struct part *t, uint8_t *restrict chunks)
{
    int depth = t->p.depth, stride = t->l->vector_bytes;
    int flip = t->p.is_signed ? t->b->format->bias : 0;
    for (int row = 0; row < t->rows; ++row) {
        const uint8_t *restrict from = t->b->codes + code_index(t, row);
        uint8_t *restrict to = chunks + row * depth;
        if (depth == 4 && !flip)
            for (int chunk = 0; chunk < t->l->chunks; ++chunk)
                memcpy(to + chunk * stride, from + chunk * 4, 4);
        else
            for (int chunk = 0; chunk < t->l->chunks; ++chunk)
                for (int d = 0; d < depth; ++d)
                    to[chunk * stride + d] = (uint8_t)(from[chunk * depth + d] - flip);
    }
}

static void pack_field(const struct qbc_layout *l, const struct qbc_field *f,
                       const uint8_t *restrict chunks, uint8_t *restrict out)
{
    int mask = (1 << f->bits) - 1, n = l->vector_bytes;
    for (int chunk = 0; chunk < l->chunks; ++chunk) {
        const uint8_t *restrict from = chunks + chunk * n;
        uint8_t *restrict to = out + f->offset + chunk % f->vectors * n;
        int up = chunk / f->vectors * f->bits;
        for (int i = 0; i < n; ++i)
            to[i] |= (uint8_t)((from[i] >> f->shift & mask) << up);
    }
}

static void pack_group(const struct part *t, uint8_t *chunks, uint8_t *out)
{
    gather(t, chunks);
    for (int i = 0; i < t->l->n_fields; ++i)
        pack_field(t->l, &t->l->field[i], chunks, out);
    for (int row = 0; row < t->rows; ++row) {
        int64_t at = (t->row + row) * t->b->groups + t->group;
        if (t->b->format->scale == QBC_SCALE_F16)
            memcpy(out + t->l->scales_offset + 2 * row, &t->b->scales[at], 2);
        if (t->b->format->offset == QBC_OFFSET_ZERO)
            out[t->l->zeros_offset + row] = t->b->zeros[at];
    }
}

/* rows x cols values of `bytes` bytes, row-major, to columns of `stride` bytes; or back. */
static void transpose(const void *from, void *to, int64_t rows, int64_t cols, int bytes,
                      int64_t from_row, int64_t from_col, int64_t to_row, int64_t to_col)
{
    for (int64_t row = 0; row < rows; ++row) {
        const char *restrict source = (const char *)from + row * from_row;
        char *restrict target = (char *)to + row * to_row;
        if (bytes == 4)
            for (int64_t col = 0; col < cols; ++col)
                memcpy(target + col * to_col, source + col * from_col, 4);
        else
            for (int64_t col = 0; col < cols; ++col)
                memcpy(target + col * to_col, source + col * from_col, 2);
    }
}

static int rows_of_panel(struct qbc_packing p, int64_t rest)
{
    return rest < p.rows ? (int)rest : p.rows;
}

static void pack_floats(const struct qbc_blocks *b, struct qbc_packing p, int64_t row, int64_t n,
                        const struct qbc_layout *l, uint8_t *out)
{
    int size = b->format->bits / 8;
    for (int64_t done = 0; done < n; done += p.rows)
        transpose((const char *)b->values + (row + done) * b->cols * size,
                  out + done / p.rows * l->panel_bytes, rows_of_panel(p, n - done), b->cols, size,
                  b->cols * size, size, size, l->group_bytes);
}

void qbc_pack(const struct qbc_blocks *b, struct qbc_packing p, int64_t row, int64_t n,
              uint8_t *out)
{
    struct qbc_layout l = qbc_layout(b->format, p, n, b->cols);
    memset(out, 0, (size_t)l.bytes);
    if (b->format->codebook == QBC_CODE_FLOAT) {
        pack_floats(b, p, row, n, &l, out);
        return;
    }
    uint8_t chunks[QBC_MAX_PANEL_GROUP] = {0};
    for (int64_t done = 0; done < n; done += p.rows) {
        struct part t = {b, p, &l, row + done, 0, rows_of_panel(p, n - done)};
        if (t.rows < p.rows)
            memset(chunks, 0, sizeof chunks);
        for (; t.group < l.groups; ++t.group, out += l.group_bytes)
            pack_group(&t, chunks, out);
    }
}

/* One code, the slow way. */
static uint8_t unpack_code(const struct part *t, int row, int k, const uint8_t *in)
{
    int chunk = k / t->p.depth, byte = row * t->p.depth + k % t->p.depth, code = 0;
    for (int i = 0; i < t->l->n_fields; ++i) {
        const struct qbc_field *f = &t->l->field[i];
        int vector = chunk % f->vectors, down = chunk / f->vectors * f->bits;
        int stored = in[f->offset + vector * t->l->vector_bytes + byte];
        code |= (stored >> down & ((1 << f->bits) - 1)) << f->shift;
    }
    return (uint8_t)(t->p.is_signed ? code + t->b->format->bias : code);
}

static void unpack_group(const struct part *t, const uint8_t *in)
{
    const struct qbc_blocks *b = t->b;
    for (int row = 0; row < t->rows; ++row) {
        int64_t at = (t->row + row) * b->groups + t->group;
        for (int k = 0; k < b->format->group; ++k)
            b->codes[code_index(t, row) + (size_t)k] = unpack_code(t, row, k, in);
        if (b->format->scale == QBC_SCALE_F16)
            memcpy(&b->scales[at], in + t->l->scales_offset + 2 * row, 2);
        if (b->format->offset == QBC_OFFSET_ZERO)
            b->zeros[at] = in[t->l->zeros_offset + row];
    }
}

void qbc_unpack(struct qbc_blocks *b, struct qbc_packing p, const uint8_t *in)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    int size = b->format->bits / 8;
    for (int64_t row = 0; row < b->rows; row += p.rows) {
        struct part t = {b, p, &l, row, 0, rows_of_panel(p, b->rows - row)};
        if (b->format->codebook == QBC_CODE_FLOAT)
            transpose(in + row / p.rows * l.panel_bytes, (char *)b->values + row * b->cols * size,
                      t.rows, b->cols, size, size, l.group_bytes, b->cols * size, size);
        else
            for (; t.group < l.groups; ++t.group)
                unpack_group(&t, in + row / p.rows * l.panel_bytes + t.group * l.group_bytes);
    }
}
