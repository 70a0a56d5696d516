/* recognise-norm: find RMS norms, whatever they are written as.
 *
 *   before   ReduceMean of squares, Add, Sqrt, Reciprocal or Div, Mul, Mul; RMSNormalization;
 *            SimplifiedLayerNormalization; SkipSimplifiedLayerNormalization
 *   after    %y = "qb.rms_norm"(%x, %w) {eps}           rows [T, C], %w a vector of weights
 *            a fused residual becomes an onnx.Add before it
 *
 * A decomposed norm is found from its reduction: what lies after it is a norm of what lies before it
 * if, for random x and w, it gives x / sqrt(mean(x^2) + eps) * w. Rows of tiny numbers tell eps.
 *
 * needs    level 0
 * leaves   norms over the last dimensions of rows
 * keeps    other norms and reductions, and notes why they are none of these
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { LONGEST_CHAIN = 16, ROWS = 4 };

/* y = norm(x) * w over runs of the last `width` columns of rows that are `columns` wide. */
struct norm {
    MlirOperation op; /* of y */
    MlirValue x, w, y;
    int64_t width, columns;
    double eps;
    struct qbc_dims dims; /* of y */
    struct qbc_strided gain;
};

static bool describe(struct qbc *q, struct qbc_shapes *s, struct norm *n)
{
    struct qbc_dims dims;
    n->columns = qbc_shapes_width(s, n->y, &n->dims);
    if (!n->columns || qbc_shapes_width(s, n->x, &dims) != n->columns) {
        qbc_miss(q, n->op, "a norm of something that is not a row for each token");
        return false;
    }
    n->width = dims.at[dims.rank - 1];
    if (!qbc_strided_of(q, s->at[0], n->w, &n->gain)) {
        qbc_miss(q, n->op, "a norm whose gain is no stored vector");
        return false;
    }
    size_t last = n->gain.rank - 1;
    for (size_t d = 0; d < n->gain.rank; ++d)
        if (n->gain.dims[d] != (d == last ? n->width : 1)) {
            qbc_miss(q, n->op, "a norm over %ld columns with another number of gains", n->width);
            return false;
        }
    return true;
}

static void apply(struct qbc *q, struct norm *n)
{
    struct qbc_build b = qbc_before(q, n->op);
    size_t last = n->gain.rank - 1;
    MlirValue x = qbc_rows(&b, n->x, n->columns), w = qbc_weight(&b, &n->gain, 1, &last);
    MlirValue y = qbc_op(&b, "qb.rms_norm", qbc_rows_type(q, n->columns), 2, x, w);
    qbc_set_float(q, qbc_def_any(y), "eps", (float)n->eps);
    mlirValueReplaceAllUsesOfWith(n->y, qbc_unrows(&b, y, &n->dims));
}

/* --- one operation that is a norm */

static bool is_fused(MlirOperation op)
{
    return qbc_is(op, "onnx.RMSNormalization") || qbc_is(op, "onnx.SimplifiedLayerNormalization") ||
           qbc_is(op, "onnx.com.microsoft.SimplifiedLayerNormalization");
}

static bool fused(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct norm *n)
{
    *n = (struct norm){.op = op,
                       .x = mlirOperationGetOperand(op, 0),
                       .w = mlirOperationGetOperand(op, 1),
                       .y = mlirOperationGetResult(op, 0),
                       .eps = qbc_float(op, "epsilon", 1e-5)};
    const struct qbc_array *x = qbc_evaluate_small(s->at[0], n->x);
    int64_t axis = qbc_int(op, "axis", -1);
    if (!x || (axis != -1 && axis != (int64_t)x->rank - 1)) {
        qbc_miss(q, op, "a norm over axis %ld, not over the last", axis);
        return false;
    }
    return describe(q, s, n);
}

/* Skip...(x, skip, w): the sum is the 4th result. Becomes an Add and the norm without the skip. */
static void unfold_skip(struct qbc *q, MlirOperation op)
{
    for (intptr_t i = 3; i < mlirOperationGetNumOperands(op); ++i)
        if (!qbc_is_none(mlirOperationGetOperand(op, i))) {
            qbc_miss(q, op, "a bias in the residual is not supported");
            return;
        }
    struct qbc_build b = qbc_before(q, op);
    MlirValue x = mlirOperationGetOperand(op, 0), skip = mlirOperationGetOperand(op, 1);
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
    MlirValue sum = qbc_op(&b, "onnx.Add", type, 2, x, skip);
    MlirValue y = qbc_op(&b, "onnx.SimplifiedLayerNormalization", type, 2, sum,
                         mlirOperationGetOperand(op, 2));
    qbc_set_float(q, qbc_def_any(y), "epsilon", (float)qbc_float(op, "epsilon", 1e-5));
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), y);
    if (mlirOperationGetNumResults(op) > 3)
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 3), sum);
    qbc_sweep(q, op);
}

/* --- several operations that are a norm */

static bool is_reduction(MlirOperation op)
{
    return qbc_is(op, "onnx.ReduceMean") || qbc_is(op, "onnx.ReduceSum") ||
           qbc_is(op, "onnx.ReduceSumSquare") || qbc_is(op, "onnx.ReduceL2");
}

/* Floats that depend on the tokens; not a mask, and not positions. */
static bool is_data(struct qbc_shapes *s, MlirOperation op)
{
    const struct qbc_array *a = qbc_evaluate_small(s->at[0], mlirOperationGetResult(op, 0));
    return a && !a->known && qbc_is_float(a->element);
}

/* The operand of an elementwise operation that is not constant, when there is one only. */
static MlirValue only_variable(MlirOperation op)
{
    MlirValue found = {NULL};
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (qbc_is_constant(v) || (!mlirValueIsNull(found) && qbc_same(v, found)))
            continue;
        if (!mlirValueIsNull(found))
            return (MlirValue){NULL};
        found = v;
    }
    return found;
}

/* What may be x: the reduction's operand, what that is computed from, and so on, nearest first. */
static size_t sources(MlirOperation reduction, MlirValue *out)
{
    MlirValue v = mlirOperationGetOperand(reduction, 0);
    size_t n = 0;
    while (n < LONGEST_CHAIN && !mlirValueIsNull(v)) {
        out[n++] = v;
        MlirOperation op = qbc_def_any(v);
        if (mlirOperationIsNull(op) || !qbc_is_elementwise(op))
            break;
        v = only_variable(op);
    }
    return n;
}

/* What may be y: elementwise operations in a row, each the only one to use the one before. */
static size_t ends(MlirOperation reduction, MlirValue *out)
{
    MlirValue v = mlirOperationGetResult(reduction, 0);
    size_t n = 0;
    for (;;) {
        MlirOperation user = qbc_only_user(v);
        if (n == LONGEST_CHAIN || mlirOperationIsNull(user) || !qbc_is_elementwise(user))
            return n;
        out[n++] = v = mlirOperationGetResult(user, 0);
    }
}

/* Is y made of x and constants only? The largest of these is the gain. */
static bool closed(struct qbc *q, struct qbc_shapes *s, struct norm *n, size_t *gains)
{
    struct qbc_values leaves = qbc_leaves(q, n->y, 1, &n->x);
    bool reaches = false;
    *gains = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        MlirValue v = leaves.v[i];
        const struct qbc_array *a = qbc_evaluate_small(s->at[0], v);
        reaches |= qbc_same(v, n->x);
        if (qbc_same(v, n->x))
            continue;
        if (!qbc_is_constant(v) || !a)
            return false;
        if (a->n > 1 && qbc_is_float(a->element)) {
            n->w = v;
            ++*gains;
        }
    }
    return reaches;
}

/* Rows of usual size, and the last two so small that eps decides. */
static void shrink_rows(struct qbc_array *x, size_t width)
{
    for (size_t i = 0; i < x->n; ++i)
        if (i / width % ROWS >= 2)
            x->f[i] *= i / width % ROWS == 2 ? 1e-4f : 1e-6f;
}

static double mean_square(const float *x, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; ++i)
        sum += (double)x[i] * (double)x[i];
    return sum / (double)width;
}

/* eps = (x w / y)^2 - mean(x^2), of the column of a tiny row where y is largest. */
static double measured_eps(const float *x, const float *y, const float *w, size_t width)
{
    size_t best = 0;
    for (size_t i = 1; i < width; ++i)
        if (fabsf(y[i]) > fabsf(y[best]))
            best = i;
    double root = (double)x[best] * (double)w[best] / (double)y[best];
    double eps = root * root - mean_square(x, width);
    return fabs(eps) < 1e-16 ? 0 : eps;
}

static bool is_norm(const struct qbc_array *x, const struct qbc_array *y, const float *w,
                    size_t width, double *eps)
{
    size_t rows = x->n / width;
    *eps = measured_eps(x->f + (rows - 1) * width, y->f + (rows - 1) * width, w, width);
    if (!(*eps >= 0 && *eps < 1))
        return false;
    for (size_t r = 0; r < rows; ++r) {
        const float *row = x->f + r * width;
        double root = sqrt(mean_square(row, width) + *eps);
        for (size_t i = 0; i < width; ++i)
            if (!qbc_near((double)row[i] / root * (double)w[i], (double)y->f[r * width + i], 1e-4,
                          1e-6))
                return false;
    }
    return true;
}

/* eps as the graph's constants have it. */
static double exact_eps(struct qbc *q, struct qbc_shapes *s, const struct norm *n)
{
    struct qbc_values leaves = qbc_leaves(q, n->y, 1, &n->x);
    for (size_t i = 0; i < leaves.n; ++i) {
        const struct qbc_array *a =
            qbc_is_constant(leaves.v[i]) ? qbc_floats_of(s->at[0], leaves.v[i]) : NULL;
        if (a && a->n == 1 && qbc_near((double)a->f[0], n->eps, 1e-2, 0))
            return (double)a->f[0];
    }
    return qbc_shortest(n->eps, 1e-3);
}

static bool computes_norm(struct qbc *q, MlirOperation func, struct norm *n)
{
    struct qbc_evaluation *e = qbc_probe(q, func, ROWS, 0);
    struct qbc_array *x = qbc_bind_zero(q, e, n->x);
    const struct qbc_array *w = qbc_bind_random(q, e, n->w, 2);
    bool good = false;
    if (x && w && x->rank > 0) {
        size_t width = (size_t)x->dims[x->rank - 1];
        qbc_fill_random(x, 1);
        shrink_rows(x, width);
        const struct qbc_array *y = qbc_floats_of(e, n->y);
        good = y && y->n == x->n && w->n == width && width > 1 &&
               is_norm(x, y, w->f, width, &n->eps);
    }
    qbc_evaluation_destroy(e);
    return good;
}

static bool decomposed(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op,
                       struct norm *n)
{
    MlirValue x[LONGEST_CHAIN], y[LONGEST_CHAIN];
    size_t n_x = sources(op, x), n_y = ends(op, y), gains;
    bool tried = false;
    for (size_t j = n_y; j-- > 0;)
        for (size_t i = 0; i < n_x; ++i) {
            *n = (struct norm){.op = qbc_def_any(y[j]), .x = x[i], .y = y[j]};
            if (!closed(q, s, n, &gains) || gains != 1)
                continue;
            tried = true;
            if (!computes_norm(q, func, n))
                continue;
            n->eps = exact_eps(q, s, n);
            return describe(q, s, n);
        }
    qbc_miss(q, op, tried ? "no norm: what follows is not x / sqrt(mean(x^2) + eps) * w"
                          : "no norm: what follows is no function of one input and one gain");
    return false;
}

void qbc_pass_recognise_norm(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_each(q, module, "onnx.com.microsoft.SkipSimplifiedLayerNormalization", unfold_skip);
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct norm *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (is_fused(ops.op[i]))
            n += fused(q, &shapes, ops.op[i], &found[n]);
        else if (is_reduction(ops.op[i]) && is_data(&shapes, ops.op[i]))
            n += decomposed(q, func, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
