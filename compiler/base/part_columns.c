/* part_columns: some columns of level-1 rows, as level 1 (pattern.h).
 *
 *     Split, Slice of rows, in any dims     "qb.columns"(%rows) {first = 64}
 *
 * Which columns they are is found with numbers.
 */
#include "pattern.h"

enum { TOKENS = 3 };

struct columns {
    MlirValue value, rows;
    int64_t first, width;
    struct qbc_dims dims;
};

static bool is_source(MlirValue v, const char *const *sources)
{
    return qbc_is_level1(v) && qbc_one_of(qbc_op_name(qbc_def_any(v)), sources);
}

/* With the rows bound to 0, 1, 2, ...: are v's elements columns first .. of each? */
static bool side_by_side(struct qbc *q, MlirOperation func, struct columns *c)
{
    struct qbc_evaluation *e = qbc_probe(q, func, TOKENS, 0);
    int64_t tokens = qbc_tokens_or(func, TOKENS), all = qbc_dim(c->rows, 1);
    const struct qbc_array *a = qbc_bind_iota(q, e, c->rows) ? qbc_floats_of(e, c->value) : NULL;
    bool good = a && (int64_t)a->n == tokens * c->width && c->width > 0;
    c->first = good ? (int64_t)a->f[0] : 0;
    for (int64_t i = 0; good && i < (int64_t)a->n; ++i)
        good = (int64_t)a->f[i] == i / c->width * all + c->first + i % c->width;
    good = good && c->first + c->width <= all;
    qbc_evaluation_destroy(e);
    return good;
}

static bool find(struct qbc *q, MlirOperation func, struct qbc_shapes *s, MlirValue v, const char *const *sources,
                 struct columns *c)
{
    MlirOperation op = qbc_def_any(v);
    *c = (struct columns){.value = v, .rows = qbc_strip(mlirOperationGetOperand(op, 0))};
    if (!is_source(c->rows, sources) || qbc_uses(v) == 0)
        return false;
    c->width = qbc_shapes_width(s, v, &c->dims);
    return side_by_side(q, func, c);
}

static void apply(struct qbc *q, const struct columns *c)
{
    struct qbc_build b = qbc_before(q, qbc_def_any(c->value));
    MlirValue y = qbc_op(&b, "qb.columns", qbc_rows_type(q, c->width), 1, c->rows);
    qbc_set_int(q, qbc_def_any(y), "first", c->first);
    mlirValueReplaceAllUsesOfWith(c->value, qbc_unrows(&b, y, &c->dims));
}

void qbc_part_columns(struct qbc *q, MlirOperation module, const char *const *sources)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    size_t n = 0, room = 0;
    for (size_t i = 0; i < ops.n; ++i)
        room += (size_t)mlirOperationGetNumResults(ops.op[i]);
    struct columns *found = qbc_alloc(q, (room + 1) * sizeof *found);
    struct qbc_shapes shapes;
    qbc_shapes_open(q, func, &shapes);
    for (size_t i = 0; i < ops.n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumResults(ops.op[i]); ++k)
            if (qbc_is(ops.op[i], "onnx.Split") || qbc_is(ops.op[i], "onnx.Slice"))
                n += find(q, func, &shapes, mlirOperationGetResult(ops.op[i], k), sources, &found[n]);
    qbc_shapes_close(&shapes);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
