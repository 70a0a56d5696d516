/* elementwise: level-0 arithmetic on the elements of rows as level 1 (pattern.h).
 *
 *     Add, Sub, Mul, Div of rows           arith.addf, subf, mulf, divf
 *     ... of rows and a stored vector      the same with "qb.repeat"(vector)
 *     ... of rows and a number             qb.times, qb.plus
 *     Mul of rows and a number of each     "qb.combine" {top = 1, first = 0}
 *     Clip, Max, Min of rows and numbers   qb.clip
 *     Tanh, Exp, Softplus, ... of rows     qb.act
 *     LeakyRelu, Elu, Mish, ... of rows    several: piecewise.c
 *     Where of a comparison of rows        qb.where
 */
#include "pattern.h"

#include <math.h>
#include <string.h>

enum { MOST_OPERANDS = 4 };
enum kind { NUMBER, VECTOR, ROWS, COLUMN };

static const struct {
    const char *onnx, *act;
} functions[] = {
    {"Tanh", "tanh"}, {"Sigmoid", "sigmoid"}, {"Relu", "relu"}, {"Exp", "exp"},   {"Softplus", "softplus"},
    {"Abs", "abs"},   {"Sqrt", "sqrt"},       {"Erf", "erf"},   {"Swish", "silu"}, {"Reciprocal", "reciprocal"},
};

static const struct {
    const char *onnx, *arith;
} pairs[] = {{"Add", "arith.addf"}, {"Sub", "arith.subf"}, {"Mul", "arith.mulf"}, {"Div", "arith.divf"}};

static const char *onnx_name(MlirOperation op)
{
    const char *name = qbc_op_name(op);
    return strncmp(name, "onnx.", 5) ? "" : name + 5;
}

static const char *act_of(MlirOperation op)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; ++i)
        if (!strcmp(onnx_name(op), functions[i].onnx))
            return functions[i].act;
    return NULL;
}

static const char *arith_of(MlirOperation op)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; ++i)
        if (!strcmp(onnx_name(op), pairs[i].onnx))
            return pairs[i].arith;
    return NULL;
}

static bool is_clip(MlirOperation op)
{
    static const char *const names[] = {"Clip", "Max", "Min", NULL};
    return qbc_one_of(onnx_name(op), names);
}

struct operand {
    enum kind kind;
    float number;
    struct qbc_strided vector;
};

struct found {
    MlirOperation op;
    int64_t width;
    struct qbc_dims dims;
    size_t n;
    MlirValue value[MOST_OPERANDS]; /* those of op; of Where the two that are compared, and what it chooses of */
    struct operand operand[MOST_OPERANDS];
};

/* One number, the same for all tokens. */
static bool is_number(struct qbc_shapes *s, MlirValue v, float *out)
{
    const struct qbc_array *a = qbc_evaluate_small(s->at[0], v), *b = qbc_evaluate_small(s->at[1], v);
    bool good = a && b && a->known && b->known && a->f && b->f && a->n == 1 && b->n == 1 && a->f[0] == b->f[0];
    *out = good ? a->f[0] : 0;
    return good;
}

/* As many stored numbers as a row has. */
static bool is_vector(struct qbc *q, struct qbc_shapes *s, MlirValue v, const struct found *f, struct operand *o)
{
    return qbc_is_constant(qbc_strip(v)) && qbc_strided_of(q, s->at[0], v, &o->vector) &&
           qbc_strided_vector(&o->vector, &f->dims, f->width);
}

/* What op computes with; false: too many. */
static bool find_values(MlirOperation op, struct found *f)
{
    struct qbc_where w;
    f->n = (size_t)mlirOperationGetNumOperands(op);
    if (qbc_where_find(op, &w)) {
        MlirValue values[] = {w.more, w.less, w.yes, w.no};
        f->n = MOST_OPERANDS;
        memcpy(f->value, values, sizeof values);
        return true;
    }
    for (size_t i = 0; i < f->n && f->n < MOST_OPERANDS; ++i)
        f->value[i] = mlirOperationGetOperand(op, (intptr_t)i);
    return f->n < MOST_OPERANDS;
}

static bool describe(struct qbc *q, struct qbc_shapes *s, MlirOperation op, struct found *f)
{
    MlirValue y = mlirOperationGetResult(op, 0);
    const struct qbc_array *numbers = qbc_evaluate_small(s->at[0], y);
    size_t rows = 0;
    *f = (struct found){.op = op};
    if (!find_values(op, f) || !numbers || numbers->known || !qbc_is_float(numbers->element))
        return false;
    f->width = qbc_shapes_width(s, y, &f->dims);
    for (size_t i = 0; i < f->n && f->width; ++i) {
        MlirValue v = f->value[i];
        struct operand *o = &f->operand[i];
        if (qbc_is_none(v))
            *o = (struct operand){.kind = NUMBER, .number = i == 1 ? -INFINITY : INFINITY}; /* of Clip */
        else if (is_number(s, v, &o->number))
            o->kind = NUMBER;
        else if (is_vector(q, s, v, f, o))
            o->kind = VECTOR;
        else if (qbc_shapes_width(s, v, NULL) == f->width)
            o->kind = ROWS, ++rows;
        else if (qbc_shapes_width(s, v, NULL) == 1)
            o->kind = COLUMN;
        else
            return false;
    }
    return f->width && rows;
}

/* --- the rewrite */

static MlirValue clipped(struct qbc_build *b, const struct found *f, MlirValue x)
{
    float low = -INFINITY, high = INFINITY;
    bool max = qbc_is(f->op, "onnx.Max"), min = qbc_is(f->op, "onnx.Min");
    for (size_t i = 0; i < f->n; ++i) {
        if (f->operand[i].kind == ROWS)
            continue;
        if (max || (!min && i == 1))
            low = f->operand[i].number;
        else
            high = f->operand[i].number;
    }
    if (!max && !min && f->n == 1) { /* opset 6 */
        low = (float)qbc_float(f->op, "min", -INFINITY);
        high = (float)qbc_float(f->op, "max", INFINITY);
    }
    return qbc_clip(b, x, (double)low, (double)high);
}

/* rows op number, or number op rows; null: not one of them. */
static MlirValue scaled(struct qbc_build *b, const struct found *f, MlirValue x, bool number_first, double by)
{
    if (qbc_is(f->op, "onnx.Mul"))
        return qbc_with_number(b, "qb.times", x, by);
    if (qbc_is(f->op, "onnx.Add"))
        return qbc_with_number(b, "qb.plus", x, by);
    if (qbc_is(f->op, "onnx.Div"))
        return qbc_with_number(b, "qb.times", number_first ? qbc_act(b, "reciprocal", x) : x, number_first ? by : 1 / by);
    return qbc_with_number(b, "qb.plus", number_first ? qbc_with_number(b, "qb.times", x, -1) : x, number_first ? by : -by);
}

/* A power of rows: 2, 3 or 1/2; null: another. */
static MlirValue power(struct qbc_build *b, MlirValue x, double by)
{
    if (by == 0.5)
        return qbc_act(b, "sqrt", x);
    if (by != 2 && by != 3)
        return (MlirValue){NULL};
    MlirValue square = qbc_op(b, "arith.mulf", mlirValueGetType(x), 2, x, x);
    return by == 2 ? square : qbc_op(b, "arith.mulf", mlirValueGetType(x), 2, square, x);
}

/* Rows, each times a number of its own; null: another operation. */
static MlirValue weighted(struct qbc_build *b, const struct found *f, const MlirValue *x)
{
    bool second = f->operand[1].kind == COLUMN;
    if (!qbc_is(f->op, "onnx.Mul") || f->operand[!second].kind != ROWS)
        return (MlirValue){NULL};
    MlirValue y = qbc_op(b, "qb.combine", mlirValueGetType(x[!second]), 2, x[!second], x[second]);
    qbc_set_int(b->q, qbc_def_any(y), "top", 1);
    qbc_set_int(b->q, qbc_def_any(y), "first", 0);
    return y;
}

/* max(x, 0) + slope min(x, 0), a slope for each column. */
static MlirValue leaky(struct qbc_build *b, MlirValue x, MlirValue slope)
{
    MlirValue low = qbc_op(b, "arith.mulf", mlirValueGetType(x), 2, slope, qbc_clip(b, x, -INFINITY, 0));
    MlirValue positive = qbc_act(b, "relu", x);
    return qbc_op(b, "arith.addf", mlirValueGetType(x), 2, positive, low);
}

static MlirValue of_two(struct qbc_build *b, const struct found *f, const MlirValue *x)
{
    const struct operand *o = f->operand;
    if (qbc_is(f->op, "onnx.PRelu"))
        return o[0].kind == ROWS ? leaky(b, x[0], x[1]) : (MlirValue){NULL};
    if (qbc_is(f->op, "onnx.Pow"))
        return o[0].kind == ROWS && o[1].kind == NUMBER ? power(b, x[0], o[1].number) : (MlirValue){NULL};
    if (!arith_of(f->op) || f->n != 2)
        return (MlirValue){NULL};
    if (o[0].kind == COLUMN || o[1].kind == COLUMN)
        return weighted(b, f, x);
    if (o[0].kind == NUMBER || o[1].kind == NUMBER)
        return scaled(b, f, x[o[0].kind == NUMBER], o[0].kind == NUMBER, o[o[1].kind == NUMBER].number);
    return qbc_op(b, arith_of(f->op), mlirValueGetType(x[0]), 2, x[0], x[1]);
}

/* yes where more > less, else no; a number or a vector may be any of them, but rows must be compared. */
static MlirValue chosen(struct qbc_build *b, const MlirValue *x)
{
    MlirType type = mlirValueGetType(x[0]);
    return qbc_op(b, "qb.where", type, 3, qbc_op(b, "arith.subf", type, 2, x[0], x[1]), x[2], x[3]);
}

static MlirValue rewritten(struct qbc_build *b, const struct found *f, const MlirValue *x)
{
    if (act_of(f->op) && f->n == 1)
        return qbc_act(b, act_of(f->op), x[0]);
    if (qbc_is_piecewise(f->op))
        return qbc_piecewise(b, f->op, x[0]);
    if (qbc_is(f->op, "onnx.Where"))
        return chosen(b, x);
    if (qbc_is(f->op, "onnx.Neg"))
        return qbc_with_number(b, "qb.times", x[0], -1);
    if (!is_clip(f->op))
        return of_two(b, f, x);
    MlirValue rows = {NULL};
    for (size_t i = 0; i < f->n; ++i) {
        if (f->operand[i].kind == VECTOR || f->operand[i].kind == COLUMN || (f->operand[i].kind == ROWS && !mlirValueIsNull(rows)))
            return (MlirValue){NULL};
        rows = f->operand[i].kind == ROWS ? x[i] : rows;
    }
    return mlirValueIsNull(rows) ? rows : clipped(b, f, rows);
}

/* Operands are level 1 by now, or this is not done. */
static void apply(struct qbc *q, struct found *f)
{
    find_values(f->op, f);
    struct qbc_build b = qbc_before(q, f->op);
    MlirType type = qbc_rows_type(q, f->width);
    MlirValue x[MOST_OPERANDS] = {{NULL}, {NULL}, {NULL}, {NULL}}, like = {NULL};
    bool spread = qbc_is(f->op, "onnx.Where") || qbc_is(f->op, "onnx.PRelu"); /* numbers are rows as well */
    for (size_t i = 0; i < f->n; ++i) {
        MlirValue rows = qbc_strip(f->value[i]);
        int64_t width = f->operand[i].kind == ROWS ? f->width : f->operand[i].kind == COLUMN ? 1 : 0;
        if (width && (!qbc_is_level1(rows) || qbc_dim(rows, 1) != width))
            return;
        if (f->operand[i].kind == ROWS && mlirValueIsNull(like))
            like = rows;
        if (f->operand[i].kind == VECTOR)
            rows = qbc_op(&b, "qb.repeat", type, 1, qbc_weight(&b, &f->operand[i].vector, 1, (size_t[]){0}));
        x[i] = rows;
    }
    for (size_t i = 0; i < f->n && spread; ++i) {
        if (f->operand[i].kind == COLUMN)
            return;
        if (f->operand[i].kind == NUMBER)
            x[i] = qbc_rows_of_number(&b, like, (double)f->operand[i].number);
    }
    MlirValue y = rewritten(&b, f, x);
    if (!mlirValueIsNull(y))
        mlirValueReplaceAllUsesOfWith(mlirOperationGetResult(f->op, 0), qbc_unrows(&b, y, &f->dims));
}

/* A multiple that Sigmoid, Tanh, ... read: a gate's. */
static bool is_factor(struct qbc *q, MlirOperation op)
{
    if (!qbc_is(op, "onnx.Mul") && !qbc_is(op, "onnx.Div"))
        return false;
    struct qbc_ops users = qbc_users(q, mlirOperationGetResult(op, 0));
    for (size_t i = 0; i < users.n; ++i)
        if (act_of(users.op[i]))
            return true;
    return false;
}

static bool is_candidate(struct qbc *q, MlirOperation op, enum qbc_arithmetic which)
{
    if (which == QBC_FACTORS)
        return is_factor(q, op);
    return is_clip(op) || (which == QBC_ALL_ARITHMETIC &&
                           (act_of(op) || arith_of(op) || qbc_is_piecewise(op) || qbc_is(op, "onnx.Neg") || qbc_is(op, "onnx.Pow") ||
                            qbc_is(op, "onnx.PRelu") || qbc_is(op, "onnx.Where")));
}

/* Of rows and a number, nothing else. */
static bool is_multiple(const struct found *f)
{
    enum kind a = f->operand[0].kind, b = f->operand[1].kind;
    return f->n == 2 && ((a == ROWS && b == NUMBER) || (a == NUMBER && b == ROWS));
}

void qbc_elementwise(struct qbc *q, MlirOperation module, enum qbc_arithmetic which)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct found *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_shapes shapes;
    size_t n = 0;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i) {
        if (is_candidate(q, ops.op[i], which))
            n += describe(q, &shapes, ops.op[i], &found[n]) && (which != QBC_FACTORS || is_multiple(&found[n]));
    }
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
