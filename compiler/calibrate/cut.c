/* cut: see cut.h. */
#include "cut.h"
#include "kernel.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

/* --- where to cut */

static bool is_leaf(MlirOperation op)
{
    return qbc_is(op, "qb.weight") || qbc_is(op, "qb.state");
}

/* Operations of @main in order, and of each the last that uses its result. */
struct program {
    MlirOperation *op;
    size_t *last;
    size_t n;
};

static size_t index_of(const struct program *p, MlirOperation op)
{
    for (size_t i = 0; i < p->n; ++i)
        if (mlirOperationEqual(p->op[i], op))
            return i;
    return p->n;
}

static struct program read_program(struct qbc *q, MlirOperation func)
{
    MlirBlock body = qbc_func_body(func);
    struct qbc_ops all = qbc_collect(q, func, NULL);
    struct program p = {qbc_alloc(q, (all.n + 1) * sizeof *p.op), qbc_alloc(q, (all.n + 1) * sizeof *p.last), 0};
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationIsNull(op); op = mlirOperationGetNextInBlock(op))
        p.op[p.n++] = op;
    for (size_t i = 0; i < p.n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumOperands(p.op[i]); ++k) {
            MlirOperation def = qbc_def_any(mlirOperationGetOperand(p.op[i], k));
            size_t at = mlirOperationIsNull(def) ? p.n : index_of(&p, def);
            if (at < p.n)
                p.last[at] = i;
        }
    return p;
}

/* The only operation up to `end` whose result is used behind it; null: there are several. */
static MlirOperation crossing(const struct program *p, size_t end)
{
    MlirOperation only = {NULL};
    for (size_t i = 0; i <= end; ++i) {
        if (is_leaf(p->op[i]) || p->last[i] <= end)
            continue;
        if (!mlirOperationIsNull(only))
            return (MlirOperation){NULL};
        only = p->op[i];
    }
    if (!mlirOperationIsNull(only) && !qbc_is_level1(mlirOperationGetResult(only, 0)))
        return (MlirOperation){NULL};
    return only;
}

static bool uses_ids(const struct program *p, size_t from)
{
    for (size_t i = from; i < p->n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumOperands(p->op[i]); ++k)
            if (mlirValueIsABlockArgument(mlirOperationGetOperand(p->op[i], k)))
                return true;
    return false;
}

size_t *qbc_find_cuts(struct qbc *q, MlirOperation graph, size_t *n)
{
    const struct program p = read_program(q, qbc_find_func(graph, "main"));
    size_t *cuts = qbc_alloc(q, (p.n + 1) * sizeof *cuts);
    *n = 0;
    for (size_t i = 0; i + 1 < p.n; ++i) {
        if (is_leaf(p.op[i]))
            continue;
        size_t next = i + 1;
        while (next < p.n && is_leaf(p.op[next]))
            ++next;
        int64_t block = qbc_int(p.op[i], "block", -1);
        if (next == p.n || qbc_int(p.op[next], "block", -1) == block || uses_ids(&p, next))
            continue;
        MlirOperation op = crossing(&p, next - 1);
        if (!mlirOperationIsNull(op))
            cuts[(*n)++] = index_of(&p, op);
    }
    return cuts;
}

/* --- one part */

static MlirValue result_of(const struct program *p, size_t i)
{
    return mlirOperationGetResult(p->op[i], 0);
}

static void replace_uses(const struct program *p, size_t after, MlirValue value, MlirValue with)
{
    for (size_t i = after; i < p->n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumOperands(p->op[i]); ++k)
            if (mlirValueEqual(mlirOperationGetOperand(p->op[i], k), value))
                mlirOperationSetOperand(p->op[i], k, with);
}

void qbc_keep_part(struct qbc *q, const size_t *from, const size_t *to, struct qbc_stage *stage)
{
    MlirOperation module = stage->module;
    MlirOperation func = qbc_find_func(module, "main");
    struct program p = read_program(q, func);
    MlirOperation ret = p.op[p.n - 1];
    MlirLocation loc = mlirOperationGetLocation(func);
    if (to)
        mlirOperationSetOperand(ret, 0, result_of(&p, *to));
    if (from) {
        MlirValue in = result_of(&p, *from);
        MlirValue argument = mlirBlockAddArgument(qbc_func_body(func), mlirValueGetType(in), loc);
        stage->in_cols = qbc_dim(in, 1);
        replace_uses(&p, *from + 1, in, argument);
    }
    stage->out_cols = qbc_dim(mlirOperationGetOperand(ret, 0), 1);
    mlirOperationRemoveAttributeByName(func, qbc_str("arg_attrs"));
    qbc_retype(q, func);
    qbc_sweep_all(q, module);
}

/* Which tap reads x; a new one if none does. */
static struct qbc_tap *tap_for(struct qbc *q, struct qbc_stage *s, MlirValue *values, MlirOperation linear)
{
    MlirValue x = mlirOperationGetOperand(linear, 0);
    for (size_t i = 0; i < s->n_taps; ++i)
        if (mlirValueEqual(values[i], x))
            return &s->taps[i];
    struct qbc_build b = qbc_before(q, linear);
    MlirOperation observe = qbc_do(&b, "qb.observe", 1, x);
    qbc_set_string(q, observe, "name", qbc_text(q, "observe.%zu", s->n_taps));
    values[s->n_taps] = x;
    s->taps[s->n_taps].cols = qbc_dim(x, 1);
    return &s->taps[s->n_taps++];
}

/* What is appended to a state that says {observe = "name"}. */
static void tap_append(struct qbc *q, struct qbc_stage *s, MlirOperation append)
{
    MlirValue x = mlirOperationGetOperand(append, 1);
    const char *name = qbc_string(q, append, "observe", NULL);
    if (!name)
        return;
    struct qbc_build b = qbc_before(q, append);
    struct qbc_tap *tap = &s->taps[s->n_taps];
    mlirOperationRemoveAttributeByName(append, qbc_str("observe"));
    qbc_set_string(q, qbc_do(&b, "qb.observe", 1, x), "name", qbc_text(q, "observe.%zu", s->n_taps++));
    *tap = (struct qbc_tap){.cols = qbc_dim(x, 1), .weights = qbc_alloc(q, sizeof *tap->weights), .n_weights = 1};
    tap->weights[0] = name;
}

void qbc_add_taps(struct qbc *q, struct qbc_stage *s)
{
    struct qbc_ops linears = qbc_collect(q, s->module, "qb.linear"), appends = qbc_collect(q, s->module, "qb.append");
    MlirValue *values = qbc_alloc(q, (linears.n + 1) * sizeof *values);
    s->taps = qbc_alloc(q, (linears.n + appends.n + 1) * sizeof *s->taps);
    for (size_t i = 0; i < linears.n; ++i) {
        MlirOperation weight = qbc_def(mlirOperationGetOperand(linears.op[i], 1), "qb.weight");
        if (mlirOperationIsNull(weight))
            continue;
        struct qbc_tap *tap = tap_for(q, s, values, linears.op[i]);
        if (!tap->weights)
            tap->weights = qbc_alloc(q, linears.n * sizeof *tap->weights);
        tap->weights[tap->n_weights++] = qbc_string(q, weight, "name", "");
    }
    for (size_t i = 0; i < appends.n; ++i)
        tap_append(q, s, appends.op[i]);
}

void qbc_find_taps(struct qbc *q, struct qbc_stage *s)
{
    MlirAttribute names = mlirOperationGetAttributeByName(s->module, qbc_str("qb.state_names"));
    const int64_t *offsets;
    size_t n = qbc_ints(q, s->module, "qb.state_offsets", &offsets);
    for (size_t i = 0; i < n; ++i) {
        MlirStringRef name = mlirStringAttrGetValue(mlirArrayAttrGetElement(names, (intptr_t)i));
        static const char head[] = "observe.";
        enum { HEAD = sizeof head - 1 };
        if (name.length > HEAD && !memcmp(name.data, head, HEAD))
            s->taps[strtoul(qbc_copy(q, name.data + HEAD, name.length - HEAD), NULL, 10)].offset = (uint64_t)offsets[i];
    }
}
