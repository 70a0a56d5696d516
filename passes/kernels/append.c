/* append_keys and append_values: put this step's rows into the state (cache.h).
 *
 *   operands   state, x
 *   attributes kv_heads, head_dim, context, format of what is kept (f32)
 */
#include "cache.h"

enum { STATE = 0, X = 1 };

static void append(struct qbc_kernel *k, bool keys)
{
    int64_t head_dim = qbc_int(k->launch, "head_dim", 0);
    const struct qbc_format *f = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", "f32"));
    const struct qbc_cache c = qbc_cache(f, keys, qbc_int(k->launch, "context", 0), head_dim);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue heads = k_i64(k, qbc_int(k->launch, "kv_heads", 0));
    struct k_loop loop = k_for(k, k_i64(k, 0), heads, 1, 0, NULL);
    MlirValue from = k_at(k, k_row(k, X, rows.i), k_mul_i(k, loop.i, head_dim * 4));
    MlirValue head = k_at(k, k->operand[STATE], k_mul_i(k, loop.i, c.head_bytes));
    qbc_cache_write(k, &c, from, head, k_add(k, k->pos, rows.i));
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
