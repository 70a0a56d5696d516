/* cpu_features: see cpu_features.h. */
#include "cpu_features.h"
#include "target.h"

#include <string.h>

static const char *const x86[] = {
#define X86_FEATURE(name, leaf, subleaf, reg, bit, state) name,
#include "cpu_features.def"
    NULL};

static const char *const aarch64[] = {
#define AARCH64_FEATURE(name, hwcap, hwcap2) name,
#include "cpu_features.def"
    NULL};

static const char *const riscv[] = {
#define RISCV_LETTER(name) name,
#define RISCV_FEATURE(name, bit) name,
#include "cpu_features.def"
    NULL};

static const struct {
    const char *arch, *least;
    const char *const *names;
    size_t n;
} tables[] = {
    {"x86_64-", "x86-64", x86, sizeof x86 / sizeof *x86 - 1},
    {"aarch64-", "generic", aarch64, sizeof aarch64 / sizeof *aarch64 - 1},
    {"riscv64-", "generic-rv64", riscv, sizeof riscv / sizeof *riscv - 1},
};
enum { N_TABLES = sizeof tables / sizeof *tables };

enum { MOST_FEATURES = 128 };
_Static_assert(sizeof x86 / sizeof *x86 <= MOST_FEATURES, "enlarge MOST_FEATURES");

static size_t names_of(const char *triple, const char *const **names)
{
    for (size_t i = 0; i < N_TABLES; ++i)
        if (!strncmp(tables[i].arch, triple, strlen(tables[i].arch))) {
            *names = tables[i].names;
            return tables[i].n;
        }
    return 0;
}

const char *qbc_least_cpu(const char *triple)
{
    for (size_t i = 0; i < N_TABLES; ++i)
        if (!strncmp(tables[i].arch, triple, strlen(tables[i].arch)))
            return tables[i].least;
    return "";
}

bool qbc_in_features(const char *list, const char *feature)
{
    size_t length = strlen(feature);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (*at == '+' && !strncmp(at + 1, feature, length) && (at[length + 1] == ',' || !at[length + 1]))
            return true;
    return false;
}

/* "zvl256b": vectors at least that long; the runtime reads any number. */
static bool is_vector_length(const char *triple, const char *feature)
{
    return !strncmp(triple, "riscv", 5) && !strncmp(feature, "zvl", 3);
}

bool qbc_is_checkable(const char *triple, const char *feature)
{
    const char *const *names = NULL;
    size_t n = names_of(triple, &names);
    for (size_t i = 0; i < n; ++i)
        if (!strcmp(names[i], feature))
            return true;
    return is_vector_length(triple, feature);
}

static void append(struct qbc *q, const char **list, const char *feature)
{
    *list = qbc_text(q, "%s%s+%s", *list, **list ? "," : "", feature);
}

const char *qbc_checkable_features(struct qbc *q, const char *triple, bool (*has)(const char *feature))
{
    const char *const *names = NULL, *list = "";
    size_t n = names_of(triple, &names);
    for (size_t i = 0; i < n; ++i)
        if (has(names[i]))
            append(q, &list, names[i]);
    return list;
}

const char *qbc_implied_features(struct qbc *q, const char *triple, const char *cpu, const char *features)
{
    const char *const *names = NULL, *list = "";
    bool enabled[MOST_FEATURES];
    size_t n = names_of(triple, &names);
    qbc_llvm_enabled(triple, cpu, features, names, n, enabled);
    for (size_t i = 0; i < n; ++i)
        if (enabled[i])
            append(q, &list, names[i]);
    return list;
}

/* The entries of `from` that `list` has not yet, and `least` has not, at the end of `list`. */
static const char *add_features(struct qbc *q, const char *list, const char *from, const char *least)
{
    for (const char *at = from; *at; at += strcspn(at, ","), at += *at == ',') {
        const char *feature = *at == '+' ? qbc_copy(q, at + 1, strcspn(at + 1, ",")) : NULL;
        if (feature && !qbc_in_features(list, feature) && !qbc_in_features(least, feature))
            append(q, &list, feature);
    }
    return list;
}

const char *qbc_add_features(struct qbc *q, const char *triple, const char *list, const char *more)
{
    return add_features(q, list, more, qbc_implied_features(q, triple, qbc_least_cpu(triple), ""));
}

const char *qbc_required_features(struct qbc *q, const struct qbc_target *t)
{
    const char *named = add_features(q, "", t->features, "");
    return qbc_add_features(q, t->triple, named, qbc_implied_features(q, t->triple, t->cpu, t->features));
}
