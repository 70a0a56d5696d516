/* insert-rotations: turn what goes between operations by orthogonal matrices, and the weights on both sides.
 *
 * {qb.rotations = "r1,r2,r4"} of the module says where:
 *
 *   r1   the residual stream, all of the way: h Q instead of h. Embeddings and products that add to it have Q behind them, norms
 *        lose their gain to the products behind them, and these undo Q:
 *          before   %n = "qb.rms_norm"(%h, %g)      %y = "qb.linear"(%n, %w)
 *          after    %n = "qb.rms_norm"(%h, %ones)   %y = "qb.linear"(%n, %w') ; w' = w with columns times g, then turned
 *        A matrix that is the embedding too is turned as such; what multiplies it is turned back, scaled by the gain and turned.
 *   r2   values of each head, and what the product behind attention reads of them
 *   r4   what no product writes but one reads (behind a gate), while it runs:
 *          after    %t = "qb.hadamard"(%x) {run = 768}   %y = "qb.linear"(%t, %w') ; w' = w with columns turned
 *
 * Q is a Hadamard matrix (base/hadamard.h) behind random signs; {qb.r1_matrix = "name", qb.r1_order = n}: a stored f32 [C / n, n, n] for r1.
 *
 * needs    derive-cache
 * keeps    attention and gates whose neighbours are no products with matrices of their own
 * complains where the stream is read by something that is no root mean square norm, so that it cannot be turned
 */
#include "changes.h"
#include "hadamard.h"
#include "passes.h"

#include <string.h>

struct rotation {
    struct qbc *q;
    MlirOperation module;
    int64_t size;        /* columns of the stream */
    int64_t order;       /* of its Hadamard matrix */
    const char *matrix;  /* or its name */
    float *signs;        /* [size] */
    MlirValue *stream;   /* [n] */
    size_t n;
    struct qbc_ops norms, enters; /* that read it; whose result is added to it */
};

/* --- weights */

static MlirOperation weight_at(MlirOperation op, intptr_t i)
{
    return qbc_def(mlirOperationGetOperand(op, i), "qb.weight");
}

static bool is_own(MlirOperation op, intptr_t i)
{
    MlirOperation weight = weight_at(op, i);
    return !mlirOperationIsNull(weight) && qbc_uses(mlirOperationGetResult(weight, 0)) == 1 && !qbc_has(weight, "blocks");
}

static void turn_weight(const struct rotation *r, MlirOperation weight, enum qbc_axis axis)
{
    if (!r->matrix)
        qbc_change_scale(r->q, weight, axis, r->signs, r->size);
    qbc_change_rotate(r->q, weight, axis, r->order, r->matrix, false);
}

/* Signs that look random and are always the same (xorshift). */
static float *make_signs(struct qbc *q, int64_t n)
{
    float *signs = qbc_alloc(q, (size_t)n * sizeof *signs);
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (int64_t i = 0; i < n; ++i) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        signs[i] = state >> 63 ? -1 : 1;
    }
    return signs;
}

/* --- r1: what the stream is */

static bool is_in_stream(const struct rotation *r, MlirValue v)
{
    for (size_t i = 0; i < r->n; ++i)
        if (mlirValueEqual(r->stream[i], v))
            return true;
    return false;
}

static void add(struct qbc_ops *ops, MlirOperation op)
{
    for (size_t i = 0; i < ops->n; ++i)
        if (mlirOperationEqual(ops->op[i], op))
            return;
    ops->op[ops->n++] = op;
}

/* What is added to the stream: a product with a matrix of its own, with or without a bias. */
static bool enters(struct rotation *r, MlirValue v)
{
    MlirOperation op = qbc_def_any(v);
    if (mlirOperationIsNull(op) || qbc_uses(v) != 1)
        return false;
    if (qbc_is(op, "qb.bias"))
        return is_own(op, 1) && enters(r, mlirOperationGetOperand(op, 0)) && (add(&r->enters, op), true);
    if (!qbc_is(op, "qb.linear") || !is_own(op, 1))
        return false;
    add(&r->enters, op);
    return true;
}

static void refuse(struct rotation *r, MlirOperation op, const char *why)
{
    qbc_error(r->q, op, "the residual stream cannot be turned: %s", why);
}

static void follow_user(struct rotation *r, MlirOperation user)
{
    MlirValue y = mlirOperationGetNumResults(user) ? mlirOperationGetResult(user, 0) : (MlirValue){NULL};
    if (qbc_is(user, "qb.tail") || qbc_is(user, "arith.addf")) {
        for (intptr_t i = 0; i < mlirOperationGetNumOperands(user); ++i) {
            MlirValue x = mlirOperationGetOperand(user, i);
            if (!is_in_stream(r, x) && !enters(r, x))
                return; /* later, if both are */
        }
        if (!is_in_stream(r, y))
            r->stream[r->n++] = y;
    } else if (qbc_is(user, "qb.rms_norm") && qbc_dim(mlirOperationGetOperand(user, 1), 0) == r->size) {
        add(&r->norms, user);
    } else {
        refuse(r, user, qbc_is(user, "qb.layer_norm") ? "this norm takes off the mean of its columns"
                                                      : "this reads it and is no root mean square norm");
    }
}

static void find_stream(struct rotation *r)
{
    struct qbc_ops all = qbc_collect(r->q, r->module, NULL);
    r->stream = qbc_alloc(r->q, (all.n + 1) * sizeof *r->stream);
    r->norms.op = qbc_alloc(r->q, (all.n + 1) * sizeof *r->norms.op);
    r->enters.op = qbc_alloc(r->q, (all.n + 1) * sizeof *r->enters.op);
    for (size_t i = 0; i < all.n; ++i)
        if (qbc_is(all.op[i], "qb.embed") || qbc_is(all.op[i], "qb.embed_positions"))
            r->stream[r->n++] = mlirOperationGetResult(all.op[i], 0);
    for (size_t i = 0; i < r->n && !r->q->errors; ++i)
        for (MlirOpOperand use = mlirValueGetFirstUse(r->stream[i]); !mlirOpOperandIsNull(use);
             use = mlirOpOperandGetNextUse(use))
            follow_user(r, mlirOpOperandGetOwner(use));
}

/* Every reader of the stream must know that it is turned. */
static bool is_whole(struct rotation *r)
{
    for (size_t i = 0; i < r->n; ++i)
        for (MlirOpOperand use = mlirValueGetFirstUse(r->stream[i]); !mlirOpOperandIsNull(use);
             use = mlirOpOperandGetNextUse(use)) {
            MlirOperation user = mlirOpOperandGetOwner(use);
            if (!qbc_is(user, "qb.rms_norm") && !is_in_stream(r, mlirOperationGetResult(user, 0))) {
                refuse(r, user, "what is added to it here is no product with a matrix of its own");
                return false;
            }
        }
    for (size_t i = 0; i < r->norms.n; ++i) {
        MlirValue y = mlirOperationGetResult(r->norms.op[i], 0);
        for (MlirOpOperand use = mlirValueGetFirstUse(y); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
            MlirOperation user = mlirOpOperandGetOwner(use);
            if (!qbc_is(user, "qb.linear") || mlirOperationIsNull(weight_at(user, 1)) || qbc_has(weight_at(user, 1), "blocks")) {
                refuse(r, user, "a row that was normed is read by what is no product with a matrix of floats");
                return false;
            }
        }
    }
    return true;
}

/* --- r1: turning it */

static float *read_gain(struct qbc *q, MlirOperation norm, int64_t n)
{
    struct qbc_view view;
    MlirOperation weight = weight_at(norm, 1);
    float *gain = qbc_alloc(q, (size_t)n * sizeof *gain);
    if (mlirOperationIsNull(weight) || !qbc_view_of(q, weight, &view) || view.cols != n)
        return NULL;
    qbc_view_read(&view, 0, 1, gain);
    return gain;
}

static MlirValue turned(const struct rotation *r, struct qbc_build *b, MlirValue x, bool transposed)
{
    MlirValue y = qbc_op(b, "qb.hadamard", mlirValueGetType(x), 1, x);
    qbc_set_int(r->q, qbc_def_any(y), "run", r->order);
    if (transposed)
        qbc_set_bool(r->q, qbc_def_any(y), "transposed", true);
    return y;
}

/* [C][C] Q^T g Q, g the diagonal of the gain; Q has blocks of its order. */
static float *turned_gain(const struct rotation *r, const float *gain)
{
    int64_t n = r->order, size = r->size;
    const struct qbc_source *source = qbc_store_find(r->q, r->matrix);
    const float *matrix = source->data;
    float *out = qbc_alloc(r->q, (size_t)(size * size) * sizeof *out);
    memset(out, 0, (size_t)(size * size) * sizeof *out);
    for (int64_t a = 0; a < size; ++a) {
        const float *row = matrix + a * n; /* row a % n of block a / n */
        for (int64_t i = 0; i < n; ++i) {
            float *to = out + (a / n * n + i) * size + a / n * n;
            for (int64_t k = 0; k < n; ++k)
                to[k] += row[i] * gain[a] * row[k];
        }
    }
    return out;
}

/* The output matrix becomes one of its own. */
static void copy_embedding(struct rotation *r, MlirOperation linear, const float *gain)
{
    struct qbc_build b = qbc_before(r->q, linear);
    MlirOperation own = mlirOperationClone(weight_at(linear, 1));
    mlirBlockInsertOwnedOperationBefore(b.block, linear, own);
    qbc_set_string(r->q, own, "name", "output");
    qbc_set_string(r->q, own, "role", "output");
    qbc_change_scale(r->q, own, QBC_ALONG_COLS, gain, r->size);
    turn_weight(r, own, QBC_ALONG_COLS);
    mlirOperationSetOperand(linear, 1, mlirOperationGetResult(own, 0));
}

/* The matrix is the embedding too, and turned as such: E' = E S Q. So x g E^T = x Q^T g Q E'^T (signs cancel). Of a stored Q the
 * product Q^T g Q is a small matrix in front, of f16 where others are rounded; or, where the vocabulary is not much larger than
 * the stream, the output matrix becomes one of its own. */
static void read_embedding(struct rotation *r, MlirOperation linear, const float *gain)
{
    enum { WORTH = 8 }; /* columns of the stream: f16 against a copy in four bits or less */
    struct qbc_build b = qbc_before(r->q, linear);
    MlirValue x = mlirOperationGetOperand(linear, 0);
    if (r->matrix && qbc_dim(mlirOperationGetOperand(linear, 1), 0) < WORTH * r->size) {
        copy_embedding(r, linear, gain);
        return;
    }
    if (r->matrix) {
        MlirValue turn = qbc_matrix_values(&b, "output_turn", turned_gain(r, gain), r->size, r->size);
        qbc_set_string(r->q, qbc_def_any(turn), "role", "output_turn");
        qbc_set_string(r->q, qbc_def_any(turn), "keep", "f16");
        mlirOperationSetOperand(linear, 0, qbc_op(&b, "qb.linear", mlirValueGetType(x), 2, x, turn));
        return;
    }
    x = turned(r, &b, x, true);
    x = qbc_op(&b, "qb.scale", mlirValueGetType(x), 2, x, qbc_values(&b, "output_gain", gain, r->size));
    mlirOperationSetOperand(linear, 0, turned(r, &b, x, false));
}

static void turn_norm(struct rotation *r, MlirOperation norm)
{
    struct qbc *q = r->q;
    float *gain = read_gain(q, norm, r->size), *ones = qbc_alloc(q, (size_t)r->size * sizeof *ones);
    MlirOperation old = weight_at(norm, 1);
    struct qbc_build b = qbc_before(q, norm);
    MlirValue y = mlirOperationGetResult(norm, 0);
    if (!gain) {
        refuse(r, norm, "the gain of this norm is not known");
        return;
    }
    for (int64_t i = 0; i < r->size; ++i)
        ones[i] = 1;
    mlirOperationSetOperand(norm, 1, qbc_values(&b, qbc_string(q, old, "name", ""), ones, r->size));
    qbc_sweep(q, old);
    size_t n = qbc_uses(y), i = 0;
    MlirOperation *linears = qbc_alloc(q, (n + 1) * sizeof *linears);
    for (MlirOpOperand use = mlirValueGetFirstUse(y); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        linears[i++] = mlirOpOperandGetOwner(use);
    for (i = 0; i < n; ++i)
        if (is_own(linears[i], 1)) {
            qbc_change_scale(q, weight_at(linears[i], 1), QBC_ALONG_COLS, gain, r->size);
            turn_weight(r, weight_at(linears[i], 1), QBC_ALONG_COLS);
        } else {
            read_embedding(r, linears[i], gain);
        }
}

static void rotate_stream(struct rotation *r)
{
    find_stream(r);
    if (r->q->errors || !is_whole(r))
        return;
    for (size_t i = 0; i < r->norms.n && !r->q->errors; ++i)
        turn_norm(r, r->norms.op[i]);
    for (size_t i = 0; i < r->enters.n; ++i)
        turn_weight(r, weight_at(r->enters.op[i], 1), qbc_is(r->enters.op[i], "qb.linear") ? QBC_ALONG_ROWS : QBC_ALONG_COLS);
    for (size_t i = 0; i < r->n; ++i) {
        MlirOperation op = qbc_def_any(r->stream[i]);
        if (qbc_is(op, "qb.embed") || qbc_is(op, "qb.embed_positions"))
            turn_weight(r, weight_at(op, qbc_is(op, "qb.embed")), QBC_ALONG_COLS);
    }
}

static void r1(struct qbc *q, MlirOperation module)
{
    struct qbc_ops embeds = qbc_collect(q, module, "qb.embed");
    struct rotation r = {.q = q, .module = module, .matrix = qbc_string(q, module, "qb.r1_matrix", NULL)};
    if (!embeds.n) {
        qbc_error(q, module, "there is no embedding, so no residual stream to turn");
        return;
    }
    r.size = qbc_dim(mlirOperationGetResult(embeds.op[0], 0), 1);
    r.order = r.matrix ? qbc_int(module, "qb.r1_order", r.size) : qbc_hadamard_online_order(r.size);
    r.signs = make_signs(q, r.size);
    rotate_stream(&r);
}

/* --- r2 */

/* Values' way back to their product: through the cache and a bias. Null: it is another. */
static MlirOperation product_of_values(struct qbc *q, MlirValue v, MlirOperation *bias)
{
    MlirOperation op = qbc_def_any(v);
    *bias = (MlirOperation){NULL};
    if (mlirOperationIsNull(op) || qbc_uses(v) != 1)
        return (MlirOperation){NULL};
    if (qbc_is(op, "qb.append"))
        return product_of_values(q, mlirOperationGetOperand(op, 1), bias);
    if (qbc_is(op, "qb.bias") && is_own(op, 1)) {
        MlirOperation none, linear = product_of_values(q, mlirOperationGetOperand(op, 0), &none);
        *bias = op;
        return linear;
    }
    return qbc_is(op, "qb.linear") && is_own(op, 1) ? op : (MlirOperation){NULL};
}

static MlirOperation only_product(MlirValue x)
{
    if (qbc_uses(x) != 1)
        return (MlirOperation){NULL};
    MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(x));
    return qbc_is(user, "qb.linear") && is_own(user, 1) ? user : (MlirOperation){NULL};
}

static void r2(struct qbc *q, MlirOperation attention)
{
    MlirValue v = mlirOperationGetOperand(attention, 2);
    MlirOperation bias, values = product_of_values(q, v, &bias), out = only_product(mlirOperationGetResult(attention, 0));
    int64_t head = qbc_dim(v, 1) / qbc_int(attention, "kv_heads", qbc_int(attention, "heads", 1));
    int64_t order = qbc_hadamard_order(head);
    if (mlirOperationIsNull(values) || mlirOperationIsNull(out) || order < 2)
        return;
    qbc_change_rotate(q, weight_at(values, 1), QBC_ALONG_ROWS, order, NULL, false);
    if (!mlirOperationIsNull(bias))
        qbc_change_rotate(q, weight_at(bias, 1), QBC_ALONG_COLS, order, NULL, false);
    qbc_change_rotate(q, weight_at(out, 1), QBC_ALONG_COLS, order, NULL, false);
}

/* --- r4 */

static void r4(struct qbc *q, MlirOperation gate)
{
    MlirValue x = mlirOperationGetResult(gate, 0);
    MlirOperation linear = only_product(x);
    int64_t order = qbc_rank(x) == 2 ? qbc_hadamard_online_order(qbc_dim(x, 1)) : 0;
    if (mlirOperationIsNull(linear) || order < 2)
        return;
    struct qbc_build b = qbc_before(q, linear);
    MlirValue y = qbc_op(&b, "qb.hadamard", mlirValueGetType(x), 1, x);
    qbc_set_int(q, qbc_def_any(y), "run", order);
    if (qbc_has(linear, "block")) /* calibration cuts between blocks */
        qbc_set_int(q, qbc_def_any(y), "block", qbc_int(linear, "block", 0));
    mlirOperationSetOperand(linear, 0, y);
    qbc_change_rotate(q, weight_at(linear, 1), QBC_ALONG_COLS, order, NULL, false);
}

void qbc_pass_insert_rotations(struct qbc *q, MlirOperation module)
{
    const char *where = qbc_string(q, module, "qb.rotations", "");
    mlirOperationRemoveAttributeByName(module, qbc_str("qb.rotations"));
    if (strstr(where, "r1"))
        r1(q, module);
    if (strstr(where, "r2") && !q->errors)
        qbc_each(q, module, "qb.attention", r2);
    if (strstr(where, "r4") && !q->errors) {
        qbc_each(q, module, "qb.glu", r4);
        qbc_each(q, module, "qb.act", r4);
    }
    mlirOperationRemoveAttributeByName(module, qbc_str("qb.r1_matrix"));
    mlirOperationRemoveAttributeByName(module, qbc_str("qb.r1_order"));
}
