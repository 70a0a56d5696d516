/* run_artifact: the artifact of a model that is no language model. Its weights lie as the model has them; all variants share
 * them, and one table of inputs and results. */
#include "artifact.h"
#include "target.h"

#include <string.h>

static struct qbc_artifact_variant variant_of(struct qbc *q, const struct qbc_variant *v)
{
    uint64_t run = qbc_image_symbol(v->image, "run");
    struct qbc_artifact_variant to = {
        .target = v->target->name,
        .triple = v->target->triple,
        .machine = v->target->machine,
        .image = v->image.data,
        .image_bytes = v->image.size,
        .decode = run,
        .step = run,
    };
    q->target = v->target;
    to.n_requirements = qbc_requirements_of(q, &to.requirements);
    return to;
}

static uint64_t round_up(int64_t bytes)
{
    enum { ALIGN = 64 };
    return ((uint64_t)bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool write_weights(const struct qbc_run_program *p, struct qbc_qbm *file)
{
    bool good = true;
    for (size_t i = 0; i < p->n_weights && good; ++i)
        good = qbc_qbm_write(file, 0, (uint64_t)p->weights[i].offset, p->weights[i].data, p->weights[i].bytes);
    return good;
}

bool qbc_emit_run_artifact(struct qbc *q, const struct qbc_run_program *p, const struct qbc_variant *variants, size_t n)
{
    struct qbc_artifact_variant *list = qbc_alloc(q, n * sizeof *list);
    const char *slash = strrchr(q->options.input, '/');
    const struct qbc_artifact_fact record = {"source", slash ? slash + 1 : q->options.input};
    const struct qbc_artifact_weights section = {.size = round_up(p->weight_bytes)};
    struct qbc_artifact a = {
        .producer = "qbc 0.1",
        .arena_bytes = (uint64_t)p->arena_bytes,
        .weights = &section,
        .n_weights = 1,
        .variants = list,
        .n_variants = n,
        .bos = -1,
        .record = &record,
        .n_record = 1,
        .inputs = p->inputs,
        .n_inputs = p->n_inputs,
        .results = p->outputs,
        .n_results = p->n_outputs,
    };
    for (size_t i = 0; i < n; ++i)
        list[i] = variant_of(q, &variants[i]);
    struct qbc_qbm *file = qbc_qbm_begin(q, q->options.output, &a);
    return file && qbc_qbm_finish(file, write_weights(p, file));
}
