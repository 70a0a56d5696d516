/* flex: FlexAttention: scores and probabilities go through subgraphs of the model's own. */
#include "general.h"

#include <math.h>

/* What a subgraph makes of it, if there is one; NULL after an error. */
static struct g_tensor *modified(struct g_op *o, const char *name, struct g_tensor *x)
{
    struct general *g = o->g;
    MlirBlock body = g_body(o, name);
    if (mlirBlockIsNull(body))
        return x;
    if (mlirBlockGetNumArguments(body) != 1) {
        g_refuse(o, "its subgraph '%s' takes %ld values, not 1", name, (long)mlirBlockGetNumArguments(body));
        return NULL;
    }
    g_bind(g, mlirBlockGetArgument(body, 0), x);
    g_lower_block(g, body);
    return g->q->errors ? NULL : g_body_result(g, body, 0);
}

void g_lower_flex_attention(struct g_op *o)
{
    struct general *g = o->g;
    static const bool last[QBC_MAX_RANK] = {false, false, false, true};
    struct g_tensor *q = g_solid(g, o->in[0]), *k = g_solid(g, o->in[1]), *v = g_solid(g, o->in[2]);
    if (q->rank != 4 || k->rank != 4 || v->rank != 4 || !g_is_known(q->size[3])) {
        g_refuse(o, "queries, keys and values have ranks %zu, %zu and %zu, not 4, or heads of unknown size", q->rank, k->rank, v->rank);
        return;
    }
    enum qbc_element usual = q->element == QBC_F64 ? QBC_F64 : QBC_F32;
    enum qbc_element softmax = (enum qbc_element)g_attr_int(o, "softmax_precision", usual), sum = g_number_element(usual);
    double scale = g_attr_float(o, "scale", 1 / sqrt((double)q->size[3].n));
    struct g_tensor *scores = g_product(o, q, g_for_heads(g, k, q->size[1]), false, true, sum, NULL, NULL);
    if (!scores)
        return;
    scores = g_solid(g, g_map_tensors(o, qbc_text(g->q, "x * %.9g", scale), softmax, 1, &scores));
    scores = modified(o, "score_mod", scores);
    if (!scores)
        return;
    struct g_tensor *wide = g_solid(g, g_map_tensors(o, "x", sum, 1, &scores)), *p = g_softmax(o, wide, last, false);
    p = p ? g_solid(g, g_map_tensors(o, "x", softmax, 1, &p)) : NULL;
    p = p ? modified(o, "prob_mod", p) : NULL;
    struct g_tensor *y = p ? g_product(o, p, g_for_heads(g, v, q->size[1]), false, false, sum, NULL, NULL) : NULL;
    if (y)
        o->out[0] = g_map_tensors(o, "x", q->element, 1, &y);
}
