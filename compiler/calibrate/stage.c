/* stage: compile, load, run. See stage.h. */
#include "stage.h"
#include "cut.h"
#include "kernel.h"
#include "pipeline.h"
#include "target.h"

#include <stdlib.h>
#include <string.h>

int64_t qbc_stage_stride(int64_t cols)
{
    return (cols + QBC_PADDED_ROW - 1) / QBC_PADDED_ROW * QBC_PADDED_ROW;
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
    s->decode = (qbrt_step_function)((uintptr_t)s->code + qbc_image_symbol(s->image, "decode"));
    return true;
}

static bool compile(struct qbc *q, struct qbc_stage *s)
{
    struct qbc_bytes object = {0};
    if (!qbc_run_passes(q, s->module, "graph", "code"))
        return false;
    s->weights_func = qbc_find_func(s->module, "weights");
    mlirOperationRemoveFromParent(s->weights_func);
    qbc_find_taps(q, s);
    s->arena_bytes = (uint64_t)qbc_int(s->module, "qb.arena_bytes", 0);
    s->state_bytes = (uint64_t)qbc_int(s->module, "qb.state_bytes", 0);
    s->described = qbc_describe_variant(q, s->module, s->weights_func);
    if (qbc_lower_to_llvm(q, s->module))
        object = qbc_emit_code(q, s->module, QBC_CODE_OBJ);
    if (object.data)
        s->image = qbc_link(q, object);
    free(object.data);
    mlirOperationDestroy(s->module); /* by now the largest thing that there is of a block */
    s->module = (MlirOperation){NULL};
    return map_code(q, s);
}

/* Options of a model for this machine, for a while. */
static struct qbc_options for_calibration(struct qbc *q, const struct qbc_stages *s)
{
    struct qbc_options was = q->options;
    q->options.quant = s->format;
    q->options.n_quant_tensor = 0;
    q->options.fit = "rtn";
    q->options.context = q->options.chunk = s->window;
    q->options.prefix = q->options.kv = NULL;
    q->options.print_after = NULL;
    q->options.progress = NULL;
    return was;
}

/* Parts between `n` cuts, each compiled for this machine, with taps if they are `watched`. */
static bool create(struct qbc *q, MlirOperation graph, const size_t *cuts, size_t n, bool watched, struct qbc_stages *out)
{
    const struct qbc_target *target = q->target;
    struct qbc_options was = for_calibration(q, out);
    out->stage = qbc_alloc(q, (n + 1) * sizeof *out->stage);
    q->target = qbc_native_target(q);
    bool good = q->target;
    for (; out->n <= n && good; ++out->n) {
        struct qbc_stage *s = &out->stage[out->n];
        s->module = mlirOperationClone(graph);
        qbc_keep_part(q, out->n ? &cuts[out->n - 1] : NULL, out->n < n ? &cuts[out->n] : NULL, s);
        if (watched)
            qbc_add_taps(q, s);
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

bool qbc_stages_create(struct qbc *q, MlirOperation graph, int64_t window, struct qbc_stages *out)
{
    size_t n;
    const size_t *cuts = qbc_find_cuts(q, graph, &n);
    *out = (struct qbc_stages){.window = window, .format = "f32"};
    return create(q, graph, cuts, n, true, out);
}

bool qbc_stages_create_whole(struct qbc *q, MlirOperation graph, int64_t window, const char *format, struct qbc_stages *out)
{
    *out = (struct qbc_stages){.window = window, .format = format};
    return create(q, graph, NULL, 0, false, out);
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
    struct qbc_options was = for_calibration(q, s);
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

static void step(struct qbc_stage *stage, const struct qbrt_parallel *threads, const int32_t *ids, int64_t n, int64_t pos,
                 float *out)
{
    const struct qbrt_step facts = {
        .weights = stage->weights,
        .arena = stage->arena,
        .state = stage->state,
        .tokens = stage->in_cols ? (const int32_t *)(const void *)stage->input : ids,
        .logits = out,
        .n_tokens = n,
        .pos = pos,
        .threads = threads->threads,
        .barrier = threads->barrier,
        .barrier_arg = threads->context,
    };
    struct call call = {n == 1 ? stage->decode : stage->step, &facts};
    threads->run(threads->context, call_step, &call);
}

void qbc_stage_run(struct qbc_stage *stage, const struct qbrt_parallel *threads, const int32_t *ids, const float *rows,
                   int64_t n, float *out)
{
    int64_t stride = qbc_stage_stride(stage->in_cols);
    for (int64_t i = 0; i < n && stage->in_cols; ++i)
        memcpy(stage->input + i * stride, rows + i * stage->in_cols, (size_t)stage->in_cols * sizeof *rows);
    step(stage, threads, ids, n, 0, out);
}

void qbc_stage_next(struct qbc_stage *stage, const struct qbrt_parallel *threads, int32_t id, int64_t pos, float *out)
{
    step(stage, threads, &id, 1, pos, out);
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
