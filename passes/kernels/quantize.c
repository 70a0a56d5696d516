/* quantize: rows of f32 to int8 codes with a scale for each 32 columns (kernel.h, QBC_ACT_...), dynamic.
 *
 *   operands   y (records), x, and the gain when a norm comes first, or a scaling of columns
 *   attributes c (columns), records (a row, at least ceil(c / 32)), multiplier, eps when there is a norm, act where it is
 *              another (activation.h, quantize_span.c), with clip_low and clip_high where not all of a row's range is used
 *
 *     amax = max |x|,  scale = amax / 127,  code = rint(x * 127 / amax)
 *
 * No code is -128. A run of zeros (or below 2^-100, where 127 / amax leaves f32) has scale 0. A run with
 * an infinity or NaN gets scale NaN and codes 0, so that it shows. Magnitudes are compared as integers:
 * for floats without their sign that is the same order, with infinity and NaN above all.
 */
#include "quantize.h"

enum { Y = 0, X = 1, GAIN = 2, WIDTH = QBC_QUANTIZE_WIDTH };

MlirValue k_quantize_round(struct qbc_kernel *k, MlirValue x)
{
    MlirType floats = mlirValueGetType(x), ints = k_with_element(floats, k->i32);
    MlirValue rounded = k_fadd(k, x, k_float_of(k, floats, 0x1.8p23));
    return k_sub(k, k_bitcast(k, rounded, ints), k_int_of(k, ints, 0x4b400000));
}

void k_quantize_put(struct qbc_kernel *k, const struct k_quantize_row *r, MlirValue i, MlirValue codes, MlirValue scale,
                    MlirValue bad)
{
    MlirValue record = k_at(k, r->y, k_mul_i(k, i, QBC_ACT_RECORD));
    int64_t multiplier = qbc_int(k->launch, "multiplier", 1);
    MlirValue nan = k_bitcast(k, k_i32(k, 0x7fc00000), k->f32);
    MlirValue sum = k_reduce(k, "add", codes), half = k_reduce(k, "add", k_part(k, codes, 0, WIDTH / 2));
    k_store(k, k_select(k, bad, nan, scale), k_at_i(k, record, QBC_ACT_SCALE), 4);
    k_store(k, k_mul_i(k, sum, -multiplier), k_at_i(k, record, QBC_ACT_MINUS), 4);
    k_store(k, k_mul_i(k, half, -multiplier), k_at_i(k, record, QBC_ACT_HALF), 4);
    k_store(k, k_cast(k, "arith.trunci", codes, k->i8), k_at_i(k, record, QBC_ACT_CODES), 1);
}

MlirValue k_quantize_load(struct qbc_kernel *k, const struct k_quantize_row *r, MlirValue i, int64_t n)
{
    MlirValue offset = k_mul_i(k, i, WIDTH * 4);
    MlirValue x = k_load_first(k, WIDTH, k_at(k, r->x, offset), n);
    if (!mlirValueIsNull(r->gain)) {
        MlirValue gain = k_load_first(k, WIDTH, k_at(k, r->gain, offset), n);
        x = mlirValueIsNull(r->inverse) ? x : k_fmul(k, x, k_splat(k, r->inverse, WIDTH));
        x = k_fmul(k, x, gain);
    }
    return x;
}

/* Columns 32 * i .. of the row; `n` of them exist. */
static void group(struct qbc_kernel *k, const struct k_quantize_row *r, MlirValue i, int64_t n)
{
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue x = k_quantize_load(k, r, i, n);
    MlirValue magnitude =
        k_op2(k, "arith.andi", k_bitcast(k, x, ints), k_int_of(k, ints, 0x7fffffff));
    MlirValue bits = k_reduce(k, "maxsi", magnitude);
    MlirValue bad = k_cmp(k, QBC_GE, bits, k_i32(k, 0x7f800000));
    MlirValue small = k_cmp(k, QBC_LT, bits, k_i32(k, 27 << 23)); /* 2^-100 */
    MlirValue unusable = k_op2(k, "arith.ori", bad, small);
    MlirValue amax = k_bitcast(k, k_select(k, unusable, k_i32(k, 0), bits), k->f32);
    MlirValue divisor = k_select(k, unusable, k_f32(k, 1), amax);
    MlirValue inverse = k_select(k, unusable, k_f32(k, 0), k_fdiv(k, k_f32(k, 127), divisor));
    MlirValue scale = k_fmul(k, amax, k_f32(k, 1.0f / 127));
    MlirValue codes = k_quantize_round(k, k_fmul(k, x, k_splat(k, inverse, WIDTH))); /* infinity * 0 would be NaN */
    k_quantize_put(k, r, i, k_select(k, unusable, k_int_of(k, ints, 0), codes), scale, bad);
}

static void clear(struct qbc_kernel *k, const struct k_quantize_row *r, int64_t i)
{
    MlirType type = k_vec(k, QBC_ACT_RECORD, k->i8);
    k_store(k, k_int_of(k, type, 0), k_at_i(k, r->y, i * QBC_ACT_RECORD), 4);
}

static void groups(struct qbc_kernel *k, const struct k_quantize_row *r, int64_t columns)
{
    int64_t whole = columns / WIDTH;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), 1, 0, NULL);
    group(k, r, loop.i, WIDTH);
    k_end(k, &loop, NULL);
    if (columns % WIDTH)
        group(k, r, k_i64(k, whole), columns % WIDTH);
}

void qbc_kernel_quantize(struct qbc_kernel *k)
{
    int64_t columns = qbc_int(k->launch, "c", 0);
    bool norm = qbc_has(k->launch, "eps"), has_gain = mlirOperationGetNumOperands(k->launch) > GAIN;
    struct qbc_activation act;
    if (!qbc_activation_parse(qbc_string(k->q, k->launch, "act", "i8g32"), &act)) {
        qbc_error(k->q, k->launch, "'%s' is no way to round activations", qbc_string(k->q, k->launch, "act", ""));
        return;
    }
    act.clip_low = (float)qbc_float(k->launch, "clip_low", 1);
    act.clip_high = (float)qbc_float(k->launch, "clip_high", 1);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    struct k_quantize_row r = {.x = k_row(k, X, rows.i), .y = k_row(k, Y, rows.i)};
    if (has_gain)
        r.gain = k->operand[GAIN];
    if (norm)
        r.inverse = k_inverse_rms(k, r.x, columns, (float)qbc_float(k->launch, "eps", 0));
    if (qbc_has(k->launch, "act"))
        k_quantize_spans(k, &r, &act, columns);
    else
        groups(k, &r, columns);
    for (int64_t i = (columns + WIDTH - 1) / WIDTH; i < qbc_int(k->launch, "records", 0); ++i)
        clear(k, &r, i);
    k_end(k, &rows, NULL);
}
