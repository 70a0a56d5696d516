/* cpu.c (hosted): which features has this CPU, and does its system let us use them?
 *
 * Names are LLVM's (`-mattr`), as the compiler wrote them into the artifact. A name that is in no
 * table here is not there: better a refusal than an illegal instruction.
 */
#include "qbrt.h"
#include <string.h>

#if defined(__x86_64__)
/* CPUID leaf, subleaf, register (0 eax .. 3 edx) and bit, and the register state that the system
 * must save: bits of XCR0. Source: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E. */
#include <cpuid.h>

enum { EAX, EBX, ECX, EDX };
enum { NONE = 0, YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };

struct feature {
    const char *name;
    uint32_t leaf, subleaf;
    unsigned reg, bit;
    uint32_t state;
};

static const struct feature features[] = {
    {"x87", 1, 0, EDX, 0, NONE},
    {"cx8", 1, 0, EDX, 8, NONE},
    {"cmov", 1, 0, EDX, 15, NONE},
    {"mmx", 1, 0, EDX, 23, NONE},
    {"fxsr", 1, 0, EDX, 24, NONE},
    {"sse", 1, 0, EDX, 25, NONE},
    {"sse2", 1, 0, EDX, 26, NONE},
    {"sse3", 1, 0, ECX, 0, NONE},
    {"pclmul", 1, 0, ECX, 1, NONE},
    {"ssse3", 1, 0, ECX, 9, NONE},
    {"fma", 1, 0, ECX, 12, YMM},
    {"cx16", 1, 0, ECX, 13, NONE},
    {"sse4.1", 1, 0, ECX, 19, NONE},
    {"sse4.2", 1, 0, ECX, 20, NONE},
    {"crc32", 1, 0, ECX, 20, NONE},
    {"movbe", 1, 0, ECX, 22, NONE},
    {"popcnt", 1, 0, ECX, 23, NONE},
    {"aes", 1, 0, ECX, 25, NONE},
    {"xsave", 1, 0, ECX, 26, NONE},
    {"avx", 1, 0, ECX, 28, YMM},
    {"f16c", 1, 0, ECX, 29, YMM},
    {"bmi", 7, 0, EBX, 3, NONE},
    {"avx2", 7, 0, EBX, 5, YMM},
    {"bmi2", 7, 0, EBX, 8, NONE},
    {"avx512f", 7, 0, EBX, 16, ZMM},
    {"avx512dq", 7, 0, EBX, 17, ZMM},
    {"avx512ifma", 7, 0, EBX, 21, ZMM},
    {"avx512cd", 7, 0, EBX, 28, ZMM},
    {"avx512bw", 7, 0, EBX, 30, ZMM},
    {"avx512vl", 7, 0, EBX, 31, ZMM},
    {"avx512vbmi", 7, 0, ECX, 1, ZMM},
    {"avx512vbmi2", 7, 0, ECX, 6, ZMM},
    {"gfni", 7, 0, ECX, 8, NONE},
    {"vaes", 7, 0, ECX, 9, YMM},
    {"vpclmulqdq", 7, 0, ECX, 10, YMM},
    {"avx512vnni", 7, 0, ECX, 11, ZMM},
    {"avx512bitalg", 7, 0, ECX, 12, ZMM},
    {"avx512vpopcntdq", 7, 0, ECX, 14, ZMM},
    {"amx-bf16", 7, 0, EDX, 22, TILES},
    {"avx512fp16", 7, 0, EDX, 23, ZMM},
    {"amx-tile", 7, 0, EDX, 24, TILES},
    {"amx-int8", 7, 0, EDX, 25, TILES},
    {"avxvnni", 7, 1, EAX, 4, YMM},
    {"avx512bf16", 7, 1, EAX, 5, ZMM},
    {"amx-fp16", 7, 1, EAX, 21, TILES},
    {"avxifma", 7, 1, EAX, 23, YMM},
    {"avxvnniint8", 7, 1, EDX, 4, YMM},
    {"avxneconvert", 7, 1, EDX, 5, YMM},
    {"avxvnniint16", 7, 1, EDX, 10, YMM},
    {"sahf", 0x80000001, 0, ECX, 0, NONE},
    {"lzcnt", 0x80000001, 0, ECX, 5, NONE},
    {"prfchw", 0x80000001, 0, ECX, 8, NONE},
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

bool qbrt_cpu_has(const char *name)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const struct feature *f = &features[i];
        uint32_t r[4];
        if (strcmp(f->name, name))
            continue;
        return __get_cpuid_count(f->leaf, f->subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX]) &&
               r[f->reg] >> f->bit & 1 && (saved_state() & f->state) == f->state;
    }
    return false;
}

#elif defined(__aarch64__)
/* Bits of the auxiliary vector's AT_HWCAP and AT_HWCAP2; all bits of a row must be there. Source:
 * Linux, arch/arm64/include/uapi/asm/hwcap.h. */
#include <sys/auxv.h>

static const struct {
    const char *name;
    unsigned long hwcap, hwcap2;
} features[] = {
    {"fp-armv8", 1ul << 0, 0},
    {"neon", 1ul << 1, 0},
    {"aes", 1ul << 3 | 1ul << 4, 0},
    {"sha2", 1ul << 5 | 1ul << 6, 0},
    {"crc", 1ul << 7, 0},
    {"lse", 1ul << 8, 0},
    {"fullfp16", 1ul << 9 | 1ul << 10, 0},
    {"rdm", 1ul << 12, 0},
    {"jsconv", 1ul << 13, 0},
    {"complxnum", 1ul << 14, 0},
    {"rcpc", 1ul << 15, 0},
    {"dotprod", 1ul << 20, 0},
    {"sve", 1ul << 22, 0},
    {"fp16fml", 1ul << 23, 0},
    {"sve2", 0, 1ul << 1},
    {"i8mm", 0, 1ul << 13},
    {"bf16", 0, 1ul << 14},
    {"sme", 0, 1ul << 23},
    {"sme2", 0, 1ul << 37},
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
    {"zba", 3},     {"zbb", 4},     {"zbs", 5},     {"zicboz", 6},   {"zbc", 7},     {"zvbb", 17},
    {"zfh", 27},    {"zfhmin", 28}, {"zvfh", 30},   {"zvfhmin", 31}, {"zfa", 32},    {"zicond", 35},
    {"zve32x", 37}, {"zve32f", 38}, {"zve64x", 39}, {"zve64f", 40},  {"zve64d", 41},
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
