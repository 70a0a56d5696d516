/* recognise-norm: find RMS norms and layer norms, whatever they are written as.
 *
 *   before   ReduceMean of squares, Add, Sqrt, Reciprocal or Div, Mul, Mul; RMSNormalization;
 *            SimplifiedLayerNormalization; SkipSimplifiedLayerNormalization
 *   after    %y = "qb.rms_norm"(%x, %w) {eps}           rows [T, C], %w a vector of weights
 *            a fused residual becomes an onnx.Add before it
 *
 *   before   ReduceMean, Sub, ReduceMean of squares, ...; LayerNormalization; SkipLayerNormalization
 *   after    %y = "qb.layer_norm"(%x, %w, %b) {eps}     or without %b
 *
 * A decomposed norm is found from its reduction: what lies after it is a norm of what lies before it
 * if, for random x, w and b, it gives x / sqrt(mean(x^2) + eps) * w, or (x - mean(x)) / sqrt(variance(x) + eps) * w + b.
 * Rows of tiny numbers tell eps. Without a gain its place takes a vector of one number, which is measured: x / sqrt(sum(x^2) + eps),
 * and LpNormalization, are RMS norms times 1 / sqrt(C).
 *
 * needs    level 0
 * leaves   norms over the last dimensions of rows
 * keeps    other norms and reductions, and notes why they are none of these
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { LONGEST_CHAIN = 16, MOST_ENDS = 32, ROWS = 4 };

/* y = norm(x) * w + b over runs of the last `width` columns of rows that are `columns` wide. */
struct norm {
    MlirOperation op;   /* of y */
    MlirValue x, w, b, y; /* w, b null: none */
    double factor;      /* in place of a gain */
    bool centred;       /* a layer norm */
    int64_t width, columns;
    double eps;
    struct qbc_dims dims; /* of y */
    struct qbc_strided gain, shift;
    MlirValue rows;       /* x, or what x is a transposition of */
    const int64_t *perm;  /* that one; NULL: none */
};

/* One number for each of the last `width` columns. */
static bool is_vector(struct qbc *q, struct qbc_shapes *s, const struct norm *n, MlirValue v, const char *what,
                      struct qbc_strided *out)
{
    if (!qbc_strided_of(q, s->at[0], v, out) || !out->rank) {
        qbc_miss(q, n->op, "a norm whose %s is no stored vector", what);
        return false;
    }
    size_t last = out->rank - 1;
    for (size_t d = 0; d < out->rank; ++d)
        if (out->dims[d] != (d == last ? n->width : 1)) {
            qbc_miss(q, n->op, "a norm over %ld columns with a %s for another number of them", n->width, what);
            return false;
        }
    return true;
}

/* Norms of heads [1, heads, T, head_dim]: a transposition that leaves the last dimension alone may follow as well. */
static void look_through_transpose(struct qbc *q, struct norm *n)
{
    MlirOperation op = qbc_def(n->x, "onnx.Transpose"), cast = qbc_def(n->x, "onnx.Cast");
    const int64_t *perm;
    if (!mlirOperationIsNull(cast)) /* from half precision */
        op = qbc_def(mlirOperationGetOperand(cast, 0), "onnx.Transpose");
    size_t rank = mlirOperationIsNull(op) ? 0 : qbc_ints(q, op, "perm", &perm);
    n->rows = n->x;
    if (!rank || perm[rank - 1] != (int64_t)rank - 1)
        return;
    n->rows = mlirOperationGetOperand(op, 0);
    n->perm = perm;
}

static bool describe(struct qbc *q, struct qbc_shapes *s, struct norm *n)
{
    struct qbc_dims dims;
    if (qbc_shapes_width(s, n->x, NULL))
        n->rows = n->x;
    else
        look_through_transpose(q, n);
    n->columns = qbc_shapes_width(s, n->rows, &n->dims);
    if (!n->columns || !qbc_shapes_dims(s, n->y, &dims) || dims.rank != n->dims.rank) {
        qbc_miss(q, n->op, "a norm of something that is not a row for each token");
        return false;
    }
    n->width = dims.at[dims.rank - 1];
    return (mlirValueIsNull(n->w) || is_vector(q, s, n, n->w, "gain", &n->gain)) &&
           (mlirValueIsNull(n->b) || is_vector(q, s, n, n->b, "bias", &n->shift));
}

/* A vector of one number. */
static MlirValue made_gain(struct qbc_build *b, const struct norm *n)
{
    struct qbc *q = b->q;
    float *numbers = qbc_alloc(q, (size_t)n->width * sizeof *numbers);
    const char *name = qbc_text(q, "%s.gain", qbc_place_name(q, n->op));
    for (int64_t i = 0; i < n->width; ++i)
        numbers[i] = (float)n->factor;
    while (qbc_store_find(q, name))
        name = qbc_text(q, "%s'", name);
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 1, .dims = {n->width}, .data = numbers,
                                         .bytes = (size_t)n->width * sizeof *numbers});
    struct qbc_strided made = {.name = name, .source = name, .rank = 1, .dims = {n->width}, .strides = {1}};
    return qbc_weight(b, &made, 1, (size_t[]){0});
}

/* What takes its place. */
static MlirValue apply(struct qbc *q, struct norm *n)
{
    struct qbc_build b = qbc_before(q, n->op);
    size_t last = n->gain.rank - 1, last_of_shift = n->shift.rank - 1;
    bool bare = mlirValueIsNull(n->w);
    MlirValue operands[3] = {qbc_rows(&b, n->rows, n->columns), bare ? made_gain(&b, n) : qbc_weight(&b, &n->gain, 1, &last)};
    size_t count = 2;
    if (!mlirValueIsNull(n->b))
        operands[count++] = qbc_weight(&b, &n->shift, 1, &last_of_shift);
    MlirOperation y = qbc_make(&b, n->centred ? "qb.layer_norm" : "qb.rms_norm", qbc_rows_type(q, n->columns), NULL,
                               count, operands);
    qbc_set_float(q, y, "eps", (float)n->eps);
    MlirValue result = qbc_unrows(&b, mlirOperationGetResult(y, 0), &n->dims);
    if (n->perm)
        result = qbc_transpose(&b, result, n->dims.rank, n->perm);
    mlirValueReplaceAllUsesOfWith(n->y, result);
    return result;
}

/* --- one operation that is a norm */

static bool is_fused(MlirOperation op)
{
    return qbc_is(op, "onnx.LpNormalization") || qbc_is(op, "onnx.RMSNormalization") || qbc_is(op, "onnx.SimplifiedLayerNormalization") ||
           qbc_is(op, "onnx.com.microsoft.SimplifiedLayerNormalization") || qbc_is(op, "onnx.LayerNormalization");
}

/* x / sqrt(sum(x^2)); a row of zeros stays one. */
static bool unit_length(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct norm *n)
{
    *n = (struct norm){.op = op, .x = mlirOperationGetOperand(op, 0), .y = mlirOperationGetResult(op, 0), .eps = 1e-30};
    const struct qbc_array *x = qbc_evaluate_small(s->at[0], n->x);
    int64_t axis = qbc_int(op, "axis", -1);
    if (!x || (axis != -1 && axis != (int64_t)x->rank - 1) || qbc_int(op, "p", 2) != 2) {
        qbc_miss(q, op, "a norm over axis %ld with p %ld, not over the last with p 2", axis, (long)qbc_int(op, "p", 2));
        return false;
    }
    bool good = describe(q, s, n);
    n->factor = good ? 1 / sqrt((double)n->width) : 0;
    return good;
}

static bool fused(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct norm *n)
{
    if (qbc_is(op, "onnx.LpNormalization"))
        return unit_length(q, s, op, n);
    *n = (struct norm){.op = op,
                       .x = mlirOperationGetOperand(op, 0),
                       .w = mlirOperationGetOperand(op, 1),
                       .b = qbc_operand_at(op, 2),
                       .y = mlirOperationGetResult(op, 0),
                       .centred = qbc_is(op, "onnx.LayerNormalization"),
                       .eps = qbc_float(op, "epsilon", 1e-5)};
    const struct qbc_array *x = qbc_evaluate_small(s->at[0], n->x);
    int64_t axis = qbc_int(op, "axis", -1);
    if (!x || (axis != -1 && axis != (int64_t)x->rank - 1)) {
        qbc_miss(q, op, "a norm over axis %ld, not over the last", axis);
        return false;
    }
    return describe(q, s, n);
}

/* Skip...(x, skip, w, ...): x + skip + bias is the 4th result. Becomes Adds and the norm without the skip. The bias goes
 * to x, which is a product. */
static void unfold_skip(struct qbc *q, MlirOperation op)
{
    bool centred = qbc_is(op, "onnx.com.microsoft.SkipLayerNormalization");
    struct qbc_build b = qbc_before(q, op);
    MlirValue x = mlirOperationGetOperand(op, 0), skip = mlirOperationGetOperand(op, 1);
    MlirValue bias = qbc_operand_at(op, centred ? 4 : 3);
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0));
    if (!mlirValueIsNull(bias))
        x = qbc_op(&b, "onnx.Add", type, 2, x, bias);
    MlirValue sum = qbc_op(&b, "onnx.Add", type, 2, x, skip);
    MlirValue operands[3] = {sum, mlirOperationGetOperand(op, 2), centred ? qbc_operand_at(op, 3) : (MlirValue){NULL}};
    MlirOperation norm = qbc_make(&b, centred ? "onnx.LayerNormalization" : "onnx.SimplifiedLayerNormalization", type,
                                  NULL, mlirValueIsNull(operands[2]) ? 2 : 3, operands);
    qbc_set_float(q, norm, "epsilon", (float)qbc_float(op, "epsilon", centred ? 1e-12 : 1e-5));
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(op, 0), mlirOperationGetResult(norm, 0));
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

static bool is_listed(MlirOperation op, const MlirValue *list, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (mlirOperationEqual(qbc_def_any(list[i]), op))
            return true;
    return false;
}

/* What may be y: all that elementwise operations and reductions make of the reduction, nearest first. */
static size_t ends(struct qbc *q, MlirOperation reduction, MlirValue *out)
{
    size_t n = 0;
    out[n++] = mlirOperationGetResult(reduction, 0);
    for (size_t i = 0; i < n; ++i) {
        struct qbc_ops users = qbc_users(q, out[i]);
        for (size_t j = 0; j < users.n && n < MOST_ENDS; ++j)
            if ((qbc_is_elementwise(users.op[j]) || is_reduction(users.op[j]) || is_fused(users.op[j])) && !is_listed(users.op[j], out, n))
                out[n++] = mlirOperationGetResult(users.op[j], 0);
    }
    return n;
}

/* Is y made of x, numbers, and at most two vectors: gain and bias? */
static bool closed(struct qbc *q, struct qbc_shapes *s, struct norm *n)
{
    struct qbc_values leaves = qbc_leaves(q, n->y, 1, &n->x);
    MlirValue vector[2] = {{NULL}, {NULL}};
    bool reaches = false;
    size_t vectors = 0;
    for (size_t i = 0; i < leaves.n; ++i) {
        MlirValue v = leaves.v[i];
        const struct qbc_array *a = qbc_evaluate_small(s->at[0], v);
        reaches |= qbc_same(v, n->x);
        if (qbc_same(v, n->x))
            continue;
        if (!qbc_is_constant(v) || !a)
            return false;
        if (a->n > 1 && qbc_is_float(a->element) && vectors++ < 2)
            vector[vectors - 1] = v;
    }
    n->w = vector[0];
    n->b = vector[1];
    return reaches && vectors <= 2 && !qbc_same(n->x, n->y);
}

/* Rows of usual size, and the last two so small that eps decides. */
static void shrink_rows(struct qbc_array *x, size_t width)
{
    for (size_t i = 0; i < x->n; ++i) {
        size_t from_end = (x->n - 1 - i) / width % ROWS;
        if (from_end < 2)
            x->f[i] *= from_end ? 1e-4f : 1e-6f;
    }
}

/* Mean, or 0 where the norm does not take it off. */
static double mean_of(const float *x, size_t width, bool centred)
{
    double sum = 0;
    for (size_t i = 0; i < width && centred; ++i)
        sum += (double)x[i];
    return sum / (double)width;
}

static double mean_square(const float *x, size_t width, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < width; ++i)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum / (double)width;
}

/* A row of numbers, of the norm of it, and the vectors; b NULL: zeros. */
struct tried {
    const float *x, *y, *w, *b;
    size_t width;
    bool centred;
    double rounding; /* relative, of what the graph casts on the way */
};

static double shift_at(const struct tried *t, size_t i)
{
    return t->b ? (double)t->b[i] : 0;
}

/* eps = ((x - mean) w / (y - b))^2 - mean((x - mean)^2), of the column of a tiny row where x w is largest. */
static double measured_eps(const struct tried *t)
{
    double mean = mean_of(t->x, t->width, t->centred);
    size_t best = 0;
    for (size_t i = 1; i < t->width; ++i)
        if (fabs(((double)t->x[i] - mean) * (double)t->w[i]) > fabs(((double)t->x[best] - mean) * (double)t->w[best]))
            best = i;
    double root = ((double)t->x[best] - mean) * (double)t->w[best] / ((double)t->y[best] - shift_at(t, best));
    double eps = root * root - mean_square(t->x, t->width, mean);
    return fabs(eps) < 1e-16 ? 0 : eps;
}

static bool row_agrees(const struct tried *t, double eps)
{
    double mean = mean_of(t->x, t->width, t->centred), root = sqrt(mean_square(t->x, t->width, mean) + eps);
    for (size_t i = 0; i < t->width; ++i)
        if (!qbc_near(((double)t->x[i] - mean) / root * (double)t->w[i] + shift_at(t, i), (double)t->y[i],
                      1e-4 + t->rounding, 1e-6 + t->rounding * 1e-2))
            return false;
    return true;
}

/* Is y the norm of x, row by row? Of the last row, which is tiny, eps is measured; where a bias hides it, of the one before. */
static bool is_norm(const struct qbc_array *x, const struct qbc_array *y, struct tried t, double *eps)
{
    size_t rows = x->n / t.width;
    for (size_t tiny = 1; tiny <= 2; ++tiny) {
        t.x = x->f + (rows - tiny) * t.width;
        t.y = y->f + (rows - tiny) * t.width;
        *eps = measured_eps(&t);
        bool good = *eps >= 0 && *eps < 1;
        for (size_t r = 0; r < rows && good; ++r) {
            t.x = x->f + r * t.width;
            t.y = y->f + r * t.width;
            good = row_agrees(&t, *eps);
        }
        if (good)
            return true;
    }
    return false;
}

/* Casts to half precision between x and y round what is compared. */
static double rounding_of(struct qbc *q, const struct norm *n)
{
    struct qbc_ops cone = qbc_cone(q, n->y, 1, &n->x);
    double most = 0;
    for (size_t i = 0; i < cone.n; ++i) {
        int64_t to = qbc_is(cone.op[i], "onnx.Cast") ? qbc_int(cone.op[i], "to", 0) : 0;
        most = fmax(most, to == QBC_BF16 ? 0x1p-7 : to == QBC_F16 ? 0x1p-10 : 0);
    }
    return most;
}

/* eps as the graph's constants have it. */
static double exact_eps(struct qbc *q, struct qbc_shapes *s, const struct norm *n)
{
    struct qbc_values leaves = qbc_leaves(q, n->y, 1, &n->x);
    for (size_t i = 0; i < leaves.n; ++i) {
        const struct qbc_array *a =
            qbc_is_constant(leaves.v[i]) ? qbc_floats_of(s->at[0], leaves.v[i]) : NULL;
        double by = mlirValueIsNull(n->w) && n->factor < 0.99 ? n->factor * n->factor : 1; /* of a sum, not a mean */
        if (a && a->n == 1 && qbc_near((double)a->f[0] * by, n->eps, 1e-2 + 8 * rounding_of(q, n), 0))
            return (double)a->f[0] * by;
    }
    return qbc_shortest(n->eps, 1e-3);
}

/* One number in place of a gain, as the first row, which is not tiny, shows it; 1, or a root of the columns, as it was meant. */
static double measured_factor(const struct qbc_array *x, const struct qbc_array *y, size_t width, bool centred)
{
    double mean = mean_of(x->f, width, centred), usual[] = {1, 1 / sqrt((double)width)};
    size_t best = 0;
    for (size_t i = 1; i < width; ++i)
        best = fabs((double)x->f[i] - mean) > fabs((double)x->f[best] - mean) ? i : best;
    double factor = (double)y->f[best] * sqrt(mean_square(x->f, width, mean)) / ((double)x->f[best] - mean);
    for (int i = 0; i < 2; ++i)
        if (qbc_near(factor, usual[i], 2e-4, 0))
            return usual[i];
    return qbc_shortest(factor, 1e-4);
}

static bool choose_bare(struct qbc *q, const struct qbc_array *x, const struct qbc_array *y, size_t width, double rounding, struct norm *n)
{
    float *gain = qbc_alloc(q, width * sizeof *gain);
    for (int centred = 0; centred < 2; ++centred) {
        n->factor = measured_factor(x, y, width, centred);
        for (size_t i = 0; i < width; ++i)
            gain[i] = (float)n->factor;
        n->centred = centred;
        struct tried t = {.w = gain, .width = width, .rounding = rounding, .centred = centred};
        if (isfinite(n->factor) && n->factor != 0 && is_norm(x, y, t, &n->eps))
            return true;
    }
    return false;
}

/* Which of the norms it is, and which vector is the gain. */
static bool choose(const struct qbc_array *x, const struct qbc_array *y, const struct qbc_array *w,
                   const struct qbc_array *b, double rounding, struct norm *n)
{
    for (int way = 0; way < 4; ++way) {
        bool swapped = way & 1;
        struct tried t = {.w = swapped && b ? b->f : w->f,
                          .b = !b ? NULL : swapped ? w->f : b->f,
                          .width = w->n,
                          .rounding = rounding,
                          .centred = way & 2};
        if ((swapped && !b) || (!t.centred && b) || !is_norm(x, y, t, &n->eps))
            continue;
        MlirValue gain = n->w;
        n->centred = t.centred;
        n->w = swapped ? n->b : gain;
        n->b = swapped ? gain : n->b;
        return true;
    }
    return false;
}

/* Of a graph for one token: a row each, of numbers as `rows` would have them, and what becomes of them. */
static bool computes_rows(struct qbc *q, MlirOperation func, struct norm *n, struct qbc_array *x, struct qbc_array *y)
{
    for (size_t r = 0; r < ROWS; ++r) {
        struct qbc_evaluation *e = qbc_probe(q, func, 1, 0);
        struct qbc_array *row = qbc_bind_zero(q, e, n->x);
        size_t width = row && row->rank ? row->n : 0;
        if (r == 0 && width) {
            x->n = y->n = ROWS * width;
            x->f = qbc_alloc(q, 2 * ROWS * width * sizeof *x->f);
            y->f = x->f + ROWS * width;
            qbc_fill_random(x, 1);
            shrink_rows(x, (size_t)row->dims[row->rank - 1]);
        }
        for (size_t i = 0; i < width; ++i)
            row->f[i] = x->f[r * width + i];
        if (!mlirValueIsNull(n->w))
            qbc_bind_random(q, e, n->w, 2);
        if (!mlirValueIsNull(n->b))
            qbc_bind_random(q, e, n->b, 3);
        const struct qbc_array *result = width ? qbc_floats_of(e, n->y) : NULL;
        bool good = result && result->n == width;
        if (good)
            memcpy(y->f + r * width, result->f, width * sizeof *y->f);
        qbc_evaluation_destroy(e);
        if (!good)
            return false;
    }
    return true;
}

static bool computes_norm(struct qbc *q, MlirOperation func, struct norm *n)
{
    struct qbc_array rows = {.n = 0}, results = {.n = 0};
    bool step = qbc_is_step(func);
    if (step && !computes_rows(q, func, n, &rows, &results))
        return false;
    struct qbc_evaluation *e = qbc_probe(q, func, ROWS, 0);
    struct qbc_array *x = qbc_bind_zero(q, e, n->x);
    bool two = !mlirValueIsNull(n->b), one = !mlirValueIsNull(n->w), good = false;
    const struct qbc_array *w = one ? qbc_bind_random(q, e, n->w, 2) : NULL, *b = two ? qbc_bind_random(q, e, n->b, 3) : NULL;
    if (x && (w || !one) && (b || !two) && x->rank > 0) {
        size_t width = (size_t)x->dims[x->rank - 1];
        qbc_fill_random(x, 1);
        shrink_rows(x, width);
        const struct qbc_array *y = step ? &results : qbc_floats_of(e, n->y);
        x = step ? &rows : x;
        good = y && y->n == x->n && width > 1;
        if (good && !one)
            good = choose_bare(q, x, y, width, rounding_of(q, n), n);
        else if (good)
            good = w->n == width && (!b || b->n == width) && choose(x, y, w, b, rounding_of(q, n), n);
    }
    qbc_evaluation_destroy(e);
    return good;
}

static bool decomposed(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirOperation op,
                       struct norm *n)
{
    MlirValue x[LONGEST_CHAIN], y[MOST_ENDS];
    size_t n_x = sources(op, x), n_y = ends(q, op, y);
    bool tried = false;
    for (size_t j = n_y; j-- > 0;)
        for (size_t i = 0; i < n_x; ++i) {
            *n = (struct norm){.op = qbc_def_any(y[j]), .x = x[i], .y = y[j]};
            if (!closed(q, s, n))
                continue;
            tried = true;
            if (!computes_norm(q, func, n))
                continue;
            n->eps = exact_eps(q, s, n);
            return describe(q, s, n);
        }
    qbc_miss(q, op, tried ? "no norm: what follows is neither x / sqrt(mean(x^2) + eps) * w nor a layer norm"
                          : "no norm: what follows is no function of one input, and perhaps a gain and a bias");
    return false;
}

static bool is_end_of(const struct norm *found, size_t n, MlirOperation op)
{
    for (size_t i = 0; i < n; ++i)
        if (mlirOperationEqual(qbc_def_any(found[i].y), op))
            return true;
    return false;
}

void qbc_pass_recognise_norm(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    qbc_each(q, module, "onnx.com.microsoft.SkipSimplifiedLayerNormalization", unfold_skip);
    qbc_each(q, module, "onnx.com.microsoft.SkipLayerNormalization", unfold_skip);
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct norm *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (is_reduction(ops.op[i]) && is_data(&shapes, ops.op[i]))
            n += decomposed(q, func, &shapes, ops.op[i], &found[n]);
    size_t in_parts = n; /* some of which end with an operation that is a norm by itself */
    for (size_t i = 0; i < ops.n; ++i)
        if (is_fused(ops.op[i]) && !is_end_of(found, in_parts, ops.op[i]))
            n += fused(q, &shapes, ops.op[i], &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i) {
        MlirValue y = apply(q, &found[i]);
        for (size_t j = i + 1; j < n; ++j) /* norms of norms */
            if (qbc_same(found[j].rows, found[i].y))
                found[j].rows = y;
    }
    qbc_tidy(q, module);
}
