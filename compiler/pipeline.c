/* pipeline: the compilation, top to bottom. */
#include "pipeline.h"

#include "activation.h"
#include "choose.h"
#include "emit.h"
#include "hessians.h"
#include "import.h"
#include "library.h"
#include "target.h"
#include "transform.h"

#include <stdlib.h>
#include <string.h>

/* Text of the module grows in malloc'ed memory. */
struct text {
    struct qbc *q;
    struct qbc_bytes bytes;
};

static void append_text(MlirStringRef part, void *user)
{
    struct text *text = user;
    struct qbc_bytes *bytes = &text->bytes;
    uint8_t *grown = realloc(bytes->data, bytes->size + part.length + 1);
    if (!grown)
        qbc_out_of_memory(text->q, bytes->size + part.length);
    memcpy(grown + bytes->size, part.data, part.length);
    bytes->data = grown;
    bytes->size += part.length;
}

static void print_after(struct qbc *q, const struct qbc_pass *pass, MlirOperation module)
{
    struct text text = {.q = q};
    mlirOperationPrint(module, append_text, &text);
    q->options.print_ir(q->options.user, qbc_pass_flag(q, pass), (const char *)text.bytes.data, text.bytes.size);
    free(text.bytes.data);
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

/* Starts after the level that the module is at. */
bool qbc_run_passes(struct qbc *q, MlirOperation module, const char *from, const char *to)
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
    struct text text = {.q = q};
    mlirOperationPrint(module, append_text, &text);
    append_text(qbc_str("\n"), &text);
    bool good = qbc_write_file(q, q->options.output, text.bytes.data, text.bytes.size);
    free(text.bytes.data);
    return good;
}

static const char *const artifacts[] = {"qbm", "exe", NULL};

/* From level "code" to code. The weights are taken out of the module and become the caller's. */
static struct qbc_bytes make_code(struct qbc *q, MlirOperation module, enum qbc_code what, MlirOperation *weights)
{
    *weights = qbc_find_func(module, "weights");
    mlirOperationRemoveFromParent(*weights);
    return qbc_lower_to_llvm(q, module) && !qbc_stop(q) ? qbc_emit_code(q, module, what) : (struct qbc_bytes){0};
}

static bool emit_text(struct qbc *q, MlirOperation module)
{
    const char *emit = q->options.emit;
    enum qbc_code what = !strcmp(emit, "llvm")  ? QBC_CODE_LLVM
                         : !strcmp(emit, "asm") ? QBC_CODE_ASM
                                                : QBC_CODE_OBJ;
    MlirOperation weights;
    struct qbc_bytes code = make_code(q, module, what, &weights);
    bool good = code.data && qbc_write_file(q, q->options.output, code.data, code.size);
    free(code.data);
    mlirOperationDestroy(weights);
    return good;
}

static bool emit_library(struct qbc *q, MlirOperation module)
{
    MlirOperation weights = qbc_find_func(module, "weights");
    struct qbc_bytes code = {0};
    bool header = !strcmp(q->options.emit, "header");
    if (header)
        mlirOperationRemoveFromParent(weights);
    else
        code = make_code(q, module, QBC_CODE_OBJ, &weights);
    bool good = (header || code.data) && qbc_emit_library(q, module, weights, code);
    free(code.data);
    mlirOperationDestroy(weights);
    return good;
}

/* A copy of the module goes the rest of the way, for one of the targets. */
static bool make_variant(struct qbc *q, MlirOperation module, const char *level, struct qbc_variant *v)
{
    struct qbc_bytes object = {0};
    q->target = v->target;
    v->module = mlirOperationClone(module);
    if (qbc_run_passes(q, v->module, level, "code"))
        object = make_code(q, v->module, QBC_CODE_OBJ, &v->weights);
    if (object.data)
        v->image = qbc_link(q, object);
    free(object.data);
    return v->image.data;
}

static void destroy_variant(struct qbc_variant *v)
{
    free(v->image.data);
    if (!mlirOperationIsNull(v->weights))
        mlirOperationDestroy(v->weights);
    if (!mlirOperationIsNull(v->module))
        mlirOperationDestroy(v->module);
}

static void destroy_variants(struct qbc *q, struct qbc_variant *variants)
{
    for (size_t i = 0; i < q->n_targets; ++i)
        destroy_variant(&variants[i]);
}

static bool make_variants(struct qbc *q, MlirOperation module, const char *level, struct qbc_variant *variants)
{
    bool good = true;
    for (size_t i = 0; i < q->n_targets && good; ++i) {
        variants[i] = (struct qbc_variant){.target = q->targets[i]};
        good = make_variant(q, module, level, &variants[i]);
    }
    return good;
}

static bool emit_artifact(struct qbc *q, MlirOperation module, const char *level)
{
    struct qbc_variant *variants = qbc_alloc(q, q->n_targets * sizeof *variants);
    bool good = make_variants(q, module, level, variants) && qbc_emit_artifact(q, variants, q->n_targets);
    destroy_variants(q, variants);
    return good;
}

/* Formats are chosen, code is made for them, and then it is known what the file will have beside weights: if that is more
 * than was thought, or so much less that the budget is not used, they are chosen again. */
static bool emit_within(struct qbc *q, MlirOperation graph, struct qbc_choice *choice)
{
    enum { MOST_ROUNDS = 8 };
    struct qbc_variant *variants = qbc_alloc(q, q->n_targets * sizeof *variants);
    struct qbc_artifact_size size = {0};
    bool good = true, settled = false;
    for (int round = 0; round <= MOST_ROUNDS && good && !settled; ++round) {
        good = (round < MOST_ROUNDS || qbc_choice_fall_back(choice)) && qbc_choice_make(q, choice);
        MlirOperation module = mlirOperationClone(graph);
        good = good && qbc_run_passes(q, module, "graph", "quant") && make_variants(q, module, "quant", variants) &&
               qbc_measure_artifact(q, variants, q->n_targets, &size);
        settled = round == MOST_ROUNDS || (good && qbc_choice_settled(choice, choice->whole_file ? size.file : size.weights));
        good = good && (!settled || qbc_emit_artifact(q, variants, q->n_targets));
        destroy_variants(q, variants);
        mlirOperationDestroy(module);
    }
    if (!settled && !q->errors)
        qbc_error_in(q, choice->budget, "cannot be met: code and facts alone leave no room for weights; try a larger one");
    return good && settled;
}

static bool one_machine(struct qbc *q)
{
    for (size_t i = 1; i < q->n_targets; ++i)
        if (q->targets[i]->machine != q->targets[0]->machine)
            return false;
    return true;
}

/* Only an artifact holds code for several targets, a program for several of one architecture; up to level "quant"
 * nothing depends on a target. */
static bool targets_fit(struct qbc *q, const char *level)
{
    const char *emit = q->options.emit;
    if (q->n_targets < 2)
        return true;
    if (qbc_level_number(level) > qbc_level_number("quant"))
        qbc_error_in(q, q->options.input, "is IR of level '%s', which is for one target; %zu were given", level,
                     q->n_targets);
    else if (!strcmp(emit, "exe") && !one_machine(q))
        qbc_error_in(q, "-emit", "'exe' is a program for one architecture; the targets are of several");
    else if (!qbc_one_of(emit, artifacts) && qbc_level_number(emit) > qbc_level_number("quant"))
        qbc_error_in(q, "-emit", "'%s' is made for one target at a time; %zu were given: only qbm and exe hold code for several",
                     emit, q->n_targets);
    return !q->errors;
}

/* The page is written even if not all was recognised: then it says what. */
static bool explain(struct qbc *q, MlirOperation module, const char *level)
{
    struct qbc_page page = {0};
    qbc_explain_import(q, module, &page);
    bool good = qbc_run_passes(q, module, level, "graph");
    qbc_explain_graph(q, module, &page);
    return qbc_explain_write(q, &page) && good;
}

/* What the fit and the choice of formats learn from text, between levels "graph" and "quant". */
static bool learn(struct qbc *q, MlirOperation module, const char **level, struct qbc_choice *choice)
{
    struct qbc_calibration c = {.n_measure = 0};
    bool used = !strcmp(q->options.fit, "gptq") || qbc_choice_wanted(q), transform = q->options.transform;
    struct qbc_activation act;
    bool is_static = qbc_activation_parse(q->options.act, &act) && act.group == QBC_ACT_TENSOR;
    bool calib = (q->options.calib || used || is_static) && qbc_level_number(q->options.emit) > qbc_level_number("graph");
    if (!calib && (!transform || qbc_level_number(q->options.emit) < qbc_level_number("graph")))
        return true;
    if (qbc_level_number(*level) > qbc_level_number("graph")) {
        qbc_error_in(q, calib ? "-calib" : "-transform", "%s is IR of level '%s'; this starts at level 'graph' or before",
                     q->options.input, *level);
        return false;
    }
    if (!qbc_run_passes(q, module, *level, "graph"))
        return false;
    *level = "graph";
    if ((transform && !qbc_transform_run(q, module)) || (calib && !qbc_static_ranges(q, module)))
        return false;
    if (!calib || ((transform || is_static) && q->calibrated && !used))
        return true;
    if (qbc_choice_wanted(q))
        return qbc_choice_learn(q, module, choice) && qbc_choice_make(q, choice);
    bool good = qbc_calibrate(q, module, &c);
    qbc_calibration_destroy(&c);
    return good;
}

bool qbc_pipeline_run(struct qbc *q)
{
    const char *emit = q->options.emit, *level;
    MlirModule module = read_input(q, &level);
    if (mlirModuleIsNull(module))
        return false;
    MlirOperation op = mlirModuleGetOperation(module);
    bool ir = qbc_level_number(emit) < qbc_level_number("code"), artifact = qbc_one_of(emit, artifacts);
    bool from_file = q->options.entry || strcmp(strrchr(q->options.input, '.') ? strrchr(q->options.input, '.') : "", ".mlir");
    if (from_file && !strcmp(level, "onnx") && strcmp(emit, "onnx") && strcmp(emit, "explain") && qbc_is_run_model(q, op)) {
        bool good = qbc_compile_run_model(q, op);
        mlirModuleDestroy(module);
        return good && !q->errors;
    }
    if (!strcmp(emit, "explain")) {
        bool good = explain(q, op, level);
        mlirModuleDestroy(module);
        return good && !q->errors;
    }
    struct qbc_choice choice = {.budget = NULL};
    bool good = targets_fit(q, level) && learn(q, op, &level, &choice), within = choice.budget && artifact;
    good = good && (within || qbc_run_passes(q, op, level, ir ? emit : artifact ? "quant" : "code"));
    if (good && within)
        good = emit_within(q, op, &choice);
    else if (good && artifact)
        good = emit_artifact(q, op, qbc_level_number(level) > qbc_level_number("quant") ? level : "quant");
    else if (good)
        good = ir ? emit_ir(q, op) : qbc_is_library(emit) ? emit_library(q, op) : emit_text(q, op);
    mlirModuleDestroy(module);
    qbc_hessians_destroy(q);
    return good && !q->errors;
}
