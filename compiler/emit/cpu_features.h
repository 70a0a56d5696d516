/* cpu_features.h: CPUs and their features, as LLVM names them and as far as the runtime can ask for them
 * (runtime/abi/cpu_features.def). Lists are texts as -mattr takes them: "+avx2,+fma".
 */
#ifndef QBC_CPU_FEATURES_H
#define QBC_CPU_FEATURES_H

#include "base.h"

/* --- cpu_features.c */

/* LLVM's name for a CPU that has what all of its architecture have. */
const char *qbc_least_cpu(const char *triple);
/* Can the runtime ask a CPU of this architecture for the feature ("avx2")? */
bool qbc_is_checkable(const char *triple, const char *feature);
/* The checkable features of the triple's architecture that `has` says yes to. */
const char *qbc_checkable_features(struct qbc *q, const char *triple, bool (*has)(const char *feature));
/* The checkable features that code for `cpu` with `features` may use: all that these imply. */
const char *qbc_implied_features(struct qbc *q, const char *triple, const char *cpu, const char *features);
/* `list` and what of `more` is neither in it nor what all CPUs of the architecture have. */
const char *qbc_add_features(struct qbc *q, const char *triple, const char *list, const char *more);
/* What the target's code may use beyond the least that its architecture has: what an artifact requires. */
const char *qbc_required_features(struct qbc *q, const struct qbc_target *target);
/* Is `feature` an entry of the list, with a plus? */
bool qbc_in_features(const char *list, const char *feature);

/* --- subtarget.cc: LLVM's own tables */

/* What of a triple matters. False: LLVM knows no such architecture. */
struct qbc_triple {
    char arch[32];    /* "x86_64" */
    char text[96];    /* all of it, beginning with `arch` and a dash */
    bool is_ordinary; /* ELF and the usual 64-bit calling convention: Linux or bare metal, whatever the C library */
};
bool qbc_triple_read(const char *text, struct qbc_triple *out);
/* For each of n features: may code for `cpu` with `features` use it? */
void qbc_llvm_enabled(const char *triple, const char *cpu, const char *features, const char *const *names, size_t n,
                      bool *enabled);
bool qbc_llvm_is_cpu(const char *triple, const char *cpu);
bool qbc_llvm_is_feature(const char *triple, const char *feature);
/* Names, at most `most`; returns how many. They live for ever. */
size_t qbc_llvm_cpus(const char *triple, const char **names, size_t most);
size_t qbc_llvm_features(const char *triple, const char **names, size_t most);

#endif
