/* attention: ONNX's Attention, RotaryEmbedding and CausalConvWithState, put together from products and expressions.
 *
 *   scores = scale q k^T; capped; + mask, causal and padding bounds; softmax (rows where nothing is allowed: 0); times v
 */
#include "general.h"

#include <math.h>
#include <string.h>

/* --- heads: [B, S, H * D] as [B, H, S, D] */

static struct g_tensor *with_heads(struct g_op *o, struct g_tensor *x, const char *attribute)
{
    struct general *g = o->g;
    int64_t heads = g_attr_int(o, attribute, 0);
    static const int64_t order[] = {0, 2, 1, 3};
    g_solid(g, x);
    if (x->rank == 4)
        return x;
    if (x->rank != 3 || heads < 1) {
        g_refuse(o, "an operand of rank %zu needs a number of heads", x->rank);
        return NULL;
    }
    struct g_size size[] = {x->size[0], x->size[1], g_size(heads), g_over(g, x->size[2], g_size(heads))};
    return g_transposed(g, g_reshaped(g, x, 4, size), order);
}

static struct g_tensor *without_heads(struct g_op *o, struct g_tensor *y)
{
    struct general *g = o->g;
    static const int64_t order[] = {0, 2, 1, 3};
    struct g_size size[] = {y->size[0], y->size[2], g_times(g, y->size[1], y->size[3])};
    return g_reshaped(g, g_transposed(g, y, order), 3, size);
}

/* Two tensors of rank 4, one behind the other along axis 2. */
static struct g_tensor *behind(struct general *g, struct g_tensor *a, struct g_tensor *b)
{
    struct g_tensor *y = g_new(g, b->element, b->rank, b->size), *parts[] = {a, b};
    y->size[2] = g_plus(g, a->size[2], b->size[2]);
    g_allocate(g, y);
    for (int i = 0; i < 2; ++i) {
        struct g_nest nest;
        MlirValue index[QBC_MAX_RANK];
        g_begin(g, &nest, 4, parts[i]->size);
        memcpy(index, nest.index, sizeof index);
        if (i)
            index[2] = k_add(&g->k, index[2], g_i64(g, a->size[2]));
        g_put(g, y, index, g_at(g, parts[i], nest.index));
        g_end(g, &nest);
    }
    return y;
}

struct shared {
    struct g_tensor *x;
    struct g_size group; /* heads of queries that share one of x */
};

static struct g_num shared_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct shared *s = t->user;
    MlirValue own[4];
    (void)t;
    memcpy(own, index, sizeof own);
    own[1] = k_op2(&g->k, "arith.divui", index[1], g_i64(g, s->group));
    return g_at(g, s->x, own);
}

struct g_tensor *g_for_heads(struct general *g, struct g_tensor *x, struct g_size heads)
{
    struct shared *s = qbc_alloc(g->q, sizeof *s);
    struct g_size size[] = {x->size[0], heads, x->size[2], x->size[3]};
    *s = (struct shared){x, g_max_size(g, g_over(g, heads, x->size[1]), g_size(1))};
    return g_function(g, x->element, 4, size, shared_at, s, 1);
}

/* --- the scores */

struct biased {
    struct g_tensor *scores, *mask, *filled; /* filled: keys that count, for each of the batch; NULL: all */
    bool causal;
    struct g_size past;
    const MlirValue *index;
};

static struct g_num mask_at(struct general *g, void *user)
{
    const struct biased *b = user;
    MlirValue own[QBC_MAX_RANK];
    g_broadcast_index(g, b->mask, 4, b->index, own);
    struct g_num m = g_at(g, b->mask, own), zero = g_const(g, QBC_F32, 0), low = g_const(g, QBC_F32, -INFINITY);
    return m.element == QBC_BOOL ? g_select(g, m, zero, low) : g_convert(g, m, QBC_F32);
}

static struct g_num bias_at(struct general *g, const struct biased *b, const MlirValue *index)
{
    struct biased here = *b;
    struct g_num low = g_const(g, QBC_F32, -INFINITY), bias = g_const(g, QBC_F32, 0), key = g_index(g, index[3]);
    here.index = index;
    if (b->mask) {
        struct g_size columns = b->mask->size[b->mask->rank - 1];
        bool whole = g_is(columns, 1) || g_same(columns, b->scores->size[3]);
        struct g_num inside = g_compare(g, G_LT, key, g_index(g, g_i64(g, columns)));
        bias = whole ? mask_at(g, &here) : g_guarded(g, inside.v, mask_at, &here, low);
    }
    struct g_num filled = b->filled ? g_convert(g, g_at(g, b->filled, index), QBC_I64) : key;
    if (b->filled)
        bias = g_select(g, g_compare(g, G_LT, key, filled), bias, low);
    if (b->causal) {
        struct g_num ahead = g_index(g, g_i64(g, b->past));
        if (b->filled)
            ahead = g_do(g, G_SUB, filled, g_index(g, g_i64(g, b->scores->size[2])));
        struct g_num last = g_do(g, G_ADD, g_index(g, index[2]), ahead);
        bias = g_select(g, g_compare(g, G_LE, key, last), bias, low);
    }
    return bias;
}

static struct g_num biased_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct biased *b = t->user;
    return g_do(g, G_ADD, g_convert(g, g_at(g, b->scores, index), QBC_F32), bias_at(g, b, index));
}

static struct g_tensor *bias_added(struct g_op *o, struct g_tensor *scores, struct g_size past)
{
    struct general *g = o->g;
    struct biased *b = qbc_alloc(g->q, sizeof *b);
    *b = (struct biased){.scores = scores, .mask = g_has(o, 3) ? g_solid(g, o->in[3]) : NULL,
                         .filled = g_has(o, 6) ? g_solid(g, o->in[6]) : NULL, .causal = g_attr_int(o, "is_causal", 0) != 0, .past = past};
    return g_solid(g, g_function(g, QBC_F32, 4, scores->size, biased_at, b, 1));
}

static struct g_tensor *softmax(struct g_op *o, struct g_tensor *x)
{
    static const bool last[QBC_MAX_RANK] = {false, false, false, true};
    struct g_tensor *in[] = {x, g_reduce(o, "ReduceMax", x, last, true), NULL};
    struct g_tensor *powers = g_solid(o->g, g_map_tensors(o, "y == -inf ? 0 : exp(x - y)", QBC_F32, 2, in));
    in[0] = powers;
    in[1] = g_reduce(o, "ReduceSum", powers, last, true);
    return g_solid(o->g, g_map_tensors(o, "y == 0 ? 0 : x / y", QBC_F32, 2, in));
}

static struct g_tensor *scaled(struct g_op *o, struct g_tensor *products, struct g_size head)
{
    struct general *g = o->g;
    double scale = g_attr_float(o, "scale", 0);
    if (scale == 0 && !g_is_known(head)) {
        g_refuse(o, "the size of its heads is not known before it runs");
        return NULL;
    }
    scale = scale == 0 ? 1 / sqrt((double)head.n) : scale;
    return g_solid(g, g_map_tensors(o, qbc_text(g->q, "x * %.9g", scale), QBC_F32, 1, &products));
}

/* One of the stages, as a result; its element is the operand's. */
static void give(struct g_op *o, int64_t stage, struct g_tensor *x)
{
    if (o->n_out > 3 && g_attr_int(o, "qk_matmul_output_mode", 0) == stage)
        o->out[3] = g_map_tensors(o, "x", o->in[0]->element, 1, &x);
}

static struct g_tensor *with_past(struct g_op *o, struct g_tensor *x, size_t past, size_t result)
{
    if (g_has(o, past))
        x = behind(o->g, g_solid(o->g, o->in[past]), x);
    if (result < o->n_out)
        o->out[result] = x;
    return x;
}

void g_lower_attention(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *q = with_heads(o, o->in[0], "q_num_heads"), *k = with_heads(o, o->in[1], "kv_num_heads");
    struct g_tensor *v = with_heads(o, o->in[2], "kv_num_heads");
    if (!q || !k || !v)
        return;
    struct g_size past = g_has(o, 4) ? o->in[4]->size[2] : g_size(0);
    k = with_past(o, k, 4, 1);
    v = with_past(o, v, 5, 2);
    struct g_tensor *products = g_product(o, q, g_for_heads(g, k, q->size[1]), false, true, QBC_F32, NULL, NULL);
    struct g_tensor *scores = products ? scaled(o, products, q->size[3]) : NULL;
    if (!scores)
        return;
    give(o, 0, scores);
    if (g_attr_float(o, "softcap", 0) != 0)
        scores = g_solid(g, g_map_tensors(o, "softcap{0} * tanh(x / softcap{0})", QBC_F32, 1, &scores));
    give(o, 1, scores);
    scores = bias_added(o, scores, past);
    give(o, 2, scores);
    scores = softmax(o, scores);
    give(o, 3, scores);
    struct g_tensor *y = g_product(o, scores, g_for_heads(g, v, q->size[1]), false, false, QBC_F32, NULL, NULL);
    if (!y)
        return;
    y = o->in[0]->rank == 3 ? without_heads(o, y) : y;
    o->out[0] = g_map_tensors(o, "x", o->in[0]->element, 1, &y);
}

/* --- RotaryEmbedding: (x, cos, sin[, ids]); com.microsoft: (x, ids, cos, sin) */

struct rotary {
    struct g_tensor *x, *cos, *sin, *ids;
    bool interleaved;
    int64_t half;
};

static struct g_num angle_at(struct general *g, const struct rotary *r, struct g_tensor *table, const MlirValue *index, MlirValue pair)
{
    if (!r->ids) {
        MlirValue own[QBC_MAX_RANK], full[] = {index[0], index[2], pair};
        g_broadcast_index(g, table, 3, full, own);
        return g_convert(g, g_at(g, table, own), QBC_F32);
    }
    MlirValue own[2], at[] = {index[0], index[2]};
    bool one = g_known_count(r->ids) == 1 && !g_is(r->x->size[2], 1); /* where the first token stands */
    g_broadcast_index(g, r->ids, 2, at, own);
    struct g_num id = g_convert(g, one ? g_at_flat(g, r->ids, k_i64(&g->k, 0)) : g_at(g, r->ids, own), QBC_I64);
    if (one)
        id = g_do(g, G_ADD, id, g_index(g, index[2]));
    MlirValue row = g_checked_index(g, id, table->size[0]);
    return g_convert(g, g_at_n(g, table, 2, row, pair), QBC_F32);
}

/* Element i of a pair (i, j): cos x_i - sin x_j for the first, cos x_i + sin x_j for the second; others as they are. */
static struct g_num turned_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct rotary *r = t->user;
    struct qbc_kernel *k = &g->k;
    MlirValue i = index[3], half = k_i64(k, r->half), two = k_i64(k, 2), one = k_i64(k, 1), zero = k_i64(k, 0), pair, second, other;
    (void)t;
    if (r->interleaved) {
        second = k_cmp(k, QBC_EQ, k_op2(k, "arith.andi", i, one), one);
        pair = k_op2(k, "arith.divui", i, two);
        other = k_op2(k, "arith.xori", i, one);
    } else {
        second = k_cmp(k, QBC_GE, i, half);
        pair = k_select(k, second, k_sub(k, i, half), i);
        other = k_select(k, second, pair, k_add(k, i, half));
    }
    MlirValue turns = k_cmp(k, QBC_LT, i, k_i64(k, 2 * r->half));
    pair = k_select(k, turns, pair, zero);
    MlirValue own[] = {index[0], index[1], index[2], k_select(k, turns, other, zero)};
    struct g_num x = g_convert(g, g_at(g, r->x, index), QBC_F32), y = g_convert(g, g_at(g, r->x, own), QBC_F32);
    struct g_num c = angle_at(g, r, r->cos, index, pair), s = angle_at(g, r, r->sin, index, pair);
    y = g_do(g, G_MUL, y, s);
    y = g_select(g, (struct g_num){second, QBC_BOOL}, y, g_neg(g, y));
    return g_select(g, (struct g_num){turns, QBC_BOOL}, g_do(g, G_ADD, g_do(g, G_MUL, x, c), y), x);
}

void g_lower_rotary(struct g_op *o)
{
    struct general *g = o->g;
    struct rotary *r = qbc_alloc(g->q, sizeof *r);
    bool microsoft = strchr(o->row->name, '.') != NULL;
    struct g_tensor *x = with_heads(o, o->in[0], "num_heads");
    if (!x)
        return;
    *r = (struct rotary){x, g_solid(g, o->in[microsoft ? 2 : 1]), g_solid(g, o->in[microsoft ? 3 : 2]), NULL,
                         g_attr_int(o, "interleaved", 0) != 0, g_attr_int(o, "rotary_embedding_dim", 0) / 2};
    r->ids = microsoft ? g_solid(g, o->in[1]) : g_has(o, 3) ? g_solid(g, o->in[3]) : NULL;
    struct g_size pairs = r->cos->size[r->cos->rank - 1];
    if (!r->half && !g_is_known(pairs)) {
        g_refuse(o, "the size of its tables is not known before it runs");
        return;
    }
    r->half = r->half ? r->half : pairs.n;
    struct g_tensor *y = g_function(g, o->in[0]->element, 4, x->size, turned_at, r, x->depth + 1);
    o->out[0] = o->in[0]->rank == 3 ? without_heads(o, y) : y;
}

/* --- CausalConvWithState: each channel with the K - 1 elements before, which are kept */

struct causal {
    struct g_op o;
    struct g_tensor *x, *weight, *bias;
    const char *activation;
};

struct causal_walk {
    const struct causal *c;
    const MlirValue *index;
};

static void causal_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct causal_walk *w = user;
    MlirValue own[] = {w->index[0], w->index[1], k_add(&g->k, w->index[2], at[0])};
    struct g_num x = g_convert(g, g_at(g, w->c->x, own), QBC_F32);
    struct g_num k = g_convert(g, g_at_n(g, w->c->weight, 3, w->index[1], k_i64(&g->k, 0), at[0]), QBC_F32);
    *carried = g_do(g, G_ADD, *carried, g_do(g, G_MUL, x, k));
}

static struct g_num causal_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct causal *c = t->user;
    struct causal_walk w = {c, index};
    struct g_op o = c->o;
    (void)t;
    struct g_num y = c->bias ? g_convert(g, g_at(g, c->bias, &index[1]), QBC_F32) : g_const(g, QBC_F32, 0);
    g_fold(g, 1, &c->weight->size[2], 1, &y, causal_one, &w);
    return g_expression(&o, c->activation, 1, &y);
}

/* [B, C, K - 1 + L]: the state, or zeros, then the operand. */
static struct g_tensor *with_state(struct g_op *o, struct g_size kept)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *state = g_has(o, 3) ? g_solid(g, o->in[3]) : NULL;
    struct g_tensor *y = g_new(g, x->element, 3, x->size);
    struct g_size before[] = {x->size[0], x->size[1], kept};
    struct g_nest nest;
    y->size[2] = g_plus(g, x->size[2], kept);
    g_allocate(g, y);
    g_begin(g, &nest, 3, before);
    g_put(g, y, nest.index, state ? g_at(g, state, nest.index) : g_int(g, y->element, 0));
    g_end(g, &nest);
    g_begin(g, &nest, 3, x->size);
    MlirValue index[] = {nest.index[0], nest.index[1], k_add(&g->k, nest.index[2], g_i64(g, kept))};
    g_put(g, y, index, g_at(g, x, nest.index));
    g_end(g, &nest);
    return y;
}

void g_lower_causal_conv(struct g_op *o)
{
    struct general *g = o->g;
    struct causal *c = qbc_alloc(g->q, sizeof *c);
    const char *activation = g_attr_text(o, "activation", "none");
    bool silu = !strcmp(activation, "silu") || !strcmp(activation, "swish");
    if (!silu && strcmp(activation, "none")) {
        g_refuse(o, "activation '%s' is not known", activation);
        return;
    }
    struct g_tensor *weight = g_solid(g, o->in[1]);
    struct g_size kept = g_minus(g, weight->size[2], g_size(1));
    *c = (struct causal){*o, with_state(o, kept), weight, g_has(o, 2) ? g_solid(g, o->in[2]) : NULL, silu ? "x / (1 + exp(-x))" : "x"};
    o->out[0] = g_solid(g, g_function(g, o->in[0]->element, 3, o->in[0]->size, causal_at, c, 1));
    if (o->n_out > 1)
        o->out[1] = g_part(g, c->x, 2, o->in[0]->size[2], kept);
}
