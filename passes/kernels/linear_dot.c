/* linear_dot: integer dot products of 4 bytes into each 32-bit lane.
 *
 * A chunk of codes is a vector of rows x 4 bytes; the activations' 4 codes are one 32-bit broadcast.
 * Unsigned codes u stand for u - bias; starting the sum at -bias * sum(x) makes up for it, and the
 * quantizer left that number (or minus the sum, to be multiplied) in the record.
 *
 * Where `dot` gives 16-bit sums of two products (tile.widen), as many chunks are added up in
 * 16 bits as the format's largest code allows, then widened.
 */
#include "linear.h"

static MlirType bytes_type(struct qbc_linear *l)
{
    return k_vec(l->k, l->layout.vector_bytes, l->k->i8);
}

static MlirValue activation(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    MlirValue four = k_load(k, k->i32, k_at_i(k, record, QBC_ACT_CODES + 4 * chunk), 4);
    return k_bitcast(k, k_splat(k, four, l->packing.rows), bytes_type(l));
}

static MlirValue start(struct qbc_linear *l, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, l->packing.rows, k->i32);
    bool biased = l->format->offset == QBC_OFFSET_NONE && !l->packing.is_signed;
    if (!biased)
        return k_int_of(k, type, 0);
    MlirValue minus = k_load(k, k->i32, k_at_i(k, record, QBC_ACT_MINUS), 4);
    MlirValue v = k_splat(k, minus, l->packing.rows);
    return l->multiplier == l->format->bias ? v : k_mul_i(k, v, l->format->bias);
}

/* Exact: sum + codes . act */
static MlirValue dot_exact(struct qbc_linear *l, MlirValue sum, MlirValue codes, MlirValue act)
{
    MlirValue operands[] = {sum, codes, act};
    return k_intrinsic(l->k, l->tile->dot, mlirValueGetType(sum), 3, operands);
}

/* Signed codes for an instruction that wants one side unsigned: |code| * (act with code's sign). */
static void move_sign(struct qbc_linear *l, MlirValue *codes, MlirValue *act)
{
    struct qbc_kernel *k = l->k;
    MlirType type = bytes_type(l);
    MlirValue zero = k_int_of(k, type, 0);
    if (l->tile->sign) {
        MlirValue operands[] = {*act, *codes};
        *act = k_intrinsic(k, l->tile->sign, type, 2, operands);
    } else {
        *act = k_select(k, k_cmp(k, QBC_LT, *codes, zero), k_sub(k, zero, *act), *act);
    }
    *codes = k_op1(k, "math.absi", *codes);
}

/* 16-bit sums of pairs, as many as fit, then 32 bits. pending: how many are in `pairs`. */
struct pairs {
    MlirValue sum;
    int pending;
};

static MlirValue widen(struct qbc_linear *l, MlirValue sum, struct pairs *p)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, l->packing.rows * 2, k->i16);
    MlirValue operands[] = {p->sum, k_int_of(k, type, 1)};
    p->pending = 0;
    return k_add(k, sum, k_intrinsic(k, l->tile->widen, mlirValueGetType(sum), 2, operands));
}

static MlirValue dot_pairs(struct qbc_linear *l, MlirValue sum, MlirValue codes, MlirValue act,
                           struct pairs *p)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, l->packing.rows * 2, k->i16);
    int largest = l->packing.is_signed ? 127 : l->format->high;
    if (l->packing.is_signed)
        move_sign(l, &codes, &act);
    MlirValue operands[] = {codes, act};
    MlirValue two = k_intrinsic(k, l->tile->dot, type, 2, operands);
    p->sum = p->pending ? k_add(k, p->sum, two) : two;
    ++p->pending;
    return (p->pending + 1) * 2 * 127 * largest > INT16_MAX ? widen(l, sum, p) : sum;
}

void qbc_linear_dot4(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                     const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_TOKENS];
    struct pairs pairs[QBC_MOST_TOKENS] = {{{NULL}, 0}};
    for (int j = 0; j < m; ++j)
        sums[j] = start(l, act[j]);
    for (int c = 0; c < chunks; ++c) {
        MlirValue codes = qbc_unpack_chunk(k, &l->layout, group, l->layout.vector_bytes, first + c);
        for (int j = 0; j < m; ++j) {
            MlirValue x = activation(l, act[j], c);
            sums[j] = l->tile->widen ? dot_pairs(l, sums[j], codes, x, &pairs[j])
                                     : dot_exact(l, sums[j], codes, x);
        }
    }
    for (int j = 0; j < m; ++j) {
        if (pairs[j].pending)
            sums[j] = widen(l, sums[j], &pairs[j]);
        out[j] = k_cast(k, "arith.sitofp", sums[j], k->f32);
    }
}
