/* cache_vectors: keys and values as vectors of tables: product quantization (MILLION, arXiv 2504.03661). (cache.h)
 *
 * Written: the vector with the least squared distance, 16 of a table at a time. Read: each channel is gathered from its row of the
 * table, f32 [channel][256].
 */
#include "cache.h"

#include <mlir-c/BuiltinTypes.h>

enum { WIDTH = QBC_POSITIONS, ENTRIES = QBC_CACHE_VECTORS, ROW = 4 * ENTRIES, MOST = 8 };

/* --- reading */

static MlirValue row_of(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue channel)
{
    return k_at(k, c->table, k_mul_i(k, channel, ROW));
}

void qbc_cache_vector_keys(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue block, MlirValue channel, int64_t n,
                           MlirValue *out)
{
    MlirValue unit = k_at(k, block, k_mul_i(k, channel, WIDTH / c->vector)), table = row_of(k, c, channel), code = {NULL};
    for (int64_t i = 0; i < n; ++i) {
        if (i % c->vector == 0) {
            code = k_load(k, k_vec(k, WIDTH, k->i8), k_at_i(k, unit, i / c->vector * WIDTH), 1);
            code = k_cast(k, "arith.extui", code, k->i32);
        }
        out[i] = k_gather_numbers(k, k_at_i(k, table, i * ROW), code);
    }
}

MlirValue qbc_cache_vector_values(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue at, MlirValue channel)
{
    int64_t runs = WIDTH / c->vector;
    MlirValue from = k_at(k, at, k_op2(k, "arith.divui", channel, k_i64(k, c->vector)));
    MlirValue code = k_cast(k, "arith.extui", k_load(k, k_vec(k, runs, k->i8), from, 1), k->i32);
    MlirValue row = k_mul(k, k_iota(k, WIDTH, k->i32), k_int_of(k, k_vec(k, WIDTH, k->i32), ENTRIES));
    return k_gather_numbers(k, row_of(k, c, channel), k_add(k, row, k_repeat(k, code, 0, runs, c->vector)));
}

/* --- writing */

/* Squared distances of x from entries `entry` .. + 15, as the bits of floats: they are in the same order. */
static MlirValue distances(struct qbc_kernel *k, int64_t n, const MlirValue *x, MlirValue table, MlirValue entry)
{
    MlirType floats = k_vec(k, WIDTH, k->f32);
    MlirValue sum = k_float_of(k, floats, 0), at = k_at(k, table, k_mul_i(k, entry, 4));
    for (int64_t i = 0; i < n; ++i) {
        MlirValue apart = k_fsub(k, x[i], k_load(k, floats, k_at_i(k, at, i * ROW), 4));
        sum = k_fma(k, apart, apart, sum);
    }
    return k_bitcast(k, sum, k_vec(k, WIDTH, k->i32));
}

/* Of the run of channels at x, i8. */
static MlirValue nearest(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, MlirValue table)
{
    MlirType ints = k_vec(k, WIDTH, k->i32);
    MlirValue x[MOST], lane = k_iota(k, WIDTH, k->i32), none = k_int_of(k, ints, ENTRIES);
    for (int64_t i = 0; i < c->vector; ++i)
        x[i] = k_splat(k, k_load(k, k->f32, k_at_i(k, from, 4 * i), 4), WIDTH);
    const MlirValue start[] = {distances(k, c->vector, x, table, k_i64(k, 0)), lane};
    struct k_loop loop = k_for(k, k_i64(k, WIDTH), k_i64(k, ENTRIES), WIDTH, 2, start);
    MlirValue here = distances(k, c->vector, x, table, loop.i), nearer = k_cmp(k, QBC_LT, here, loop.carried[0]);
    MlirValue number = k_add(k, lane, k_splat(k, k_cast(k, "arith.trunci", loop.i, k->i32), WIDTH));
    const MlirValue next[] = {k_select(k, nearer, here, loop.carried[0]), k_select(k, nearer, number, loop.carried[1])};
    k_end(k, &loop, next);
    MlirValue least = k_splat(k, k_reduce(k, "minsi", loop.carried[0]), WIDTH);
    MlirValue candidates = k_select(k, k_cmp(k, QBC_EQ, loop.carried[0], least), loop.carried[1], none);
    return k_cast(k, "arith.trunci", k_reduce(k, "minsi", candidates), k->i8);
}

void qbc_cache_write_vectors(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, MlirValue at, MlirValue lane)
{
    int64_t bytes = c->keys ? WIDTH : 1;
    struct k_loop runs = k_for(k, k_i64(k, 0), k_i64(k, c->head_dim / c->vector), 1, 0, NULL);
    MlirValue channel = k_mul_i(k, runs.i, c->vector);
    MlirValue code = nearest(k, c, k_at(k, from, k_mul_i(k, channel, 4)), row_of(k, c, channel));
    k_store(k, code, k_at(k, k_at(k, at, k_mul_i(k, runs.i, bytes)), lane), 1);
    k_end(k, &runs, NULL);
}
