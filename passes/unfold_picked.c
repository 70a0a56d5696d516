/* unfold-picked: what is computed of the tokens that a condition picks is computed of all, and kept where they are picked.
 *
 *   before   %at = NonZero(%picked)                  %picked [T], [K, T] or [T, K], true at most once for each token:
 *            %t, %j = the rows of %at                    expert e's place among those that a token chose
 *            %x' = Gather(%x, %t);  %y' = the expert of %x' * Gather of %weights by (%t, %j)
 *            %sum' = ScatterND(%sum, %t, %y') {reduction = "add"}
 *   after    %y = the expert of %x * Gather of %weights by (0 .. T - 1, ArgMax(%picked))
 *            %sum' = Add(%sum, Where(%some, %y, 0))       %some [T]: is it picked at all?
 *
 * So loops over experts, as PyTorch's exporters write them, become sums over all experts, of which stack-experts makes products with the
 * chosen ones alone. Which values are the rows of %at is found with numbers in its place, and that a condition holds once at most
 * with choices of our own. A scatter without reduction, into zeros or into rows that were gathered before, is Where(%some, %y, %sum).
 *
 * needs    level 0
 * leaves   values whose rows are all tokens
 * keeps    conditions on anything else, and what is not computed row by row, and notes why
 */
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { TOKENS = 12, PICKED = 5, MOST_PLACES = 16, STEP = 1000 };

/* What is known of a value that is made of a NonZero's result. */
enum kind { PLACES /* numbers of tokens or choices */, SIZES /* and numbers */, ROWS /* of what is picked */ };

/* A value that is one row of a NonZero's result, and nothing else. */
struct place {
    MlirValue value;
    size_t row;
    struct qbc_dims dims; /* QBC_T where the picked ones are */
};

struct picked {
    MlirOperation op;
    MlirValue condition;
    size_t rank, tokens; /* of the condition, and which of its dims is T */
    struct place place[MOST_PLACES];
    size_t n_places;
    MlirValue some; /* [T], made when it is needed */
    struct qbc_ops moves; /* Gather and Scatter by what is picked */
};

struct finder {
    struct qbc *q;
    MlirOperation func;
    struct qbc_shapes shapes;
    struct qbc_evaluation *places, *choices;
};

static MlirType of_ints(struct qbc *q)
{
    return mlirUnrankedTensorTypeGet(qbc_element_type(q, QBC_I64));
}

/* --- the condition */

/* Choices of our own, different for each token, where the k largest are taken; many passes make the condition of them. */
static void bind_choices(struct finder *f)
{
    struct qbc_ops ops = qbc_collect(f->q, f->func, "onnx.TopK");
    for (size_t i = 0; i < ops.n; ++i) {
        const struct qbc_array *from = qbc_evaluate_small(f->choices, mlirOperationGetOperand(ops.op[i], 0));
        MlirValue ids = mlirOperationGetResult(ops.op[i], 1);
        const struct qbc_array *to = from ? qbc_evaluate_small(f->choices, ids) : NULL;
        int64_t among = from && from->rank ? from->dims[from->rank - 1] : 0, top = to && to->rank ? to->dims[to->rank - 1] : 0;
        if (top < 1 || among < top)
            continue;
        struct qbc_array chosen = qbc_array_create(f->choices, QBC_I64, to->rank, to->dims);
        for (size_t k = 0; k < chosen.n; ++k)
            chosen.i[k] = (int64_t)(k / (size_t)top + k % (size_t)top) % among;
        qbc_evaluation_bind(f->choices, ids, chosen);
    }
}

/* Is it true at most once for each token? */
static bool is_single(struct finder *f, const struct picked *p)
{
    const struct qbc_array *a = p->rank == 1 ? NULL : qbc_evaluate(f->choices, p->condition);
    if (p->rank == 1)
        return true;
    if (!a || !a->known || !a->i || a->rank != 2)
        return false;
    int64_t others = a->dims[1 - p->tokens];
    for (int64_t t = 0; t < a->dims[p->tokens]; ++t) {
        int64_t n = 0;
        for (int64_t j = 0; j < others; ++j)
            n += a->i[p->tokens ? j * a->dims[1] + t : t * a->dims[1] + j] != 0;
        if (n > 1)
            return false;
    }
    return true;
}

static bool find_condition(struct finder *f, struct picked *p)
{
    struct qbc_dims dims;
    p->condition = mlirOperationGetOperand(p->op, 0);
    if (!qbc_shapes_dims(&f->shapes, p->condition, &dims) || (dims.rank != 1 && dims.rank != 2))
        return false;
    p->rank = dims.rank;
    while (p->tokens < p->rank && dims.at[p->tokens] != QBC_T)
        ++p->tokens;
    return p->tokens < p->rank && (p->rank == 1 || dims.at[1 - p->tokens] > 0) && is_single(f, p);
}

/* --- the rows of its result */

static void bind_places(struct finder *f, const struct picked *p)
{
    struct qbc_array a = qbc_array_create(f->places, QBC_I64, 2, (int64_t[]){(int64_t)p->rank, PICKED});
    for (size_t i = 0; i < a.n; ++i)
        a.i[i] = (int64_t)(i / PICKED + 1) * STEP + (int64_t)(i % PICKED);
    qbc_evaluation_bind(f->places, mlirOperationGetResult(p->op, 0), a);
}

/* Is v one row, in any dims? */
static bool is_place(struct finder *f, MlirValue v, struct place *out)
{
    const struct qbc_array *a = qbc_evaluate(f->places, v);
    if (!a || !a->known || !a->i || a->n != PICKED || a->i[0] < STEP || a->i[0] % STEP)
        return false;
    *out = (struct place){.value = v, .row = (size_t)(a->i[0] / STEP) - 1, .dims = {.rank = a->rank}};
    for (size_t i = 1; i < a->n; ++i)
        if (a->i[i] != a->i[0] + (int64_t)i)
            return false;
    for (size_t d = 0; d < a->rank; ++d)
        out->dims.at[d] = a->dims[d] == PICKED ? QBC_T : 1;
    return true;
}

/* All first values that are a row; false: something else is made of the result. */
static bool find_places(struct finder *f, struct picked *p, MlirValue v)
{
    static const char *const moves[] = {"onnx.Transpose", "onnx.Split", "onnx.Slice", "onnx.Gather", "onnx.Squeeze", "onnx.Unsqueeze",
                                        "onnx.Reshape", "onnx.Cast", "onnx.Identity", NULL};
    if (p->n_places == MOST_PLACES)
        return false;
    if (is_place(f, v, &p->place[p->n_places])) {
        ++p->n_places;
        return true;
    }
    struct qbc_ops users = qbc_users(f->q, v);
    for (size_t i = 0; i < users.n; ++i) {
        if (!qbc_one_of(qbc_op_name(users.op[i]), moves) || !qbc_same(mlirOperationGetOperand(users.op[i], 0), v))
            return false;
        for (intptr_t k = 0; k < mlirOperationGetNumResults(users.op[i]); ++k)
            if (!find_places(f, p, mlirOperationGetResult(users.op[i], k)))
                return false;
    }
    return true;
}

/* --- what is made of the picked ones */

static bool is_scatter(MlirOperation op)
{
    return qbc_is(op, "onnx.ScatterND") || qbc_is(op, "onnx.ScatterElements");
}

static bool is_gather(MlirOperation op)
{
    return qbc_is(op, "onnx.Gather") || qbc_is(op, "onnx.GatherND");
}

static bool takes(MlirOperation op, intptr_t i, MlirValue v)
{
    return i < mlirOperationGetNumOperands(op) && qbc_same(mlirOperationGetOperand(op, i), v);
}

/* Rows, each by itself. */
static bool is_row_by_row(MlirOperation op, MlirValue v)
{
    static const char *const same[] = {"onnx.Reshape", "onnx.Transpose", "onnx.Unsqueeze", "onnx.Squeeze", "onnx.Flatten", "onnx.Expand",
                                       "onnx.Cast", "onnx.CastLike", "onnx.Identity", NULL};
    if (qbc_is(op, "onnx.MatMul") || qbc_is(op, "onnx.Gemm"))
        return !qbc_int(op, "transA", 0) && takes(op, 0, v) && !takes(op, 1, v);
    if (qbc_is(op, "onnx.Split"))
        return qbc_int(op, "axis", 0) != 0;
    return qbc_is_elementwise(op) || qbc_is(op, "onnx.Where") || (qbc_one_of(qbc_op_name(op), same) && takes(op, 0, v));
}

/* What an operation gives that reads v of this kind; false: it is not the same for all tokens. *end: nothing that matters. */
static bool kind_after(MlirOperation op, MlirValue v, enum kind kind, enum kind *out, bool *end)
{
    static const char *const numbers[] = {"onnx.Unsqueeze", "onnx.Squeeze", "onnx.Reshape", "onnx.Expand", "onnx.Concat", "onnx.Cast",
                                          "onnx.Identity", "onnx.Add", "onnx.Mul", NULL};
    static const char *const of_sizes[] = {"onnx.Gather", "onnx.Slice", "onnx.ConstantOfShape", "onnx.Equal", "onnx.Where", NULL};
    *end = is_scatter(op) && (takes(op, 1, v) || (kind == ROWS && takes(op, 2, v)));
    *out = kind;
    if (*end)
        return true;
    if (qbc_is(op, "onnx.Shape"))
        *out = SIZES;
    else if (is_gather(op) && kind == PLACES && takes(op, 1, v))
        *out = ROWS;
    else if (kind == SIZES && !takes(op, 0, v) && (qbc_is(op, "onnx.Reshape") || qbc_is(op, "onnx.Expand")))
        *end = true; /* what is reshaped is looked at by itself */
    else if (kind == ROWS)
        return is_row_by_row(op, v);
    else
        return qbc_one_of(qbc_op_name(op), numbers) || (kind == SIZES && qbc_one_of(qbc_op_name(op), of_sizes));
    return true;
}

/* Follows v through all that is made of it, each operation once; what gathers and scatters goes to `moves`. */
static bool follow(struct finder *f, struct picked *p, struct qbc_ops *seen, MlirValue v, enum kind kind)
{
    struct qbc_ops users = qbc_users(f->q, v);
    for (size_t i = 0; i < users.n; ++i) {
        bool known = false, end;
        for (size_t k = 0; k < seen->n && !known; ++k)
            known = mlirOperationEqual(seen->op[k], users.op[i]);
        enum kind next;
        if (!kind_after(users.op[i], v, kind, &next, &end)) {
            qbc_miss(f->q, p->op, "what is picked goes into a %s, which may not be computed row by row", qbc_op_name(users.op[i]) + 5);
            return false;
        }
        if (known)
            continue;
        seen->op[seen->n++] = users.op[i];
        if (is_gather(users.op[i]) || is_scatter(users.op[i]))
            p->moves.op[p->moves.n++] = users.op[i];
        for (intptr_t k = 0; k < mlirOperationGetNumResults(users.op[i]) && !end; ++k)
            if (!follow(f, p, seen, mlirOperationGetResult(users.op[i], k), next))
                return false;
    }
    return true;
}

static bool find(struct finder *f, struct picked *p, size_t n_ops)
{
    struct qbc *q = f->q;
    if (!find_condition(f, p)) {
        qbc_miss(q, p->op, "its condition is not one on tokens that holds once at most for each");
        return false;
    }
    bind_places(f, p);
    if (!find_places(f, p, mlirOperationGetResult(p->op, 0))) {
        qbc_miss(q, p->op, "what is made of its places is not one row of them");
        return false;
    }
    struct qbc_ops seen = {qbc_alloc(q, n_ops * sizeof *seen.op), 0};
    p->moves.op = qbc_alloc(q, n_ops * sizeof *p->moves.op);
    for (size_t i = 0; i < p->n_places; ++i)
        if (!follow(f, p, &seen, p->place[i].value, PLACES))
            return false;
    return true;
}

/* --- the rewrite */

static MlirValue with_axis(struct qbc_build *b, const char *name, MlirType type, MlirValue v, int64_t axis)
{
    MlirValue y = qbc_op(b, name, type, 1, v);
    qbc_set_int(b->q, qbc_def_any(y), "axis", axis);
    qbc_set_int(b->q, qbc_def_any(y), "keepdims", 0);
    return y;
}

static MlirValue cast(struct qbc_build *b, MlirValue v, enum qbc_element to)
{
    MlirValue y = qbc_op(b, "onnx.Cast", mlirUnrankedTensorTypeGet(qbc_element_type(b->q, to)), 1, v);
    qbc_set_int(b->q, qbc_def_any(y), "to", to);
    return y;
}

/* For each token, its own number, or its place in the other dim. */
static MlirValue place_of_all(struct qbc_build *b, const struct picked *p, size_t row)
{
    struct qbc *q = b->q;
    if (row != p->tokens)
        return with_axis(b, "onnx.ArgMax", of_ints(q), cast(b, p->condition, QBC_F32), (int64_t)row);
    int64_t zero = 0, one = 1, axis = (int64_t)p->tokens;
    MlirValue sizes = qbc_op(b, "onnx.Shape", of_ints(q), 1, p->condition);
    MlirValue size = qbc_op(b, "onnx.Gather", of_ints(q), 2, sizes, qbc_ints_constant(b, &axis, 1));
    MlirValue scalar[3] = {qbc_ints_constant(b, &zero, 1), size, qbc_ints_constant(b, &one, 1)};
    for (int i = 0; i < 3; ++i)
        scalar[i] = qbc_reshape(b, scalar[i], of_ints(q), 0, NULL);
    return qbc_op(b, "onnx.Range", of_ints(q), 3, scalar[0], scalar[1], scalar[2]);
}

static void replace_places(struct finder *f, struct picked *p)
{
    struct qbc_build b = qbc_before(f->q, p->op);
    p->some = cast(&b, p->condition, QBC_F32);
    if (p->rank == 2) {
        p->some = qbc_op(&b, "onnx.ReduceMax", qbc_unranked(f->q), 1, p->some);
        qbc_set_ints(f->q, qbc_def_any(p->some), "axes", (int64_t[]){1 - (int64_t)p->tokens}, 1);
        qbc_set_int(f->q, qbc_def_any(p->some), "keepdims", 0);
    }
    p->some = cast(&b, p->some, QBC_BOOL);
    for (size_t i = 0; i < p->n_places; ++i) {
        const struct place *at = &p->place[i];
        int64_t to[QBC_MAX_RANK];
        for (size_t d = 0; d < at->dims.rank; ++d)
            to[d] = at->dims.at[d] == QBC_T ? -1 : 1;
        MlirValue all = qbc_reshape(&b, place_of_all(&b, p, at->row), of_ints(f->q), at->dims.rank, to);
        mlirValueReplaceAllUsesOfWith(at->value, all);
    }
}

/* Do the indices name each token once, in order? Of ScatterElements each has them for all its elements. */
static bool is_in_order(struct finder *f, MlirOperation op, int64_t axis)
{
    bool good = true;
    for (int way = 0; way < 2 && good; ++way) {
        const struct qbc_array *a = qbc_evaluate(f->shapes.at[way], mlirOperationGetOperand(op, 1));
        const struct qbc_array *data = qbc_evaluate_small(f->shapes.at[way], mlirOperationGetOperand(op, 0));
        int64_t each = 1, tokens = f->shapes.tokens[way];
        good = a && a->known && a->i && data && axis < (int64_t)data->rank && data->dims[axis] == tokens;
        for (size_t d = (size_t)axis + 1; good && qbc_is(op, "onnx.ScatterElements") && d < data->rank; ++d)
            each *= data->dims[d];
        bool whole = good && qbc_is(op, "onnx.ScatterElements");
        good = good && (whole ? a->n == data->n : (int64_t)a->n == tokens && (!strstr(qbc_op_name(op), "ND") || a->dims[a->rank - 1] == 1));
        for (size_t i = 0; good && i < a->n; ++i)
            good = a->i[i] == (int64_t)i / each % tokens;
    }
    return good;
}

static void replace_scatter(struct finder *f, const struct picked *p, MlirOperation op, int64_t axis)
{
    struct qbc *q = f->q;
    struct qbc_build b = qbc_before(q, op);
    struct qbc_dims dims;
    int64_t to[QBC_MAX_RANK];
    const char *reduction = qbc_string(q, op, "reduction", "none");
    bool adds = !strcmp(reduction, "add");
    if ((!adds && strcmp(reduction, "none")) || !qbc_shapes_dims(&f->shapes, mlirOperationGetOperand(op, 0), &dims)) {
        qbc_error(q, op, "rows that a condition picks are put back by reduction \"%s\", which is not known", reduction);
        return;
    }
    for (size_t d = 0; d < dims.rank; ++d)
        to[d] = (int64_t)d == axis ? -1 : 1;
    MlirValue some = qbc_reshape(&b, p->some, mlirUnrankedTensorTypeGet(qbc_element_type(q, QBC_BOOL)), dims.rank, to);
    MlirValue old = mlirOperationGetOperand(op, 0), rest = adds ? qbc_number_constant(&b, 0) : old;
    MlirValue y = qbc_op(&b, "onnx.Where", qbc_unranked(q), 3, some, mlirOperationGetOperand(op, 2), rest);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), adds ? qbc_op(&b, "onnx.Add", qbc_unranked(q), 2, old, y) : y);
}

/* Gathers of all rows are the rows; what is put back is put where it was picked. */
static void replace_moves(struct finder *f, const struct picked *p)
{
    for (size_t i = 0; i < p->moves.n; ++i) {
        MlirOperation op = p->moves.op[i];
        int64_t axis = strstr(qbc_op_name(op), "ND") ? 0 : qbc_int(op, "axis", 0);
        bool in_order = qbc_int(op, "batch_dims", 0) == 0 && axis >= 0 && is_in_order(f, op, axis);
        if (is_scatter(op) && !in_order)
            qbc_error(f->q, op, "rows that a condition picks are put where it did not pick them");
        else if (is_scatter(op))
            replace_scatter(f, p, op, axis);
        else if (in_order)
            mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, 0));
    }
}

/* Those whose shapes are known; how many. */
static size_t unfold(struct qbc *q, MlirOperation func, const struct qbc_ops *ops)
{
    struct finder f = {.q = q, .func = func, .places = qbc_probe(q, func, TOKENS, 0), .choices = qbc_probe(q, func, TOKENS, 0)};
    struct picked *picked = qbc_alloc(q, ops->n * sizeof *picked);
    size_t n = 0, all = qbc_collect(q, func, NULL).n;
    qbc_shapes_open(q, func, &f.shapes);
    bind_choices(&f);
    for (size_t i = 0; i < ops->n; ++i) {
        picked[n] = (struct picked){.op = ops->op[i]};
        n += find(&f, &picked[n], all);
    }
    qbc_evaluation_destroy(f.places);
    qbc_evaluation_destroy(f.choices);
    qbc_shapes_close(&f.shapes);
    for (size_t i = 0; i < n; ++i)
        replace_places(&f, &picked[i]);
    qbc_shapes_open(q, func, &f.shapes);
    for (size_t i = 0; i < n; ++i)
        replace_moves(&f, &picked[i]);
    qbc_shapes_close(&f.shapes);
    return n;
}

/* Behind one layer's, the next one's shapes are known. */
void qbc_pass_unfold_picked(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    struct qbc_ops ops = mlirOperationIsNull(func) ? (struct qbc_ops){0} : qbc_collect(q, func, "onnx.NonZero");
    while (ops.n && unfold(q, func, &ops)) {
        qbc_tidy(q, module);
        ops = qbc_collect(q, func, "onnx.NonZero");
    }
}
