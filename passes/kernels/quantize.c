/* quantize: rows of f32 to int8 codes with a scale for each 32 columns (kernel.h, QBC_ACT_...), dynamic.
 *
 *   operands   y (records), x, and the gain when a norm comes first, or a scaling of columns
 *   attributes c (columns), records (a row, at least ceil(c / 32)), multiplier, eps when there is a norm
 *
 *     amax = max |x|,  scale = amax / 127,  code = rint(x * 127 / amax)
 *
 * No code is -128. A run of zeros (or below 2^-100, where 127 / amax leaves f32) has scale 0. A run with
 * an infinity or NaN gets scale NaN and codes 0, so that it shows. Magnitudes are compared as integers:
 * for floats without their sign that is the same order, with infinity and NaN above all.
 */
#include "kernel.h"

enum { Y = 0, X = 1, GAIN = 2, WIDTH = QBC_ACT_GROUP };

static void put_scale(struct qbc_kernel *k, MlirValue record, MlirValue amax, MlirValue bad)
{
    MlirValue scale = k_fmul(k, amax, k_f32(k, 1.0f / 127));
    MlirValue nan = k_bitcast(k, k_i32(k, 0x7fc00000), k->f32);
    k_store(k, k_select(k, bad, nan, scale), k_at_i(k, record, QBC_ACT_SCALE), 4);
}

static void put_codes(struct qbc_kernel *k, MlirValue record, MlirValue codes)
{
    int64_t multiplier = qbc_int(k->launch, "multiplier", 1);
    MlirValue sum = k_reduce(k, "add", codes), half = k_reduce(k, "add", k_part(k, codes, 0, WIDTH / 2));
    k_store(k, k_mul_i(k, sum, -multiplier), k_at_i(k, record, QBC_ACT_MINUS), 4);
    k_store(k, k_mul_i(k, half, -multiplier), k_at_i(k, record, QBC_ACT_HALF), 4);
    k_store(k, k_cast(k, "arith.trunci", codes, k->i8), k_at_i(k, record, QBC_ACT_CODES), 1);
}

static void quantize(struct qbc_kernel *k, MlirValue x, MlirValue record)
{
    MlirType ints = k_vec(k, WIDTH, k->i32), floats = k_vec(k, WIDTH, k->f32);
    MlirValue magnitude =
        k_op2(k, "arith.andi", k_bitcast(k, x, ints), k_int_of(k, ints, 0x7fffffff));
    MlirValue bits = k_reduce(k, "maxsi", magnitude);
    MlirValue bad = k_cmp(k, QBC_GE, bits, k_i32(k, 0x7f800000));
    MlirValue small = k_cmp(k, QBC_LT, bits, k_i32(k, 27 << 23)); /* 2^-100 */
    MlirValue unusable = k_op2(k, "arith.ori", bad, small);
    MlirValue amax = k_bitcast(k, k_select(k, unusable, k_i32(k, 0), bits), k->f32);
    MlirValue divisor = k_select(k, unusable, k_f32(k, 1), amax);
    MlirValue inverse = k_select(k, unusable, k_f32(k, 0), k_fdiv(k, k_f32(k, 127), divisor));
    put_scale(k, record, amax, bad);
    /* rint by adding 1.5 * 2^23: the code is in the low bits; infinity * 0 would be NaN there */
    MlirValue scaled = k_fmul(k, x, k_splat(k, inverse, WIDTH));
    MlirValue rounded = k_fadd(k, scaled, k_float_of(k, floats, 0x1.8p23));
    MlirValue codes = k_sub(k, k_bitcast(k, rounded, ints), k_int_of(k, ints, 0x4b400000));
    put_codes(k, record, k_select(k, unusable, k_int_of(k, ints, 0), codes));
}

struct row {
    MlirValue x, y, gain, inverse; /* gain null: neither norm nor scaling; inverse null: no norm */
};

/* Columns 32 * i .. of the row; `n` of them exist. */
static void group(struct qbc_kernel *k, struct row *r, MlirValue i, int64_t n)
{
    MlirValue offset = k_mul_i(k, i, WIDTH * 4);
    MlirValue x = k_load_first(k, WIDTH, k_at(k, r->x, offset), n);
    if (!mlirValueIsNull(r->gain)) {
        MlirValue gain = k_load_first(k, WIDTH, k_at(k, r->gain, offset), n);
        x = mlirValueIsNull(r->inverse) ? x : k_fmul(k, x, k_splat(k, r->inverse, WIDTH));
        x = k_fmul(k, x, gain);
    }
    quantize(k, x, k_at(k, r->y, k_mul_i(k, i, QBC_ACT_RECORD)));
}

static void clear(struct qbc_kernel *k, struct row *r, int64_t i)
{
    MlirType type = k_vec(k, QBC_ACT_RECORD, k->i8);
    k_store(k, k_int_of(k, type, 0), k_at_i(k, r->y, i * QBC_ACT_RECORD), 4);
}

void qbc_kernel_quantize(struct qbc_kernel *k)
{
    int64_t columns = qbc_int(k->launch, "c", 0), whole = columns / WIDTH;
    bool norm = qbc_has(k->launch, "eps"), has_gain = mlirOperationGetNumOperands(k->launch) > GAIN;
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct row r = {.x = k_row(k, X, rows.i), .y = k_row(k, Y, rows.i)};
    if (has_gain)
        r.gain = k->operand[GAIN];
    if (norm)
        r.inverse = k_inverse_rms(k, r.x, columns, (float)qbc_float(k->launch, "eps", 0));
    struct k_loop groups = k_for(k, k_i64(k, 0), k_i64(k, whole), 1, 0, NULL);
    group(k, &r, groups.i, WIDTH);
    k_end(k, &groups, NULL);
    if (columns % WIDTH)
        group(k, &r, k_i64(k, whole), columns % WIDTH);
    for (int64_t i = (columns + WIDTH - 1) / WIDTH; i < qbc_int(k->launch, "records", 0); ++i)
        clear(k, &r, i);
    k_end(k, &rows, NULL);
}
