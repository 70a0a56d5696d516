/* linear_dot: integer dot products of 4 bytes into each 32-bit lane.
 *
 * A chunk of codes is a vector of rows x 4 bytes; the activations' 4 codes are one 32-bit broadcast.
 * Unsigned codes u stand for u - bias; starting the sum at -bias * sum(x) makes up for it, and the
 * quantizer left that number (or minus the sum, to be multiplied) in the record.
 *
 * Where `dot` gives 16 bits (tile.widen), sums of two products or single ones, as many chunks are added up in 16 bits
 * as the format's largest code allows, then widened.
 */
#include "linear.h"

static MlirType bytes_type(struct qbc_linear *l)
{
    return k_vec(l->k, l->layout.vector_bytes, l->k->i8);
}

/* Where pieces are multiplied: four chunks' codes in one register, of which the chunk's own are spread. LLVM makes
 * smull2 of the halves of two such registers. */
static MlirValue activation_lane(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_at_i(k, record, QBC_ACT_CODES + 4 * (chunk & -4));
    MlirValue codes = k_load(k, k_vec(k, 4, k->i32), at, 4);
    return k_bitcast(k, k_spread(k, codes, chunk % 4), k_vec(k, 16, k->i8));
}

static MlirValue activation(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    if (l->tile->fold)
        return activation_lane(l, record, chunk);
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

/* --- sums in 16 bits, as many as fit, then 32 */

enum { MOST_PIECES = 8, PIECE = 8 }; /* bytes, where a vector is worked on piece by piece (tile.fold) */

struct narrow {
    int pending;                 /* how many chunks are in `sum` */
    MlirValue sum[MOST_PIECES];  /* i16 */
    MlirValue wide[MOST_PIECES]; /* tile.fold: i32 [4], null at first */
};

static int pieces(const struct qbc_linear *l)
{
    return l->tile->fold ? l->layout.vector_bytes / PIECE : 1;
}

static MlirValue widen(struct qbc_linear *l, MlirValue sum, struct narrow *s)
{
    struct qbc_kernel *k = l->k;
    MlirType ones = k_vec(k, l->packing.rows * 2, k->i16), four = k_vec(k, PIECE / 2, k->i32);
    s->pending = 0;
    if (!l->tile->fold) {
        MlirValue operands[] = {s->sum[0], k_int_of(k, ones, 1)};
        return k_add(k, sum, k_intrinsic(k, l->tile->widen, mlirValueGetType(sum), 2, operands));
    }
    for (int i = 0; i < pieces(l); ++i) {
        MlirValue pairs = k_intrinsic(k, l->tile->widen, four, 1, &s->sum[i]);
        s->wide[i] = mlirValueIsNull(s->wide[i]) ? pairs : k_add(k, s->wide[i], pairs);
    }
    return sum;
}

/* Two lanes of `wide` make a row: two pieces make four rows. */
static MlirValue fold(struct qbc_linear *l, MlirValue sum, const struct narrow *s)
{
    struct qbc_kernel *k = l->k;
    MlirValue rows[MOST_PIECES / 2];
    for (int i = 0; i < pieces(l) / 2; ++i)
        rows[i] = k_intrinsic(k, l->tile->fold, mlirValueGetType(s->wide[0]), 2, &s->wide[2 * i]);
    return k_add(k, sum, k_join(k, (size_t)pieces(l) / 2, rows));
}

static MlirValue products(struct qbc_linear *l, MlirValue codes, MlirValue act, int piece)
{
    struct qbc_kernel *k = l->k;
    if (l->tile->fold) {
        codes = k_part(k, codes, (int64_t)piece * PIECE, PIECE);
        act = k_part(k, act, (int64_t)piece % 2 * PIECE, PIECE);
    } else if (l->packing.is_signed) {
        move_sign(l, &codes, &act);
    }
    MlirType type = k_vec(k, l->tile->fold ? PIECE : l->packing.rows * 2, k->i16);
    return k_intrinsic(k, l->tile->dot, type, 2, (MlirValue[]){codes, act});
}

static MlirValue dot_narrow(struct qbc_linear *l, MlirValue sum, MlirValue codes, MlirValue act, struct narrow *s)
{
    int largest = l->packing.is_signed ? 127 : l->format->high, in_lane = l->tile->fold ? 1 : 2;
    for (int i = 0; i < pieces(l); ++i) {
        MlirValue more = products(l, codes, act, i);
        s->sum[i] = s->pending ? k_add(l->k, s->sum[i], more) : more;
    }
    ++s->pending;
    return (s->pending + 1) * in_lane * 127 * largest > INT16_MAX ? widen(l, sum, s) : sum;
}

void qbc_linear_dot4(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                     const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_TOKENS];
    struct narrow narrow[QBC_MOST_TOKENS] = {{0}};
    for (int j = 0; j < m; ++j)
        sums[j] = start(l, act[j]);
    for (int c = 0; c < chunks; ++c) {
        MlirValue codes = qbc_unpack_chunk(k, &l->layout, group, l->layout.vector_bytes, first + c);
        for (int j = 0; j < m; ++j) {
            MlirValue x = activation(l, act[j], c);
            sums[j] = l->tile->widen ? dot_narrow(l, sums[j], codes, x, &narrow[j])
                                     : dot_exact(l, sums[j], codes, x);
        }
    }
    for (int j = 0; j < m; ++j) {
        if (narrow[j].pending)
            sums[j] = widen(l, sums[j], &narrow[j]);
        if (l->tile->fold)
            sums[j] = fold(l, sums[j], &narrow[j]);
        out[j] = k_cast(k, "arith.sitofp", sums[j], k->f32);
    }
}
