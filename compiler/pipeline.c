/* pipeline: the compilation, top to bottom. */
#include "pipeline.h"

#include "emit.h"
#include "import.h"
#include "library.h"
#include "passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct qbc_pass pipeline[] = {
#define PASS(name, level, about) {#name, level, about, qbc_pass_##name},
#include "passes.def"
#undef PASS
    {0},
};

const struct qbc_pass *qbc_pass_at(size_t i)
{
    return i + 1 < sizeof pipeline / sizeof *pipeline ? &pipeline[i] : NULL;
}

static bool same_name(const char *symbol, const char *flag)
{
    for (; *symbol && *flag; ++symbol, ++flag)
        if (*symbol != *flag && !(*symbol == '_' && *flag == '-'))
            return false;
    return *symbol == *flag;
}

const struct qbc_pass *qbc_pass_find(const char *name)
{
    for (const struct qbc_pass *p = pipeline; p->name; ++p)
        if (same_name(p->name, name))
            return p;
    return NULL;
}

const char *qbc_pass_flag(struct qbc *q, const struct qbc_pass *pass)
{
    char *flag = qbc_copy(q, pass->name, strlen(pass->name));
    for (char *c = flag; *c; ++c)
        *c = *c == '_' ? '-' : *c;
    return flag;
}

const char *qbc_pass_nearest(struct qbc *q, const char *wrong)
{
    const char *flags[sizeof pipeline / sizeof *pipeline] = {NULL};
    for (size_t i = 0; qbc_pass_at(i); ++i)
        flags[i] = qbc_pass_flag(q, qbc_pass_at(i));
    return qbc_nearest(wrong, flags);
}

static void print_module(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

bool qbc_pass_run(struct qbc *q, const struct qbc_pass *pass, MlirOperation module)
{
    size_t before = q->errors;
    pass->run(q, module);
    if (q->errors == before && !mlirOperationVerify(module))
        q->errors += q->errors == before;
    const char *wanted = q->options.print_after;
    if (wanted && (!strcmp(wanted, "all") || same_name(pass->name, wanted))) {
        fprintf(stderr, "// after %s\n", qbc_pass_flag(q, pass));
        mlirOperationPrint(module, print_module, stderr);
        fputc('\n', stderr);
    }
    return q->errors == before;
}

/* --- the whole way */

static const char *const levels[] = {"onnx", "graph", "quant", "kernels", "code", NULL};

static size_t level_number(const char *name)
{
    size_t i = 0;
    while (levels[i] && strcmp(levels[i], name))
        ++i;
    return i;
}

/* All passes up to a level, starting after the level that the module is at. */
static bool run_to(struct qbc *q, MlirOperation module, const char *from, const char *to)
{
    for (const struct qbc_pass *p = pipeline; p->name; ++p) {
        size_t level = level_number(p->level);
        bool done = level < level_number(from) || (level == level_number(from) && level > 0);
        if (!done && level <= level_number(to) && !qbc_pass_run(q, p, module))
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

/* -prefix=: names of C, for what has names. */
static bool settle_prefix(struct qbc *q)
{
    static const char *const texts[] = {"obj", "asm", "llvm", NULL};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    enum { LONGEST = 64 };
    const char *prefix = q->options.prefix, *emit = q->options.emit;
    bool library = is_one_of(emit, libraries);
    if (!prefix)
        q->options.prefix = library || !strcmp(emit, "obj") ? "model" : NULL;
    else if (!library && !is_one_of(emit, texts))
        qbc_error_in(q, "-prefix", "names the symbols of a library or an object; -emit=%s has none", emit);
    else if (!*prefix || prefix[strspn(prefix, letters)] || strspn(prefix, "0123456789") || strlen(prefix) > LONGEST)
        qbc_error_in(q, "-prefix", "'%s' is no name of C: letters, digits and '_', at most %d, not a digit first", prefix,
                     LONGEST);
    else if (!strcmp(prefix, "qbrt"))
        qbc_error_in(q, "-prefix", "'qbrt' is the runtime's own; take another");
    if (!strcmp(q->options.output, "-") && (is_one_of(emit, (const char *[]){"static-lib", "shared", "exe", NULL})))
        qbc_error_in(q, "-o", "-emit=%s is written to a file, not to the standard output", emit);
    return !q->errors;
}

bool qbc_compile(struct qbc *q)
{
    const char *emit = q->options.emit, *level;
    if (!settle_prefix(q))
        return false;
    MlirModule module = read_input(q, &level);
    if (mlirModuleIsNull(module))
        return false;
    MlirOperation op = mlirModuleGetOperation(module);
    bool ir = level_number(emit) < level_number("code");
    bool good = run_to(q, op, level, ir ? emit : "code");
    if (good)
        good = ir ? emit_ir(q, op) : emit_code(q, op);
    mlirModuleDestroy(module);
    return good && !q->errors;
}
