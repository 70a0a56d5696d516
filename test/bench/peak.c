/* peak: how many operations on 8-bit integers this CPU does in a second. The roof of a long prompt.
 *
 *   peak [THREADS]                   default: 2
 *
 * Each instruction that multiplies bytes and adds up in 32 bits, and that the CPU has, runs from registers in as
 * many independent chains as hide its latency. Prints a line for each, plainest first: threads, GOP/s (10^9; a
 * product and its addition are two), and the instruction. The largest number is the peak.
 */
#define _GNU_SOURCE /* syscall */
#include "qbrt.h"
#include "team.h"
#include <sys/syscall.h>
#include <unistd.h>

enum { REPETITIONS = 7 };

/* --- what any CPU can do: the compiler's best for the plain loop */

enum { PLAIN = 4096 };

static void run_plain(uint64_t rounds)
{
    static int8_t a[PLAIN], b[PLAIN];
    for (uint64_t r = 0; r < rounds; ++r) {
        int32_t sum = (int32_t)r;
        for (int i = 0; i < PLAIN; ++i)
            sum += a[i] * b[i];
        a[r % PLAIN] = b[sum & (PLAIN - 1)] = (int8_t)sum; /* so each round differs, for all the compiler knows */
    }
}

#if defined(__x86_64__)

#define VECTORS /* 0 to 11 add up, the others are operands */                                               \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",       \
        "xmm12", "xmm13", "xmm14", "xmm15", "cc"
#define LOOP(body) "1:\n\t.irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t" body "\n\t.endr\n\tdec %0\n\tjnz 1b\n\t"

static void run_ssse3(uint64_t rounds)
{
    __asm__ volatile(LOOP("movdqa %%xmm15,%%xmm12\n\tpmaddubsw %%xmm14,%%xmm12\n\tpmaddwd %%xmm13,%%xmm12\n\t"
                          "paddd %%xmm12,%%xmm\\r")
                     : "+r"(rounds) : : VECTORS);
}

static void run_avx2(uint64_t rounds)
{
    __asm__ volatile(LOOP("vpmaddubsw %%ymm14,%%ymm15,%%ymm12\n\tvpmaddwd %%ymm13,%%ymm12,%%ymm12\n\t"
                          "vpaddd %%ymm12,%%ymm\\r,%%ymm\\r") "vzeroupper"
                     : "+r"(rounds) : : VECTORS);
}

static void run_avx_vnni(uint64_t rounds)
{
    __asm__ volatile(LOOP("%{vex%} vpdpbusd %%ymm14,%%ymm15,%%ymm\\r") "vzeroupper"
                     : "+r"(rounds) : : VECTORS);
}

static void run_vnni_256(uint64_t rounds)
{
    __asm__ volatile(LOOP("vpdpbusd %%ymm14,%%ymm15,%%ymm\\r") "vzeroupper"
                     : "+r"(rounds) : : VECTORS);
}

static void run_vnni_512(uint64_t rounds)
{
    __asm__ volatile(LOOP("vpdpbusd %%zmm14,%%zmm15,%%zmm\\r") "vzeroupper"
                     : "+r"(rounds) : : VECTORS);
}

/* Tiles of 16 rows of 64 bytes; Linux gives them to who asks. */
static void run_amx(uint64_t rounds)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_TILE = 18 };
    struct {
        uint8_t palette, start, unused[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } tiles = {.palette = 1};
    _Static_assert(sizeof tiles == 64, "as ldtilecfg reads it");
    for (int i = 0; i < 8; ++i)
        tiles.bytes[i] = 64, tiles.rows[i] = 16;
    syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE);
    __asm__ volatile("ldtilecfg %1\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n\t"
                     "1:\n\t.irp r,0,1,2,3,4,5\n\ttdpbusd %%tmm6,%%tmm7,%%tmm\\r\n\t.endr\n\tdec %0\n\tjnz 1b\n\t"
                     "tilerelease"
                     : "+r"(rounds) : "m"(tiles) : "cc");
}

#elif defined(__aarch64__)

#define VECTORS /* 0 to 15 add up */                                                                        \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", \
        "v28", "v29", "v30", "v31", "cc"
#define LOOP(body)                                                                                           \
    ".arch armv8.2-a+dotprod+i8mm\n\t"                                                               \
    "1:\n\t.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t" body "\n\t.endr\n\tsubs %0,%0,#1\n\tb.ne 1b"

static void run_neon(uint64_t rounds)
{
    __asm__ volatile(LOOP("smull v28.8h,v30.8b,v31.8b\n\tsmlal2 v28.8h,v30.16b,v31.16b\n\tsadalp v\\r\\().4s,v28.8h")
                     : "+r"(rounds) : : VECTORS);
}

static void run_sdot(uint64_t rounds)
{
    __asm__ volatile(LOOP("sdot v\\r\\().4s,v30.16b,v31.16b") : "+r"(rounds) : : VECTORS);
}

static void run_smmla(uint64_t rounds)
{
    __asm__ volatile(LOOP("smmla v\\r\\().4s,v30.16b,v31.16b") : "+r"(rounds) : : VECTORS);
}
#endif

static const struct way {
    const char *name, *feature; /* NULL: every CPU */
    void (*run)(uint64_t rounds);
    double products; /* of a round */
} ways[] = {
    {"plain C", NULL, run_plain, PLAIN},
#if defined(__x86_64__)
    {"pmaddubsw xmm", "ssse3", run_ssse3, 12 * 16},
    {"vpmaddubsw ymm", "avx2", run_avx2, 12 * 32},
    {"vpdpbusd ymm, VEX", "avxvnni", run_avx_vnni, 12 * 32},
    {"vpdpbusd ymm", "avx512vnni", run_vnni_256, 12 * 32},
    {"vpdpbusd zmm", "avx512vnni", run_vnni_512, 12 * 64},
    {"tdpbusd", "amx-int8", run_amx, 6 * 16 * 16 * 64},
#elif defined(__aarch64__)
    {"smull, smlal2, sadalp", NULL, run_neon, 16 * 16},
    {"sdot", "dotprod", run_sdot, 16 * 16},
    {"smmla", "i8mm", run_smmla, 16 * 32},
#endif
};

struct job {
    const struct way *way;
    uint64_t rounds;
};

static void run_job(void *user, int thread)
{
    const struct job *job = user;
    (void)thread;
    job->way->run(job->rounds);
}

/* Rounds for about 20 ms, then the best of several. */
static double measure(const struct way *way, int threads)
{
    struct job job = {way, 1};
    double best = 1e30;
    while (team_run(1, run_job, &job) < 0.005)
        job.rounds *= 2;
    job.rounds *= 4;
    for (int i = 0; i < REPETITIONS; ++i) {
        double took = team_run(threads, run_job, &job);
        best = took < best ? took : best;
    }
    return 2 * way->products * (double)job.rounds * threads / best * 1e-9;
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    if (threads < 1 || threads > TEAM_MOST) {
        fprintf(stderr, "peak: error: %ld threads do not work here\n", threads);
        return 1;
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i)
        if (!ways[i].feature || qbrt_cpu_has(ways[i].feature))
            printf("%ld threads: %8.1f GOP/s %s\n", threads, measure(&ways[i], (int)threads), ways[i].name);
    return 0;
}
