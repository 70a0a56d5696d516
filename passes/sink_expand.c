/* sink-expand: numbers that are repeated and then changed one by one are changed once and then repeated.
 *
 *   before   %e = Expand(%dt) [1, 4, 1] to [1, 4, 16];  %y = Softplus(Add(%e, %b))     %b the same along what was expanded
 *   after    %y = Expand(Softplus(Add(%dt, %b')))       %b' [4, 1]
 *
 * So what belongs to a head is a number a head, however many columns an exporter wrote it for.
 *
 * needs    level 0
 * leaves   no Expand of activations that elementwise operations alone come after
 * keeps    operations that also read numbers which differ along what was expanded
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { MOST_OPERANDS = 4, MOST_NUMBERS = 1 << 16 };

/* A value that is `small`, repeated: dims of both, of one rank; those of `small` are 1 where they differ. */
struct repeated {
    MlirValue value, small;
    struct qbc_dims dims, less;
};

struct sink {
    struct qbc *q;
    struct qbc_shapes shapes;
    struct repeated *known;
    size_t n, room;
};

static const struct repeated *find(const struct sink *s, MlirValue v)
{
    for (size_t i = s->n; i-- > 0;)
        if (qbc_same(s->known[i].value, v))
            return &s->known[i];
    return NULL;
}

static bool same_dims(const struct qbc_dims *a, const struct qbc_dims *b)
{
    return a->rank == b->rank && !memcmp(a->at, b->at, a->rank * sizeof *a->at);
}

static void add_expand(struct sink *s, MlirOperation op)
{
    struct repeated r = {.value = mlirOperationGetResult(op, 0), .small = mlirOperationGetOperand(op, 0)};
    const struct qbc_array *a = qbc_evaluate_small(s->shapes.at[0], r.value);
    bool good = a && !a->known && qbc_is_float(a->element) && qbc_shapes_dims(&s->shapes, r.value, &r.dims) &&
                qbc_shapes_dims(&s->shapes, r.small, &r.less) && r.dims.rank == r.less.rank;
    for (size_t d = 0; good && d < r.dims.rank; ++d)
        good = r.less.at[d] == r.dims.at[d] || (r.less.at[d] == 1 && r.dims.at[d] > 0);
    if (good && s->n < s->room)
        s->known[s->n++] = r;
}

/* --- constants: fewer numbers of one that is the same along what was expanded */

static size_t offset_in(const struct qbc_array *a, size_t element, const struct repeated *r, bool *first)
{
    size_t at = 0, stride = 1;
    *first = true;
    for (size_t d = a->rank, left = element; d-- > 0; left /= (size_t)a->dims[d]) {
        size_t i = left % (size_t)a->dims[d], other = d + r->dims.rank - a->rank;
        bool shrinks = r->less.at[other] != r->dims.at[other];
        *first &= !shrinks || i == 0;
        at += shrinks ? 0 : i * stride;
        stride *= (size_t)a->dims[d];
    }
    return at;
}

static MlirValue shrink(struct qbc_build *b, const struct qbc_array *a, const struct repeated *r)
{
    int64_t dims[QBC_MAX_RANK];
    float *numbers = qbc_alloc(b->q, a->n * sizeof *numbers);
    size_t n = 0;
    for (size_t i = 0; i < a->n; ++i) {
        bool first;
        if (a->f[offset_in(a, i, r, &first)] != a->f[i])
            return (MlirValue){NULL};
        if (first)
            numbers[n++] = a->f[i];
    }
    for (size_t d = 0; d < a->rank; ++d) {
        size_t other = d + r->dims.rank - a->rank;
        dims[d] = r->less.at[other] != r->dims.at[other] ? 1 : a->dims[d];
    }
    MlirType type = qbc_tensor(b->q, mlirF32TypeGet(b->q->mlir), a->rank, dims);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrFloatGet(type, (intptr_t)n, numbers)}, {0}};
    return mlirOperationGetResult(qbc_make(b, "onnx.Constant", type, attrs, 0, NULL), 0);
}

/* What stands for an operand that is not repeated: itself, or fewer of its numbers; null: nothing can. */
static MlirValue stands_for(struct sink *s, struct qbc_build *b, MlirValue v, const struct repeated *r)
{
    if (qbc_is_none(v))
        return v;
    const struct qbc_array *a = qbc_is_constant(v) ? qbc_evaluate(s->shapes.at[0], v) : NULL;
    if (!a || !a->known || !a->f || a->rank > r->dims.rank || a->n > MOST_NUMBERS)
        return (MlirValue){NULL};
    return a->n == 1 ? v : shrink(b, a, r);
}

/* --- elementwise operations */

static const struct repeated *repeated_operand(const struct sink *s, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        const struct repeated *r = find(s, mlirOperationGetOperand(op, i));
        if (r)
            return r;
    }
    return NULL;
}

static MlirType type_of(struct qbc *q, MlirValue v, const struct qbc_dims *dims)
{
    int64_t at[QBC_MAX_RANK];
    for (size_t d = 0; d < dims->rank; ++d)
        at[d] = dims->at[d] < 0 ? QBC_ANY : dims->at[d];
    return qbc_tensor(q, mlirShapedTypeGetElementType(mlirValueGetType(v)), dims->rank, at);
}

static MlirOperation copy_of(struct qbc_build *b, MlirOperation op, MlirType type, size_t n, const MlirValue *operands)
{
    MlirOperation made = qbc_make(b, qbc_op_name(op), type, NULL, n, operands);
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); ++i) {
        MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
        mlirOperationSetAttributeByName(made, mlirIdentifierStr(a.name), a.attribute);
    }
    return made;
}

static void sink(struct sink *s, MlirOperation op)
{
    const struct repeated *r = repeated_operand(s, op);
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[MOST_OPERANDS], y = mlirOperationGetResult(op, 0);
    struct qbc_dims dims;
    if (!r || n > MOST_OPERANDS || s->n == s->room || !qbc_shapes_dims(&s->shapes, y, &dims) || !same_dims(&dims, &r->dims))
        return;
    struct qbc_build b = qbc_before(s->q, op);
    for (size_t i = 0; i < n; ++i) {
        MlirValue v = mlirOperationGetOperand(op, (intptr_t)i);
        const struct repeated *own = find(s, v);
        bool alike = own && same_dims(&own->dims, &r->dims) && same_dims(&own->less, &r->less);
        operands[i] = alike ? own->small : own ? (MlirValue){NULL} : stands_for(s, &b, v, r);
        if (mlirValueIsNull(operands[i]))
            return;
    }
    MlirOperation made = copy_of(&b, op, type_of(s->q, y, &r->less), n, operands);
    s->known[s->n++] = (struct repeated){y, mlirOperationGetResult(made, 0), r->dims, r->less};
}

/* The repetition of what was made, for who still reads the value. */
static void expand(struct qbc *q, const struct repeated *r)
{
    int64_t to[QBC_MAX_RANK];
    if (qbc_is(qbc_def_any(r->value), "onnx.Expand"))
        return;
    for (size_t d = 0; d < r->dims.rank; ++d)
        to[d] = r->dims.at[d] == r->less.at[d] ? 1 : r->dims.at[d]; /* 1: as it is */
    struct qbc_build b = qbc_before(q, qbc_def_any(r->value));
    MlirValue y = qbc_op(&b, "onnx.Expand", mlirValueGetType(r->value), 2, r->small,
                         qbc_ints_constant(&b, to, r->dims.rank));
    mlirValueReplaceAllUsesOfWith(r->value, y);
}

void qbc_pass_sink_expand(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct sink s = {.q = q, .room = ops.n};
    s.known = qbc_alloc(q, (ops.n + 1) * sizeof *s.known);
    qbc_shapes_open(q, func, &s.shapes);
    for (size_t i = 0; i < ops.n; ++i)
        if (qbc_is(ops.op[i], "onnx.Expand"))
            add_expand(&s, ops.op[i]);
        else if (qbc_is_elementwise(ops.op[i]) && mlirOperationGetNumResults(ops.op[i]) == 1)
            sink(&s, ops.op[i]);
    qbc_shapes_close(&s.shapes);
    for (size_t i = 0; i < s.n; ++i)
        expand(q, &s.known[i]);
    qbc_tidy(q, module);
}
