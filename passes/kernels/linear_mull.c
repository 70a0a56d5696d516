/* linear_mull: products of bytes where there is no dot of them, as NEON had it first: smull multiplies 8 bytes by 8 into
 * 16 bits, smlal adds such products up there.
 *
 * A register of codes is one row x 16 k, so the activations come from memory as they lie, for all rows. A row ends with
 * 8 sums of 16 bits; those of neighbours are added up in pairs, registers of two, then four rows, in 16 bits as
 * long as the format's largest code allows.
 *
 *     low, high     smull + smlal2 for each 16 k      8 x i16 of a row       (then the next 16 k: smlal, smlal2)
 *     fold          addp of two rows' registers       4 x i16 of each of 2 rows
 *     fold          addp of these                     2 x i16 of each of 4 rows
 *     widen         saddlp, sadalp                    1 x i32 of each of 4 rows
 */
#include "linear.h"

#include <mlir-c/BuiltinTypes.h>

enum { REGISTER = 16, HALF = 8, FOLDED = 4 /* rows */ };

/* How many 16-bit numbers with a product each can be added up. */
static int most_products(const struct qbc_linear *l, const struct qbc_run *run)
{
    return INT16_MAX / (127 * l->levels[run->operand].most);
}

static MlirValue widen(struct qbc_linear *l, MlirValue sums)
{
    return k_intrinsic(l->k, l->tile->widen, k_vec(l->k, HALF / 2, l->k->i32), 1, &sums);
}

static bool is_narrow(MlirValue sums)
{
    return mlirShapedTypeGetDimSize(mlirValueGetType(sums), 0) == HALF;
}

static MlirValue add_to(struct qbc_kernel *k, MlirValue sum, MlirValue more)
{
    return mlirValueIsNull(sum) ? more : k_add(k, sum, more);
}

/* Sums of one row and token in one run: 8 x i16, or, where these would not hold them, 4 x i32. */
static MlirValue row_sums(struct qbc_linear *l, const struct qbc_run *run, const MlirValue *codes, MlirValue act)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, HALF, k->i16);
    MlirValue wide = {NULL}, narrow = {NULL};
    int pending = 0;
    for (int half = 0; half < 2 * run->chunks; ++half) {
        MlirValue at = k_at_i(k, act, QBC_ACT_CODES + run->column + half / 2 * REGISTER);
        MlirValue x = k_load(k, k_vec(k, REGISTER, k->i8), at, 4);
        MlirValue operands[] = {k_part(k, codes[half / 2], half % 2 * HALF, HALF), k_part(k, x, half % 2 * HALF, HALF)};
        if (pending == most_products(l, run)) {
            wide = add_to(k, wide, widen(l, narrow));
            narrow = (MlirValue){NULL}, pending = 0;
        }
        narrow = add_to(k, narrow, k_intrinsic(k, l->tile->dot, type, 2, operands));
        ++pending;
    }
    return mlirValueIsNull(wide) ? narrow : add_to(k, wide, widen(l, narrow));
}

static void one_row(struct qbc_linear *l, int m, const struct qbc_run *run, int row, MlirValue *out)
{
    MlirValue codes[QBC_ACT_GROUP / REGISTER];
    for (int c = 0; c < run->chunks; ++c)
        codes[c] = qbc_level_chunk(l, run, row, 1, c);
    for (int j = 0; j < m; ++j)
        out[j] = row_sums(l, run, codes, run->act[j]);
}

/* Rows `row` .. `row` + n - 1, all tokens: the sums of a row lie side by side, 8 / n of 16 bits or 4 / n of 32. */
static void rows_sums(struct qbc_linear *l, int m, const struct qbc_run *run, int row, int n, MlirValue *out)
{
    MlirValue other[QBC_MOST_TOKENS];
    if (n == 1) {
        one_row(l, m, run, row, out);
        return;
    }
    rows_sums(l, m, run, row, n / 2, out);
    rows_sums(l, m, run, row + n / 2, n / 2, other);
    for (int j = 0; j < m; ++j) {
        MlirValue operands[] = {out[j], other[j]};
        bool fits = 2 * run->chunks * n <= most_products(l, run);
        for (int side = 0; side < 2 && is_narrow(out[j]) && !fits; ++side)
            operands[side] = widen(l, operands[side]);
        out[j] = k_intrinsic(l->k, l->tile->fold, mlirValueGetType(operands[0]), 2, operands);
    }
}

void qbc_linear_mull(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_TOKENS][QBC_MOST_PARTS], four[QBC_MOST_TOKENS];
    for (int row = 0; row < l->rows; row += FOLDED) {
        rows_sums(l, m, run, row, FOLDED, four);
        for (int j = 0; j < m; ++j) {
            MlirValue sum = is_narrow(four[j]) ? widen(l, four[j]) : four[j];
            sums[j][row / FOLDED] = k_add(k, k_splat(k, qbc_run_start(l, run, j), FOLDED), sum);
        }
    }
    for (int j = 0; j < m; ++j)
        out[j] = k_join(k, (size_t)l->rows / FOLDED, sums[j]);
}
