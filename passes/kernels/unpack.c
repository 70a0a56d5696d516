/* unpack: one chunk of codes from a group in packed form (dialects/packing.h): for each field load
 * the vector that has it, shift it down, mask it, and put the fields together. */
#include "linear.h"

/* `apart`: not bytes of one vector, but a byte of each of so many vectors. */
static MlirValue field(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue group,
                       const struct qbc_field *f, int bytes, int chunk, bool apart)
{
    int slot = chunk / f->vectors, vector = chunk % f->vectors;
    MlirType type = k_vec(k, bytes, k->i8);
    MlirValue at = k_at_i(k, group, f->offset + (int64_t)vector * layout->vector_bytes);
    MlirValue v = apart ? k_load_strided(k, bytes, k->i8, at, layout->vector_bytes) : k_load(k, type, at, 1);
    if (slot)
        v = k_op2(k, "arith.shrui", v, k_int_of(k, type, slot * f->bits));
    bool top = (slot + 1) * f->bits == 8;
    return top ? v : k_op2(k, "arith.andi", v, k_int_of(k, type, (1 << f->bits) - 1));
}

static MlirValue unpack(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue group, int bytes, int chunk,
                        bool apart)
{
    MlirType type = k_vec(k, bytes, k->i8);
    MlirValue code = {NULL};
    for (int i = 0; i < layout->n_fields; ++i) {
        const struct qbc_field *f = &layout->field[i];
        MlirValue part = field(k, layout, group, f, bytes, chunk, apart);
        if (f->shift)
            part = k_op2(k, "arith.shli", part, k_int_of(k, type, f->shift));
        code = i ? k_op2(k, "arith.ori", code, part) : part;
    }
    return code;
}

MlirValue qbc_unpack_chunk(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue group,
                           int bytes, int chunk)
{
    return unpack(k, layout, group, bytes, chunk, false);
}

int qbc_common_divisor(int a, int b)
{
    return b ? qbc_common_divisor(b, a % b) : a;
}

int qbc_unpack_width(const struct qbc_layout *layout)
{
    int width = layout->chunks;
    for (int i = 0; i < layout->n_fields; ++i)
        width = qbc_common_divisor(width, layout->field[i].vectors);
    while (width > QBC_MOST_WIDTH && width % 2 == 0)
        width /= 2;
    return width;
}

MlirValue qbc_unpack_row(struct qbc_kernel *k, const struct qbc_layout *layout, MlirValue row, int chunk)
{
    return unpack(k, layout, row, qbc_unpack_width(layout), chunk, true);
}
