/* pipeline: the compilation, top to bottom. */
#include "make.h"

#include "activation.h"
#include "hessians.h"
#include "import.h"
#include "kept.h"
#include "library.h"
#include "target.h"
#include "transform.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static bool emit_text(struct qbc *q, MlirOperation module)
{
    const char *emit = q->options.emit;
    enum qbc_code what = !strcmp(emit, "llvm")  ? QBC_CODE_LLVM
                         : !strcmp(emit, "asm") ? QBC_CODE_ASM
                                                : QBC_CODE_OBJ;
    MlirOperation weights;
    struct qbc_bytes code = qbc_make_code(q, module, what, &weights);
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
        code = qbc_make_code(q, module, QBC_CODE_OBJ, &weights);
    bool good = (header || code.data) && qbc_emit_library(q, module, weights, code);
    free(code.data);
    mlirOperationDestroy(weights);
    return good;
}

static bool emit_artifact(struct qbc *q, MlirOperation module, const char *level)
{
    struct qbc_variant *variants = qbc_alloc(q, q->n_targets * sizeof *variants);
    bool good = qbc_make_variants(q, module, level, variants) && qbc_emit_artifact(q, variants, q->n_targets);
    qbc_destroy_variants(q, variants);
    return good;
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

static bool is_judged(const struct qbc *q)
{
    return q->options.eval || q->options.max_ppl || q->options.max_kld;
}

/* What running the float model tells, at level "graph": the fit, the choice of formats, the judge. */
static bool run_float(struct qbc *q, MlirOperation graph, struct qbc_learned *l)
{
    const struct qbc_options *o = &q->options;
    bool uses = o->calib || qbc_fit_sweeps(o->fit) || !o->eval;
    l->calibration.judges = is_judged(q);
    l->calibration.only_judges = !uses;
    l->calibration.only_moments = true;
    if (!qbc_choice_wanted(q))
        return qbc_calibrate(q, graph, &l->calibration);
    if (!qbc_choice_learn(q, graph, &l->calibration, &l->choice))
        return false;
    return l->choice.bounded ? qbc_search_bytes(q, graph, l) : qbc_choice_make(q, &l->choice);
}

static void see_nothing(void *user, const struct qbc_tap *tap, const float *x, int64_t rows)
{
    (void)user;
    (void)tap;
    (void)x;
    (void)rows;
}

/* Peaks of activations as they were before a transform: the report shows both. Nothing of it is kept by -resume: a watched
 * calibration is not. */
static bool look_before(struct qbc *q, MlirOperation graph, struct qbc_learned *l)
{
    struct qbc_calibration c = {.watch = see_nothing};
    if (!qbc_calibrate(q, graph, &c))
        return false;
    l->before = c.peaks;
    l->n_before = c.n_peaks;
    qbc_calibration_destroy(&c);
    qbc_hessians_destroy(q);
    return true;
}

/* Between levels "graph" and "quant". */
static bool learn(struct qbc *q, MlirOperation module, const char **level, struct qbc_learned *l)
{
    const struct qbc_options *o = &q->options;
    bool used = qbc_fit_sweeps(o->fit) || qbc_choice_wanted(q) || is_judged(q), transform = o->transform;
    struct qbc_activation act;
    bool is_static = qbc_activation_parse(o->act, &act) && act.group == QBC_ACT_TENSOR;
    bool cached = qbc_cached_learns(o);
    bool runs = (o->calib || used || is_static || cached) && qbc_level_number(o->emit) > qbc_level_number("graph");
    if (!runs && ((!transform && !o->precision) || qbc_level_number(o->emit) < qbc_level_number("graph")))
        return true;
    if (qbc_level_number(*level) > qbc_level_number("graph")) {
        qbc_error_in(q, runs ? "-calib" : transform ? "-transform" : "-precision", "%s is IR of level '%s'; this starts at level 'graph' or before",
                     o->input, *level);
        return false;
    }
    if (!qbc_bounds_read(q, &l->bounds) || !qbc_run_passes(q, module, *level, "graph"))
        return false;
    *level = "graph";
    if (!qbc_kept_open(q))
        return false;
    if (transform && runs && o->report && !look_before(q, module, l))
        return false;
    if ((transform && !qbc_transform_run(q, module)) || (runs && !qbc_static_ranges(q, module)))
        return false;
    if (runs && cached && !qbc_cached_learn(q, module))
        return false;
    if (o->precision && !qbc_read_precision(q, module))
        return false;
    bool needed = runs && (used || !(transform || is_static || cached) || !q->calibrated);
    return !needed || run_float(q, module, l);
}

/* Tells how good the output is, and whether that is what was promised. */
static bool tell_quality(struct qbc *q, MlirOperation graph, struct qbc_learned *l)
{
    if (!qbc_judge_output(q, graph, l))
        return false;
    qbc_remark_in(q, q->options.output, "%s: %s", q->judged, qbc_quality_text(q, &l->quality));
    q->missed = l->bounds.option && qbc_bounds_used(&l->bounds, &l->quality) > 1;
    if (q->missed)
        qbc_warn_in(q, l->bounds.option, "is missed%s; the output was written all the same",
                    l->choice.bounded ? ", also with the largest formats there are to choose from (-formats)" : "");
    return true;
}

/* Are formats chosen again until the artifact fits? */
static bool is_within(const struct qbc *q, const struct qbc_learned *l)
{
    return l->choice.budget && !l->choice.bounded && qbc_one_of(q->options.emit, artifacts);
}

static bool emit_any(struct qbc *q, MlirOperation module, const char *level, struct qbc_learned *l)
{
    const char *emit = q->options.emit;
    bool ir = qbc_level_number(emit) < qbc_level_number("code"), artifact = qbc_one_of(emit, artifacts);
    if (is_within(q, l))
        return qbc_emit_within(q, module, &l->choice);
    if (!qbc_run_passes(q, module, level, ir ? emit : artifact ? "quant" : "code"))
        return false;
    if (artifact)
        return emit_artifact(q, module, qbc_level_number(level) > qbc_level_number("quant") ? level : "quant");
    return ir ? emit_ir(q, module) : qbc_is_library(emit) ? emit_library(q, module) : emit_text(q, module);
}

/* No language model, and to be compiled? */
static bool is_run_model(struct qbc *q, MlirOperation op, const char *level)
{
    const char *dot = strrchr(q->options.input, '.'), *emit = q->options.emit;
    bool from_file = q->options.entry || strcmp(dot ? dot : "", ".mlir");
    return from_file && !strcmp(level, "onnx") && strcmp(emit, "onnx") && strcmp(emit, "explain") && qbc_is_run_model(q, op);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool compile_text_model(struct qbc *q, MlirOperation op, const char *level)
{
    struct qbc_learned learned = {.bounds = {NULL}};
    MlirOperation graph = {NULL};
    double start = now();
    bool good = targets_fit(q, level) && learn(q, op, &level, &learned), judged = learned.calibration.judges;
    learned.seconds[QBC_PHASE_LEARN] = now() - start;
    if (good && judged)
        graph = mlirOperationClone(op); /* emission leads it away from level "graph" */
    good = good && emit_any(q, op, level, &learned);
    learned.seconds[QBC_PHASE_EMIT] = now() - start - learned.seconds[QBC_PHASE_LEARN];
    if (good && judged)
        good = tell_quality(q, is_within(q, &learned) ? op : graph, &learned);
    learned.seconds[QBC_PHASE_JUDGE] = now() - start - learned.seconds[QBC_PHASE_LEARN] - learned.seconds[QBC_PHASE_EMIT];
    good = good && (!q->options.report || qbc_write_report(q, &learned));
    if (!mlirOperationIsNull(graph))
        mlirOperationDestroy(graph);
    qbc_calibration_destroy(&learned.calibration);
    return good;
}

bool qbc_pipeline_run(struct qbc *q)
{
    const char *level;
    MlirModule module = read_input(q, &level);
    if (mlirModuleIsNull(module))
        return false;
    MlirOperation op = mlirModuleGetOperation(module);
    if (is_run_model(q, op, level)) {
        bool good = qbc_compile_run_model(q, op);
        mlirModuleDestroy(module);
        return good && !q->errors;
    }
    if (!strcmp(q->options.emit, "explain")) {
        bool good = explain(q, op, level);
        mlirModuleDestroy(module);
        return good && !q->errors;
    }
    bool good = compile_text_model(q, op, level);
    mlirModuleDestroy(module);
    qbc_hessians_destroy(q);
    return good && !q->errors;
}
