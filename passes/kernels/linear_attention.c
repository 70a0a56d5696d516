/* linear_attention: a recurrence over a matrix S [Dk][Dv] for each head of keys and values, token by token.
 *
 *     S[i] = exp(decay[i]) S[i]                        decays: a number a head, or one for each key's element i; 0: none
 *     u = beta (v - sum over i of k[i] S[i])           with `delta`; else u = v
 *     S[i] = S[i] + k[i] u
 *     y = scale * sum over i of q[i] S[i]              `group` heads of queries share a head of keys
 *
 *   operands   y, state, q, k, v, decay, beta
 *   attributes heads (H, of keys), keys (Dk), values (Dv), group, scale, delta, decays (columns of decay), betas (columns of beta: H, or 1
 *              for all heads; 0: 1 is meant)
 *
 * Linear attention, retention and gated linear attention (RetNet, arXiv 2307.08621; GLA, 2312.06635), the delta rule and the gated one
 * (2406.06484, 2412.06464), as ONNX's LinearAttention has them. The state is [H][Dk][Dv] f32, zeros at position 0, whatever it holds.
 * Columns of S do not meet: a unit of work is a head and some of its columns, from the first token to the last.
 */
#include "kernel.h"

enum { Y = 0, STATE = 1, Q = 2, K = 3, V = 4, DECAY = 5, BETA = 6, WIDEST = 16, MOST_GROUP = 16 };

struct linear {
    struct qbc_kernel *k;
    int64_t heads, keys, values, group, decays, betas, width;
    bool delta;
    double scale;
    MlirType type;
    MlirValue head, column, state; /* state: of the unit's first key */
};

static MlirValue number(struct linear *l, size_t operand, MlirValue token, MlirValue at)
{
    struct qbc_kernel *k = l->k;
    return k_load(k, k->f32, k_at(k, k_row(k, operand, token), k_mul_i(k, at, 4)), 4);
}

static MlirValue key_at(struct linear *l, MlirValue i)
{
    return k_add(l->k, k_mul_i(l->k, l->head, l->keys), i);
}

/* What is left of S[i]: 1, a number of the head's (`one`), or of its own. */
static MlirValue kept(struct linear *l, MlirValue token, MlirValue i, MlirValue one)
{
    bool own = l->decays > l->heads;
    return own ? k_exp(l->k, number(l, DECAY, token, key_at(l, i))) : one;
}

static MlirValue row_of(struct linear *l, MlirValue i)
{
    return k_at(l->k, l->state, k_mul_i(l->k, i, l->values * 4));
}

/* beta (v - k^T S), S decayed already as it is read. */
static MlirValue corrected(struct linear *l, MlirValue token, MlirValue one, MlirValue v)
{
    struct qbc_kernel *k = l->k;
    MlirValue none = k_float_of(k, l->type, 0);
    struct k_loop keys = k_for(k, k_i64(k, 0), k_i64(k, l->keys), 1, 1, &none);
    MlirValue factor = k_fmul(k, number(l, K, token, key_at(l, keys.i)), kept(l, token, keys.i, one));
    MlirValue next = k_fma(k, k_splat(k, factor, l->width), k_load(k, l->type, row_of(l, keys.i), 4), keys.carried[0]);
    k_end(k, &keys, &next);
    MlirValue left = k_fsub(k, v, keys.carried[0]);
    if (!l->betas)
        return left;
    return k_fmul(k, k_splat(k, number(l, BETA, token, l->betas > 1 ? l->head : k_i64(k, 0)), l->width), left);
}

static void turn(struct linear *l, MlirValue token)
{
    struct qbc_kernel *k = l->k;
    MlirValue one = k_f32(k, 1), sum[MOST_GROUP], next[MOST_GROUP];
    if (l->decays && l->decays <= l->heads)
        one = k_exp(k, number(l, DECAY, token, l->decays > 1 ? l->head : k_i64(k, 0)));
    MlirValue value = k_add(k, k_mul_i(k, l->head, l->values), l->column);
    MlirValue u = k_load(k, l->type, k_at(k, k_row(k, V, token), k_mul_i(k, value, 4)), 4);
    if (l->delta)
        u = corrected(l, token, one, u);
    for (int64_t g = 0; g < l->group; ++g)
        sum[g] = k_float_of(k, l->type, 0);
    struct k_loop keys = k_for(k, k_i64(k, 0), k_i64(k, l->keys), 1, (size_t)l->group, sum);
    MlirValue row = row_of(l, keys.i), key = k_splat(k, number(l, K, token, key_at(l, keys.i)), l->width);
    MlirValue old = k_fmul(k, k_splat(k, kept(l, token, keys.i, one), l->width), k_load(k, l->type, row, 4));
    MlirValue s = k_fma(k, key, u, old);
    k_store(k, s, row, 4);
    for (int64_t g = 0; g < l->group; ++g) {
        MlirValue query = k_add(k, k_mul_i(k, k_add_i(k, k_mul_i(k, l->head, l->group), g), l->keys), keys.i);
        next[g] = k_fma(k, k_splat(k, number(l, Q, token, query), l->width), s, keys.carried[g]);
    }
    k_end(k, &keys, next);
    for (int64_t g = 0; g < l->group; ++g) {
        MlirValue to = k_add(k, k_mul_i(k, k_add_i(k, k_mul_i(k, l->head, l->group), g), l->values), l->column);
        k_store(k, k_fmul(k, keys.carried[g], k_float_of(k, l->type, l->scale)), k_at(k, k_row(k, Y, token), k_mul_i(k, to, 4)), 4);
    }
}

static void clear(struct linear *l)
{
    struct qbc_kernel *k = l->k;
    struct k_loop first = k_if(k, k_cmp(k, QBC_EQ, k->pos, k_i64(k, 0)));
    struct k_loop keys = k_for(k, k_i64(k, 0), k_i64(k, l->keys), 1, 0, NULL);
    k_store(k, k_float_of(k, l->type, 0), row_of(l, keys.i), 4);
    k_end(k, &keys, NULL);
    k_end(k, &first, NULL);
}

void qbc_kernel_linear_attention(struct qbc_kernel *k)
{
    struct linear l = {
        .k = k,
        .heads = qbc_int(k->launch, "heads", 1),
        .keys = qbc_int(k->launch, "keys", 1),
        .values = qbc_int(k->launch, "values", 1),
        .group = qbc_int(k->launch, "group", 1),
        .decays = qbc_int(k->launch, "decays", 0),
        .betas = qbc_int(k->launch, "betas", 0),
        .delta = qbc_has(k->launch, "delta"),
        .scale = qbc_float(k->launch, "scale", 1),
        .width = WIDEST,
    };
    if (l.group > MOST_GROUP) {
        qbc_error(k->q, k->launch, "%ld heads of queries share one of keys; up to %d are supported", (long)l.group, MOST_GROUP);
        return;
    }
    while (l.values % l.width)
        l.width /= 2;
    l.type = k_vec(k, l.width, k->f32);
    int64_t blocks = l.values / l.width;
    struct k_range share = k_share(k, k_i64(k, l.heads * blocks));
    struct k_loop units = k_for(k, share.from, share.to, 1, 0, NULL);
    l.head = k_op2(k, "arith.divui", units.i, k_i64(k, blocks));
    l.column = k_mul_i(k, k_op2(k, "arith.remui", units.i, k_i64(k, blocks)), l.width);
    MlirValue first = k_add(k, k_mul_i(k, l.head, l.keys * l.values), l.column);
    l.state = k_at(k, k->operand[STATE], k_mul_i(k, first, 4));
    clear(&l);
    struct k_loop tokens = k_for(k, k_i64(k, 0), k->rows, 1, 0, NULL);
    turn(&l, tokens.i);
    k_end(k, &tokens, NULL);
    k_end(k, &units, NULL);
}
