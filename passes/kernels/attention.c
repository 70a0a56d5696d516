/* attention: softmax(q k^T * scale) v over the state, grouped heads, without a T x T buffer.
 *
 *   operands   y, q, keys, values, and vectors [heads] of sinks and slopes where attributes say so
 *   attributes heads, kv_heads, head_dim, value_dim (of values; as head_dim), scale, context, window (0: none)
 *              keys, values  formats of the state (f32); codes become numbers in registers (cache.h)
 *              key_table, value_table  numbers of the operands with tables of vectors, where states are codes of such (0)
 *              sink, recent, ring  blocks of positions that are floats beside codes (0)
 *              ahead    later positions that a token sees too, -1: all of the call (0)
 *              cap      scores s become cap tanh(s / cap) (0: they do not)
 *              sinks    number of the operand with a score for each head that takes part in the softmax and has no value (0)
 *              slopes   number of the operand with what a position back costs each head (0)
 *
 * A unit of work is a block of four to eight query rows that share a kv head: heads of one group, and
 * tokens when there are several. It walks the positions in blocks of 16, which lie side by side in
 * the key state, so a score vector is a sum of broadcasts; the softmax streams (Milakov and
 * Gimelshein, arXiv 1805.02867): with a new maximum, what was summed so far is scaled down.
 */
#include "cache.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { Y = 0, Q = 1, KEYS = 2, VALUES = 3 };
enum { BLOCK = QBC_POSITIONS, FEW_ROWS = 4, MOST_ROWS = 8, MOST_CHANNEL_BLOCKS = 4 };

/* Which positions are being walked. */
enum part { ALL, SINK, CODES, RING };

struct attention {
    struct qbc_kernel *k;
    enum part part;
    int64_t head_dim, value_dim, padded, group, window; /* padded: value_dim; group: query heads a kv head */
    int64_t ahead, sinks, slopes, key_table, value_table;
    double cap;
    struct qbc_cache keys, values; /* that are being read */
    struct qbc_cache all_keys, all_values;
    struct qbc_cache_kept kept;
    int head_rows, token_rows, rows;         /* of a block */
    float scale;
    MlirValue sums, weights; /* scratch: f32 [rows][padded], [rows][BLOCK] */
};

/* What is known of a block's rows. */
struct rows {
    MlirValue q[MOST_ROWS], y[MOST_ROWS], limit[MOST_ROWS]; /* limit i32: positions before it are seen */
    MlirValue own[MOST_ROWS], sink[MOST_ROWS], slope[MOST_ROWS]; /* own i32: the row's position, plus 1 */
    MlirValue keys, values, last;                           /* last: the largest limit, i64 */
    MlirValue recent[MOST_ROWS]; /* i64: from here on positions are floats again; where there are recent ones */
};

static int largest_divisor(int64_t of, int at_most)
{
    for (int d = at_most; d > 1; --d)
        if (of % d == 0)
            return d;
    return 1;
}

static MlirValue lanes_f32(struct attention *a, double value)
{
    return k_float_of(a->k, k_vec(a->k, BLOCK, a->k->f32), value);
}

/* Up to which position a row sees, whose own is `own` - 1. */
static MlirValue limit_of(struct attention *a, MlirValue own)
{
    struct qbc_kernel *k = a->k;
    MlirValue all = k_add(k, k->pos, k->rows);
    if (!a->ahead)
        return own;
    return a->ahead < 0 ? all : k_op2(k, "arith.minsi", all, k_add_i(k, own, a->ahead));
}

/* Whole blocks, behind those of the first positions. */
static MlirValue first_recent(struct attention *a, MlirValue own)
{
    struct qbc_kernel *k = a->k;
    MlirValue first = k_op2(k, "arith.andi", k_add_i(k, own, -a->kept.recent * BLOCK), k_i64(k, -BLOCK));
    return k_op2(k, "arith.maxsi", first, k_i64(k, a->kept.sink * BLOCK));
}

/* Unit u = (kv head * head blocks + head block) * token blocks + token block. */
static struct rows locate(struct attention *a, MlirValue unit, MlirValue token_blocks)
{
    struct qbc_kernel *k = a->k;
    struct rows r;
    int64_t head_blocks = a->group / a->head_rows;
    MlirValue token_block = k_op2(k, "arith.remui", unit, token_blocks);
    MlirValue rest = k_op2(k, "arith.divui", unit, token_blocks);
    MlirValue kv_head = k_op2(k, "arith.divui", rest, k_i64(k, head_blocks));
    MlirValue head = k_mul_i(k, rest, a->head_rows); /* rest counts head blocks over all kv heads */
    MlirValue last_token = k_add_i(k, k->rows, -1);
    r.keys = k_at(k, k->operand[KEYS], k_mul_i(k, kv_head, a->all_keys.head_bytes));
    r.values = k_at(k, k->operand[VALUES], k_mul_i(k, kv_head, a->all_values.head_bytes));
    qbc_cache_set_head(k, &a->all_keys, k->operand[a->key_table], kv_head);
    qbc_cache_set_head(k, &a->all_values, k->operand[a->value_table], kv_head);
    for (int i = 0; i < a->rows; ++i) {
        MlirValue token = k_add_i(k, k_mul_i(k, token_block, a->token_rows), i / a->head_rows);
        /* rows past the end do the last token's work again, with the same result */
        token = k_op2(k, "arith.minsi", token, last_token);
        MlirValue nth = k_add_i(k, head, i % a->head_rows);
        MlirValue own = k_add_i(k, k_add(k, k->pos, token), 1), sees = limit_of(a, own);
        MlirValue number = k_mul_i(k, nth, 4);
        if (a->sinks)
            r.sink[i] = k_load(k, k->f32, k_at(k, k->operand[a->sinks], number), 4);
        if (a->slopes)
            r.slope[i] = k_load(k, k->f32, k_at(k, k->operand[a->slopes], number), 4);
        r.own[i] = k_cast(k, "arith.trunci", own, k->i32);
        r.recent[i] = first_recent(a, own);
        r.q[i] = k_at(k, k_row(k, Q, token), k_mul_i(k, nth, a->head_dim * 4));
        r.y[i] = k_at(k, k_row(k, Y, token), k_mul_i(k, nth, a->value_dim * 4));
        r.limit[i] = k_cast(k, "arith.trunci", sees, k->i32);
        r.last = sees;
    }
    return r;
}

/* next[row] = sum[row] + q . key over n channels from `channel`: a unit's, or those that are left of it. */
static void add_products(struct attention *a, const struct rows *r, MlirValue block, MlirValue channel, int64_t n,
                         const MlirValue *sum, MlirValue *next)
{
    struct qbc_kernel *k = a->k;
    MlirValue key[QBC_KEY_UNIT], offset = k_mul_i(k, channel, 4);
    qbc_cache_keys(k, &a->keys, block, channel, n, key);
    for (int i = 0; i < a->rows; ++i) {
        MlirValue q = k_at(k, r->q[i], offset);
        next[i] = sum[i];
        for (int64_t c = 0; c < n; ++c)
            next[i] = k_fma(k, k_splat(k, k_load(k, k->f32, k_at_i(k, q, 4 * c), 4), BLOCK), key[c], next[i]);
    }
}

/* Scores of 16 positions from `position` (i64, a multiple of 16), one vector a row. */
static void scores(struct attention *a, const struct rows *r, MlirValue position, MlirValue *s)
{
    struct qbc_kernel *k = a->k;
    MlirValue block = qbc_cache_position(k, &a->keys, r->keys, position), next[MOST_ROWS];
    int64_t unit = a->keys.unit, whole = a->head_dim / unit * unit;
    for (int i = 0; i < a->rows; ++i)
        s[i] = lanes_f32(a, 0);
    if (whole) {
        struct k_loop d = k_for(k, k_i64(k, 0), k_i64(k, whole), unit, (size_t)a->rows, s);
        add_products(a, r, block, d.i, unit, d.carried, next);
        k_end(k, &d, next);
        memcpy(s, d.carried, (size_t)a->rows * sizeof *s);
    }
    if (whole < a->head_dim)
        add_products(a, r, block, k_i64(k, whole), a->head_dim - whole, s, s);
    for (int i = 0; i < a->rows; ++i)
        s[i] = k_fmul(k, s[i], lanes_f32(a, (double)a->scale));
}

/* 16 positions from `position`, i32. */
static MlirValue indices(struct attention *a, MlirValue position)
{
    struct qbc_kernel *k = a->k;
    MlirValue first = k_splat(k, k_cast(k, "arith.trunci", position, k->i32), BLOCK);
    return k_add(k, first, k_iota(k, BLOCK, k->i32));
}

/* Which of them row i sees here: all of a block, where it is read as codes in one place and as floats in another. */
static MlirValue visible(struct attention *a, const struct rows *r, MlirValue index, int i)
{
    struct qbc_kernel *k = a->k;
    MlirValue limit = k_splat(k, r->limit[i], BLOCK), sees = k_cmp(k, QBC_LT, index, limit);
    if (a->part == CODES || a->part == RING) {
        MlirValue recent = k_splat(k, k_cast(k, "arith.trunci", r->recent[i], k->i32), BLOCK);
        sees = k_op2(k, "arith.andi", sees, k_cmp(k, a->part == CODES ? QBC_LT : QBC_GE, index, recent));
    }
    if (!a->window)
        return sees;
    MlirValue oldest = k_add_i(k, k_splat(k, r->own[i], BLOCK), -a->window);
    return k_op2(k, "arith.andi", sees, k_cmp(k, QBC_GE, index, oldest));
}

/* What row i makes of its scores: capped, and less for what is far back. */
static MlirValue adjusted(struct attention *a, const struct rows *r, MlirValue index, int i, MlirValue s)
{
    struct qbc_kernel *k = a->k;
    if (a->cap > 0)
        s = k_fmul(k, k_tanh(k, k_fmul(k, s, lanes_f32(a, 1 / a->cap))), lanes_f32(a, a->cap));
    if (!a->slopes)
        return s;
    MlirValue back = k_add_i(k, k_sub(k, index, k_splat(k, r->own[i], BLOCK)), 1);
    if (a->ahead) /* later ones cost the same */
        back = k_op2(k, "arith.minsi", back, k_sub(k, k_int_of(k, mlirValueGetType(back), 0), back));
    return k_fma(k, k_splat(k, r->slope[i], BLOCK), k_cast(k, "arith.sitofp", back, k->f32), s);
}

/* Turn scores to weights in scratch; carried[2 i] is row i's maximum, carried[2 i + 1] its sum.
 * shrink[i]: what the sums so far are to be multiplied by. */
static void softmax(struct attention *a, const struct rows *r, MlirValue position, const MlirValue *s,
                    MlirValue *carried, MlirValue *shrink)
{
    struct qbc_kernel *k = a->k;
    MlirValue index = indices(a, position);
    for (int i = 0; i < a->rows; ++i) {
        MlirValue sees = visible(a, r, index, i), old = carried[2 * i];
        MlirValue masked = k_select(k, sees, adjusted(a, r, index, i, s[i]), lanes_f32(a, -1e30));
        MlirValue top = k_op2(k, "arith.maxnumf", old, k_reduce(k, "maxnumf", masked));
        MlirValue p = k_exp(k, k_fsub(k, masked, k_splat(k, top, BLOCK)));
        p = k_select(k, sees, p, lanes_f32(a, 0));
        shrink[i] = k_exp(k, k_fsub(k, old, top));
        k_store(k, p, k_at_i(k, a->weights, i * 4 * BLOCK), 64);
        carried[2 * i] = top;
        carried[2 * i + 1] = k_fma(k, carried[2 * i + 1], shrink[i], k_reduce(k, "add", p));
    }
}

/* sums[i][channels] = sums * shrink + weights[i] . values, for `n` vectors of channels at `channel`. */
static void accumulate(struct attention *a, const struct rows *r, MlirValue position, MlirValue count,
                       const MlirValue *shrink, MlirValue channel, int n)
{
    struct qbc_kernel *k = a->k;
    MlirValue sum[MOST_ROWS * MOST_CHANNEL_BLOCKS], next[MOST_ROWS * MOST_CHANNEL_BLOCKS];
    MlirValue at[MOST_ROWS], value;
    for (int i = 0; i < a->rows; ++i) {
        at[i] = k_at(k, k_at_i(k, a->sums, i * a->padded * 4), k_mul_i(k, channel, 4));
        for (int c = 0; c < n; ++c) {
            MlirValue v = k_load(k, k_vec(k, BLOCK, k->f32), k_at_i(k, at[i], c * 4 * BLOCK), 64);
            sum[i * n + c] = k_fmul(k, v, k_splat(k, shrink[i], BLOCK));
        }
    }
    MlirValue base = qbc_cache_position(k, &a->values, r->values, position);
    struct k_loop j = k_for(k, k_i64(k, 0), count, 1, (size_t)(a->rows * n), sum);
    MlirValue row = k_at(k, base, k_mul_i(k, j.i, a->values.step));
    for (int c = 0; c < n; ++c) {
        value = qbc_cache_values(k, &a->values, row, k_add_i(k, channel, c * BLOCK));
        for (int i = 0; i < a->rows; ++i) {
            MlirValue p = k_at(k, k_at_i(k, a->weights, i * 4 * BLOCK), k_mul_i(k, j.i, 4));
            MlirValue weight = k_splat(k, k_load(k, k->f32, p, 4), BLOCK);
            next[i * n + c] = k_fma(k, weight, value, j.carried[i * n + c]);
        }
    }
    k_end(k, &j, next);
    for (int i = 0; i < a->rows; ++i)
        for (int c = 0; c < n; ++c)
            k_store(k, j.carried[i * n + c], k_at_i(k, at[i], c * 4 * BLOCK), 64);
}

/* Registers, counted as vectors of 16. */
static int wide_registers(const struct qbc_kernel *k)
{
    return k->q->target->vector_regs * k->lanes / BLOCK;
}

/* How many vectors of 16 channels fit in registers beside the rest, for every row. */
static int channel_blocks(struct attention *a)
{
    int registers = wide_registers(a->k), free = (registers - registers / 4) / a->rows;
    int most = free < 1 ? 1 : free > MOST_CHANNEL_BLOCKS ? MOST_CHANNEL_BLOCKS : free;
    return largest_divisor(a->padded / BLOCK, most);
}

/* From the block of the oldest position that the first row sees, which sees least far back. */
static MlirValue oldest(struct attention *a, const struct rows *r)
{
    struct qbc_kernel *k = a->k;
    if (!a->window)
        return k_i64(k, 0);
    MlirValue first = k_add_i(k, k_cast(k, "arith.extsi", r->own[0], k->i64), -a->window);
    first = k_op2(k, "arith.maxsi", first, k_i64(k, 0));
    return k_op2(k, "arith.andi", first, k_i64(k, -BLOCK));
}

static void walk(struct attention *a, const struct rows *r, MlirValue from, MlirValue to, MlirValue *state)
{
    struct qbc_kernel *k = a->k;
    MlirValue s[MOST_ROWS], shrink[MOST_ROWS], next[2 * MOST_ROWS];
    struct k_loop blocks = k_for(k, from, to, BLOCK, (size_t)(2 * a->rows), state);
    for (int i = 0; i < 2 * a->rows; ++i)
        next[i] = blocks.carried[i];
    scores(a, r, blocks.i, s);
    softmax(a, r, blocks.i, s, next, shrink);
    MlirValue count = k_op2(k, "arith.minsi", k_sub(k, r->last, blocks.i), k_i64(k, BLOCK));
    int n = channel_blocks(a);
    struct k_loop channels = k_for(k, k_i64(k, 0), k_i64(k, a->padded), n * BLOCK, 0, NULL);
    accumulate(a, r, blocks.i, count, shrink, channels.i, n);
    k_end(k, &channels, NULL);
    k_end(k, &blocks, next);
    for (int i = 0; i < 2 * a->rows; ++i)
        state[i] = blocks.carried[i];
}

/* The first positions, then those that are codes only, then the latest. Where rows disagree on which a block is, it is
 * walked as both, and rows do not see what is not theirs. */
static void walk_parts(struct attention *a, const struct rows *r, MlirValue *state)
{
    struct qbc_kernel *k = a->k;
    MlirValue from = oldest(a, r), sink = k_i64(k, a->kept.sink * BLOCK), all = r->last;
    MlirValue behind = k_op2(k, "arith.maxsi", from, sink);
    if (a->kept.sink) {
        a->part = SINK, a->keys = qbc_cache_sink(&a->all_keys, a->kept), a->values = qbc_cache_sink(&a->all_values, a->kept);
        walk(a, r, from, k_op2(k, "arith.minsi", sink, all), state);
    }
    a->part = a->kept.recent ? CODES : ALL, a->keys = a->all_keys, a->values = a->all_values;
    walk(a, r, behind, a->kept.recent ? k_op2(k, "arith.minsi", r->recent[a->rows - 1], all) : all, state);
    if (a->kept.recent) {
        a->part = RING, a->keys = qbc_cache_ring(&a->all_keys, a->kept), a->values = qbc_cache_ring(&a->all_values, a->kept);
        walk(a, r, k_op2(k, "arith.maxsi", behind, r->recent[0]), all, state);
    }
}

struct output {
    MlirValue sums, y, inverse;
};

static MlirValue put(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct output *o = user;
    MlirValue v = k_float_at(k, o->sums, column, width);
    k_float_to(k, k_fmul(k, v, k_splat(k, o->inverse, width)), o->y, column);
    return sum;
}

static void unit(struct attention *a, MlirValue index, MlirValue token_blocks)
{
    struct qbc_kernel *k = a->k;
    struct rows r = locate(a, index, token_blocks);
    MlirValue state[2 * MOST_ROWS];
    struct k_loop clear = k_for(k, k_i64(k, 0), k_i64(k, a->rows * a->padded * 4), 4 * BLOCK, 0, NULL);
    k_store(k, lanes_f32(a, 0), k_at(k, a->sums, clear.i), 64);
    k_end(k, &clear, NULL);
    for (int i = 0; i < a->rows; ++i) {
        state[2 * i] = a->sinks ? r.sink[i] : k_f32(k, -1e30f);
        state[2 * i + 1] = k_f32(k, a->sinks ? 1 : 0);
    }
    walk_parts(a, &r, state);
    for (int i = 0; i < a->rows; ++i) {
        struct output o = {
            .sums = k_at_i(k, a->sums, i * a->padded * 4),
            .y = r.y[i],
            .inverse = k_fdiv(k, k_f32(k, 1), state[2 * i + 1]),
        };
        k_columns(k, a->value_dim, BLOCK, put, &o, (MlirValue){NULL});
    }
}

void qbc_kernel_attention(struct qbc_kernel *k)
{
    int64_t kv_heads = qbc_int(k->launch, "kv_heads", 1);
    struct attention a = {
        .k = k,
        .head_dim = qbc_int(k->launch, "head_dim", 0),
        .value_dim = qbc_int(k->launch, "value_dim", qbc_int(k->launch, "head_dim", 0)),
        .group = qbc_int(k->launch, "heads", 0) / kv_heads,
        .window = qbc_int(k->launch, "window", 0),
        .scale = (float)qbc_float(k->launch, "scale", 1),
        .ahead = qbc_int(k->launch, "ahead", 0),
        .sinks = qbc_int(k->launch, "sinks", 0),
        .slopes = qbc_int(k->launch, "slopes", 0),
        .key_table = qbc_int(k->launch, "key_table", 0),
        .value_table = qbc_int(k->launch, "value_table", 0),
        .cap = qbc_float(k->launch, "cap", 0),
        .all_keys = qbc_cache_of(k->q, k->launch, true, "keys"),
        .all_values = qbc_cache_of(k->q, k->launch, false, "values"),
        .kept = qbc_cache_kept(k->launch),
    };
    a.padded = (a.value_dim + BLOCK - 1) / BLOCK * BLOCK;
    /* a row is a chain of sums: eight of them hide the latency of two products a cycle */
    int rows = wide_registers(k) >= 4 * MOST_ROWS ? MOST_ROWS : FEW_ROWS;
    a.head_rows = largest_divisor(a.group, FEW_ROWS);
    a.token_rows = k->one ? 1 : rows / a.head_rows;
    a.rows = a.head_rows * a.token_rows;
    a.sums = k_scratch(k, a.rows * a.padded * 4);
    a.weights = k_scratch(k, a.rows * BLOCK * 4);

    MlirValue tokens = k_add_i(k, k->rows, a.token_rows - 1);
    MlirValue token_blocks = k_op2(k, "arith.divui", tokens, k_i64(k, a.token_rows));
    MlirValue units = k_mul_i(k, token_blocks, kv_heads * a.group / a.head_rows);
    struct k_range share = k_share(k, units);
    struct k_loop loop = k_for(k, share.from, share.to, 1, 0, NULL);
    unit(&a, loop.i, token_blocks);
    k_end(k, &loop, NULL);
}
