/* cpu.c (hosted): which features has this CPU, and does its system let us use them?
 *
 * Names are LLVM's (`-mattr`), as the compiler wrote them into the artifact; abi/cpu_features.def has the tables. A
 * name that is in none is not there: better a refusal than an illegal instruction.
 */
#include "qbrt.h"
#include <string.h>

#if defined(__x86_64__)
/* Registers: 0 eax .. 3 edx. State: bits of XCR0. */
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EAX, EBX, ECX, EDX };
enum { NONE = 0, YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };

struct feature {
    const char *name;
    uint32_t leaf, subleaf;
    unsigned reg, bit;
    uint32_t state;
};

static const struct feature features[] = {
#define X86_FEATURE(name, leaf, subleaf, reg, bit, state) {name, leaf, subleaf, reg, bit, state},
#include "cpu_features.def"
};

/* XCR0: the register state that the system saves. 0 where it saves none. */
static uint32_t saved_state(void)
{
    enum { OSXSAVE = 1u << 27 };
    uint32_t r[4];
    if (!__get_cpuid(1, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) || !(r[ECX] & OSXSAVE))
        return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Linux lets a process use tiles when it has asked for room to save them (since 5.16, Documentation/arch/x86/xstate.rst):
 * for all of its threads, and as often as it likes. A system that refuses, or does not know the question, has none. */
static bool may_use(uint32_t state)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return !(state & TILES) || syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

bool qbrt_cpu_has(const char *name)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const struct feature *f = &features[i];
        uint32_t r[4];
        if (strcmp(f->name, name))
            continue;
        return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
               r[f->reg] >> f->bit & 1 && (saved_state() & f->state) == f->state && may_use(f->state);
    }
    return false;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

static const struct {
    const char *name;
    unsigned long hwcap, hwcap2;
} features[] = {
#define AARCH64_FEATURE(name, hwcap, hwcap2) {name, hwcap, hwcap2},
#include "cpu_features.def"
};

bool qbrt_cpu_has(const char *name)
{
    const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (!strcmp(features[i].name, name))
            return (features[i].hwcap & ~hwcap) == 0 && (features[i].hwcap2 & ~hwcap2) == 0;
    return false;
}

#elif defined(__riscv)
/* One-letter extensions are bits of AT_HWCAP; the others are asked by the system call riscv_hwprobe
 * (Linux 6.4, Documentation/arch/riscv/hwprobe.rst), whose absence means that they are not there.
 * Emulators (qemu-user before 8) run vector code without saying so in AT_HWCAP; there, a child
 * process tries. */
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HWPROBE_CALL = 258, HWPROBE_IMA_EXT_0 = 4 };

static const struct {
    const char *name;
    unsigned bit;
} extensions[] = {
#define RISCV_FEATURE(name, bit) {name, bit},
#include "cpu_features.def"
};

static void give_up(int signal)
{
    (void)signal;
    _exit(1);
}

/* Run the first instruction of any vector code, vsetvli, in a child. */
static bool child_runs_vectors(void)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGILL, give_up);
        __asm__ volatile(".4byte 0x0c0072d7" ::: "t0"); /* vsetvli t0, zero, e8, m1, ta, ma */
        _exit(0);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool has_letter(char letter)
{
    if (letter < 'a' || letter > 'z')
        return false;
    return getauxval(AT_HWCAP) >> (letter - 'a') & 1 || (letter == 'v' && child_runs_vectors());
}

static bool has_extension(unsigned bit)
{
    struct {
        int64_t key;
        uint64_t value;
    } probe = {.key = HWPROBE_IMA_EXT_0};
    return syscall(HWPROBE_CALL, &probe, 1, 0, NULL, 0) == 0 && probe.key >= 0 &&
           probe.value >> bit & 1;
}

/* "zvl256b": are vectors at least that long? Only asked where there are vectors. */
static bool has_vector_bits(const char *digits)
{
    unsigned long bits = 0, bytes;
    for (; *digits >= '0' && *digits <= '9' && bits < 1 << 20; digits++)
        bits = bits * 10 + (unsigned long)(*digits - '0');
    __asm__ volatile(".4byte 0xc22022f3\n\tmv %0, t0" : "=r"(bytes)::"t0"); /* csrr t0, vlenb */
    return !strcmp(digits, "b") && bits <= bytes * 8;
}

bool qbrt_cpu_has(const char *name)
{
    if (strlen(name) == 1)
        return has_letter(*name);
    if (!strcmp(name, "zicsr") || !strcmp(name, "zifencei"))
        return true; /* part of what Linux itself needs */
    if (!strncmp(name, "zvl", 3))
        return has_letter('v') && has_vector_bits(name + 3);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (!strcmp(extensions[i].name, name))
            return has_extension(extensions[i].bit) ||
                   (!strncmp(name, "zve", 3) && has_letter('v'));
    return false;
}

#else
bool qbrt_cpu_has(const char *name)
{
    (void)name;
    return false;
}
#endif
