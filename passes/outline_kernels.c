/* outline-kernels: from values to a program over memory.
 *
 *   before   %y = "qb.fused_linear"(%a, %b, %x) ({...}) : tensors
 *   after    %p = "qb.place"() {section = "arena", name = "7", row_bytes = 1024, rows = "all"}
 *            "qb.launch"(%p, %pa, %pb, %px) ({...}) {kernel = "linear", n, k, format, panel, rows, row_bytes, ...}
 *
 * needs    fuse-dequant; fuse-prologue and fuse-epilogue if they are wanted
 * leaves   func @step: places and launches in the order of the values; func @weights: the qb.weight operations, for
 *          the emitter; attributes of the module: qb.vocab, qb.context, qb.chunk. Function @main is gone.
 * complains of an operation that no kernel does
 *
 * Rows of arena buffers are padded to a multiple of 128 columns, so that kernels may write whole vectors.
 */
#include "outline.h"
#include "passes.h"

#include <mlir-c/BuiltinAttributes.h>

static const struct {
    const char *name;
    void (*outline)(struct outline *o, MlirOperation op);
} kernels[] = {
#define OUTLINE(operation, name) {operation, qbc_outline_##name},
#include "outline.def"
#undef OUTLINE
};

/* An operand that no kernel gives, for which there was an error. */
static bool lacks_operand(struct outline *o, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (o->q->errors && !mlirOperationIsNull(qbc_def_any(v)) && mlirValueIsNull(qbc_place_of(o, v)))
            return true;
    }
    return false;
}

static void outline(struct outline *o, MlirOperation op)
{
    if (lacks_operand(o, op))
        return;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i)
        if (qbc_is(op, kernels[i].name)) {
            o->b.loc = mlirOperationGetLocation(op);
            kernels[i].outline(o, op);
            return;
        }
    qbc_error(o->q, op, "no kernel does %s here", qbc_op_name(op));
}

static MlirBlock make_func(struct qbc *q, MlirOperation main, const char *name)
{
    struct qbc_build b = qbc_before(q, main);
    struct qbc_attr attrs[] = {
        {"sym_name", qbc_attr_string(q, name)},
        {"function_type", mlirTypeAttrGet(qbc_type(q, "() -> ()"))},
        {0},
    };
    struct qbc_region body = {0, NULL};
    MlirOperation func = qbc_make_regions(&b, "func.func", 0, NULL, attrs, 0, NULL, 1, &body);
    struct qbc_build inside = qbc_at_end(q, qbc_region_block(func, 0), b.loc);
    qbc_make(&inside, "func.return", (MlirType){NULL}, NULL, 0, NULL);
    return inside.block;
}

/* -ctx, else what the model says up to 4096 positions (a longer state is for who asks for it). */
static int64_t choose_context(struct qbc *q, MlirOperation module)
{
    enum { LONGEST_UNASKED = 4096, UNKNOWN = 2048 };
    int64_t says = qbc_int(module, "qb.context", UNKNOWN);
    if (q->options.context)
        return q->options.context;
    return says < LONGEST_UNASKED ? says : LONGEST_UNASKED;
}

void qbc_pass_outline_kernels(struct qbc *q, MlirOperation module)
{
    enum { CHUNK = 512 };
    struct outline o = {.q = q, .context = choose_context(q, module)};
    int64_t chunk = qbc_bool(module, "qb.whole", false) ? o.context : q->options.chunk ? q->options.chunk : CHUNK;
    o.chunk = chunk < o.context ? chunk : o.context;
    MlirOperation main = qbc_find_func(module, "main");
    if (mlirOperationIsNull(main)) {
        qbc_error(q, module, "there is no function @main");
        return;
    }
    MlirBlock from = qbc_func_body(main);
    MlirOperation ret = mlirBlockGetTerminator(from);
    o.result = mlirOperationGetOperand(ret, 0);
    o.weights = make_func(q, main, "weights");
    o.b = qbc_before(q, mlirBlockGetTerminator(make_func(q, main, "step")));
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(from); ++i)
        qbc_outline_input(&o, mlirBlockGetArgument(from, i));
    for (MlirOperation op = mlirBlockGetFirstOperation(from), next; !mlirOperationIsNull(op) && !q->errors; op = next) {
        next = mlirOperationGetNextInBlock(op); /* a weight moves away */
        outline(&o, op);
    }
    if (!qbc_bool(module, "qb.whole", false))
        qbc_set_int(q, module, "qb.vocab", qbc_dim(o.result, 1));
    qbc_set_int(q, module, "qb.context", o.context);
    qbc_set_int(q, module, "qb.chunk", o.chunk);
    if (!q->errors)
        mlirOperationDestroy(main);
}
