/* append_keys and append_values: put this step's rows into the state (kernel.h, QBC_POSITIONS).
 *
 *   operands   state, x
 *   attributes kv_heads, head_dim, context
 */
#include "kernel.h"

enum { STATE = 0, X = 1, WIDTH = QBC_POSITIONS };

struct head {
    MlirValue from, to;
};

static MlirValue copy(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct head *h = user;
    k_float_to(k, k_float_at(k, h->from, column, width), h->to, column);
    return sum;
}

static void copy_channels(struct qbc_kernel *k, struct head *h, int64_t channels)
{
    k_columns(k, channels, WIDTH, copy, h, (MlirValue){NULL});
}

/* Channel d of a position lies QBC_POSITIONS floats after channel d - 1. */
static MlirValue scatter(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct head *h = user;
    MlirValue to = k_at(k, h->to, k_mul_i(k, column, 4 * QBC_POSITIONS));
    k_store_strided(k, k_float_at(k, h->from, column, width), to, 4 * QBC_POSITIONS);
    return sum;
}

static void scatter_channels(struct qbc_kernel *k, struct head *h, int64_t channels)
{
    int64_t whole = channels / WIDTH * WIDTH;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, whole), WIDTH, 0, NULL);
    k_not_unrolled(k, &loop);
    scatter(k, h, loop.i, WIDTH, (MlirValue){NULL});
    k_end(k, &loop, NULL);
    h->from = k_at_i(k, h->from, 4 * whole), h->to = k_at_i(k, h->to, 4 * QBC_POSITIONS * whole);
    k_columns(k, channels - whole, WIDTH, scatter, h, (MlirValue){NULL});
}

static MlirValue place(struct qbc_kernel *k, bool keys, MlirValue position, int64_t head_dim)
{
    int64_t row = qbc_head_bytes(false, 1, head_dim) / QBC_POSITIONS;
    if (!keys)
        return k_mul_i(k, position, row);
    MlirValue sixteen = k_i64(k, QBC_POSITIONS);
    MlirValue block = k_op2(k, "arith.divui", position, sixteen);
    MlirValue lane = k_op2(k, "arith.remui", position, sixteen);
    return k_add(k, k_mul_i(k, block, head_dim * 4 * QBC_POSITIONS), k_mul_i(k, lane, 4));
}

static void append(struct qbc_kernel *k, bool keys)
{
    int64_t head_dim = qbc_int(k->launch, "head_dim", 0);
    int64_t head_bytes = qbc_head_bytes(keys, qbc_int(k->launch, "context", 0), head_dim);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue at = k_at(k, k->operand[STATE], place(k, keys, k_add(k, k->pos, rows.i), head_dim));
    MlirValue heads = k_i64(k, qbc_int(k->launch, "kv_heads", 0));
    struct k_loop loop = k_for(k, k_i64(k, 0), heads, 1, 0, NULL);
    struct head h = {
        .from = k_at(k, k_row(k, X, rows.i), k_mul_i(k, loop.i, head_dim * 4)),
        .to = k_at(k, at, k_mul_i(k, loop.i, head_bytes)),
    };
    if (keys)
        scatter_channels(k, &h, head_dim);
    else
        copy_channels(k, &h, head_dim);
    k_end(k, &loop, NULL);
    k_end(k, &rows, NULL);
}

void qbc_kernel_append_keys(struct qbc_kernel *k)
{
    append(k, true);
}

void qbc_kernel_append_values(struct qbc_kernel *k)
{
    append(k, false);
}
