/* general: `main` of level 0 becomes `run` (general.h).
 *
 *   before   func.func @main(%x: tensor<2x3xf32>) { %y = "onnx.Exp"(%x) ... return %y }
 *   after    func.func @run(%step: !llvm.ptr, %thread: i64) { scf.for ... llvm.load ... llvm.store ... }
 *
 * Operations are lowered in order. Whose operands are all known is computed by the compiler (compiler/base/evaluate.h) and
 * leaves nothing. A result stays a function where its only reader reads each element once; else it is computed into memory.
 */
#include "general.h"

#include "evaluate.h"
#include "run.h"
#include "step.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 24 }; /* functions in functions */

void g_refuse(struct g_op *o, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    qbc_error(o->g->q, o->op, "%s (opset %lld): %s", o->row ? o->row->name : qbc_op_name(o->op), (long long)o->g->opset, text);
}

void g_bind(struct general *g, MlirValue v, struct g_tensor *t)
{
    g_map_put(g->q, g->tensors, v.ptr, t);
    g_remember(g, v, t);
}

/* --- constants */

/* Packed elements, a byte each. */
static const void *unpacked(struct general *g, const struct qbc_source *s, int64_t n)
{
    int bits = qbc_element_bits(s->element);
    const uint8_t *from = s->data;
    uint8_t *to = qbc_alloc(g->q, (size_t)n + 8);
    bool is_signed = s->element == QBC_I4 || s->element == QBC_I2;
    for (int64_t i = 0; i < n; ++i) {
        int shift = (int)(i * bits % 8), code = from[i * bits / 8] >> shift & ((1 << bits) - 1);
        to[i] = (uint8_t)(is_signed && code >> (bits - 1) ? code - (1 << bits) : code);
    }
    return to;
}

static struct g_tensor *constant(struct general *g, MlirOperation op)
{
    const struct qbc_source *s = qbc_store_find(g->q, qbc_string(g->q, op, "source", ""));
    if (!s || s->coded)
        return NULL;
    struct g_tensor *t = g_new(g, s->element, s->rank, NULL);
    for (size_t i = 0; i < s->rank; ++i)
        t->size[i] = g_size(s->dims[i]);
    int64_t n = g_known_count(t);
    void *copy = qbc_alloc(g->q, 8);
    bool packed = qbc_element_bits(s->element) < 8;
    t->known = packed ? unpacked(g, s, n) : n ? s->data : copy;
    return t;
}

struct g_tensor *g_value(struct general *g, MlirValue v)
{
    struct g_tensor *t = g_map_get(g->tensors, v.ptr);
    if (t)
        return t;
    MlirOperation op = qbc_def_any(v);
    if (mlirOperationIsNull(op) || (!qbc_is(op, "onnx.Constant") && !qbc_is(op, "qb.weight")))
        return NULL;
    t = constant(g, op);
    if (!t)
        qbc_error(g->q, op, "a constant of this kind is not supported");
    else
        g_bind(g, v, t);
    return t;
}

/* --- operations */

/* Functions are written into their reader, if it is one that reads each element once, in the same block. */
static bool may_stay(struct general *g, MlirValue v, const struct g_tensor *t, MlirBlock block)
{
    MlirOpOperand use = mlirValueGetFirstUse(v);
    if (qbc_uses(v) != 1 || t->depth >= DEEPEST)
        return false;
    MlirOperation user = mlirOpOperandGetOwner(use);
    const struct g_row *row = g_row_find(qbc_op_name(user) + strlen("onnx."));
    (void)g;
    return row && row->reads_once && mlirBlockEqual(mlirOperationGetBlock(user), block);
}

static void finish(struct g_op *o)
{
    struct general *g = o->g;
    MlirBlock block = mlirOperationGetBlock(o->op);
    for (size_t i = 0; i < o->n_out; ++i) {
        MlirValue v = mlirOperationGetResult(o->op, (intptr_t)i);
        struct g_tensor *t = o->out[i];
        if (!t)
            continue;
        if (t->at && !t->known && !may_stay(g, v, t, block))
            g_solid(g, t);
        g_bind(g, v, t);
    }
}

static bool read_operands(struct g_op *o)
{
    for (size_t i = 0; i < o->n_in; ++i) {
        MlirValue v = mlirOperationGetOperand(o->op, (intptr_t)i);
        if (mlirTypeIsANone(mlirValueGetType(v)))
            continue;
        if (!(o->in[i] = g_value(o->g, v)))
            return false; /* why has been told */
    }
    return true;
}

static void lower(struct general *g, MlirOperation op)
{
    const char *name = qbc_op_name(op) + strlen("onnx.");
    struct g_op o = {.g = g,
                     .op = op,
                     .row = g_row_find(name),
                     .n_in = (size_t)mlirOperationGetNumOperands(op),
                     .n_out = (size_t)mlirOperationGetNumResults(op)};
    o.in = qbc_alloc(g->q, (o.n_in + 1) * sizeof *o.in);
    o.out = qbc_alloc(g->q, (o.n_out + 1) * sizeof *o.out);
    g->op = op;
    g->k.b.loc = mlirOperationGetLocation(op);
    if (!read_operands(&o))
        return;
    size_t before = g->q->errors;
    if (g_fold_known(&o)) {
        finish(&o);
        return;
    }
    if (!o.row)
        qbc_error(g->q, op, "%s (opset %lld) has no lowering for models that are no language models", name, (long long)g->opset);
    else if (g_operands_fit(&o))
        o.row->lower(&o);
    for (size_t i = 0; i < o.n_out && g->q->errors == before; ++i)
        if (!o.out[i] && qbc_uses(mlirOperationGetResult(op, (intptr_t)i)))
            g_refuse(&o, "result %zu is not supported", i);
    if (g->q->errors == before)
        finish(&o);
}

static bool is_of_model(MlirOperation op)
{
    return !strncmp(qbc_op_name(op), "onnx.", 5) && !qbc_is(op, "onnx.None") && !qbc_is(op, "onnx.Constant") &&
           !qbc_is(op, "onnx.yield");
}

void g_lower_block(struct general *g, MlirBlock block)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(block); !mlirOperationIsNull(op);
         op = mlirOperationGetNextInBlock(op))
        if (is_of_model(op) && !qbc_stop(g->q))
            lower(g, op);
}

/* --- the function around them */

static void set_types(struct general *g)
{
    struct qbc_kernel *k = &g->k;
    MlirContext mlir = g->q->mlir;
    k->q = g->q;
    k->i1 = mlirIntegerTypeGet(mlir, 1);
    k->i8 = mlirIntegerTypeGet(mlir, 8);
    k->i16 = mlirIntegerTypeGet(mlir, 16);
    k->i32 = mlirIntegerTypeGet(mlir, 32);
    k->i64 = mlirIntegerTypeGet(mlir, 64);
    k->f16 = mlirF16TypeGet(mlir);
    k->f32 = mlirF32TypeGet(mlir);
    k->f64 = mlirF64TypeGet(mlir);
    k->ptr = qbc_type(g->q, "!llvm.ptr");
}

static void begin_function(struct general *g, MlirOperation source)
{
    struct qbc_kernel *k = &g->k;
    MlirType arguments[] = {k->ptr, k->i64};
    MlirBlock body = mlirModuleGetBody(mlirModuleFromOperation(g->module));
    struct qbc_build b = qbc_at_end(g->q, body, mlirOperationGetLocation(source));
    struct qbc_attr attrs[] = {
        {"sym_name", qbc_attr_string(g->q, "run")},
        {"function_type", mlirTypeAttrGet(mlirFunctionTypeGet(g->q->mlir, 2, arguments, 0, NULL))},
        {0},
    };
    struct qbc_region region = {2, arguments};
    MlirOperation func = qbc_make_regions(&b, "func.func", 0, NULL, attrs, 0, NULL, 1, &region);
    MlirBlock block = qbc_region_block(func, 0);
    k->b = qbc_at_end(g->q, block, b.loc);
    k->step = mlirBlockGetArgument(block, 0);
    k->thread = mlirBlockGetArgument(block, 1);
    g->weights = k_load(k, k->ptr, k_at_i(k, k->step, QBRT_STEP_WEIGHTS), 8);
    g->arena = k_load(k, k->ptr, k_at_i(k, k->step, QBRT_STEP_ARENA), 8);
    g->run = k_load(k, k->ptr, k_at_i(k, k->step, QBRT_STEP_STATE), 8);
}

static const char *port_name(struct general *g, MlirOperation func, const char *list, size_t i)
{
    MlirAttribute all = mlirOperationGetAttributeByName(func, qbc_str(list));
    MlirAttribute name = mlirDictionaryAttrGetElementByName(mlirArrayAttrGetElement(all, (intptr_t)i), qbc_str("qb.name"));
    MlirStringRef text = mlirStringAttrGetValue(name);
    return qbc_copy(g->q, text.data, text.length);
}

static void add_input(struct general *g, MlirOperation func, struct qbc_run_program *p, size_t i)
{
    MlirValue v = mlirBlockGetArgument(qbc_func_body(func), (intptr_t)i);
    struct qbc_run_port *port = &p->inputs[i];
    port->name = port_name(g, func, "arg_attrs", i);
    port->rank = qbc_rank(v);
    MlirType type = mlirValueGetType(v);
    if (!mlirTypeIsARankedTensor(type)) {
        qbc_error_in(g->q, "-shape", "the rank of input '%s' is not known; say which sizes it has: -shape=%s=1x3x224x224", port->name, port->name);
        return;
    }
    qbc_element_of(mlirShapedTypeGetElementType(type), &port->element);
    struct g_tensor *t = g_new(g, port->element, port->rank, NULL);
    for (size_t d = 0; d < port->rank; ++d) {
        port->dims[d] = qbc_dim(v, d);
        t->size[d] = g_size(port->dims[d]);
        if (port->dims[d] == QBC_ANY) {
            qbc_error_in(g->q, "-shape", "dimension %zu of input '%s' is not fixed; say which sizes it has: -shape=%s=1x128", d,
                         port->name, port->name);
            return;
        }
    }
    MlirValue inputs = g_field(g, QBRT_RUN_INPUTS, g->k.ptr);
    t->data = k_load(&g->k, g->k.ptr, k_at_i(&g->k, inputs, (int64_t)i * QBRT_RUN_TENSOR_BYTES), 8);
    g_bind(g, v, t);
}

static void add_output(struct general *g, MlirOperation func, MlirValue v, struct qbc_run_program *p, size_t i)
{
    struct g_tensor *t = g_value(g, v);
    if (!t)
        return;
    struct qbc_run_port *port = &p->outputs[i];
    *port = (struct qbc_run_port){.name = port_name(g, func, "res_attrs", i), .element = t->element, .rank = t->rank};
    g_solid(g, t);
    MlirValue outputs = g_field(g, QBRT_RUN_OUTPUTS, g->k.ptr);
    MlirValue at = k_at_i(&g->k, outputs, (int64_t)i * QBRT_RUN_TENSOR_BYTES), data = t->data;
    if (t->known)
        data = g_constant_data(g, t->known, (size_t)g_known_count(t) * qbc_element_bytes(t->element));
    k_store(&g->k, data, at, 8);
    for (size_t d = 0; d < t->rank; ++d) {
        port->dims[d] = g_is_known(t->size[d]) ? t->size[d].n : QBC_ANY;
        k_store(&g->k, g_i64(g, t->size[d]), k_at_i(&g->k, at, QBRT_RUN_TENSOR_DIMS + 8 * (int64_t)d), 8);
    }
}

static int64_t opset_of(struct qbc *q, MlirOperation module)
{
    MlirAttribute all = mlirOperationGetAttributeByName(module, qbc_str("qb.opset"));
    long long version = 0;
    for (intptr_t i = 0; !mlirAttributeIsNull(all) && i < mlirArrayAttrGetNumElements(all); ++i) {
        MlirStringRef text = mlirStringAttrGetValue(mlirArrayAttrGetElement(all, i));
        if (text.length && *text.data == '=')
            sscanf(qbc_copy(q, text.data, text.length), "=%lld", &version);
    }
    return version;
}

static void lower_function(struct general *g, MlirOperation func, struct qbc_run_program *p)
{
    MlirBlock body = qbc_func_body(func);
    MlirOperation ret = mlirBlockGetTerminator(body);
    p->n_inputs = (size_t)mlirBlockGetNumArguments(body);
    p->n_outputs = (size_t)mlirOperationGetNumOperands(ret);
    p->inputs = qbc_alloc(g->q, (p->n_inputs + 1) * sizeof *p->inputs);
    p->outputs = qbc_alloc(g->q, (p->n_outputs + 1) * sizeof *p->outputs);
    begin_function(g, func);
    for (size_t i = 0; i < p->n_inputs; ++i)
        add_input(g, func, p, i);
    if (!g->q->errors)
        g_lower_block(g, body);
    for (size_t i = 0; i < p->n_outputs && !g->q->errors; ++i)
        add_output(g, func, mlirOperationGetOperand(ret, (intptr_t)i), p, i);
    qbc_make(&g->k.b, "func.return", (MlirType){NULL}, NULL, 0, NULL);
}

bool qbc_lower_run(struct qbc *q, MlirOperation module, struct qbc_run_program *out)
{
    MlirOperation func = qbc_find_func(module, "main");
    struct general g = {.q = q, .module = module, .opset = opset_of(q, module), .tensors = g_map_create(q)};
    *out = (struct qbc_run_program){NULL};
    g.evaluation = qbc_evaluation_create(q, func, 1, 0);
    set_types(&g);
    lower_function(&g, func, out);
    qbc_evaluation_destroy(g.evaluation);
    out->weights = g.weight;
    out->n_weights = g.n_weights;
    out->weight_bytes = g.weight_bytes;
    out->arena_bytes = g.arena_bytes;
    mlirOperationDestroy(func);
    return !q->errors;
}
