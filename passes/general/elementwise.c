/* elementwise: rows with an expression, and the few whose expression depends on attributes or on how many operands there are. */
#include "general.h"

#include "run.h"

#include <string.h>

void g_lower_map(struct g_op *o)
{
    size_t n = o->n_in < 4 ? o->n_in : 4;
    for (size_t i = 0; i < n; ++i)
        if (!o->in[i]) {
            g_refuse(o, "operand %zu is left out", i);
            return;
        }
    enum qbc_element element = o->row->result == G_BOOL ? QBC_BOOL : o->in[o->row->result == G_LIKE_1]->element;
    o->out[0] = g_map_tensors(o, o->row->text, element, n, o->in);
}

static void fold_all(struct g_op *o, const char *text)
{
    struct g_tensor *all = o->in[0];
    for (size_t i = 1; i < o->n_in && all; ++i)
        all = g_map_tensors(o, text, all->element, 2, (struct g_tensor *[]){all, o->in[i]});
    o->out[0] = all && o->n_in == 1 ? g_map_tensors(o, "x", all->element, 1, &all) : all;
}

void g_lower_largest(struct g_op *o)
{
    fold_all(o, "max(x, y)");
}

void g_lower_smallest(struct g_op *o)
{
    fold_all(o, "min(x, y)");
}

void g_lower_sum(struct g_op *o)
{
    fold_all(o, "x + y");
}

void g_lower_mean(struct g_op *o)
{
    fold_all(o, "x + y");
    if (o->out[0])
        o->out[0] = g_map_tensors(o, qbc_text(o->g->q, "x / %zu", o->n_in), o->out[0]->element, 1, o->out);
}

void g_lower_bit_shift(struct g_op *o)
{
    bool left = !strcmp(g_attr_text(o, "direction", ""), "LEFT");
    int bits = g_bits(o->in[0]->element);
    const char *text = qbc_text(o->g->q, "y < %d ? x %s (y < %d ? y : 0) : 0", bits, left ? "<<" : ">>", bits);
    o->out[0] = g_map_tensors(o, text, o->in[0]->element, 2, o->in);
}

void g_lower_gelu(struct g_op *o)
{
    bool tanh = !strcmp(g_attr_text(o, "approximate", "none"), "tanh");
    o->out[0] = g_map_tensors(o, tanh ? "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))"
                                      : "0.5 * x * (1 + erf(x * 0.70710678118654752))",
                              o->in[0]->element, 1, o->in);
}

void g_lower_clip(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    if (g_has_attr(o, "min") || g_has_attr(o, "max")) { /* before opset 11 */
        o->out[0] = g_map_tensors(o, "min(max(x, min{-3.4028234663852886e38}), max{3.4028234663852886e38})", x->element, 1, o->in);
        return;
    }
    if (g_has(o, 1))
        x = g_map_tensors(o, "max(x, y)", x->element, 2, (struct g_tensor *[]){x, o->in[1]});
    if (g_has(o, 2) && x)
        x = g_map_tensors(o, "min(x, y)", x->element, 2, (struct g_tensor *[]){x, o->in[2]});
    o->out[0] = x == o->in[0] ? g_map_tensors(o, "x", x->element, 1, o->in) : x;
}

/* The program's numbers ask for training, with something to drop: the run ends. */
static void forbid_training(struct g_op *o)
{
    struct general *g = o->g;
    MlirValue zero = k_i64(&g->k, 0);
    struct g_num training = {g_truth(g, g_at_flat(g, g_solid(g, o->in[2]), zero)), QBC_BOOL};
    struct g_num drops = g_int(g, QBC_BOOL, -1);
    if (g_has(o, 1))
        drops.v = g_truth(g, g_at_flat(g, g_solid(g, o->in[1]), zero));
    g_fail_if(g, g_do(g, G_AND, training, drops).v, QBRT_RUN_BY_CHANCE);
}

/* Only as it is when nothing is dropped: the identity, and a mask of ones. */
void g_lower_dropout(struct g_op *o)
{
    int64_t training = 0;
    double ratio = 0.5;
    bool knows = !g_has(o, 2) || g_known_int(o->in[2], 0, &training);
    bool drops = !g_has(o, 1) || !g_known_number(o->in[1], 0, &ratio) || ratio != 0;
    if (training && ratio != 0 && (!g_has(o, 1) || o->in[1]->known)) {
        g_refuse(o, "training mode drops elements at random, which no compiled model does");
        return;
    }
    if (drops && (!knows || training))
        forbid_training(o);
    o->out[0] = g_map_tensors(o, "x", o->in[0]->element, 1, o->in);
    if (o->n_out > 1)
        o->out[1] = g_map_tensors(o, "(x == x) | (x != x)", QBC_BOOL, 1, o->in);
}

/* Numbers go through the result's, so that narrowing rounds once. */
struct casting {
    struct g_tensor *from;
    bool saturate;
};

static struct g_num cast_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct casting *c = t->user;
    struct g_num x = g_at(g, c->from, index);
    enum qbc_element e = t->element, number = g_number_element(e);
    if (g_is_float(e) && e != number && x.element != QBC_F64)
        x = g_convert(g, x, number == QBC_F32 && !g_is_float(x.element) ? QBC_F64 : number);
    return g_is_float(e) && e != number ? x : g_convert(g, x, e);
}

struct g_tensor *g_unsaturated(struct g_op *o, struct g_tensor *t)
{
    struct general *g = o->g;
    struct g_tensor *y = g_new_like(g, t->element, t);
    struct g_nest nest;
    g_begin(g, &nest, t->rank, t->size);
    MlirValue bits = g_encode(g, t->element, t->at(g, t, nest.index), false);
    struct g_tensor raw = *y;
    raw.element = QBC_U8;
    g_put(g, &raw, nest.index, g_convert(g, (struct g_num){bits, QBC_I32}, QBC_U8));
    g_end(g, &nest);
    return y;
}

static void cast_to(struct g_op *o, enum qbc_element to)
{
    struct casting *c = qbc_alloc(o->g->q, sizeof *c);
    *c = (struct casting){o->in[0], g_attr_int(o, "saturate", 1) != 0};
    bool narrow = g_is_float(to) && qbc_element_bits(to) == 8;
    if (!qbc_element_bytes(to)) {
        g_refuse(o, "elements of type %d are not supported", (int)to);
        return;
    }
    o->out[0] = g_function(o->g, to, o->in[0]->rank, o->in[0]->size, cast_at, c, o->in[0]->depth + 1);
    if (narrow && !c->saturate)
        o->out[0] = g_unsaturated(o, o->out[0]);
}

void g_lower_cast(struct g_op *o)
{
    cast_to(o, (enum qbc_element)g_attr_int(o, "to", 0));
}

void g_lower_cast_like(struct g_op *o)
{
    cast_to(o, o->in[1]->element);
}
