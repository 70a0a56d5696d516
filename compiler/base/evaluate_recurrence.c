/* evaluate_recurrence: LinearAttention and CausalConvWithState, ONNX's and ONNX Runtime's: shapes only. */
#include "evaluate_ops.h"

#include <string.h>

/* A state, or {state_window} of them, of which the last is meant. */
static bool state_shape(struct qbc_ev *c, size_t rank, const int64_t *dims)
{
    int64_t window = qbc_ev_int(c, "state_window", 0), all[QBC_MAX_RANK] = {window};
    memcpy(all + (window > 0), dims, rank * sizeof *dims);
    return qbc_ev_shape(c, 1, c->in[0]->element, rank + (window > 0), all);
}

/* q [B, T, Hq Dk], k [B, T, Hk Dk], v [B, T, H Dv], ... -> y [B, T, max(Hq, H) Dv], state [B, H, Dk, Dv] */
bool qbc_ev_linear_attention(struct qbc_ev *c)
{
    int64_t heads = qbc_ev_int(c, "q_num_heads", 0), kv_heads = qbc_ev_int(c, "kv_num_heads", 0);
    if (!qbc_ev_wants(c, 3))
        return false;
    const struct qbc_array *q = c->in[0], *k = c->in[1], *v = c->in[2];
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || heads < 1 || kv_heads < 1)
        return qbc_ev_fail(c, "its operands are not [B, T, heads * D]");
    int64_t keys = q->dims[2] / heads, values = v->dims[2] / kv_heads, most = heads > kv_heads ? heads : kv_heads;
    return qbc_ev_shape(c, 0, q->element, 3, (int64_t[]){q->dims[0], q->dims[1], most * values}) &&
           state_shape(c, 4, (int64_t[]){q->dims[0], kv_heads, keys, values});
}

/* x [B, C, T], w [C, 1, K], ... -> y [B, C, T], state [B, C, (K - 1) dilation]; with {channels_last} [B, T, C] and [B, .., C] */
bool qbc_ev_causal_conv(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *x = c->in[0], *w = c->in[1];
    int64_t kept = w->rank == 3 ? (w->dims[2] - 1) * qbc_ev_int(c, "dilation", 1) : 0;
    bool last = qbc_ev_int(c, "channels_last", 0);
    if (x->rank != 3 || w->rank != 3 || w->dims[2] < 1)
        return qbc_ev_fail(c, "%s and %s are no [B, C, T] and [C, 1, K]", qbc_ev_dims_text(c->e, x), qbc_ev_dims_text(c->e, w));
    return qbc_ev_shape_like(c, 0, x->element, x) &&
           state_shape(c, 3, (int64_t[]){x->dims[0], last ? kept : x->dims[1], last ? x->dims[2] : kept});
}
