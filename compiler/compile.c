/* compile: the public functions, qbc.h. One context a call; nothing outlives it. */
#include "allocator.h"
#include "metrics.h"
#include "format.h"
#include "kernel.h"
#include "output.h"
#include "pipeline.h"
#include "target.h"
#include "transform.h"

#include <llvm/Config/llvm-config.h>
#include <string.h>

const char *qbc_version(void)
{
    return QBC_VERSION;
}

const char *qbc_llvm_version(void)
{
    return LLVM_VERSION_STRING;
}

void qbc_remove_on_signals(void)
{
    output_guard();
}

/* A caller with an older header knows fewer fields; one with a newer header may not use those we lack. */
static bool read_options(struct qbc *q, const struct qbc_options *options, size_t size)
{
    const char *bytes = (const char *)options;
    if (!options)
        return true;
    memcpy(&q->options, options, size < sizeof q->options ? size : sizeof q->options);
    for (size_t i = sizeof q->options; i < size; ++i)
        if (bytes[i]) {
            qbc_error_in(q, "qbc", "this library, version %s, is older than the program and lacks an option that "
                                   "it uses", QBC_VERSION);
            return false;
        }
    return true;
}

static bool compile(struct qbc *q)
{
    qbc_options_complete(q);
    if (!qbc_extensions_open(q) || !qbc_passes_open(q) || !qbc_options_check(q) || !qbc_choose_target(q) ||
        !qbc_check_machines(q))
        return false;
    bool good = qbc_open(q) && qbc_pipeline_run(q) && qbc_write_depfile(q);
    qbc_close(q);
    return good && !q->errors;
}

enum qbc_status qbc_compile_sized(const struct qbc_options *options, size_t size)
{
    struct qbc q = {0};
    bool good = read_options(&q, options, size) && compile(&q);
    qbc_extensions_close(&q);
    qbc_arena_free(&q);
    return good ? (q.missed ? QBC_MISSED : QBC_OK) : q.stopped ? QBC_STOPPED : QBC_FAILED;
}

/* --- lists */

struct lister {
    struct qbc *q;
    void (*row)(void *user, const struct qbc_row *row);
    void *user;
};

static void list_row(const struct lister *l, const char *name, const char *kind, const char *about)
{
    l->row(l->user, &(struct qbc_row){name, kind, about, ""});
}

static void list_targets(const struct lister *l)
{
    const struct qbc_target *t;
    for (size_t i = 0; (t = qbc_listed_target(l->q, i)); ++i)
        l->row(l->user, &(struct qbc_row){t->name, t->triple, t->about, qbc_describe_target(l->q, t)});
    list_row(l, "native", "", "the last of these that this CPU has all features for");
}

static void list_formats(const struct lister *l)
{
    const struct qbc_format *f;
    for (size_t i = 0; (f = qbc_listed_format(l->q, i)); ++i)
        list_row(l, f->name, "", qbc_text(l->q, "%6.3f bits a weight, all told; %s", qbc_format_bits(f),
                                           qbc_describe_kernels(l->q, f)));
}

static void list_passes(const struct lister *l)
{
    const struct qbc_pass *p;
    for (size_t i = 0; (p = qbc_listed_pass(l->q, i)); ++i)
        list_row(l, qbc_pass_flag(l->q, p), p->level, p->about);
}

static void list_allocators(const struct lister *l)
{
    const struct qbc_allocator *a;
    for (size_t i = 0; (a = qbc_allocator_at(i)); ++i)
        list_row(l, a->name, "", a->about);
}

static void list_metrics(const struct lister *l)
{
    const struct qbc_metric *m;
    for (size_t i = 0; (m = qbc_metric_at(i)); ++i)
        list_row(l, m->name, "", m->about);
}

static void list_transforms(const struct lister *l)
{
    const struct qbc_transform *t;
    for (size_t i = 0; (t = qbc_transform_at(i)); ++i)
        list_row(l, t->name, "", t->about);
}

static void list_words(const struct lister *l, const char *const *words)
{
    for (; *words; ++words)
        list_row(l, *words, "", "");
}

enum qbc_status qbc_list_sized(const struct qbc_options *options, size_t size, enum qbc_list list,
                               void (*row)(void *user, const struct qbc_row *row), void *user)
{
    struct qbc q = {0};
    const struct lister l = {&q, row, user};
    bool good = read_options(&q, options, size) && qbc_extensions_open(&q) && qbc_passes_open(&q);
    if (good && list == QBC_TARGETS)
        list_targets(&l);
    else if (good && list == QBC_FORMATS)
        list_formats(&l);
    else if (good && list == QBC_PASSES)
        list_passes(&l);
    else if (good && list == QBC_ALLOCATORS)
        list_allocators(&l);
    else if (good && list == QBC_TRANSFORMS)
        list_transforms(&l);
    else if (good && list == QBC_METRICS)
        list_metrics(&l);
    else if (good)
        list_words(&l, list == QBC_EMITS ? qbc_emits() : qbc_fits());
    qbc_extensions_close(&q);
    qbc_arena_free(&q);
    return good ? QBC_OK : QBC_FAILED;
}
