/* generate-kernels: functions for the launches, and the two step functions that call them.
 *
 *   before   func @step: places, launches, barriers
 *   after    func @decode(%step: ptr, %thread: i64) and @step(...): the same program as calls, for one token and
 *            for any number; a private function for each different launch
 *
 * needs    plan-memory, insert-barriers
 * leaves   only upstream's dialects, but for @weights
 */
#include "kernel.h"
#include "passes.h"
#include "step.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known_kernel {
    const char *key, *name;
};

struct program {
    struct qbc *q;
    MlirOperation module, source; /* @step as outlined */
    bool one;
    struct known_kernel *kernels;
    size_t n_kernels;
    struct qbc_kernel k; /* the step function being written */
    MlirValue weights, arena, state, tokens, logits, first_logit, tail_rows;
};

static void append(MlirStringRef part, void *user)
{
    char **text = user;
    memcpy(*text, part.data, part.length);
    *text += part.length;
    **text = 0;
}

static void count(MlirStringRef part, void *user)
{
    *(size_t *)user += part.length;
}

/* %17, %4, %17 to %0, %1, %0: numbers by first appearance. */
static const char *renumber(struct qbc *q, const char *text)
{
    enum { MOST = 256, LONGEST = 4 };
    long seen[MOST];
    size_t n = 0;
    char *out = qbc_alloc(q, strlen(text) * LONGEST), *to = out;
    while (*text) {
        *to++ = *text;
        if (*text++ != '%' || *text < '0' || *text > '9')
            continue;
        char *end;
        long id = strtol(text, &end, 10);
        size_t i = 0;
        while (i < n && seen[i] != id)
            ++i;
        if (i == n && n < MOST)
            seen[n++] = id;
        to += sprintf(to, "%zu", i);
        text = end;
    }
    return out;
}

/* What a kernel's code depends on: attributes, which operands are the same, the epilogue, and one
 * token or many. */
static const char *key_of(struct program *p, MlirOperation launch)
{
    MlirOpPrintingFlags flags = mlirOpPrintingFlagsCreate();
    mlirOpPrintingFlagsUseLocalScope(flags);
    size_t length = 0;
    mlirOperationPrintWithFlags(launch, flags, count, &length);
    char *text = qbc_alloc(p->q, length + 2), *at = text + 1;
    text[0] = p->one ? '1' : 'n';
    mlirOperationPrintWithFlags(launch, flags, append, &at);
    mlirOpPrintingFlagsDestroy(flags);
    return renumber(p->q, text);
}

static void set_types(struct qbc_kernel *k, struct qbc *q)
{
    k->q = q;
    k->i1 = mlirIntegerTypeGet(q->mlir, 1);
    k->i8 = mlirIntegerTypeGet(q->mlir, 8);
    k->i16 = mlirIntegerTypeGet(q->mlir, 16);
    k->i32 = mlirIntegerTypeGet(q->mlir, 32);
    k->i64 = mlirIntegerTypeGet(q->mlir, 64);
    k->f16 = mlirF16TypeGet(q->mlir);
    k->f32 = mlirF32TypeGet(q->mlir);
    k->f64 = mlirF64TypeGet(q->mlir);
    k->ptr = qbc_type(q, "!llvm.ptr");
    k->lanes = q->target->vector_bits / 32;
}

/* A function of these arguments at the end of the module; the builder is left in its body, before
 * the return. */
static MlirOperation new_function(struct program *p, struct qbc_kernel *k, const char *name, bool is_private,
                                  size_t n, const MlirType *arguments)
{
    MlirBlock body = mlirModuleGetBody(mlirModuleFromOperation(p->module));
    struct qbc_build b = qbc_at_end(p->q, body, mlirOperationGetLocation(p->source));
    struct qbc_attr attrs[] = {
        {"sym_name", qbc_attr_string(p->q, name)},
        {"function_type",
         mlirTypeAttrGet(mlirFunctionTypeGet(p->q->mlir, (intptr_t)n, arguments, 0, NULL))},
        {is_private ? "sym_visibility" : NULL, qbc_attr_string(p->q, "private")},
        /* the image exports the steps only, and LLVM knows all callers of a kernel */
        {"llvm.linkage", mlirAttributeParseGet(p->q->mlir, qbc_str("#llvm.linkage<internal>"))},
        {0},
    };
    struct qbc_region region = {n, arguments};
    MlirOperation func = qbc_make_regions(&b, "func.func", 0, NULL, attrs, 0, NULL, 1, &region);
    MlirBlock block = qbc_region_block(func, 0);
    k->b = qbc_at_end(p->q, block, b.loc);
    MlirOperation ret = qbc_make(&k->b, "func.return", (MlirType){NULL}, NULL, 0, NULL);
    k->b.before = ret;
    return func;
}

static MlirValue load_field(struct qbc_kernel *k, enum qbrt_step_offset offset, MlirType type)
{
    return k_load(k, type, k_at_i(k, k->step, offset), 8);
}

enum { STEP = 0, THREAD = 1, ROWS = 2, OPERANDS = 3 };

static const char *generate(struct program *p, MlirOperation launch)
{
    const struct qbc_generator *g = qbc_generator_find(qbc_string(p->q, launch, "kernel", ""));
    struct qbc_kernel k = {.launch = launch, .one = p->one};
    size_t n = (size_t)mlirOperationGetNumOperands(launch);
    MlirType arguments[32];
    set_types(&k, p->q);
    arguments[STEP] = k.ptr, arguments[THREAD] = k.i64, arguments[ROWS] = k.i64;
    for (size_t i = 0; i < n; ++i)
        arguments[OPERANDS + i] = k.ptr;
    const char *name = qbc_text(p->q, "%s_%zu%s", g->name, p->n_kernels, p->one ? "_one" : "");
    MlirOperation func = new_function(p, &k, name, true, OPERANDS + n, arguments);
    MlirBlock body = qbc_func_body(func);
    k.step = mlirBlockGetArgument(body, STEP);
    k.thread = mlirBlockGetArgument(body, THREAD);
    for (size_t i = 0; i < n; ++i)
        k.operand[i] = mlirBlockGetArgument(body, (intptr_t)(OPERANDS + i));
    k.threads = load_field(&k, QBRT_STEP_THREADS, k.i64);
    k.pos = load_field(&k, QBRT_STEP_POS, k.i64);
    k.rows = p->one ? k_i64(&k, 1) : mlirBlockGetArgument(body, ROWS);
    qbc_ints(p->q, launch, "row_bytes", &k.row_bytes);
    g->generate(&k);
    return name;
}

static const char *kernel_for(struct program *p, MlirOperation launch)
{
    const char *key = key_of(p, launch);
    for (size_t i = 0; i < p->n_kernels; ++i)
        if (!strcmp(p->kernels[i].key, key))
            return p->kernels[i].name;
    const char *name = generate(p, launch);
    p->kernels[p->n_kernels++] = (struct known_kernel){key, name};
    return name;
}

static MlirValue pointer(struct program *p, MlirOperation place)
{
    struct qbc_kernel *k = &p->k;
    const char *section = qbc_string(p->q, place, "section", "");
    MlirValue base = !strcmp(section, "weights")  ? p->weights
                     : !strcmp(section, "state")  ? p->state
                     : !strcmp(section, "logits") ? p->logits
                     : !strcmp(section, "input")  ? p->tokens
                                                  : p->arena;
    MlirValue at = k_at_i(k, base, qbc_int(place, "offset", 0) + qbc_int(place, "shift", 0));
    if (qbc_bool(place, "skip", false) && !p->one)
        at = k_at(k, at, k_mul_i(k, p->first_logit, qbc_int(place, "row_bytes", 0)));
    return at;
}

static void call(struct program *p, MlirOperation launch)
{
    struct qbc_kernel *k = &p->k;
    size_t n = (size_t)mlirOperationGetNumOperands(launch);
    MlirValue operands[32];
    const char *name = kernel_for(p, launch);
    bool tail = !strcmp(qbc_string(p->q, launch, "rows", "all"), "tail");
    operands[STEP] = k->step, operands[THREAD] = k->thread;
    operands[ROWS] = tail ? p->tail_rows : k->rows;
    for (size_t i = 0; i < n; ++i)
        operands[OPERANDS + i] =
            pointer(p, qbc_def_any(mlirOperationGetOperand(launch, (intptr_t)i)));
    struct qbc_attr attrs[] = {{"callee", mlirFlatSymbolRefAttrGet(p->q->mlir, qbc_str(name))}, {0}};
    qbc_make(&k->b, "func.call", (MlirType){NULL}, attrs, OPERANDS + n, operands);
}

static void barrier(struct program *p)
{
    struct qbc_kernel *k = &p->k;
    MlirValue operands[] = {
        load_field(k, QBRT_STEP_BARRIER, k->ptr),
        load_field(k, QBRT_STEP_BARRIER_ARG, k->ptr),
    };
    struct qbc_attr attrs[] = {
        {"op_bundle_sizes", mlirDenseI32ArrayGet(p->q->mlir, 0, NULL)},
        {"operandSegmentSizes", mlirDenseI32ArrayGet(p->q->mlir, 2, (int32_t[]){2, 0})},
        {0},
    };
    qbc_make(&k->b, "llvm.call", (MlirType){NULL}, attrs, 2, operands);
}

static void write_step(struct program *p, const char *name, bool one)
{
    struct qbc_kernel *k = &p->k;
    *k = (struct qbc_kernel){.one = one};
    p->one = one;
    set_types(k, p->q);
    MlirType arguments[] = {k->ptr, k->i64};
    MlirOperation func = new_function(p, k, name, false, 2, arguments);
    k->step = mlirBlockGetArgument(qbc_func_body(func), STEP);
    k->thread = mlirBlockGetArgument(qbc_func_body(func), THREAD);
    p->weights = load_field(k, QBRT_STEP_WEIGHTS, k->ptr);
    p->arena = load_field(k, QBRT_STEP_ARENA, k->ptr);
    p->state = load_field(k, QBRT_STEP_STATE, k->ptr);
    p->tokens = load_field(k, QBRT_STEP_TOKENS, k->ptr);
    p->logits = load_field(k, QBRT_STEP_LOGITS, k->ptr);
    k->rows = one ? k_i64(k, 1) : load_field(k, QBRT_STEP_N_TOKENS, k->i64);
    p->first_logit = load_field(k, QBRT_STEP_FIRST_LOGIT, k->i64);
    p->tail_rows = one ? k->rows : k_sub(k, k->rows, p->first_logit);
    for (MlirOperation op = mlirBlockGetFirstOperation(qbc_func_body(p->source));
         !mlirOperationIsNull(op); op = mlirOperationGetNextInBlock(op)) {
        k->b.loc = mlirOperationGetLocation(op);
        if (qbc_is(op, "qb.launch"))
            call(p, op);
        else if (qbc_is(op, "qb.barrier"))
            barrier(p);
    }
}

void qbc_pass_generate_kernels(struct qbc *q, MlirOperation module)
{
    struct program p = {.q = q, .module = module, .source = qbc_find_func(module, "step")};
    if (mlirOperationIsNull(p.source) || !qbc_has(module, "qb.arena_bytes")) {
        qbc_error(q, module, "there is no planned @step; run outline-kernels and plan-memory first");
        return;
    }
    qbc_set_string(q, p.source, "sym_name", "program");
    size_t launches = qbc_collect(q, p.source, "qb.launch").n;
    p.kernels = qbc_alloc(q, (2 * launches + 1) * sizeof *p.kernels);
    write_step(&p, "decode", true);
    write_step(&p, "step", false);
    mlirOperationDestroy(p.source);
}
