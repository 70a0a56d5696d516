/* recognise-conv: causal convolutions of each column with its own kernel.
 *
 *   before   Conv(Concat(%window, %x), %w, %b), its last column(s)       one token a call, the window goes in and out
 *            Conv(%x) {pads = [K - 1, ...]}, its first T columns         any number of tokens
 *   after    %s = "qb.state"() {name = "conv"}
 *            %y = "qb.conv1d"(%s, %x, %w, %b)         rows [T, C], %w [C K], taps of a column side by side
 *
 * Rows that are multiplied on their way to one, or behind one, and lie across, are multiplied as rows:
 *
 *   before   Mul(Transpose(%a), Transpose(%b))
 *   after    Transpose("arith.mulf"(%a, %b))
 *
 * It is one if for random rows, and a random window before them, what follows the Conv gives
 * y[t][c] = b[c] + sum of w[c][k] x[t - K + 1 + k][c].
 *
 * needs    cut-linear
 * leaves   qb.conv1d; the window is a state of the session
 * keeps    other convolutions, and notes why
 */
#include "pattern.h"

#include <string.h>

enum { TOKENS = 6, LONGEST_CHAIN = 8 };

struct conv {
    MlirOperation op;
    MlirValue x, window, y; /* window null: none */
    struct qbc_strided taps, bias; /* bias.rank 0: none */
    int64_t columns, taps_each;
    struct qbc_dims dims; /* of y */
    bool across;          /* y is [1, C, T] */
};

static bool has_weights(struct qbc *q, struct qbc_shapes *s, struct conv *c)
{
    MlirValue bias = qbc_operand_at(c->op, 2);
    bool good = qbc_strided_of(q, s->at[0], mlirOperationGetOperand(c->op, 1), &c->taps) && c->taps.rank == 3 &&
                c->taps.dims[1] == 1 && c->taps.strides[2] == 1 && c->taps.strides[0] == c->taps.dims[2] && qbc_int(c->op, "group", 1) == c->taps.dims[0] &&
                (mlirValueIsNull(bias) || (qbc_strided_of(q, s->at[0], bias, &c->bias) && c->bias.rank == 1));
    if (!good)
        qbc_miss(q, c->op, "a convolution of more than each column by itself, or with weights that are not stored");
    c->columns = good ? c->taps.dims[0] : 0;
    c->taps_each = good ? c->taps.dims[2] : 0;
    return good;
}

/* The rows that are convolved, and the window before them. */
static bool has_rows(struct qbc *q, struct qbc_shapes *s, MlirOperation func, struct conv *c)
{
    MlirValue x = mlirOperationGetOperand(c->op, 0);
    MlirOperation joined = qbc_def(x, "onnx.Concat");
    if (!mlirOperationIsNull(joined) && mlirOperationGetNumOperands(joined) == 2) {
        const char *input = qbc_input(q, func, mlirOperationGetOperand(joined, 0));
        if (input && !strcmp(input, "past")) {
            c->window = mlirOperationGetOperand(joined, 0);
            x = mlirOperationGetOperand(joined, 1);
        }
    }
    MlirOperation turned = qbc_def(x, "onnx.Transpose");
    c->x = qbc_strip(mlirOperationIsNull(turned) ? x : mlirOperationGetOperand(turned, 0));
    if (qbc_is_level1(c->x) && qbc_dim(c->x, 1) == c->columns && (s->step || mlirValueIsNull(c->window)))
        return true;
    qbc_miss(q, c->op, "a convolution of something that is not a row for each token");
    return false;
}

/* What was put in: row t, or of the window before. */
static double before(const struct conv *c, const struct qbc_array *x, const struct qbc_array *window, int64_t t, int64_t column)
{
    if (t >= 0)
        return (double)x->f[t * c->columns + column];
    int64_t length = window ? (int64_t)window->n / c->columns : 0;
    return length + t >= 0 && window ? (double)window->f[column * length + length + t] : 0;
}

static double wanted(const struct conv *c, const float *taps, const float *bias, const struct qbc_array *x,
                     const struct qbc_array *window, int64_t t, int64_t column)
{
    double sum = bias ? (double)bias[column] : 0;
    for (int64_t k = 0; k < c->taps_each; ++k)
        sum += (double)taps[column * c->taps_each + k] * before(c, x, window, t - c->taps_each + 1 + k, column);
    return sum;
}

/* y [1, C, T] if `across`, else [1, T, C]. */
static bool agrees(struct qbc *q, const struct conv *c, const struct qbc_array *x, const struct qbc_array *window,
                   const struct qbc_array *y, bool across)
{
    struct qbc_strided taps = c->taps;
    taps.rank = 2;
    taps.dims[1] = c->taps_each;
    taps.strides[1] = c->taps.strides[2];
    const float *w = qbc_strided_read(q, &taps, (size_t)(c->columns * c->taps_each));
    const float *b = c->bias.rank ? qbc_strided_read(q, &c->bias, (size_t)c->columns) : NULL;
    int64_t tokens = (int64_t)x->n / c->columns;
    if (across && (y->rank < 2 || y->dims[y->rank - 1] != tokens))
        return false;
    for (int64_t t = 0; t < tokens && w; ++t)
        for (int64_t i = 0; i < c->columns; ++i)
            if (!qbc_near(wanted(c, w, b, x, window, t, i), (double)y->f[across ? i * tokens + t : t * c->columns + i], 1e-4,
                          1e-5))
                return false;
    return w && tokens > 0;
}

/* The window for the next call: the last of window and rows. */
static bool goes_on(const struct conv *c, struct qbc_evaluation *e, MlirOperation func, const struct qbc_array *x,
                    const struct qbc_array *window)
{
    intptr_t i = qbc_present_of(func, c->window);
    const struct qbc_array *next = i < 0 ? NULL : qbc_floats_of(e, mlirOperationGetOperand(qbc_return_of(func), i));
    int64_t length = window ? (int64_t)window->n / c->columns : 0, tokens = (int64_t)x->n / c->columns;
    if (mlirValueIsNull(c->window) || i < 0)
        return true;
    if (!next || next->n != window->n)
        return false;
    for (int64_t k = 0; k < (int64_t)next->n; ++k)
        if ((double)next->f[k] != before(c, x, window, tokens - length + k % length, k / length))
            return false;
    return true;
}

/* The last value along the only uses of the Conv that is the convolution's rows. */
static bool find_result(struct qbc *q, MlirOperation func, struct qbc_shapes *s, struct conv *c)
{
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    const struct qbc_array *x = qbc_bind_random(q, e, c->x, 3);
    const struct qbc_array *window = mlirValueIsNull(c->window) ? NULL : qbc_bind_random(q, e, c->window, 4);
    MlirValue v = mlirOperationGetResult(c->op, 0);
    for (int i = 0; i < LONGEST_CHAIN && x; ++i) {
        const struct qbc_array *y = qbc_floats_of(e, v);
        bool across = y && y->n == x->n && agrees(q, c, x, window, y, true);
        if (y && y->n == x->n && (across || agrees(q, c, x, window, y, false)) && goes_on(c, e, func, x, window) &&
            qbc_shapes_dims(s, v, &c->dims)) {
            c->y = v;
            c->across = across;
        }
        MlirOperation user = qbc_only_user(v);
        if (mlirOperationIsNull(user) || mlirOperationGetNumResults(user) != 1 || qbc_is_elementwise(user) ||
            strncmp(qbc_op_name(user), "onnx.", 5))
            break;
        v = mlirOperationGetResult(user, 0);
    }
    qbc_evaluation_destroy(e);
    if (mlirValueIsNull(c->y))
        qbc_miss(q, c->op, "what follows is no causal convolution of the rows with the window before them");
    return !mlirValueIsNull(c->y);
}

static void apply(struct qbc *q, MlirOperation func, const struct qbc_shapes *s, struct conv *c)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(c->y));
    MlirType type = qbc_rows_type(q, c->columns);
    struct qbc_attr name[] = {{"name", qbc_attr_string(q, "conv")}, {0}};
    MlirValue state = mlirOperationGetResult(qbc_make(&b, "qb.state", type, name, 0, NULL), 0);
    struct qbc_strided taps = c->taps;
    taps.dims[2] *= c->columns;
    MlirValue operands[] = {state, c->x, qbc_weight(&b, &taps, 1, (size_t[]){2}),
                            c->bias.rank ? qbc_weight(&b, &c->bias, 1, (size_t[]){0}) : (MlirValue){NULL}};
    MlirOperation made = qbc_make(&b, "qb.conv1d", type, NULL, c->bias.rank ? 4 : 3, operands);
    MlirValue y = mlirOperationGetResult(made, 0);
    y = c->across && !s->step ? qbc_unrows_across(&b, y, &c->dims) : qbc_unrows(&b, y, &c->dims);
    mlirValueReplaceAllUsesOfWith(c->y, y);
    intptr_t present = qbc_present_of(func, c->window);
    if (present >= 0)
        mlirOperationSetOperand(qbc_return_of(func), present, state); /* nobody else computes it */
}

/* --- products of rows that lie across */

/* The rows that v [1, C, T] is the transposition of, or in a graph for one token is; null: none. */
static MlirValue rows_across(struct qbc *q, MlirValue v, bool step)
{
    MlirOperation turned = qbc_def(v, "onnx.Transpose");
    const int64_t *perm;
    if (mlirOperationIsNull(turned))
        return step && qbc_is_level1(qbc_strip(v)) ? qbc_strip(v) : (MlirValue){NULL};
    bool across = qbc_ints(q, turned, "perm", &perm) == 3 && perm[0] == 0 && perm[1] == 2;
    MlirValue rows = qbc_strip(mlirOperationGetOperand(turned, 0));
    return across && qbc_is_level1(rows) ? rows : (MlirValue){NULL};
}

static void multiply(struct qbc *q, MlirOperation product, const struct qbc_dims *dims, bool step)
{
    MlirValue a = rows_across(q, mlirOperationGetOperand(product, 0), step), b = rows_across(q, mlirOperationGetOperand(product, 1), step);
    if (mlirValueIsNull(a) || mlirValueIsNull(b) || dims->rank != 3 || !mlirTypeEqual(mlirValueGetType(a), mlirValueGetType(b)) ||
        dims->at[1] != qbc_dim(a, 1))
        return;
    struct qbc_build build = qbc_before(q, product);
    MlirValue y = qbc_op(&build, "arith.mulf", mlirValueGetType(a), 2, a, b);
    y = step ? qbc_unrows(&build, y, dims) : qbc_unrows_across(&build, y, dims);
    mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(product, 0), y);
}

static void multiply_rows(struct qbc *q, MlirOperation module, MlirOperation func)
{
    struct qbc_ops ops = qbc_collect(q, func, "onnx.Mul");
    struct qbc_dims *dims = qbc_alloc(q, (ops.n + 1) * sizeof *dims);
    struct qbc_shapes s;
    qbc_shapes_open(q, func, &s);
    for (size_t i = 0; i < ops.n; ++i)
        if (!qbc_shapes_dims(&s, mlirOperationGetResult(ops.op[i], 0), &dims[i]))
            dims[i].rank = 0;
    qbc_shapes_close(&s);
    for (size_t i = 0; i < ops.n; ++i)
        multiply(q, ops.op[i], &dims[i], s.step);
    qbc_tidy(q, module);
}

void qbc_pass_recognise_conv(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    if (qbc_collect(q, func, "onnx.Conv").n)
        multiply_rows(q, module, func);
    struct qbc_ops ops = qbc_collect(q, func, "onnx.Conv");
    struct conv *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes s;
    size_t n = 0;
    qbc_shapes_open(q, func, &s);
    for (size_t i = 0; i < ops.n; ++i) {
        found[n] = (struct conv){.op = ops.op[i]};
        n += has_weights(q, &s, &found[n]) && has_rows(q, &s, func, &found[n]) && find_result(q, func, &s, &found[n]);
    }
    qbc_shapes_close(&s);
    for (size_t i = 0; i < n; ++i)
        apply(q, func, &s, &found[i]);
    qbc_tidy(q, module);
    if (n)
        multiply_rows(q, module, func);
}
