/* packing: codes to panels and back. packing.h tells the order, layout.c where things are; formats and tiles are parameters.
 *
 * A span of a panel is first brought into chunk order, one number a code, in a small buffer; every field is then a
 * shift, a mask and an "or" over whole vectors.
 */
#include "derive.h"
#include "packing.h"

#include <stdlib.h>
#include <string.h>

enum { BYTE = 8 };

/* One panel: where it is in the blocks, and how many rows are real. */
struct part {
    const struct qbc_blocks *b;
    struct qbc_packing p;
    const struct qbc_layout *l;
    int64_t row;
    int rows;
    int down, across; /* rows and columns of a vector */
};

static struct part part_of(const struct qbc_blocks *b, struct qbc_packing p, const struct qbc_layout *l, int64_t row,
                           int64_t left)
{
    const struct qbc_format *f = b->format;
    struct part t = {.b = b, .p = p, .l = l, .row = row, .rows = left < p.rows ? (int)left : p.rows};
    t.down = qbc_vector_rows(f);
    t.across = qbc_vector_cols(f);
    return t;
}

/* --- codes of a span, in the order of chunks */

/* How many codes a row of a vector has from `col` on; the others of the span are not there. */
static int codes_there(const struct part *t, int64_t col)
{
    int64_t width = t->b->groups * t->b->format->group, left = (width - col) / t->across;
    int whole = t->l->span / t->across;
    return left < 0 ? 0 : left < whole ? (int)left : whole;
}

/* rows that are padding stay as they are */
static void gather(const struct part *t, int64_t col, uint16_t *restrict chunks)
{
    int depth = t->p.depth, stride = t->p.rows * depth / t->down, n = codes_there(t, col);
    int flip = t->p.is_signed ? t->b->format->bias : 0;
    for (int row = 0; row < t->rows; row += t->down) {
        const uint8_t *restrict from = t->b->codes + qbc_code_index(t->b, t->row + row, col);
        uint16_t *restrict to = chunks + row / t->down * depth;
        for (int i = 0; i < n; ++i)
            to[i / depth * stride + i % depth] = (uint8_t)(from[i] - flip);
        for (int i = n; i < t->l->chunks * depth; ++i)
            to[i / depth * stride + i % depth] = 0;
    }
}

static int power(int base, int n)
{
    int all = 1;
    while (n-- > 0)
        all *= base;
    return all;
}

/* Of the codes of number i, n numbers apart, as far as there are some: the fraction of one of its parts, rounded up. */
static int fraction_of(const struct part *t, const uint16_t *chunks, int i, int part)
{
    const struct qbc_format *f = t->b->format;
    int n = t->l->codes.chunks, size = t->l->codes.vector_bytes, base = qbc_number_base(f), number = 0;
    int bits = f->radix_bits / qbc_number_parts(f), all = power(base, f->digits), place = power(base, part);
    for (int d = 0; d < f->digits; ++d) {
        bool is_there = i / size + d * n < t->l->chunks;
        number = number * base + (is_there ? chunks[i + d * n * size] / place % base : 0);
    }
    return ((number << bits) + all - 1) / all;
}

/* Chunks of digits become numbers, in place: number n has chunks n, n + N, .. */
static void join_digits(const struct part *t, uint16_t *chunks)
{
    int parts = qbc_number_parts(t->b->format), bits = t->b->format->radix_bits / parts;
    for (int i = 0; i < t->l->codes.chunks * t->l->codes.vector_bytes; ++i) {
        int all = 0;
        for (int p = 0; p < parts; ++p)
            all |= fraction_of(t, chunks, i, p) << p * bits;
        chunks[i] = (uint16_t)all;
    }
}

static void split_number(const struct part *t, uint16_t *chunks, int i)
{
    const struct qbc_format *f = t->b->format;
    int n = t->l->codes.chunks, size = t->l->codes.vector_bytes, base = qbc_number_base(f), parts = qbc_number_parts(f);
    int bits = f->radix_bits / parts;
    uint32_t all = chunks[i], mask = (1u << bits) - 1;
    for (int d = 0; d < f->digits && i / size + d * n < t->l->chunks; ++d)
        chunks[i + d * n * size] = 0;
    for (int p = 0; p < parts; ++p) {
        uint32_t fraction = all >> p * bits & mask;
        for (int d = 0; d < f->digits && i / size + d * n < t->l->chunks; ++d) {
            fraction *= (uint32_t)base;
            chunks[i + d * n * size] += (uint16_t)((fraction >> bits) * (uint32_t)power(base, p));
            fraction &= mask;
        }
    }
}

static void split_digits(const struct part *t, uint16_t *chunks)
{
    for (int i = 0; i < t->l->codes.chunks * t->l->codes.vector_bytes; ++i)
        split_number(t, chunks, i);
}

static void pack_field(const struct qbc_fields *s, const struct qbc_field *f, const uint16_t *restrict chunks,
                       uint8_t *restrict out)
{
    int mask = (1 << f->bits) - 1, n = s->vector_bytes;
    for (int chunk = 0; chunk < s->chunks; ++chunk) {
        const uint16_t *restrict from = chunks + chunk * n;
        uint8_t *restrict to = out + f->offset + chunk % f->vectors * n;
        int up = chunk / f->vectors * f->bits;
        for (int i = 0; i < n; ++i)
            to[i] |= (uint8_t)((from[i] >> f->shift & mask) << up);
    }
}

static void pack_fields(const struct qbc_fields *s, const uint16_t *chunks, uint8_t *out)
{
    for (int i = 0; i < s->n; ++i)
        pack_field(s, &s->field[i], chunks, out);
}

static void unpack_fields(const struct qbc_fields *s, const uint8_t *in, uint16_t *chunks)
{
    memset(chunks, 0, (size_t)(s->chunks * s->vector_bytes) * sizeof *chunks);
    for (int i = 0; i < s->n; ++i) {
        const struct qbc_field *f = &s->field[i];
        for (int at = 0; at < s->chunks * s->vector_bytes; ++at) {
            int chunk = at / s->vector_bytes, down = chunk / f->vectors * f->bits;
            int stored = in[f->offset + chunk % f->vectors * s->vector_bytes + at % s->vector_bytes];
            chunks[at] |= (uint16_t)((stored >> down & ((1 << f->bits) - 1)) << f->shift);
        }
    }
}

static void pack_span(const struct part *t, int64_t col, uint16_t *chunks, uint8_t *out)
{
    gather(t, col, chunks);
    if (t->b->format->digits)
        join_digits(t, chunks);
    pack_fields(&t->l->codes, chunks, out);
}

static void unpack_span(const struct part *t, int64_t col, uint16_t *chunks, const uint8_t *in)
{
    int depth = t->p.depth, stride = t->p.rows * depth / t->down, n = codes_there(t, col);
    int flip = t->p.is_signed ? t->b->format->bias : 0;
    unpack_fields(&t->l->codes, in, chunks);
    if (t->b->format->digits)
        split_digits(t, chunks);
    for (int row = 0; row < t->rows; row += t->down)
        for (int i = 0; i < n; ++i) {
            uint8_t *to = t->b->codes + qbc_code_index(t->b, t->row + row, col) + i;
            *to = (uint8_t)(chunks[row / t->down * depth + i / depth * stride + i % depth] + flip);
        }
}

/* --- numbers: stored bits of f16 and codes, in 16 or 8 bits; f32 are two words */

/* Where the blocks have the numbers of a list, and how they are counted. */
struct list {
    const struct qbc_numbers *numbers;
    void *from;
    int bytes; /* of a number in the blocks; 4: two words */
    int each;  /* numbers of a group: planes */
};

/* The index in `from` of number i of a row; negative: it is not there. */
typedef int64_t (*index_of)(const struct part *t, const struct list *s, int64_t unit, int i, int64_t row);

static int64_t of_group(const struct part *t, const struct list *s, int64_t unit, int i, int64_t row)
{
    int64_t group = unit * t->l->groups + i / s->each;
    return group < t->b->groups ? qbc_group_index(t->b, row, group) * s->each + i % s->each : -1;
}

static int64_t of_outer(const struct part *t, const struct list *s, int64_t unit, int i, int64_t row)
{
    return qbc_outer_index(t->b, row, unit * t->l->groups) * s->each + i;
}

static int64_t of_table(const struct part *t, const struct list *s, int64_t unit, int i, int64_t row)
{
    return qbc_table_index(t->b, row, unit * t->l->groups) * s->each + i;
}

static void copy_bits(const struct list *s, int64_t at, uint8_t *packed, bool back)
{
    uint8_t *stored = (uint8_t *)s->from + at * s->bytes;
    int n = s->numbers->bits / BYTE;
    if (back)
        memcpy(stored, packed, (size_t)n);
    else
        memcpy(packed, stored, (size_t)n);
}

/* `rows` rows of a panel have numbers, `step` rows of the tensor share each. `at`: where their part begins. */
static void move(const struct part *t, const struct list *s, index_of index, int64_t unit, int step, uint8_t *at, bool back)
{
    const struct qbc_numbers *n = s->numbers;
    int rows = (t->rows + step - 1) / step, width = n->fields.vector_bytes;
    uint16_t *chunks = NULL;
    if (!n->count || !s->from)
        return;
    at += n->offset;
    if (n->bits < BYTE) {
        chunks = calloc((size_t)(n->count * width), sizeof *chunks);
        if (back && chunks)
            unpack_fields(&n->fields, at, chunks);
    }
    for (int i = 0; i < n->count; ++i)
        for (int row = 0; row < rows; ++row) {
            int64_t from = index(t, s, unit, i, t->row + row * step), to = i * width + row;
            if (from < 0 || (n->bits < BYTE && !chunks))
                continue;
            if (n->bits >= BYTE)
                copy_bits(s, from, at + to * (n->bits / BYTE), back);
            else if (back)
                ((uint8_t *)s->from)[from * s->bytes] = (uint8_t)chunks[to];
            else
                chunks[to] = ((const uint8_t *)s->from)[from * s->bytes];
        }
    if (n->bits < BYTE && !back && chunks)
        pack_fields(&n->fields, chunks, at);
    free(chunks);
}

enum { WORD = 2 };

static void move_unit(const struct part *t, int64_t unit, uint8_t *at, bool back)
{
    const struct qbc_blocks *b = t->b;
    const struct qbc_format *f = b->format;
    const struct qbc_layout *l = t->l;
    int step = qbc_group_rows(f), bytes = WORD * qbc_words(f->scale), outer = WORD * qbc_words(f->outer);
    int entries = qbc_table_entry(f) << f->bits, scales = qbc_format_scales(f);
    move(t, &(struct list){&l->scales, b->scales, bytes, scales ? scales : 1}, of_group, unit, step, at, back);
    move(t, &(struct list){&l->mins, b->mins, bytes, 1}, of_group, unit, step, at, back);
    move(t, &(struct list){&l->selectors, b->selectors, 1, 1}, of_group, unit, step, at, back);
    move(t, &(struct list){&l->zeros, b->zeros, 1, 1}, of_group, unit, step, at, back);
    move(t, &(struct list){&l->tables, b->tables, WORD, entries}, of_group, unit, step, at, back);
    move(t, &(struct list){&l->outer, b->outer, outer, 1}, of_outer, unit, 1, at, back);
    move(t, &(struct list){&l->outer_mins, b->outer_mins, outer, 1}, of_outer, unit, 1, at, back);
}

static void move_rows(const struct part *t, uint8_t *at, bool back)
{
    const struct qbc_blocks *b = t->b;
    const struct qbc_layout *l = t->l;
    int outer = WORD * qbc_words(b->format->outer), entries = qbc_table_entry(b->format) << b->format->bits;
    move(t, &(struct list){&l->row_outer, b->outer, outer, 1}, of_outer, 0, 1, at, back);
    move(t, &(struct list){&l->row_mins, b->outer_mins, outer, 1}, of_outer, 0, 1, at, back);
    move(t, &(struct list){&l->row_zeros, b->zeros, 1, 1}, of_outer, 0, 1, at, back);
    move(t, &(struct list){&l->row_tables, b->tables, WORD, entries}, of_table, 0, 1, at, back);
}

static void move_tail(const struct qbc_blocks *b, const struct qbc_layout *l, uint8_t *at, bool back)
{
    struct part t = {.b = b, .p = {.rows = 1}, .l = l, .rows = 1};
    int outer = WORD * qbc_words(b->format->outer), entries = qbc_table_entry(b->format) << b->format->bits;
    move(&t, &(struct list){&l->tail_outer, b->outer, outer, 1}, of_outer, 0, 1, at, back);
    move(&t, &(struct list){&l->tail_mins, b->outer_mins, outer, 1}, of_outer, 0, 1, at, back);
    move(&t, &(struct list){&l->tail_zeros, b->zeros, 1, 1}, of_outer, 0, 1, at, back);
    move(&t, &(struct list){&l->tail_floor, (void *)&b->floor, sizeof b->floor, 1}, of_outer, 0, 1, at, back);
    move(&t, &(struct list){&l->tail_tables, b->tables, WORD, entries}, of_table, 0, 1, at, back);
}

/* --- floats */

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

static void pack_floats(const struct part *t, uint8_t *out)
{
    int size = t->b->format->bits / BYTE;
    transpose((const char *)t->b->values + t->row * t->b->cols * size, out, t->rows, t->b->cols, size, t->b->cols * size,
              size, size, t->l->unit_bytes);
}

static void unpack_floats(const struct part *t, const uint8_t *in)
{
    int size = t->b->format->bits / BYTE;
    transpose(in, (char *)t->b->values + t->row * t->b->cols * size, t->rows, t->b->cols, size, size, t->l->unit_bytes,
              t->b->cols * size, size);
}

/* --- panels */

static void pack_panel(const struct part *t, uint16_t *chunks, uint8_t *out)
{
    const struct qbc_layout *l = t->l;
    for (int64_t unit = 0; unit < l->units; ++unit) {
        uint8_t *at = out + unit * l->unit_bytes;
        for (int span = 0; span < l->spans; ++span)
            pack_span(t, unit * l->unit + (int64_t)span * l->span, chunks, at + (int64_t)span * l->span_bytes);
        move_unit(t, unit, at, false);
    }
    move_rows(t, out + l->rows_offset, false);
}

void qbc_pack(const struct qbc_blocks *b, struct qbc_packing p, int64_t row, int64_t n, uint8_t *out)
{
    struct qbc_layout l = qbc_layout(b->format, p, n, b->cols);
    uint16_t chunks[QBC_MAX_PANEL_SPAN] = {0};
    memset(out, 0, (size_t)l.tail_offset);
    for (int64_t done = 0; done < n; done += p.rows, out += l.panel_bytes) {
        struct part t = part_of(b, p, &l, row + done, n - done);
        if (t.rows < p.rows)
            memset(chunks, 0, sizeof chunks);
        if (b->format->codebook == QBC_CODE_FLOAT)
            pack_floats(&t, out);
        else
            pack_panel(&t, chunks, out);
    }
}

void qbc_pack_tail(const struct qbc_blocks *b, struct qbc_packing p, uint8_t *out)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    memset(out, 0, (size_t)l.tail_bytes);
    if (l.tail_bytes)
        move_tail(b, &l, out, false);
}

void qbc_unpack(struct qbc_blocks *b, struct qbc_packing p, const uint8_t *in)
{
    struct qbc_layout l = qbc_layout(b->format, p, b->rows, b->cols);
    uint16_t chunks[QBC_MAX_PANEL_SPAN];
    for (int64_t row = 0; row < b->rows; row += p.rows) {
        struct part t = part_of(b, p, &l, row, b->rows - row);
        uint8_t *panel = (uint8_t *)in + row / p.rows * l.panel_bytes;
        if (b->format->codebook == QBC_CODE_FLOAT) {
            unpack_floats(&t, panel);
            continue;
        }
        for (int64_t unit = 0; unit < l.units; ++unit) {
            uint8_t *at = panel + unit * l.unit_bytes;
            for (int span = 0; span < l.spans; ++span)
                unpack_span(&t, unit * l.unit + (int64_t)span * l.span, chunks, at + (int64_t)span * l.span_bytes);
            move_unit(&t, unit, at, true);
        }
        move_rows(&t, panel + l.rows_offset, true);
    }
    if (l.tail_bytes)
        move_tail(b, &l, (uint8_t *)in + l.tail_offset, true);
}
