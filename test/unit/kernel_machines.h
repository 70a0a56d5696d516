/* kernel_machines.h: which targets' code can run here, and how.
 *
 *   this CPU       build/test/kernel_runner, which emulates AMX where there is none (amx_emulator.h)
 *   AArch64        qemu-aarch64-static and build/aarch64/test/kernel_runner, where both exist
 *   RISC-V         qemu-riscv64-static and build/riscv64/test/kernel_runner: "rv64gcv@256" has vectors of 256 bits
 *   AVX-VNNI       a CPU with AVX-512 VNNI has the same instruction in another encoding: the target's tiles are
 *                  compiled for that one
 *   plain          this CPU once more, with the tiles of one that has no integer dot, and odd ones at that
 */
#ifndef KERNEL_MACHINES_H
#define KERNEL_MACHINES_H

#include "kernel_lab.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <unistd.h>

enum { LAB_MOST_MACHINES = 48, LAB_MOST_CPUS = 4 };

static inline bool lab_has(const char *host, const char *feature, size_t length)
{
    for (const char *at = host; (at = strstr(at, feature)); ++at)
        if ((at == host || at[-1] == ',') && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

/* The first feature of the target that the host lacks, or NULL. */
static inline const char *lab_lacks(struct qbc *q, const char *host, const struct qbc_target *t)
{
    for (const char *at = t->features; *at;) {
        size_t length = strcspn(at, ",");
        const char *feature = qbc_copy(q, at, length);
        if (!lab_has(host, feature, length) && strncmp(feature, "+amx", 4))
            return feature;
        at += length + (at[length] == ',');
    }
    return NULL;
}

/* The folder that this test's program is in. */
static inline const char *lab_folder(struct qbc *q)
{
    char path[1024];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    const char *slash = n > 0 ? qbc_copy(q, path, (size_t)n) : "./x";
    return qbc_copy(q, slash, (size_t)(strrchr(slash, '/') - slash));
}

static inline const struct qbc_target *lab_other_encoding(struct qbc *q, const char *host,
                                                          const struct qbc_target *t)
{
    static const char vnni[] = "+avx512f,+avx512vl,+avx512vnni,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe";
    struct qbc_target *copy = qbc_alloc(q, sizeof *copy);
    *copy = *t;
    copy->name = qbc_text(q, "%s(evex)", t->name);
    copy->features = vnni;
    return strstr(t->features, "+avxvnni") && !lab_lacks(q, host, copy) ? copy : NULL;
}

/* CPUs to emulate: the plainest that qemu knows with the target's features, so that code which uses more does not run.
 * Code for vectors of any length runs with several; code scheduled for one CPU with its own. */
static const struct lab_cpu {
    const char *architecture, *feature, *cpu, *suffix;
    bool one_of_many;
} lab_cpus[] = {
    {"aarch64", "+i8mm", "max", "", false},
    {"aarch64", "+dotprod", "cortex-a76", "", false},
    {"aarch64", "+neon", "cortex-a53", "", false},
    {"riscv64", "+v", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=128", "@128", true},
    {"riscv64", "+v", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=1024", "@1024", true},
    {"riscv64", "+v", "rv64,v=true,vext_spec=v1.0,elen=64,vlen=256", "@256", false},
};

static inline size_t lab_emulate(struct qbc *q, const struct qbc_target *t, const struct lab_cpu *cpu,
                                 struct lab_machine *m)
{
    const char *runner = qbc_text(q, "%s/../%s/test/kernel_runner", lab_folder(q), cpu->architecture);
    const char *qemu = getenv(qbc_text(q, "QBC_QEMU_%s", *cpu->architecture == 'a' ? "AARCH64" : "RISCV64"));
    qemu = qemu ? qemu : qbc_text(q, "/usr/bin/qemu-%s-static", cpu->architecture);
    if (access(qemu, X_OK) || access(runner, X_OK)) {
        printf("%s%s: skipped, no emulator or no runner for it\n", t->name, cpu->suffix);
        return 0;
    }
    struct qbc_target *named = qbc_alloc(q, sizeof *named);
    *named = *t;
    named->name = *cpu->suffix ? qbc_text(q, "%s%s", t->name, cpu->suffix) : t->name;
    *m = (struct lab_machine){.target = named, .command = {qemu, "-cpu", cpu->cpu, runner}};
    return 1;
}

/* How many machines there are for this target, of which `only` (or NULL) may name one: 0 after a message. */
static inline size_t lab_find_machines(struct qbc *q, const char *triple, const char *host, const char *only,
                                       const struct qbc_target *t, struct lab_machine *m)
{
    const char *suffix = only ? strchr(only, '@') : NULL;
    size_t n = 0;
    const char *folder = lab_folder(q);
    *m = (struct lab_machine){.target = t, .command = {qbc_text(q, "%s/kernel_runner", folder)}};
    if (!strncmp(t->triple, triple, strcspn(triple, "-"))) {
        const char *lacks = lab_lacks(q, host, t);
        if (lacks)
            m->target = lab_other_encoding(q, host, t);
        if (lacks)
            printf("%s: this CPU lacks %s%s\n", t->name, lacks, m->target ? "; its tiles are run as AVX-512" : "");
        return m->target != NULL;
    }
    for (size_t i = 0; i < sizeof lab_cpus / sizeof *lab_cpus; ++i) {
        const struct lab_cpu *cpu = &lab_cpus[i];
        bool wanted = suffix ? !strcmp(cpu->suffix, suffix) : !cpu->one_of_many || !t->tune;
        if (strncmp(t->triple, cpu->architecture, strlen(cpu->architecture)) || !strstr(t->features, cpu->feature) ||
            !wanted)
            continue;
        n += lab_emulate(q, t, cpu, &m[n]);
        if (!cpu->one_of_many)
            break;
    }
    return n;
}

/* Is `only` this target's name, or its name and an "@"? */
static inline bool lab_is_asked(const struct qbc_target *t, const char *only)
{
    size_t length = strcspn(only, "@");
    return !strncmp(t->name, only, length) && !t->name[length];
}

/* Float arithmetic on codes, numbers of tokens that are no powers of two, and a cache that holds few of them. */
static inline bool lab_plain_machine(struct qbc *q, const char *host, struct lab_machine *m)
{
    static const struct qbc_tile tiles[] = {
        {32, 32, 1, 8, QBC_KIND_FMA}, {32, 32, 5, 8, QBC_KIND_FMA}, {8, 8, 1, 8, QBC_KIND_FMA},
        {8, 8, 3, 8, QBC_KIND_FMA},   {0},
    };
    struct qbc_target *t = qbc_alloc(q, sizeof *t);
    *t = *qbc_target_find("x86-64-v3");
    t->name = "plain";
    t->tiles = tiles;
    t->l2_bytes = 1 << 10;
    *m = (struct lab_machine){.target = t, .command = {qbc_text(q, "%s/kernel_runner", lab_folder(q))}};
    return !lab_lacks(q, host, t);
}

/* Tiles for many tokens with fewer rows than one token's, and caches that hold few tokens and few groups. */
static inline bool lab_small_machine(struct qbc *q, const char *host, struct lab_machine *m)
{
    static const char dot[] = "llvm.x86.avx2.pmadd.ub.sw", widen[] = "llvm.x86.avx2.pmadd.wd";
    static const struct qbc_tile tiles[] = {
        {32, 32, 1, 8, QBC_KIND_FMA},
        {8, 8, 1, 16, QBC_KIND_DOT4, .dot = dot, .widen = widen},
        {8, 8, 3, 8, QBC_KIND_DOT4, .dot = dot, .widen = widen, .many = true},
        {0},
    };
    struct qbc_target *t = qbc_alloc(q, sizeof *t);
    *t = *qbc_target_find("x86-64-v3");
    t->name = "small";
    t->tiles = tiles;
    t->l1_bytes = 6 << 10, t->l2_bytes = 1 << 10;
    *m = (struct lab_machine){.target = t, .command = {qbc_text(q, "%s/kernel_runner", lab_folder(q))}};
    return !lab_lacks(q, host, t);
}

/* Does an earlier row make the same code, but for its scheduling? */
static inline bool lab_is_known(const struct qbc_target *t)
{
    for (size_t i = 0; qbc_target_at(i) != t; ++i)
        if (qbc_target_at(i)->tiles == t->tiles && !strcmp(qbc_target_at(i)->features, t->features))
            return true;
    return false;
}

/* Every target whose code can run here; those that cannot are named on the standard output. `only`
 * is a target's name, with or without "@" and a length of vectors, or NULL. */
static inline size_t lab_machines(struct qbc *q, const char *only, struct lab_machine *machines)
{
    char *triple = LLVMGetDefaultTargetTriple(), *host = LLVMGetHostCPUFeatures();
    size_t n = 0;
    for (size_t i = 0; qbc_target_at(i) && n < LAB_MOST_MACHINES - LAB_MOST_CPUS; ++i)
        if (only ? lab_is_asked(qbc_target_at(i), only) : !lab_is_known(qbc_target_at(i)))
            n += lab_find_machines(q, triple, host, only, qbc_target_at(i), &machines[n]);
    if (!only || !strcmp(only, "plain"))
        n += lab_plain_machine(q, host, &machines[n]);
    if (!only || !strcmp(only, "small"))
        n += lab_small_machine(q, host, &machines[n]);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(host);
    return n;
}

/* The target that -target=native stands for. */
static inline const char *lab_native_name(void)
{
    char *triple = LLVMGetDefaultTargetTriple(), *host = LLVMGetHostCPUFeatures(), *cpu = LLVMGetHostCPUName();
    const struct qbc_target *t = qbc_target_native(triple, host, cpu);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(host);
    LLVMDisposeMessage(cpu);
    return t ? t->name : "x86-64-v3";
}

/* Is case `i` this machine's? Compiling takes the time, so that but for these few, and where a machine is named or
 * QBC_TEST_ALL is set, a machine takes every so manieth case, another takes the next ones. */
static inline bool lab_takes(const struct lab_machine *m, size_t i, size_t every)
{
    return !m->shares || (i + m->rank) % every == 0;
}

static inline bool lab_shares(const struct lab_machine *m, const char *native)
{
    static const char *const whole[] = {"x86-64-v3", "armv8", "armv8.2+dotprod", "rv64gcv@256"};
    bool shares = strcmp(m->target->name, native) && !getenv("QBC_TEST_ALL");
    for (size_t i = 0; i < sizeof whole / sizeof *whole; ++i)
        shares = shares && strcmp(m->target->name, whole[i]);
    return shares;
}

/* The whole of a test: `test` for each machine, or for the one that is named. */
static inline int lab_main(const char *only, struct qbc_options options,
                           void (*test)(struct qbc *q, const struct lab_machine *machine))
{
    struct qbc q = {.options = options};
    q.options.diagnose = qbc_print_diagnostic;
    struct lab_machine machines[LAB_MOST_MACHINES];
    if (!qbc_open(&q))
        return 1;
    size_t n = lab_machines(&q, only, machines);
    for (size_t i = 0; i < n; ++i) {
        machines[i].rank = i;
        machines[i].shares = !only && lab_shares(&machines[i], lab_native_name());
        test(&q, &machines[i]);
    }
    CHECK(!q.errors, "%zu errors", q.errors);
    CHECK(n, "no machine");
    qbc_close(&q);
    return check_failures() != 0;
}

#endif
