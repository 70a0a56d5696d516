/* run_model: models that are no language models, from level 0 to the artifact (docs/any-model.md).
 *
 * What takes token ids is a language model, and is compiled as one unless -entry=run says otherwise; everything else is
 * compiled as it is, for the sizes that the file or -shape fixes: one function `run`, arrays in, arrays out.
 */
#include "pipeline.h"

#include "emit.h"
#include "pattern.h"
#include "run_program.h"

#include <mlir-c/BuiltinAttributes.h>
#include <stdlib.h>
#include <string.h>

bool qbc_is_run_model(struct qbc *q, MlirOperation module)
{
    const char *entry = q->options.entry;
    MlirOperation main = qbc_find_func(module, "main");
    MlirAttribute all = mlirOperationGetAttributeByName(main, qbc_str("arg_attrs"));
    if (entry)
        return !strcmp(entry, "run");
    for (intptr_t i = 0; !mlirAttributeIsNull(all) && i < mlirArrayAttrGetNumElements(all); ++i) {
        MlirAttribute role = mlirDictionaryAttrGetElementByName(mlirArrayAttrGetElement(all, i), qbc_str("qb.input"));
        if (!mlirAttributeIsNull(role) && mlirStringRefEqual(mlirStringAttrGetValue(role), qbc_str("tokens")))
            return false;
    }
    return true;
}

/* Operands of elements that do not go together show here; the verifier names the node. */
static bool fits_together(struct qbc *q, MlirOperation module)
{
    size_t before = q->errors;
    if (mlirOperationVerify(module))
        return true;
    if (q->errors == before)
        qbc_error_in(q, q->options.input, "operands of an operation do not fit together");
    return false;
}

static struct qbc_bytes code_of(struct qbc *q, MlirOperation module, enum qbc_code what, struct qbc_run_program *program)
{
    bool good = qbc_lower_run(q, module, program) && fits_together(q, module) && qbc_lower_to_llvm(q, module) && !qbc_stop(q);
    return good ? qbc_emit_code(q, module, what) : (struct qbc_bytes){0};
}

static bool write_code(struct qbc *q, MlirOperation module, enum qbc_code what)
{
    struct qbc_run_program program;
    struct qbc_bytes code = code_of(q, module, what, &program);
    bool good = code.data && qbc_write_file(q, q->options.output, code.data, code.size);
    free(code.data);
    return good;
}

static bool write_artifact(struct qbc *q, MlirOperation module)
{
    struct qbc_variant *variants = qbc_alloc(q, q->n_targets * sizeof *variants);
    struct qbc_run_program program = {NULL};
    bool good = true;
    for (size_t i = 0; i < q->n_targets && good; ++i) {
        q->target = variants[i].target = q->targets[i];
        MlirOperation copy = mlirOperationClone(module);
        struct qbc_bytes object = code_of(q, copy, QBC_CODE_OBJ, &program);
        if (object.data)
            variants[i].image = qbc_link(q, object);
        good = variants[i].image.data;
        free(object.data);
        mlirOperationDestroy(copy);
    }
    good = good && qbc_emit_run_artifact(q, &program, variants, q->n_targets);
    for (size_t i = 0; i < q->n_targets; ++i)
        free(variants[i].image.data);
    return good;
}

/* The numbers of a stored matrix among an operation's operands, where they are many. */
static int64_t stored_numbers(MlirOperation op)
{
    enum { MANY = 1 << 16 };
    int64_t most = 0;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        int64_t n = qbc_is_constant(v);
        for (size_t d = 0; n && d < qbc_rank(v); ++d)
            n *= qbc_dim(v, d);
        most = n > most ? n : most;
    }
    return most < MANY ? 0 : most;
}

static void warn_of_products(struct qbc *q, MlirOperation module)
{
    static const char *const products[] = {"onnx.MatMul", "onnx.Gemm", "onnx.Conv", "onnx.ConvTranspose", "onnx.LSTM", "onnx.GRU",
                                           "onnx.RNN", "onnx.Einsum", NULL};
    struct qbc_ops ops = qbc_collect(q, module, NULL);
    MlirOperation largest = {NULL};
    int64_t all = 0, most = 0;
    size_t n = 0;
    for (size_t i = 0; i < ops.n; ++i) {
        int64_t numbers = qbc_one_of(qbc_op_name(ops.op[i]), products) ? stored_numbers(ops.op[i]) : 0;
        n += numbers > 0;
        all += numbers;
        if (numbers > most) {
            most = numbers;
            largest = ops.op[i];
        }
    }
    if (n)
        qbc_warn_slow(q, largest, "this and %zu other products with stored matrices, of %.3g million numbers in all, are loops on one "
                      "thread over floats: the kernels are for language models", n - 1, (double)all / 1e6);
    if (q->options.quant)
        qbc_warn_in(q, "-quant", "changes nothing: a model that is no language model stays as it is");
}

bool qbc_compile_run_model(struct qbc *q, MlirOperation module)
{
    const char *emit = q->options.emit;
    warn_of_products(q, module);
    if (!strcmp(emit, "qbm"))
        return write_artifact(q, module);
    if (!strcmp(emit, "llvm") || !strcmp(emit, "asm") || !strcmp(emit, "obj"))
        return write_code(q, module, !strcmp(emit, "llvm") ? QBC_CODE_LLVM : !strcmp(emit, "asm") ? QBC_CODE_ASM : QBC_CODE_OBJ);
    qbc_error_in(q, "-emit", "'%s' is for language models; this one takes no token ids and is compiled as it is: -emit=onnx, llvm, "
                 "asm, obj or qbm", emit);
    return false;
}
