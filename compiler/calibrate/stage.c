/* stage: cut, compile, run. See stage.h. */
#include "stage.h"
#include "kernel.h"
#include "pattern.h"
#include "pipeline.h"
#include "target.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STAGES = 4096 };

int64_t qbc_stage_stride(int64_t cols)
{
    return (cols + QBC_PADDED_ROW - 1) / QBC_PADDED_ROW * QBC_PADDED_ROW;
}

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

/* Indices of the operations whose results cross a cut: where the block changes, one value crosses, and the ids are used up. */
static size_t find_cuts(const struct program *p, size_t *cuts)
{
    size_t n = 0;
    int64_t block = -1;
    for (size_t i = 0; i + 1 < p->n && n < MOST_STAGES; ++i) {
        if (is_leaf(p->op[i]))
            continue;
        size_t next = i + 1;
        while (next < p->n && is_leaf(p->op[next]))
            ++next;
        block = qbc_int(p->op[i], "block", -1);
        if (next == p->n || qbc_int(p->op[next], "block", -1) == block || uses_ids(p, next))
            continue;
        MlirOperation op = crossing(p, next - 1);
        if (!mlirOperationIsNull(op))
            cuts[n++] = index_of(p, op);
    }
    return n;
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

/* In a copy: what comes in (`from`, an index, or none) becomes an argument, what goes out (`to`) the result. */
static void keep_part(struct qbc *q, MlirOperation module, const size_t *from, const size_t *to, struct qbc_stage *stage)
{
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

static void add_taps(struct qbc *q, MlirOperation module, struct qbc_stage *s)
{
    struct qbc_ops linears = qbc_collect(q, module, "qb.linear");
    MlirValue *values = qbc_alloc(q, (linears.n + 1) * sizeof *values);
    s->taps = qbc_alloc(q, (linears.n + 1) * sizeof *s->taps);
    for (size_t i = 0; i < linears.n; ++i) {
        MlirOperation weight = qbc_def(mlirOperationGetOperand(linears.op[i], 1), "qb.weight");
        if (mlirOperationIsNull(weight))
            continue;
        struct qbc_tap *tap = tap_for(q, s, values, linears.op[i]);
        if (!tap->weights)
            tap->weights = qbc_alloc(q, linears.n * sizeof *tap->weights);
        tap->weights[tap->n_weights++] = qbc_string(q, weight, "name", "");
    }
}

static void find_taps(struct qbc *q, struct qbc_stage *s)
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

static bool map_code(struct qbc *q, struct qbc_stage *s)
{
    const struct qbrt_host *host = qbrt_this_machine();
    if (!s->image.data || host->map_code(host->context, s->image.data, 0, s->image.size, &s->code)) {
        if (s->image.data)
            qbc_error_in(q, "calibration", "the system does not let this process run code that it makes");
        return false;
    }
    s->step = (qbrt_step_function)((uintptr_t)s->code + qbc_image_symbol(s->image, "step"));
    return true;
}

static bool compile(struct qbc *q, struct qbc_stage *s)
{
    struct qbc_bytes object = {0};
    if (!qbc_run_passes(q, s->module, "graph", "code"))
        return false;
    s->weights_func = qbc_find_func(s->module, "weights");
    mlirOperationRemoveFromParent(s->weights_func);
    find_taps(q, s);
    s->arena_bytes = (uint64_t)qbc_int(s->module, "qb.arena_bytes", 0);
    s->state_bytes = (uint64_t)qbc_int(s->module, "qb.state_bytes", 0);
    s->described = qbc_describe_variant(q, s->module, s->weights_func);
    if (qbc_lower_to_llvm(q, s->module))
        object = qbc_emit_code(q, s->module, QBC_CODE_OBJ);
    if (object.data)
        s->image = qbc_link(q, object);
    free(object.data);
    return map_code(q, s);
}

/* Options of a float model for this machine, for a while. */
static struct qbc_options for_calibration(struct qbc *q, int64_t window)
{
    struct qbc_options was = q->options;
    q->options.quant = "f32";
    q->options.n_quant_tensor = 0;
    q->options.fit = "rtn";
    q->options.context = q->options.chunk = window;
    q->options.prefix = NULL;
    q->options.print_after = NULL;
    q->options.progress = NULL;
    return was;
}

bool qbc_stages_create(struct qbc *q, MlirOperation graph, int64_t window, struct qbc_stages *out)
{
    struct program p = read_program(q, qbc_find_func(graph, "main"));
    size_t *cuts = qbc_alloc(q, MOST_STAGES * sizeof *cuts), n = find_cuts(&p, cuts);
    const struct qbc_target *target = q->target;
    struct qbc_options was = for_calibration(q, window);
    *out = (struct qbc_stages){qbc_alloc(q, (n + 1) * sizeof *out->stage), 0, window, 0};
    q->target = qbc_native_target(q);
    bool good = q->target;
    for (; out->n <= n && good; ++out->n) {
        struct qbc_stage *s = &out->stage[out->n];
        s->module = mlirOperationClone(graph);
        keep_part(q, s->module, out->n ? &cuts[out->n - 1] : NULL, out->n < n ? &cuts[out->n] : NULL, s);
        add_taps(q, s->module, s);
        good = compile(q, s);
        was.progress ? was.progress(was.user, "compiling for calibration", out->n + 1, n + 1) : (void)0;
    }
    out->vocab = good ? out->stage[n].out_cols : 0;
    q->options = was;
    q->target = target;
    if (!good)
        qbc_stages_destroy(out);
    return good;
}

void qbc_stages_destroy(struct qbc_stages *s)
{
    const struct qbrt_host *host = qbrt_this_machine();
    for (size_t i = 0; i < s->n; ++i) {
        struct qbc_stage *stage = &s->stage[i];
        qbc_stage_unload(stage);
        if (stage->code)
            host->unmap_code(host->context, stage->image.data, 0, stage->image.size, stage->code);
        free(stage->image.data);
        if (!mlirOperationIsNull(stage->weights_func))
            mlirOperationDestroy(stage->weights_func);
        if (!mlirOperationIsNull(stage->module))
            mlirOperationDestroy(stage->module);
    }
    s->n = 0;
}

/* --- running */

static bool put(void *user, uint64_t offset, const void *bytes, size_t n)
{
    memcpy((uint8_t *)user + offset, bytes, n);
    return true;
}

static void *room(uint64_t bytes)
{
    uint64_t aligned = (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
    void *memory = aligned_alloc(QBRT_ALIGN, aligned ? aligned : QBRT_ALIGN);
    return memory;
}

bool qbc_stage_load(struct qbc *q, const struct qbc_stages *s, struct qbc_stage *stage)
{
    const struct qbc_target *target = q->target;
    uint64_t row = (uint64_t)qbc_stage_stride(stage->in_cols) * sizeof(float);
    if (stage->weights)
        return true;
    stage->weights = room(stage->described->section.size);
    stage->arena = room(stage->arena_bytes);
    stage->state = room(stage->state_bytes);
    stage->input = room(row * (uint64_t)s->window);
    if (!stage->weights || !stage->arena || !stage->state || !stage->input) {
        qbc_error_in(q, "calibration", "there is no memory for a block of the model as floats (%llu MB)",
                     (unsigned long long)(stage->described->section.size >> 20));
        return false;
    }
    memset(stage->state, 0, stage->state_bytes); /* attention multiplies what is behind the last position by 0 */
    memset(stage->input, 0, row * (uint64_t)s->window);
    struct qbc_options was = for_calibration(q, s->window);
    q->target = qbc_native_target(q);
    bool good = q->target && qbc_stream_weights(q, stage->described, put, stage->weights);
    q->options = was;
    q->target = target;
    return good;
}

void qbc_stage_unload(struct qbc_stage *stage)
{
    free(stage->weights);
    free(stage->arena);
    free(stage->state);
    free(stage->input);
    stage->weights = stage->arena = stage->state = NULL;
    stage->input = NULL;
}

struct call {
    qbrt_step_function step;
    const struct qbrt_step *facts;
};

static void call_step(void *user, int64_t thread)
{
    const struct call *call = user;
    call->step(call->facts, thread);
}

void qbc_stage_run(struct qbc_stage *stage, const struct qbrt_parallel *threads, const int32_t *ids, const float *rows,
                   int64_t n, float *out)
{
    int64_t stride = qbc_stage_stride(stage->in_cols);
    for (int64_t i = 0; i < n && stage->in_cols; ++i)
        memcpy(stage->input + i * stride, rows + i * stage->in_cols, (size_t)stage->in_cols * sizeof *rows);
    const struct qbrt_step facts = {
        .weights = stage->weights,
        .arena = stage->arena,
        .state = stage->state,
        .tokens = stage->in_cols ? (const int32_t *)(const void *)stage->input : ids,
        .logits = out,
        .n_tokens = n,
        .threads = threads->threads,
        .barrier = threads->barrier,
        .barrier_arg = threads->context,
    };
    struct call call = {stage->step, &facts};
    threads->run(threads->context, call_step, &call);
}

bool qbc_stage_patch(struct qbc_stage *stage, const char *weight, const float *w)
{
    const struct qbc_artifact_weights *section = &stage->described->section;
    for (size_t i = 0; i < section->n_tensors; ++i) {
        const struct qbc_artifact_tensor *t = &section->tensors[i];
        if (strcmp(t->name, weight))
            continue;
        const struct qbc_format *f32 = &qbc_format_f32;
        struct qbc_blocks b = {.format = f32, .rows = (int64_t)t->rows, .cols = (int64_t)t->cols, .groups = 0};
        b.values = (void *)(uintptr_t)w;
        qbc_pack(&b, t->packing, 0, b.rows, stage->weights + t->offset);
        return true;
    }
    return false;
}
