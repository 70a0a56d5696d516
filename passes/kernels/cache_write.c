/* cache_write: a position's keys or values of one head become codes, or floats of the state's type. (cache.h)
 *
 * The arithmetic is that of dialects/formats/fit.c and search.c, rtn: scale first, rounded to f16; codes of what it
 * decodes to.
 */
#include "cache.h"

#include <mlir-c/BuiltinTypes.h>

enum { WIDTH = 16, MOST_VECTORS = QBC_MAX_GROUP / WIDTH };

/* Some channels of a position: a group, of which `n` exist, in vectors of 16. Lanes beyond have what the first one has. */
struct group {
    struct qbc_kernel *k;
    const struct qbc_cache *c;
    MlirValue x[MOST_VECTORS];
    int64_t n, vectors;
    MlirValue scale, inverse_of; /* f32; inverse_of: never 0 */
    MlirValue zero, min;         /* i32, f32: where codes are counted from */
    MlirValue bad, empty;        /* not finite; codes say nothing */
};

static MlirValue floats(struct group *g, double value)
{
    return k_float_of(g->k, k_vec(g->k, WIDTH, g->k->f32), value);
}

static void load(struct group *g, MlirValue from)
{
    struct qbc_kernel *k = g->k;
    g->vectors = (g->n + WIDTH - 1) / WIDTH;
    for (int64_t i = 0; i < g->vectors; ++i) {
        int64_t here = g->n - i * WIDTH;
        g->x[i] = k_load_first(k, WIDTH, k_at_i(k, from, 4 * WIDTH * i), here);
        if (here < WIDTH) {
            MlirValue there = k_cmp(k, QBC_LT, k_iota(k, WIDTH, k->i32), k_int_of(k, k_vec(k, WIDTH, k->i32), here));
            g->x[i] = k_select(k, there, g->x[i], k_spread(k, g->x[0], 0));
        }
    }
}

/* --- what the group is like */

/* The largest of x, or of -x: minus the least. */
static MlirValue most_of(struct group *g, bool negated)
{
    MlirValue all = {NULL};
    for (int64_t i = 0; i < g->vectors; ++i) {
        MlirValue x = negated ? k_op1(g->k, "arith.negf", g->x[i]) : g->x[i];
        all = i ? k_op2(g->k, "arith.maxnumf", all, x) : x;
    }
    return k_reduce(g->k, "maxnumf", all);
}

static MlirValue largest_bits(struct group *g)
{
    struct qbc_kernel *k = g->k;
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue most = k_int_of(k, ints, 0);
    for (int64_t i = 0; i < g->vectors; ++i)
        most = k_op2(k, "arith.maxsi", most, k_op2(k, "arith.andi", k_bitcast(k, g->x[i], ints), k_int_of(k, ints, 0x7fffffff)));
    return k_reduce(k, "maxsi", most);
}

/* How far levels reach below and above 0. */
static void reach(const struct qbc_format *f, float *below, float *above)
{
    *below = *above = 0;
    for (int code = f->low; code <= f->high; ++code) {
        float level = f->codebook == QBC_CODE_TABLE ? f->level[code] : (float)(code - f->bias);
        level *= f->unit ? f->unit : 1;
        *below = -level > *below ? -level : *below;
        *above = level > *above ? level : *above;
    }
}

static MlirValue norm_scale(struct group *g)
{
    struct qbc_kernel *k = g->k;
    MlirValue sum = floats(g, 0);
    for (int64_t i = 0; i < g->vectors; ++i) {
        MlirValue there = k_cmp(k, QBC_LT, k_iota(k, WIDTH, k->i32), k_int_of(k, k_vec(k, WIDTH, k->i32), g->n - i * WIDTH));
        MlirValue x = k_select(k, there, g->x[i], floats(g, 0));
        sum = k_fadd(k, sum, k_fmul(k, x, x));
    }
    MlirValue mean = k_fdiv(k, k_reduce(k, "add", sum), k_f32(k, (float)g->n));
    return k_fmul(k, k_op1(k, "math.sqrt", mean), k_f32(k, g->c->norm));
}

/* The weight of largest magnitude, with its sign, at the largest level: fit.c, plain_symmetric. */
static MlirValue symmetric_scale(struct group *g, MlirValue amax)
{
    struct qbc_kernel *k = g->k;
    float below, above;
    if (g->c->norm > 0)
        return norm_scale(g);
    reach(g->c->format, &below, &above);
    if (below == above)
        return k_fdiv(k, amax, k_f32(k, below));
    MlirValue negative = k_cmp(k, QBC_EQ, k_bitcast(k, most_of(g, true), k->i32), k_bitcast(k, amax, k->i32));
    MlirValue minus = k_op1(k, "arith.negf", amax);
    MlirValue side = below > above ? k_select(k, negative, amax, minus) : k_select(k, negative, minus, amax);
    return k_fdiv(k, side, k_f32(k, below > above ? below : above));
}

static MlirValue span_scale(struct group *g, MlirValue *least)
{
    struct qbc_kernel *k = g->k;
    const struct qbc_format *f = g->c->format;
    MlirValue most = most_of(g, false), zero = k_f32(k, 0);
    *least = k_op1(k, "arith.negf", most_of(g, true));
    if (f->offset == QBC_OFFSET_ZERO) {
        most = k_op2(k, "arith.maxnumf", most, zero);
        *least = k_op2(k, "arith.minnumf", *least, zero);
    }
    return k_fdiv(k, k_fsub(k, most, *least), k_f32(k, (float)(f->high - f->low)));
}

/* --- numbers: scale first, as it is stored */

static MlirValue lane_offset(struct group *g, MlirValue position)
{
    return g->c->keys ? k_op2(g->k, "arith.remui", position, k_i64(g->k, QBC_POSITIONS)) : k_i64(g->k, 0);
}

struct place {
    MlirValue at, group, lane; /* the block or position; numbers */
};

static MlirValue number_at(struct group *g, const struct place *p, int64_t from, int64_t bytes)
{
    int64_t lanes = g->c->keys ? QBC_POSITIONS : 1;
    MlirValue index = k_add(g->k, k_mul_i(g->k, p->group, lanes), p->lane);
    return k_at(g->k, k_at_i(g->k, p->at, from), k_mul_i(g->k, index, bytes));
}

/* Rounded to f16 and put there; what was put. No number where the group has none. */
static MlirValue put_half(struct group *g, MlirValue x, MlirValue at)
{
    struct qbc_kernel *k = g->k;
    MlirValue half = k_float_to_half(k, x);
    MlirValue magnitude = k_op2(k, "arith.andi", half, k_int_of(k, k->i16, 0x7fff));
    half = k_select(k, k_cmp(k, QBC_EQ, magnitude, k_int_of(k, k->i16, 0)), k_int_of(k, k->i16, 0), half); /* no -0 */
    half = k_select(k, g->bad, k_int_of(k, k->i16, 0x7e00), half);
    k_store(k, half, at, 2);
    return k_load_any_half(k, 0, at);
}

static void put_numbers(struct group *g, const struct place *p)
{
    struct qbc_kernel *k = g->k;
    const struct qbc_format *f = g->c->format;
    MlirValue bits = largest_bits(g), least = {NULL};
    g->bad = k_cmp(k, QBC_GE, bits, k_i32(k, 0x7f800000));
    MlirValue scale = f->offset == QBC_OFFSET_NONE ? symmetric_scale(g, k_bitcast(k, bits, k->f32)) : span_scale(g, &least);
    g->scale = put_half(g, scale, number_at(g, p, 0, 2));
    MlirValue none = k_cmp(k, QBC_EQ, k_bitcast(k, g->scale, k->i32), k_i32(k, 0));
    g->empty = k_op2(k, "arith.ori", none, g->bad);
    g->inverse_of = k_select(k, g->empty, k_f32(k, 1), g->scale);
    g->zero = k_i32(k, f->offset == QBC_OFFSET_NONE ? f->bias : f->low), g->min = k_f32(k, 0);
    if (f->offset == QBC_OFFSET_MIN)
        g->min = put_half(g, least, number_at(g, p, g->c->offsets, 2));
    if (f->offset == QBC_OFFSET_ZERO) {
        MlirValue zero = k_op1(k, "math.roundeven", k_fdiv(k, k_op1(k, "arith.negf", least), g->inverse_of));
        zero = k_fmin(k, k_f32(k, (float)(f->high - f->low)), k_fmax(k, k_f32(k, 0), zero));
        zero = k_select(k, g->empty, k_f32(k, 0), zero);
        g->zero = k_add(k, k_cast(k, "arith.fptosi", zero, k->i32), g->zero);
        k_store(k, k_cast(k, "arith.trunci", g->zero, k->i8), number_at(g, p, g->c->offsets, 1), 1);
    }
}

/* --- codes */

static MlirValue nearest_level(struct group *g, MlirValue x)
{
    struct qbc_kernel *k = g->k;
    const struct qbc_format *f = g->c->format;
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue best = k_int_of(k, ints, f->low), least = {NULL};
    for (int code = f->low; code <= f->high; ++code) {
        MlirValue distance = k_op1(k, "math.absf", k_fsub(k, x, floats(g, f->level[code] * (double)(f->unit ? f->unit : 1))));
        MlirValue nearer = code == f->low ? distance : k_fcmp(k, QBC_FLT, distance, least);
        best = code == f->low ? best : k_select(k, nearer, k_int_of(k, ints, code), best);
        least = code == f->low ? distance : k_select(k, nearer, distance, least);
    }
    return best;
}

/* rint by adding 1.5 * 2^23: the code is in the low bits. */
static MlirValue nearest_number(struct group *g, MlirValue x)
{
    struct qbc_kernel *k = g->k;
    const struct qbc_format *f = g->c->format;
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue zero = k_cast(k, "arith.sitofp", g->zero, k->f32);
    x = k_fmax(k, k_splat(k, k_fsub(k, k_f32(k, (float)f->low), zero), WIDTH), x);
    x = k_fmin(k, k_splat(k, k_fsub(k, k_f32(k, (float)f->high), zero), WIDTH), x);
    MlirValue rounded = k_fadd(k, x, floats(g, 0x1.8p23));
    MlirValue code = k_sub(k, k_bitcast(k, rounded, ints), k_int_of(k, ints, 0x4b400000));
    return k_add(k, code, k_splat(k, g->zero, WIDTH));
}

/* Sixteen codes, bytes. */
static MlirValue codes(struct group *g, int64_t vector)
{
    struct qbc_kernel *k = g->k;
    MlirValue x = g->x[vector];
    if (g->c->format->offset == QBC_OFFSET_MIN)
        x = k_fsub(k, x, k_splat(k, g->min, WIDTH));
    x = k_fdiv(k, x, k_splat(k, g->inverse_of, WIDTH));
    x = k_select(k, k_splat(k, g->empty, WIDTH), floats(g, 0), x);
    MlirValue code = g->c->format->codebook == QBC_CODE_TABLE ? nearest_level(g, x) : nearest_number(g, x);
    return k_cast(k, "arith.trunci", code, k->i8);
}

/* The field's bits of n codes, side by side: n * bits / 8 bytes, of which code c has byte c % that. */
static MlirValue packed(struct qbc_kernel *k, MlirValue code, int64_t n, int bits, int shift)
{
    MlirType bytes = k_vec(k, n, k->i8);
    int64_t lanes = 8 / bits;
    code = shift ? k_op2(k, "arith.shrui", code, k_int_of(k, bytes, shift)) : code;
    code = bits < 8 ? k_op2(k, "arith.andi", code, k_int_of(k, bytes, (1 << bits) - 1)) : code;
    if (lanes == 1)
        return code;
    MlirType whole = mlirIntegerTypeGet(k->q->mlir, (unsigned)(n * bits)), all = k_vec(k, lanes, whole);
    MlirValue up = k_mul(k, k_iota(k, lanes, whole), k_int_of(k, all, bits));
    MlirValue one = k_reduce(k, "or", k_op2(k, "arith.shli", k_bitcast(k, code, all), up));
    return k_bitcast(k, k_splat(k, one, 1), k_vec(k, n * bits / 8, k->i8));
}

static void put_codes(struct group *g, const struct place *p, MlirValue channel, int64_t vector)
{
    struct qbc_kernel *k = g->k;
    const struct qbc_cache *c = g->c;
    MlirValue all = codes(g, vector);
    for (int64_t first = 0; first < WIDTH && vector * WIDTH + first < g->n; first += c->unit) {
        MlirValue some = k_part(k, all, first, c->unit);
        MlirValue units = k_op2(k, "arith.divui", k_add_i(k, channel, vector * WIDTH + first), k_i64(k, c->unit));
        MlirValue unit = k_at(k, k_at_i(k, p->at, c->codes), k_mul_i(k, units, c->unit_bytes));
        for (int i = 0; i < c->fields; ++i) {
            MlirValue bytes = packed(k, some, c->unit, c->field[i].bits, c->field[i].shift);
            MlirValue to = k_at_i(k, unit, c->field[i].at);
            if (c->keys)
                k_store_strided(k, bytes, k_at(k, to, p->lane), QBC_POSITIONS);
            else
                k_store(k, bytes, to, 1);
        }
    }
}

/* --- positions */

static void put_group(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, const struct place *p, int64_t n)
{
    struct group g = {.k = k, .c = c, .n = n};
    MlirValue channel = k_mul_i(k, p->group, c->group);
    load(&g, k_at(k, from, k_mul_i(k, channel, 4)));
    put_numbers(&g, p);
    for (int64_t i = 0; i < g.vectors; ++i)
        put_codes(&g, p, channel, i);
}

struct copy {
    const struct qbc_cache *c;
    MlirValue from, to;
};

static MlirValue put_floats(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct copy *copy = user;
    const struct qbc_cache *c = copy->c;
    MlirValue x = k_float_at(k, copy->from, column, width), to = k_at(k, copy->to, k_mul_i(k, column, c->unit_bytes));
    x = c->format->bits == 16 ? k_float_to_half(k, x) : x;
    if (c->keys)
        k_store_strided(k, x, to, c->unit_bytes);
    else
        k_store(k, x, to, c->format->bits / 8);
    return sum;
}

/* Sixteen channels at a time; what is left piece by piece. */
static void copy_floats(struct qbc_kernel *k, struct copy *copy)
{
    int64_t channels = copy->c->head_dim, whole = channels / WIDTH * WIDTH;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), WIDTH, 0, NULL);
    k_not_unrolled(k, &loop);
    put_floats(k, copy, loop.i, WIDTH, (MlirValue){NULL});
    k_end(k, &loop, NULL);
    copy->from = k_at_i(k, copy->from, 4 * whole), copy->to = k_at_i(k, copy->to, copy->c->unit_bytes * whole);
    k_columns(k, channels - whole, WIDTH, put_floats, copy, (MlirValue){NULL});
}

void qbc_cache_write(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, MlirValue head, MlirValue position)
{
    MlirValue at = qbc_cache_position(k, c, head, position);
    struct group none = {.k = k, .c = c};
    MlirValue lane = lane_offset(&none, position);
    if (qbc_cache_is_float(c)) {
        struct copy copy = {c, from, k_at(k, at, k_mul_i(k, lane, c->format->bits / 8))};
        copy_floats(k, &copy);
        return;
    }
    if (c->vector > 1) {
        qbc_cache_write_vectors(k, c, from, at, lane);
        return;
    }
    int64_t whole = c->head_dim / c->group, rest = c->head_dim % c->group;
    if (whole) {
        struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), 1, 0, NULL);
        put_group(k, c, from, &(struct place){at, loop.i, lane}, c->group);
        k_end(k, &loop, NULL);
    }
    if (rest)
        put_group(k, c, from, &(struct place){at, k_i64(k, whole), lane}, rest);
}
