/* pipeline: the compilation, top to bottom. */
#include "pipeline.h"

#include "emit.h"
#include "import.h"
#include "library.h"

#include <stdlib.h>
#include <string.h>

/* Text of the module grows in malloc'ed memory. */
static void append_text(MlirStringRef part, void *user)
{
    struct qbc_bytes *text = user;
    uint8_t *grown = realloc(text->data, text->size + part.length + 1);
    if (!grown)
        abort(); /* as every allocation of the compiler */
    memcpy(grown + text->size, part.data, part.length);
    text->data = grown;
    text->size += part.length;
}

static void print_after(struct qbc *q, const struct qbc_pass *pass, MlirOperation module)
{
    struct qbc_bytes text = {0};
    mlirOperationPrint(module, append_text, &text);
    q->options.print_ir(q->options.user, qbc_pass_flag(q, pass), (const char *)text.data, text.size);
    free(text.data);
}

bool qbc_pass_run(struct qbc *q, const struct qbc_pass *pass, MlirOperation module)
{
    size_t before = q->errors;
    if (qbc_stop(q))
        return false;
    pass->run(q, module);
    if (q->errors == before && !mlirOperationVerify(module))
        q->errors += q->errors == before;
    const char *wanted = q->options.print_after;
    if (wanted && q->options.print_ir && (!strcmp(wanted, "all") || qbc_pass_is(pass, wanted)))
        print_after(q, pass, module);
    return q->errors == before;
}

/* --- the whole way */

/* All passes up to a level, starting after the level that the module is at. */
static bool run_to(struct qbc *q, MlirOperation module, const char *from, const char *to)
{
    const struct qbc_pass *p;
    for (size_t i = 0; (p = qbc_listed_pass(q, i)); ++i) {
        size_t level = qbc_level_number(p->level);
        bool done = level < qbc_level_number(from) || (level == qbc_level_number(from) && level > 0);
        if (!done && level <= qbc_level_number(to) && !qbc_pass_run(q, p, module))
            return false;
    }
    return true;
}

/* `main` of a .mlir file says its level in the module's qb.level; ONNX starts at the bottom. */
static MlirModule read_input(struct qbc *q, const char **level)
{
    const char *dot = strrchr(q->options.input, '.');
    *level = "onnx";
    if (!dot || strcmp(dot, ".mlir"))
        return qbc_import_onnx(q, q->options.input);
    if (q->options.weights) {
        MlirModule model = qbc_import_onnx(q, q->options.weights);
        if (mlirModuleIsNull(model))
            return model;
        mlirModuleDestroy(model);
    }
    MlirModule module = qbc_parse_file(q, q->options.input);
    if (!mlirModuleIsNull(module))
        *level = qbc_string(q, mlirModuleGetOperation(module), "qb.level", "onnx");
    return module;
}

static bool emit_ir(struct qbc *q, MlirOperation module)
{
    struct qbc_bytes text = {0};
    mlirOperationPrint(module, append_text, &text);
    append_text(qbc_str("\n"), &text);
    bool good = qbc_write_file(q, q->options.output, text.data, text.size);
    free(text.data);
    return good;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words))
        ++words;
    return *words;
}

static const char *const artifacts[] = {"qbm", "exe", NULL};
static const char *const libraries[] = {"static-lib", "shared", "header", NULL};

static bool emit_code(struct qbc *q, MlirOperation module)
{
    const char *emit = q->options.emit;
    bool artifact = is_one_of(emit, artifacts);
    enum qbc_code what = !strcmp(emit, "llvm")  ? QBC_CODE_LLVM
                         : !strcmp(emit, "asm") ? QBC_CODE_ASM
                                                : QBC_CODE_OBJ;
    MlirOperation weights = qbc_find_func(module, "weights");
    mlirOperationRemoveFromParent(weights);
    bool header = !strcmp(emit, "header"), good = header || qbc_lower_to_llvm(q, module);
    struct qbc_bytes code = {0}, image = {0};
    if (good && !header)
        code = qbc_emit_code(q, module, what);
    good = good && (header || code.data);
    if (good && artifact) {
        image = qbc_link(q, code);
        good = image.data && qbc_emit_artifact(q, module, weights, image);
    } else if (good && is_one_of(emit, libraries)) {
        good = qbc_emit_library(q, module, weights, code);
    } else if (good) {
        good = qbc_write_file(q, q->options.output, code.data, code.size);
    }
    free(code.data);
    free(image.data);
    mlirOperationDestroy(weights);
    return good;
}

bool qbc_pipeline_run(struct qbc *q)
{
    const char *emit = q->options.emit, *level;
    MlirModule module = read_input(q, &level);
    if (mlirModuleIsNull(module))
        return false;
    MlirOperation op = mlirModuleGetOperation(module);
    bool ir = qbc_level_number(emit) < qbc_level_number("code");
    bool good = run_to(q, op, level, ir ? emit : "code");
    if (good)
        good = ir ? emit_ir(q, op) : emit_code(q, op);
    mlirModuleDestroy(module);
    return good && !q->errors;
}
