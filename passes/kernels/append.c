/* append_keys and append_values: put this step's rows into the state (cache.h).
 *
 *   operands   state, x, table of vectors where the format is of such (cache.h)
 *   attributes kv_heads, head_dim, context, format of what is kept (f32); norm (0: cache.h); sink, recent, ring: blocks of positions that are
 *              kept as f16 beside codes (0)
 */
#include "cache.h"

enum { STATE = 0, X = 1, TABLE = 2 };

struct caches {
    struct qbc_cache all, sink, ring;
    struct qbc_cache_kept kept;
};

static void append_head(struct qbc_kernel *k, const struct caches *c, MlirValue from, MlirValue head, MlirValue position)
{
    qbc_cache_write(k, &c->all, from, head, position);
    if (qbc_cache_is_float(&c->all))
        return;
    if (c->kept.ring)
        qbc_cache_write(k, &c->ring, from, head, position);
    if (!c->kept.sink)
        return;
    struct k_loop first = k_if(k, k_cmp(k, QBC_LT, position, k_i64(k, c->kept.sink * QBC_POSITIONS)));
    qbc_cache_write(k, &c->sink, from, head, position);
    k_end(k, &first, NULL);
}

static void append(struct qbc_kernel *k, bool keys)
{
    struct caches c = {.all = qbc_cache_of(k->q, k->launch, keys, "format"), .kept = qbc_cache_kept(k->launch)};
    c.sink = qbc_cache_sink(&c.all, c.kept), c.ring = qbc_cache_ring(&c.all, c.kept);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue heads = k_i64(k, qbc_int(k->launch, "kv_heads", 0));
    struct k_loop loop = k_for(k, k_i64(k, 0), heads, 1, 0, NULL);
    MlirValue from = k_at(k, k_row(k, X, rows.i), k_mul_i(k, loop.i, c.all.head_dim * 4));
    MlirValue head = k_at(k, k->operand[STATE], k_mul_i(k, loop.i, c.all.head_bytes));
    qbc_cache_set_head(k, &c.all, k->operand[TABLE], loop.i);
    append_head(k, &c, from, head, k_add(k, k->pos, rows.i));
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
