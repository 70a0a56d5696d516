/* quantize_span: rows of f32 to codes whose scale is that of a token, of a longer group, or of the tensor; of any number of
 * bits, with a zero point or without, or by the root of the mean square (activation.h, whose qbc_activation_round is the same number by number).
 *
 * Records stay as they are, with the span's scale in each; a code has its zero taken off, so products notice nothing.
 * Floats are compared as integers: what is negative has its other bits turned, then the order is the same, with infinities
 * and NaN at both ends.
 */
#include "quantize.h"

enum { WIDTH = QBC_QUANTIZE_WIDTH };

struct span {
    const struct k_quantize_row *row;
    const struct qbc_activation *act;
    MlirValue first; /* record */
    int64_t columns;
};

struct scale {
    MlirValue scale, inverse, low, high; /* of codes, f32 */
    MlirValue unusable, bad;
};

/* Floats' bits as integers of the same order, and back. */
static MlirValue ordered(struct qbc_kernel *k, MlirValue bits)
{
    MlirType type = mlirValueGetType(bits);
    MlirValue sign = k_op2(k, "arith.shrsi", bits, k_int_of(k, type, 31));
    return k_op2(k, "arith.xori", bits, k_op2(k, "arith.andi", sign, k_int_of(k, type, 0x7fffffff)));
}

static MlirValue keys_of(struct qbc_kernel *k, MlirValue x)
{
    return ordered(k, k_bitcast(k, x, k_vec(k, WIDTH, k->i32)));
}

static void widen(struct qbc_kernel *k, const struct span *s, MlirValue i, int64_t n, MlirValue *extent)
{
    MlirValue key = keys_of(k, k_quantize_load(k, s->row, i, n));
    extent[0] = k_op2(k, "arith.minsi", extent[0], key);
    extent[1] = k_op2(k, "arith.maxsi", extent[1], key);
}

/* The least and the greatest of the span and 0, as ordered integers. */
static void find_extent(struct qbc_kernel *k, const struct span *s, MlirValue *least, MlirValue *greatest)
{
    MlirValue zero = k_int_of(k, k_vec(k, WIDTH, k->i32), 0), extent[2] = {zero, zero};
    MlirValue whole = k_add_i(k, s->first, s->columns / WIDTH);
    struct k_loop loop = k_for(k, s->first, whole, 1, 2, extent);
    MlirValue next[2] = {loop.carried[0], loop.carried[1]};
    widen(k, s, loop.i, WIDTH, next);
    k_end(k, &loop, next);
    extent[0] = loop.carried[0];
    extent[1] = loop.carried[1];
    if (s->columns % WIDTH)
        widen(k, s, whole, s->columns % WIDTH, extent);
    *least = k_reduce(k, "minsi", extent[0]);
    *greatest = k_reduce(k, "maxsi", extent[1]);
}

/* What is not finite, at either end. */
static MlirValue is_bad(struct qbc_kernel *k, MlirValue least, MlirValue greatest)
{
    MlirValue high = k_cmp(k, QBC_GE, greatest, k_i32(k, 0x7f800000));
    return k_op2(k, "arith.ori", high, k_cmp(k, QBC_LE, least, k_i32(k, (int32_t)0x807fffff)));
}

static MlirValue as_float(struct qbc_kernel *k, MlirValue key)
{
    return k_bitcast(k, ordered(k, key), k->f32);
}

/* Scale and codes for a range of numbers around 0. */
static struct scale scale_of(struct qbc_kernel *k, const struct qbc_activation *act, MlirValue low, MlirValue high, MlirValue bad)
{
    float levels = (float)((1 << act->bits) - 1), most = act->zero ? levels : (float)((1 << (act->bits - 1)) - 1);
    MlirValue below = k_fsub(k, k_f32(k, 0), low);
    MlirValue range = act->zero ? k_fsub(k, high, low) : k_fmax(k, below, high);
    struct scale s = {.bad = k_op2(k, "arith.ori", bad, k_fcmp(k, QBC_FGT, range, k_f32(k, 0x1.fffffep127f)))};
    s.unusable = k_op2(k, "arith.ori", s.bad, k_fcmp(k, QBC_FLT, range, k_f32(k, 0x1p-100f)));
    MlirValue divisor = k_select(k, s.unusable, k_f32(k, 1), range);
    s.inverse = k_select(k, s.unusable, k_f32(k, 0), k_fdiv(k, k_f32(k, most), divisor));
    s.scale = k_select(k, s.unusable, k_f32(k, 0), k_fmul(k, divisor, k_f32(k, 1 / most)));
    MlirValue zero = act->zero ? k_cast(k, "arith.sitofp", k_quantize_round(k, k_fmul(k, below, s.inverse)), k->f32) : k_f32(k, 0);
    s.low = act->zero ? k_fsub(k, k_f32(k, 0), zero) : k_f32(k, -most);
    s.high = act->zero ? k_fsub(k, k_f32(k, levels), zero) : k_f32(k, most);
    return s;
}

/* An end of a row's range, where not all of it is used. */
static MlirValue clipped(struct qbc_kernel *k, MlirValue end, float share)
{
    return share < 1 ? k_fmul(k, end, k_f32(k, share)) : end;
}

/* What calibration saw, for all tokens alike. */
static struct scale scale_of_tensor(struct qbc_kernel *k, const struct qbc_activation *act)
{
    MlirValue low = k_f32(k, (float)qbc_float(k->launch, "low", 0)), high = k_f32(k, (float)qbc_float(k->launch, "high", 0));
    return scale_of(k, act, low, high, k_cmp(k, QBC_EQ, k_i32(k, 0), k_i32(k, 1)));
}

/* --- by the root of the mean square */

static MlirValue add_squares(struct qbc_kernel *k, const struct span *s, MlirValue i, int64_t n, MlirValue sum)
{
    MlirValue x = k_quantize_load(k, s->row, i, n);
    return k_fadd(k, sum, k_fmul(k, x, x));
}

static MlirValue sum_of_squares(struct qbc_kernel *k, const struct span *s)
{
    MlirValue sum = k_float_of(k, k_vec(k, WIDTH, k->f32), 0), whole = k_add_i(k, s->first, s->columns / WIDTH);
    struct k_loop loop = k_for(k, s->first, whole, 1, 1, &sum);
    MlirValue next = add_squares(k, s, loop.i, WIDTH, loop.carried[0]);
    k_end(k, &loop, &next);
    sum = loop.carried[0];
    if (s->columns % WIDTH)
        sum = add_squares(k, s, whole, s->columns % WIDTH, sum);
    return k_reduce(k, "add", sum);
}

/* `inverse` is that of a step, two scales. */
static struct scale scale_by_rms(struct qbc_kernel *k, const struct span *s)
{
    float half = (float)(1 << (s->act->bits - 1)), reach = qbc_activation_reach(s->act->bits) / (2 * half - 1);
    MlirValue sum = sum_of_squares(k, s);
    MlirValue bad = k_cmp(k, QBC_GE, k_bitcast(k, sum, k->i32), k_i32(k, 0x7f800000));
    struct scale scale = {.bad = bad, .low = k_f32(k, -half), .high = k_f32(k, half - 1)};
    scale.unusable = k_op2(k, "arith.ori", bad, k_fcmp(k, QBC_FLT, sum, k_f32(k, 0x1p-100f)));
    MlirValue mean = k_fmul(k, k_select(k, scale.unusable, k_f32(k, 1), sum), k_f32(k, 1.0f / (float)s->columns));
    MlirValue size = k_fmul(k, k_op1(k, "math.sqrt", mean), k_f32(k, reach));
    scale.inverse = k_fdiv(k, k_f32(k, 0.5f), size);
    scale.scale = k_select(k, scale.unusable, k_f32(k, 0), size);
    return scale;
}

/* Odd codes. Columns that there are not have code 0. */
static void put_by_rms(struct qbc_kernel *k, const struct span *s, const struct scale *scale, MlirValue i, int64_t n)
{
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue steps = k_fmul(k, k_quantize_load(k, s->row, i, n), k_splat(k, scale->inverse, WIDTH));
    steps = k_fsub(k, steps, k_float_of(k, mlirValueGetType(steps), 0.5));
    steps = k_fmin(k, k_splat(k, scale->high, WIDTH), k_fmax(k, k_splat(k, scale->low, WIDTH), steps));
    MlirValue rounded = k_quantize_round(k, steps), codes = k_add(k, k_add(k, rounded, rounded), k_int_of(k, ints, 1));
    codes = k_select(k, scale->unusable, k_int_of(k, ints, 0), codes);
    if (n < WIDTH)
        codes = k_select(k, k_cmp(k, QBC_LT, k_iota(k, WIDTH, k->i32), k_int_of(k, ints, n)), codes, k_int_of(k, ints, 0));
    k_quantize_put(k, s->row, i, codes, scale->scale, scale->bad);
}

/* --- codes */

static void put(struct qbc_kernel *k, const struct span *s, const struct scale *scale, MlirValue i, int64_t n)
{
    if (s->act->rms) {
        put_by_rms(k, s, scale, i, n);
        return;
    }
    MlirValue x = k_quantize_load(k, s->row, i, n), bad = scale->bad, unusable = scale->unusable;
    if (s->act->group == QBC_ACT_TENSOR) { /* of these columns nobody knows yet */
        MlirValue keys = keys_of(k, x);
        bad = k_op2(k, "arith.ori", bad, is_bad(k, k_reduce(k, "minsi", keys), k_reduce(k, "maxsi", keys)));
        unusable = k_op2(k, "arith.ori", bad, unusable);
    }
    MlirValue steps = k_fmul(k, x, k_splat(k, scale->inverse, WIDTH));
    steps = k_fmin(k, k_splat(k, scale->high, WIDTH), k_fmax(k, k_splat(k, scale->low, WIDTH), steps));
    MlirValue codes = k_quantize_round(k, steps);
    codes = k_select(k, unusable, k_int_of(k, k_vec(k, WIDTH, k->i32), 0), codes);
    k_quantize_put(k, s->row, i, codes, scale->scale, bad);
}

static void quantize(struct qbc_kernel *k, const struct span *s)
{
    struct scale scale;
    MlirValue least, greatest, whole = k_add_i(k, s->first, s->columns / WIDTH);
    if (s->act->group == QBC_ACT_TENSOR) {
        scale = scale_of_tensor(k, s->act);
    } else if (s->act->rms) {
        scale = scale_by_rms(k, s);
    } else {
        find_extent(k, s, &least, &greatest);
        MlirValue low = clipped(k, as_float(k, least), s->act->clip_low), high = clipped(k, as_float(k, greatest), s->act->clip_high);
        scale = scale_of(k, s->act, low, high, is_bad(k, least, greatest));
    }
    struct k_loop loop = k_for(k, s->first, whole, 1, 0, NULL);
    put(k, s, &scale, loop.i, WIDTH);
    k_end(k, &loop, NULL);
    if (s->columns % WIDTH)
        put(k, s, &scale, whole, s->columns % WIDTH);
}

void k_quantize_spans(struct qbc_kernel *k, const struct k_quantize_row *r, const struct qbc_activation *act, int64_t columns)
{
    int64_t span = act->group > 0 && act->group < columns ? act->group : columns, whole = columns / span, records = span / WIDTH;
    if (span == columns) {
        quantize(k, &(struct span){r, act, k_i64(k, 0), columns});
        return;
    }
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole * records), records, 0, NULL);
    quantize(k, &(struct span){r, act, loop.i, span});
    k_end(k, &loop, NULL);
    if (columns % span)
        quantize(k, &(struct span){r, act, k_i64(k, whole * records), columns % span});
}
