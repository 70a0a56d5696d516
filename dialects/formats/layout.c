/* layout: where things are in a packed tensor: packing.h's order, as offsets. */
#include "derive.h"
#include "packing.h"

enum { RUN = 32, BYTE = 8, TAIL_ALIGNMENT = 64, WORD = 2 };

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static struct qbc_fields fields_of(int chunks, int bits, int vector_bytes)
{
    struct qbc_fields s = {.chunks = chunks, .vector_bytes = vector_bytes};
    for (int shift = 0, left = bits; left > 0;) {
        int width = BYTE;
        while (width > left)
            width /= 2;
        int vectors = ceil_div(chunks * width, BYTE);
        s.field[s.n++] = (struct qbc_field){width, shift, vectors, s.bytes};
        s.bytes += vectors * vector_bytes;
        shift += width;
        left -= width;
    }
    return s;
}

/* --- codes */

static struct qbc_fields codes_of(const struct qbc_format *f, struct qbc_packing p, int span)
{
    int chunks = span / p.depth / qbc_vector_cols(f), vector_bytes = p.rows * p.depth / qbc_vector_rows(f);
    if (f->digits)
        return fields_of(ceil_div(chunks, f->digits), f->radix_bits, vector_bytes);
    return fields_of(chunks, f->bits, vector_bytes);
}

/* Does a span of so many columns go with the unit, its groups and the chunks? */
static bool goes_with(const struct qbc_format *f, struct qbc_packing p, int unit, int span)
{
    int step = f->group % RUN ? p.depth : RUN, across = qbc_vector_cols(f);
    bool whole = f->group % span == 0, several = span % f->group == 0 && f->codebook != QBC_CODE_COMPUTED;
    return span % step == 0 && span % (p.depth * across) == 0 && unit % span == 0 && (whole || several);
}

/* The one that takes fewest bytes; of those that take as few the shortest, but RUN at least. */
static int choose_span(const struct qbc_format *f, struct qbc_packing p, int unit)
{
    int most = unit < QBC_MAX_SPAN ? unit : QBC_MAX_SPAN, best = 0;
    int64_t least = 0;
    for (int span = most; span > 0; --span) {
        if (!goes_with(f, p, unit, span))
            continue;
        int64_t bytes = (int64_t)codes_of(f, p, span).bytes * (unit / span);
        if (!best || bytes < least || (bytes == least && span >= RUN))
            best = span, least = bytes;
    }
    return best ? best : unit;
}

/* --- numbers */

static struct qbc_numbers numbers(int *offset, int count, int bits, int rows)
{
    struct qbc_numbers n = {.offset = *offset, .count = bits ? count : 0, .bits = bits};
    if (!n.count)
        return n;
    n.fields = fields_of(count, bits, rows);
    if (bits < BYTE && n.fields.bytes >= count * rows)
        n.bits = BYTE;
    *offset += n.bits < BYTE ? n.fields.bytes : count * rows * (n.bits / BYTE);
    return n;
}

static void lay_out_unit(struct qbc_layout *l, const struct qbc_format *f, struct qbc_packing p)
{
    int at = l->spans * l->span_bytes, groups = l->groups, bits = qbc_scale_bits(f->scale);
    int rows = ceil_div(p.rows, qbc_group_rows(f)); /* that have their own numbers */
    bool own = f->scale != QBC_SCALE_NONE, block = f->outer != QBC_SCALE_NONE && f->outer_span == QBC_SPAN_BLOCK;
    bool min = f->offset == QBC_OFFSET_MIN;
    l->scales = numbers(&at, groups * qbc_format_scales(f), bits, rows);
    l->mins = numbers(&at, min ? groups : 0, bits, rows);
    l->selectors = numbers(&at, groups, f->selector_bits, rows);
    l->zeros = numbers(&at, own && f->offset == QBC_OFFSET_ZERO ? groups : 0, BYTE, rows);
    l->tables = numbers(&at, f->codebook == QBC_CODE_LEARNED && f->table_span == QBC_SPAN_GROUP ? groups << f->bits : 0,
                        BYTE * WORD, rows);
    l->outer = numbers(&at, block, qbc_scale_bits(f->outer), rows);
    l->outer_mins = numbers(&at, block && min, qbc_scale_bits(f->outer), rows);
    l->unit_bytes = at;
}

/* What a span (the row, the tensor) has one of: its numbers go to `outer`, `mins`, `zeros`, `tables`. */
static int lay_out_shared(const struct qbc_format *f, enum qbc_span span, int rows, struct qbc_numbers *outer,
                          struct qbc_numbers *mins, struct qbc_numbers *zeros, struct qbc_numbers *tables)
{
    int at = 0, bits = qbc_scale_bits(f->outer);
    bool has = f->outer != QBC_SCALE_NONE && f->outer_span == span;
    bool zero = has && f->scale == QBC_SCALE_NONE && f->offset == QBC_OFFSET_ZERO;
    bool learned = f->codebook == QBC_CODE_LEARNED || f->codebook == QBC_CODE_VECTOR;
    *outer = numbers(&at, has, bits, rows);
    *mins = numbers(&at, has && f->offset == QBC_OFFSET_MIN, bits, rows);
    *zeros = numbers(&at, zero, BYTE, rows);
    *tables = numbers(&at, learned && f->table_span == span ? qbc_table_entry(f) << f->bits : 0, BYTE * WORD, rows);
    return at;
}

struct qbc_layout qbc_layout(const struct qbc_format *f, struct qbc_packing p, int64_t rows, int64_t cols)
{
    struct qbc_layout l = {.unit = 1, .groups = 1, .units = cols};
    l.panels = qbc_ceil_div(rows, p.rows);
    if (f->codebook == QBC_CODE_FLOAT) {
        l.unit_bytes = p.rows * f->bits / BYTE;
        l.panel_bytes = l.units * l.unit_bytes;
        l.bytes = l.tail_offset = l.panels * l.panel_bytes;
        return l;
    }
    l.unit = qbc_format_unit(f);
    l.unit = RUN % l.unit ? l.unit : RUN;
    l.groups = l.unit / f->group;
    l.span = choose_span(f, p, l.unit);
    l.spans = l.unit / l.span;
    l.codes = codes_of(f, p, l.span);
    l.chunks = l.span / p.depth / qbc_vector_cols(f);
    l.span_bytes = l.codes.bytes;
    lay_out_unit(&l, f, p);
    l.units = qbc_ceil_div(qbc_format_groups(f, cols) * f->group, l.unit);
    l.rows_offset = l.units * l.unit_bytes;
    l.panel_bytes = l.rows_offset + lay_out_shared(f, QBC_SPAN_ROW, p.rows, &l.row_outer, &l.row_mins, &l.row_zeros, &l.row_tables);
    l.tail_offset = l.panels * l.panel_bytes;
    int tail = lay_out_shared(f, QBC_SPAN_TENSOR, 1, &l.tail_outer, &l.tail_mins, &l.tail_zeros, &l.tail_tables);
    l.tail_floor = numbers(&tail, f->floor, BYTE * 2 * WORD, 1);
    l.tail_bytes = tail ? qbc_ceil_div(tail + WORD, TAIL_ALIGNMENT) * TAIL_ALIGNMENT : 0;
    l.bytes = l.tail_offset + l.tail_bytes;
    return l;
}
