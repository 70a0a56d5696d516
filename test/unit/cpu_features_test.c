/* CPU features: what code may use is what an artifact requires, for every row and every CPU that LLVM knows; and all
 * of it can be asked for. */
#include "check.h"
#include "cpu_features.h"
#include "pipeline.h"
#include "target.h"

#include <string.h>

enum { MOST = 1024 };

/* Implied by others on paper only: no instruction that a compiler makes of vectors and loops needs them. */
static bool is_harmless(const char *feature)
{
    static const char *const harmless[] = {
        "zmmul", "zaamo", "zalrsc", "zca", "zcd", "zicsr", "zifencei", "zve32x", "zvl32b", "zvl64b", "zvl128b",
        "zvl256b", NULL};
    for (const char *const *h = harmless; *h; ++h)
        if (!strcmp(*h, feature))
            return true;
    return false;
}

/* Everything that `cpu` with `features` enables beyond the least of the architecture is in `required`. */
static void check_covered(const char *who, const char *triple, const char *cpu, const char *features,
                          const char *required)
{
    const char *names[MOST];
    bool enabled[MOST], least[MOST];
    size_t n = qbc_llvm_features(triple, names, MOST);
    qbc_llvm_enabled(triple, cpu, features, names, n, enabled);
    qbc_llvm_enabled(triple, qbc_least_cpu(triple), "", names, n, least);
    for (size_t i = 0; i < n; ++i)
        CHECK(!enabled[i] || least[i] || is_harmless(names[i]) || qbc_in_features(required, names[i]),
              "%s may use %s, which nobody asks the CPU for", who, names[i]);
}

/* Scheduling has features too; without a CPU's name there are none, so the row's are spelled out. */
static void check_row(struct qbc *q, const struct qbc_target *t)
{
    const char *required = qbc_required_features(q, t);
    const char *all = qbc_implied_features(q, t->triple, t->cpu, t->features);
    for (const char *at = required; *at; at += strcspn(at, ","), at += *at == ',') {
        const char *feature = qbc_copy(q, at + 1, strcspn(at + 1, ","));
        CHECK(qbc_is_checkable(t->triple, feature), "%s requires %s, which the runtime cannot ask for", t->name, feature);
    }
    for (const char *at = t->features; *at; at += strcspn(at, ","), at += *at == ',') {
        const char *feature = qbc_copy(q, at + 1, strcspn(at + 1, ","));
        CHECK(*at == '-' || qbc_in_features(required, feature), "%s does not require %s", t->name, feature);
    }
    check_covered(t->name, t->triple, qbc_least_cpu(t->triple), all, required);
}

static void check_cpu(struct qbc *q, const char *triple, const char *cpu)
{
    const char *all = qbc_implied_features(q, triple, cpu, "");
    struct qbc_target t = {.name = cpu, .triple = triple, .cpu = qbc_least_cpu(triple), .features = all};
    check_covered(cpu, triple, t.cpu, t.features, qbc_required_features(q, &t));
}

static void refine(struct qbc *q, const char *target, const char *mcpu, const char *mattr, const char *row,
                   const char *tune)
{
    q->options.target = target, q->options.mcpu = mcpu, q->options.mattr = mattr;
    CHECK(qbc_choose_target(q), "-mcpu=%s -mattr=%s is an error", mcpu ? mcpu : "", mattr ? mattr : "");
    if (!q->target)
        return;
    const struct qbc_target *want = qbc_target_find(row);
    CHECK(want && q->target->tiles == want->tiles, "-mcpu=%s -mattr=%s: not the tiles of %s", mcpu ? mcpu : "",
          mattr ? mattr : "", row);
    CHECK(!tune || (q->target->tune && !strcmp(q->target->tune, tune)), "-mcpu=%s: scheduled for %s", mcpu ? mcpu : "",
          q->target->tune ? q->target->tune : "nobody");
    check_row(q, q->target);
}

static void check_refinements(struct qbc *q)
{
    refine(q, NULL, "nehalem", NULL, "x86-64-v2", "nehalem");
    refine(q, NULL, "znver3", NULL, "x86-64-v3", "znver3");
    refine(q, NULL, "cooperlake", NULL, "cascadelake", "cooperlake");
    refine(q, NULL, "tigerlake", NULL, "icelake-server", "tigerlake");
    refine(q, NULL, "cortex-a76", NULL, "cortex-a76", "cortex-a76");
    refine(q, NULL, "cortex-a35", NULL, "armv8", "cortex-a35");
    refine(q, "x86-64-v3", "znver4", NULL, "znver4", "znver4");
    refine(q, "x86-64-v3", NULL, "+avxvnni", "alderlake", NULL);
    refine(q, "x86-64-v4", NULL, "-avx512bw", "x86-64-v3", NULL);
    refine(q, "znver4", NULL, "-gfni,-avx512vbmi", "cascadelake", "znver4");
    refine(q, "haswell", NULL, "-avx", "x86-64-v2", "haswell");
    refine(q, "armv8.6", NULL, "-i8mm", "armv8.2+dotprod", NULL);
    CHECK(!qbc_in_features(q->target->features, "i8mm"), "-i8mm leaves %s", q->target->features);
    q->options.mattr = NULL;
}

int main(void)
{
    struct qbc q = {0};
    const char *cpus[MOST];
    for (size_t i = 0; qbc_target_at(i); ++i) {
        const struct qbc_target *t = qbc_target_at(i);
        check_row(&q, t);
        bool seen = i && qbc_target_at(i - 1)->machine == t->machine;
        size_t n = seen ? 0 : qbc_llvm_cpus(t->triple, cpus, MOST);
        CHECK(seen || n > 10, "LLVM knows %zu CPUs for %s", n, t->triple);
        for (size_t k = 0; k < n; ++k)
            check_cpu(&q, t->triple, cpus[k]);
    }
    check_refinements(&q);
    qbc_arena_free(&q);
    return check_failures() != 0;
}
