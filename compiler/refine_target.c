/* refine_target: -mcpu=, -mattr= and -mtriple= change a target, as they do in llc.
 *
 *   -mcpu=NAME     all features that LLVM says this CPU has, and its scheduling
 *   -mattr=+x,-y   one feature more, one less, with what follows from that
 *   -mtriple=T     the same code under another name, where it is the same; alone: the plainest row of its architecture
 *
 * From them comes a set of features, and from the set a row: the last one whose features are all in it. What the code may
 * use is the whole set, as far as the runtime can ask a CPU for it; and what it may use, the artifact requires.
 */
#include "cpu_features.h"
#include "pipeline.h"
#include "qbrt.h"
#include "target.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

enum { MOST_NAMES = 1024 };

struct refinement {
    struct qbc *q;
    const struct qbc_target *given; /* the row of -target, or NULL */
    const char *triple;             /* a row's: which architecture */
    const char *cpu;                /* whose scheduling, or NULL */
    const char *features;           /* the set, before -mattr */
};

static const char *host_triple(struct qbc *q)
{
    char *text = LLVMGetDefaultTargetTriple();
    const char *copy = qbc_copy(q, text, strlen(text));
    LLVMDisposeMessage(text);
    return copy;
}

static const char *host_cpu(struct qbc *q)
{
    char *text = LLVMGetHostCPUName();
    const char *copy = qbc_copy(q, text, strlen(text));
    LLVMDisposeMessage(text);
    return copy;
}

/* The plainest row of an architecture ("x86_64"), or NULL. */
static const struct qbc_target *plainest(const char *arch)
{
    size_t length = strcspn(arch, "-");
    for (size_t i = 0; qbc_target_at(i); ++i) {
        const char *triple = qbc_target_at(i)->triple;
        if (!strncmp(triple, arch, length) && triple[length] == '-')
            return qbc_target_at(i);
    }
    return NULL;
}

/* NULL after an error. */
static const struct qbc_target *row_of_triple(struct qbc *q)
{
    struct qbc_triple t;
    const char *text = q->options.mtriple;
    bool known = qbc_triple_read(text, &t);
    const struct qbc_target *row = known ? plainest(t.arch) : NULL;
    if (!row)
        qbc_error_in(q, "-mtriple", "'%s': there is no target for %s%s; qbc --list-targets shows what there is", text,
                     known ? "the architecture " : "such an architecture", known ? t.arch : "");
    else if (!t.is_ordinary)
        qbc_error_in(q, "-mtriple", "'%s': code is for Linux or bare metal, 64 bits, ELF, as in '%s'; another system "
                                    "calls functions in another way", text, row->triple);
    return q->errors ? NULL : row;
}

static bool same_arch(const char *a, const char *b)
{
    size_t length = strcspn(a, "-");
    return !strncmp(a, b, length) && b[length] == '-';
}

/* The architecture: -target's, -mtriple's, or the first that knows the CPU, this machine's before others. */
static bool choose_triple(struct refinement *r)
{
    struct qbc *q = r->q;
    const struct qbc_target *of_triple = q->options.mtriple ? row_of_triple(q) : NULL;
    if (q->errors)
        return false;
    if (r->given && of_triple && !same_arch(r->given->triple, of_triple->triple))
        qbc_error_in(q, "-mtriple", "'%s' is another architecture than -target=%s, which is for %s",
                     q->options.mtriple, r->given->name, r->given->triple);
    r->triple = r->given ? r->given->triple : of_triple ? of_triple->triple : host_triple(q);
    if (r->given || of_triple || !q->options.mcpu || qbc_llvm_is_cpu(r->triple, q->options.mcpu))
        return !q->errors;
    for (size_t i = 0; qbc_target_at(i); ++i)
        if (qbc_llvm_is_cpu(qbc_target_at(i)->triple, q->options.mcpu)) {
            r->triple = qbc_target_at(i)->triple;
            break;
        }
    return true;
}

static bool unknown_cpu(struct refinement *r, const char *cpu)
{
    const char *names[MOST_NAMES + 1];
    size_t n = qbc_llvm_cpus(r->triple, names, MOST_NAMES);
    names[n] = NULL;
    qbc_error_in(r->q, "-mcpu", "LLVM knows no CPU '%s' for %.*s%s", cpu, (int)strcspn(r->triple, "-"), r->triple,
                 qbc_suggestion(r->q, cpu, names, ""));
    return false;
}

/* The set of features before -mattr, and whose scheduling it is. */
static bool choose_features(struct refinement *r)
{
    struct qbc *q = r->q;
    const char *cpu = q->options.mcpu;
    bool native = cpu ? !strcmp(cpu, "native") : !r->given && !q->options.mtriple;
    if (native && same_arch(host_triple(q), r->triple)) {
        r->cpu = host_cpu(q);
        r->features = qbc_checkable_features(q, r->triple, qbrt_cpu_has);
    } else if (cpu) {
        if (!qbc_llvm_is_cpu(r->triple, cpu))
            return unknown_cpu(r, cpu);
        r->cpu = cpu;
        r->features = qbc_implied_features(q, r->triple, cpu, "");
    } else {
        const struct qbc_target *row = r->given ? r->given : plainest(r->triple);
        r->cpu = row->tune;
        r->features = qbc_implied_features(q, r->triple, row->cpu, row->features);
    }
    return true;
}

/* --- -mattr */

static void check_attribute(struct refinement *r, const char *entry)
{
    const char *names[MOST_NAMES + 1], *feature = entry + 1;
    if ((*entry != '+' && *entry != '-') || !*feature) {
        qbc_error_in(r->q, "-mattr", "'%s' is neither +feature nor -feature", entry);
    } else if (!qbc_llvm_is_feature(r->triple, feature)) {
        size_t n = qbc_llvm_features(r->triple, names, MOST_NAMES);
        names[n] = NULL;
        qbc_error_in(r->q, "-mattr", "LLVM knows no feature '%s' of %.*s%s", feature, (int)strcspn(r->triple, "-"),
                     r->triple, qbc_suggestion(r->q, feature, names, ""));
    } else if (*entry == '+' && !qbc_is_checkable(r->triple, feature)) {
        qbc_error_in(r->q, "-mattr", "the runtime does not know how to ask a CPU for '%s', so code that uses it could "
                                     "not be refused where it is missing", feature);
    }
}

/* The set after -mattr: LLVM knows what follows from each entry. */
static bool change_features(struct refinement *r)
{
    struct qbc *q = r->q;
    if (!q->options.mattr)
        return true;
    for (const char *at = q->options.mattr;; ++at) {
        size_t length = strcspn(at, ",");
        check_attribute(r, qbc_copy(q, at, length));
        at += length;
        if (!*at)
            break;
    }
    if (q->errors)
        return false;
    const char *changed = qbc_text(q, "%s,%s", r->features, q->options.mattr);
    r->features = qbc_implied_features(q, r->triple, qbc_least_cpu(r->triple), changed);
    return true;
}

/* --- the row, and what becomes of it */

static const char *lacking(struct qbc *q, const char *features, const struct qbc_target *row)
{
    const char *list = "";
    for (const char *at = row->features; *at; at += strcspn(at, ","), at += *at == ',') {
        const char *feature = qbc_copy(q, at + 1, strcspn(at + 1, ","));
        if (*at == '+' && !qbc_in_features(features, feature))
            list = qbc_text(q, "%s%s%s", list, *list ? ", " : "", feature);
    }
    return list;
}

/* The last of our own rows; one of an extension only where it was asked for. */
static const struct qbc_target *best_row(struct refinement *r)
{
    bool foreign = r->given && qbc_target_find(r->given->name) != r->given;
    if (foreign && !*lacking(r->q, r->features, r->given))
        return r->given;
    return qbc_target_native(r->triple, r->features, r->cpu ? r->cpu : "");
}

static const struct qbc_target *choose_row(struct refinement *r)
{
    struct qbc *q = r->q;
    const struct qbc_target *row = best_row(r);
    const char *lacks = r->given && q->options.mcpu ? lacking(q, r->features, r->given) : "";
    if (*lacks) {
        qbc_error_in(q, "-mcpu", "'%s' lacks %s, which -target=%s needs; without -target the best kernels for this CPU are taken",
                     q->options.mcpu, lacks, r->given->name);
        return NULL;
    }
    if (!row)
        qbc_error_in(q, q->options.mattr ? "-mattr" : "-mcpu", "there are no kernels for a CPU without %s, which the "
                                                               "plainest target, '%s', needs",
                     lacking(q, r->features, plainest(r->triple)), plainest(r->triple)->name);
    return row;
}

/* "x86-64-v3+avxvnni-bmi2" */
static const char *name_of(struct refinement *r, const struct qbc_target *row)
{
    struct qbc *q = r->q;
    const char *base = q->options.mcpu ? r->cpu : r->given ? r->given->name : row->name;
    char *name = qbc_text(q, "%s%s", base, q->options.mattr ? q->options.mattr : "");
    char *to = name;
    for (const char *from = name; *from; ++from)
        if (*from != ',')
            *to++ = *from;
    *to = 0;
    return name;
}

/* What even the least CPU of the architecture has is taken away by name. */
static const char *without(struct qbc *q, const char *features)
{
    for (const char *at = q->options.mattr ? q->options.mattr : ""; *at; at += strcspn(at, ","), at += *at == ',')
        if (*at == '-')
            features = qbc_text(q, "%s,%.*s", features, (int)strcspn(at, ","), at);
    return features;
}

static const char *asked_triple(struct refinement *r, const struct qbc_target *row)
{
    struct qbc_triple t;
    if (!r->q->options.mtriple)
        return row->triple;
    qbc_triple_read(r->q->options.mtriple, &t);
    return qbc_copy(r->q, t.text, strlen(t.text));
}

static const struct qbc_target *derive(struct refinement *r, const struct qbc_target *row)
{
    struct qbc *q = r->q;
    struct qbc_target *t = qbc_alloc(q, sizeof *t);
    *t = *row;
    t->name = name_of(r, row);
    t->triple = asked_triple(r, row);
    t->tune = r->cpu ? r->cpu : row->tune;
    t->cpu = qbc_least_cpu(row->triple); /* everything else is in the list */
    t->features = without(q, qbc_add_features(q, row->triple, row->features, r->features));
    return t;
}

const struct qbc_target *qbc_refine_target(struct qbc *q, const struct qbc_target *given)
{
    struct refinement r = {.q = q, .given = given};
    bool good = choose_triple(&r) && choose_features(&r) && change_features(&r);
    const struct qbc_target *row = good ? choose_row(&r) : NULL;
    if (!row)
        return NULL;
    bool only_triple = !q->options.mcpu && !q->options.mattr;
    if (!only_triple)
        return derive(&r, row);
    struct qbc_target *t = qbc_alloc(q, sizeof *t);
    *t = given ? *given : *row;
    t->triple = asked_triple(&r, row);
    return t;
}
