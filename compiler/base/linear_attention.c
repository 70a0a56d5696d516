/* linear_attention: linear attention as level 1 (pattern.h): qb.linear_attention, its heads, and its state. */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

enum { MOST_TIMES = 64, NUMBERS = 5 };

bool qbc_linear_has_heads(struct qbc_linear *l, int64_t heads, int64_t query_heads, int64_t q, int64_t k, int64_t v)
{
    if (heads < 1 || query_heads < 1 || q < 1 || k < 1 || v < 1 || q % query_heads || k % (q / query_heads) || v % heads)
        return false;
    l->heads = heads;
    l->query_heads = query_heads;
    l->keys = q / query_heads;
    l->key_heads = k / l->keys;
    l->values = v / heads;
    bool whole = heads % l->key_heads == 0 && (query_heads % heads == 0 || heads % query_heads == 0);
    return whole && heads / l->key_heads <= MOST_TIMES && heads / query_heads <= MOST_TIMES;
}

/* Each head so many times, one after the other. */
static MlirValue repeated(struct qbc_build *b, MlirValue rows, int64_t heads, int64_t times)
{
    int64_t dim = qbc_dim(rows, 1) / heads, runs[MOST_TIMES * NUMBERS];
    if (times < 2)
        return rows;
    for (int64_t i = 0; i < times; ++i)
        memcpy(&runs[i * NUMBERS], (int64_t[]){0, 0, dim, 1, dim}, NUMBERS * sizeof *runs);
    MlirValue y = qbc_op(b, "qb.heads", qbc_rows_type(b->q, qbc_dim(rows, 1) * times), 1, rows);
    qbc_set_int(b->q, qbc_def_any(y), "heads", heads);
    qbc_set_int(b->q, qbc_def_any(y), "head_dim", dim * times);
    qbc_set(qbc_def_any(y), "runs", mlirDenseI64ArrayGet(b->q->mlir, (intptr_t)(times * NUMBERS), runs));
    return y;
}

MlirValue qbc_linear_emit(struct qbc_build *b, const struct qbc_linear *l, MlirValue state)
{
    struct qbc *q = b->q;
    MlirValue keys = repeated(b, l->k, l->key_heads, l->heads / l->key_heads);
    MlirValue queries = repeated(b, l->q, l->query_heads, l->heads / l->query_heads);
    MlirValue decay = mlirValueIsNull(l->decay) ? keys : l->decay, beta = mlirValueIsNull(l->beta) ? keys : l->beta;
    MlirType type = qbc_rows_type(q, qbc_dim(queries, 1) / l->keys * l->values);
    MlirValue y = qbc_op(b, "qb.linear_attention", type, 6, state, queries, keys, l->v, decay, beta);
    MlirOperation made = qbc_def_any(y);
    qbc_set_int(q, made, "heads", l->heads);
    qbc_set_float(q, made, "scale", (float)(l->scale != 0 ? l->scale : 1 / sqrt((double)l->keys)));
    if (!mlirValueIsNull(l->decay))
        qbc_set_bool(q, made, "decays", true);
    if (l->delta)
        qbc_set_bool(q, made, "delta", true);
    if (!mlirValueIsNull(l->beta))
        qbc_set_bool(q, made, "betas", true);
    return y;
}
