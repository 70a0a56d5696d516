/* linear_attention: ONNX's LinearAttention, a recurrence over a matrix S for each head of keys.
 *
 *   gated         S = exp(decay) S                     decay of each key's element, or one for a head
 *   delta         v = beta (v - S^T k)
 *   all           S = S + k v^T,  o = scale q^T S      heads of queries share a head of keys
 */
#include "general.h"

#include <math.h>
#include <string.h>

struct recurrence {
    struct g_tensor *q, *k, *v, *decay, *beta; /* [B, T, H * D] */
    struct g_tensor *state, *value;            /* [B, H, Dk, Dv]; [B, H, Dv] of this step */
    struct g_size heads, key, group;
    double scale;
    MlirValue time;
};

static struct g_num read_at(struct general *g, const struct recurrence *r, const struct g_tensor *t, MlirValue batch, MlirValue head,
                            struct g_size width, MlirValue i)
{
    MlirValue column = k_add(&g->k, k_mul(&g->k, head, g_i64(g, width)), i);
    return g_convert(g, g_at_n(g, t, 3, batch, r->time, column), QBC_F32);
}

struct walk {
    const struct recurrence *r;
    struct g_num (*factor)(struct general *g, const struct walk *w, MlirValue key);
    MlirValue batch, head, query, column;
};

static struct g_num key_of(struct general *g, const struct walk *w, MlirValue key)
{
    return read_at(g, w->r, w->r->k, w->batch, w->head, w->r->key, key);
}

static struct g_num query_of(struct general *g, const struct walk *w, MlirValue key)
{
    return read_at(g, w->r, w->r->q, w->batch, w->query, w->r->key, key);
}

static void add_row(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    const struct walk *w = user;
    struct g_num s = g_at_n(g, w->r->state, 4, w->batch, w->head, at[0], w->column);
    *sum = g_do(g, G_ADD, *sum, g_do(g, G_MUL, s, w->factor(g, w, at[0])));
}

/* The sum over keys of S times a factor. */
static struct g_num contracted(struct general *g, struct walk w)
{
    struct g_num sum = g_const(g, QBC_F32, 0);
    g_fold(g, 1, &w.r->key, 1, &sum, add_row, &w);
    return sum;
}

static void forget(struct general *g, const struct recurrence *r)
{
    struct g_nest nest;
    bool by_head = g_same(r->decay->size[2], r->heads);
    g_begin(g, &nest, 4, r->state->size);
    struct g_num d = by_head ? read_at(g, r, r->decay, nest.index[0], nest.index[1], g_size(1), k_i64(&g->k, 0))
                             : read_at(g, r, r->decay, nest.index[0], nest.index[1], r->key, nest.index[2]);
    g_put(g, r->state, nest.index, g_do(g, G_MUL, g_at(g, r->state, nest.index), g_call(g, "exp", d)));
    g_end(g, &nest);
}

static void learn(struct general *g, const struct recurrence *r)
{
    struct g_nest nest;
    g_begin(g, &nest, 3, r->value->size);
    MlirValue batch = nest.index[0], head = nest.index[1], column = nest.index[2];
    struct g_num v = read_at(g, r, r->v, batch, head, r->value->size[2], column);
    if (r->beta) {
        bool one = g_is(r->beta->size[2], 1);
        struct g_num beta = read_at(g, r, r->beta, batch, one ? k_i64(&g->k, 0) : head, g_size(1), k_i64(&g->k, 0));
        struct g_num known = contracted(g, (struct walk){r, key_of, batch, head, head, column});
        v = g_do(g, G_MUL, beta, g_do(g, G_SUB, v, known));
    }
    g_put(g, r->value, nest.index, v);
    g_end(g, &nest);
    g_begin(g, &nest, 4, r->state->size);
    struct g_num k = read_at(g, r, r->k, nest.index[0], nest.index[1], r->key, nest.index[2]);
    struct g_num new = g_at_n(g, r->value, 3, nest.index[0], nest.index[1], nest.index[3]);
    g_put(g, r->state, nest.index, g_do(g, G_ADD, g_at(g, r->state, nest.index), g_do(g, G_MUL, k, new)));
    g_end(g, &nest);
}

static void answer(struct general *g, const struct recurrence *r, struct g_size queries, struct g_tensor *y)
{
    struct g_size size[] = {r->state->size[0], queries, r->state->size[3]};
    struct g_nest nest;
    g_begin(g, &nest, 3, size);
    MlirValue head = k_op2(&g->k, "arith.divui", nest.index[1], g_i64(g, r->group));
    struct g_num o = contracted(g, (struct walk){r, query_of, nest.index[0], head, nest.index[1], nest.index[2]});
    MlirValue column = k_add(&g->k, k_mul(&g->k, nest.index[1], g_i64(g, size[2])), nest.index[2]);
    g_put(g, y, (MlirValue[]){nest.index[0], r->time, column}, g_do(g, G_MUL, o, g_const(g, QBC_F32, r->scale)));
    g_end(g, &nest);
}

static struct g_tensor *operand(struct g_op *o, size_t i)
{
    return g_has(o, i) ? g_solid(o->g, o->in[i]) : NULL;
}

void g_lower_linear_attention(struct g_op *o)
{
    struct general *g = o->g;
    const char *rule = g_attr_text(o, "update_rule", "gated_delta");
    struct g_size queries = g_size(g_attr_int(o, "q_num_heads", 0)), heads = g_size(g_attr_int(o, "kv_num_heads", 0));
    struct recurrence r = {.q = operand(o, 0), .k = operand(o, 1), .v = operand(o, 2), .heads = heads};
    if (r.q->rank != 3 || heads.n < 1 || queries.n < 1) {
        g_refuse(o, "its operands are not [batch, time, heads * size] with numbers of heads");
        return;
    }
    r.decay = strstr(rule, "gated") ? operand(o, 4) : NULL;
    r.beta = strstr(rule, "delta") ? operand(o, 5) : NULL;
    r.key = g_over(g, r.k->size[2], heads);
    r.group = g_max_size(g, g_over(g, queries, heads), g_size(1));
    r.scale = g_attr_float(o, "scale", 0);
    if ((r.scale == 0 && !g_is_known(r.key)) || (strstr(rule, "gated") && !r.decay) || (strstr(rule, "delta") && !r.beta)) {
        g_refuse(o, "its rule '%s' lacks an operand", rule);
        return;
    }
    r.scale = r.scale == 0 ? 1 / sqrt((double)r.key.n) : r.scale;
    struct g_size four[] = {r.q->size[0], heads, r.key, g_over(g, r.v->size[2], heads)}, three[] = {four[0], heads, four[3]};
    struct g_size result[] = {r.q->size[0], r.q->size[1], g_times(g, queries, four[3])};
    struct g_tensor *past = operand(o, 3), *y = g_new(g, o->in[0]->element, 3, result);
    struct g_nest nest;
    g_allocate(g, r.state = g_new(g, QBC_F32, 4, four));
    g_allocate(g, r.value = g_new(g, QBC_F32, 3, three));
    g_allocate(g, y);
    g_begin(g, &nest, 4, four);
    g_put(g, r.state, nest.index, past ? g_at(g, past, nest.index) : g_const(g, QBC_F32, 0));
    g_end(g, &nest);
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, r.q->size[1]), 1, 0, NULL);
    r.time = loop.i;
    if (r.decay)
        forget(g, &r);
    learn(g, &r);
    answer(g, &r, queries, y);
    k_end(&g->k, &loop, NULL);
    o->out[0] = y;
    if (o->n_out > 1)
        o->out[1] = g_map_tensors(o, "x", past ? past->element : o->in[0]->element, 1, &r.state);
}
