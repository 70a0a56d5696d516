/* evaluate_attention: fused attention (shapes), and rotary embedding (numbers too, so that a probe
 * shows which elements it pairs and by which angles).
 */
#include "evaluate_ops.h"

#include <string.h>

/* --- rotary: default domain (X, cos, sin, [ids]) and com.microsoft (X, ids, cos, sin) */

struct rotary {
    const struct qbc_array *x, *ids, *cos, *sin;
    int64_t batch, heads, tokens, head; /* head: its size */
    int64_t head_stride, token_stride, batch_stride;
    int64_t half; /* pairs that turn */
    bool interleaved;
};

static bool rotary_layout(struct qbc_ev *c, struct rotary *r)
{
    const struct qbc_array *x = r->x;
    int64_t heads = qbc_ev_int(c, "num_heads", 0),
            turned = qbc_ev_int(c, "rotary_embedding_dim", 0);
    int64_t angles = r->cos->rank ? r->cos->dims[r->cos->rank - 1] : 0;
    if (x->rank == 4) { /* [B, heads, T, D] */
        r->batch = x->dims[0], r->heads = x->dims[1], r->tokens = x->dims[2], r->head = x->dims[3];
        r->token_stride = r->head;
        r->head_stride = r->head * r->tokens;
    } else if (x->rank == 3) { /* [B, T, heads * D] */
        r->batch = x->dims[0], r->tokens = x->dims[1];
        r->head = heads > 0 ? x->dims[2] / heads : 2 * angles;
        r->heads = r->head ? x->dims[2] / r->head : 0;
        r->token_stride = x->dims[2];
        r->head_stride = r->head;
    }
    r->batch_stride = r->heads * r->tokens * r->head;
    r->half = turned > 0 ? turned / 2 : r->head / 2;
    bool fits =
        r->batch_stride * r->batch == (int64_t)x->n && r->half == angles && 2 * r->half <= r->head;
    return fits || qbc_ev_fail(c, "%s does not fit a table of %lld angles",
                               qbc_ev_dims_text(c->e, x), (long long)angles);
}

/* The row of the tables for a token, or -1. One id is where the first token stands. */
static int64_t table_row(const struct rotary *r, int64_t batch, int64_t token)
{
    int64_t rows = (int64_t)r->cos->n / (r->half ? r->half : 1), row = batch * r->tokens + token;
    if (r->ids && r->ids->n == 1)
        row = r->ids->i[0] + token;
    else if (r->ids)
        row = row < (int64_t)r->ids->n ? r->ids->i[row] : r->ids->i[row % r->tokens];
    else if (rows <= row)
        row %= r->tokens; /* tables [1, T, D / 2] for a larger batch */
    return row >= 0 && row < rows ? row : -1;
}

static void rotate(struct qbc_ev *c, const struct rotary *r, int64_t base, int64_t row)
{
    const float *x = r->x->f + base, *cosines = r->cos->f + row * r->half;
    const float *sines = r->sin->f + row * r->half;
    float *y = c->out->f + base;
    memcpy(y, x, (size_t)r->head * sizeof *y);
    for (int64_t k = 0; k < r->half; ++k) {
        int64_t i = r->interleaved ? 2 * k : k, j = r->interleaved ? 2 * k + 1 : k + r->half;
        y[i] = cosines[k] * x[i] - sines[k] * x[j];
        y[j] = sines[k] * x[i] + cosines[k] * x[j];
    }
}

bool qbc_ev_rotary(struct qbc_ev *c)
{
    bool microsoft = strchr(c->row->name, '.') != NULL;
    if (!qbc_ev_wants(c, microsoft ? 4 : 3))
        return false;
    struct rotary r = {.x = c->in[0],
                       .cos = c->in[microsoft ? 2 : 1],
                       .sin = c->in[microsoft ? 3 : 2],
                       .ids = microsoft          ? c->in[1]
                              : qbc_ev_has(c, 3) ? c->in[3]
                                                 : NULL,
                       .interleaved = qbc_ev_int(c, "interleaved", 0) != 0};
    if (!qbc_ev_shape_like(c, 0, r.x->element, r.x) || !rotary_layout(c, &r))
        return false;
    if (!qbc_ev_all_known(c) || !r.x->f || !r.cos->f || !r.sin->f || r.sin->n != r.cos->n ||
        (r.ids && (!r.ids->i || !r.ids->n)) || !qbc_ev_numbers(c, 0))
        return true;
    for (int64_t n = 0; n < r.batch * r.tokens * r.heads; ++n) {
        int64_t batch = n / r.heads / r.tokens, token = n / r.heads % r.tokens;
        int64_t row = table_row(&r, batch, token);
        if (row < 0) {
            c->out->known = false;
            c->out->f = NULL;
            return true;
        }
        rotate(c, &r, batch * r.batch_stride + token * r.token_stride + n % r.heads * r.head_stride,
               row);
    }
    return true;
}

/* --- attention: shapes only */

/* Tokens in the past's third dimension; 0 without. */
static int64_t past_tokens(const struct qbc_ev *c, size_t operand)
{
    return qbc_ev_has(c, operand) && c->in[operand]->rank == 4 ? c->in[operand]->dims[2] : 0;
}

static bool present(struct qbc_ev *c, size_t result, int64_t batch, int64_t heads, int64_t tokens,
                    int64_t head)
{
    return qbc_ev_shape(c, result, c->in[0]->element, 4, (int64_t[]){batch, heads, tokens, head});
}

/* Opset 23: q, k, v, mask, past key, past value. 4-D operands are [B, heads, T, D], 3-D ones
 * [B, T, heads * D] with q_num_heads and kv_num_heads. */
bool qbc_ev_attention(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 3))
        return false;
    const struct qbc_array *q = c->in[0], *k = c->in[1], *v = c->in[2];
    int64_t heads = qbc_ev_int(c, "q_num_heads", 0), kv_heads = qbc_ev_int(c, "kv_num_heads", 0);
    int64_t past = past_tokens(c, 4);
    if (q->rank == 4 && k->rank == 4 && v->rank == 4)
        return present(c, 0, q->dims[0], q->dims[1], q->dims[2], v->dims[3]) &&
               present(c, 1, k->dims[0], k->dims[1], past + k->dims[2], k->dims[3]) &&
               present(c, 2, v->dims[0], v->dims[1], past + v->dims[2], v->dims[3]) &&
               present(c, 3, q->dims[0], q->dims[1], q->dims[2], past + k->dims[2]);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || heads < 1 || kv_heads < 1)
        return qbc_ev_fail(c, "its operands are neither [B, heads, T, D] nor [B, T, heads * D]");
    int64_t k_head = k->dims[2] / kv_heads, v_head = v->dims[2] / kv_heads;
    return qbc_ev_shape(c, 0, q->element, 3, (int64_t[]){q->dims[0], q->dims[1], heads * v_head}) &&
           present(c, 1, q->dims[0], kv_heads, past + k->dims[1], k_head) &&
           present(c, 2, q->dims[0], kv_heads, past + v->dims[1], v_head) &&
           present(c, 3, q->dims[0], heads, q->dims[1], past + k->dims[1]);
}

/* query [B, T, heads * D] or all three packed in it, key, value, past key, past value,
 * seqlens_k, total_sequence_length, ... -> y, present key, present value */
bool qbc_ev_group_query_attention(struct qbc_ev *c)
{
    int64_t heads = qbc_ev_int(c, "num_heads", 0), kv_heads = qbc_ev_int(c, "kv_num_heads", 0);
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *q = c->in[0];
    int64_t parts = heads + (qbc_ev_has(c, 1) ? 0 : 2 * kv_heads);
    if (q->rank != 3 || heads < 1 || kv_heads < 1 || q->dims[2] % parts)
        return qbc_ev_fail(c, "%s does not hold %lld heads", qbc_ev_dims_text(c->e, q),
                           (long long)parts);
    int64_t head = q->dims[2] / parts, total = past_tokens(c, 3) + q->dims[1];
    return qbc_ev_shape(c, 0, q->element, 3, (int64_t[]){q->dims[0], q->dims[1], heads * head}) &&
           present(c, 1, q->dims[0], kv_heads, total, head) &&
           present(c, 2, q->dims[0], kv_heads, total, head);
}

/* query [B, T, heads * D], key, value (or packed [B, T, heads, 3, D]), bias, padding mask,
 * attention bias, past key, past value */
bool qbc_ev_multi_head_attention(struct qbc_ev *c)
{
    int64_t heads = qbc_ev_int(c, "num_heads", 0), tokens, head;
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *q = c->in[0];
    const struct qbc_array *v = qbc_ev_has(c, 2) ? c->in[2] : NULL;
    if (heads < 1 || (q->rank != 3 && q->rank != 5) || (q->rank == 3 && !v))
        return qbc_ev_fail(c, "its operands are laid out in a way that is not supported");
    tokens = v && v->rank > 1 ? v->dims[v->rank == 4 ? 2 : 1] : q->dims[1];
    head = q->rank == 5 ? q->dims[4] : v->rank == 4 ? v->dims[3] : v->dims[v->rank - 1] / heads;
    tokens += past_tokens(c, 6);
    return qbc_ev_shape(c, 0, q->element, 3, (int64_t[]){q->dims[0], q->dims[1], heads * head}) &&
           present(c, 1, q->dims[0], heads, tokens, head) &&
           present(c, 2, q->dims[0], heads, tokens, head);
}

/* x [B, T, C], weights [C, 3 heads D], ... -> y [B, T, heads D], present [2, B, heads, T, D] */
bool qbc_ev_fused_attention(struct qbc_ev *c)
{
    int64_t heads = qbc_ev_int(c, "num_heads", 0), sizes[QBC_EV_MOST_OPERANDS];
    if (!qbc_ev_wants(c, 2))
        return false;
    const struct qbc_array *x = c->in[0], *w = c->in[1];
    if (x->rank != 3 || w->rank != 2 || heads < 1)
        return qbc_ev_fail(c, "%s and %s are no rows and a matrix", qbc_ev_dims_text(c->e, x), qbc_ev_dims_text(c->e, w));
    int64_t width = qbc_ev_int_list(c, "qkv_hidden_sizes", sizes) == 3 ? sizes[2] : w->dims[1] / 3;
    if (!qbc_ev_shape(c, 0, x->element, 3, (int64_t[]){x->dims[0], x->dims[1], width}))
        return false;
    return c->n_out < 2 ||
           qbc_ev_shape(c, 1, x->element, 5, (int64_t[]){2, x->dims[0], heads, x->dims[1], width / heads});
}
