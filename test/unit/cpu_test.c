/* cpu_test: our answers against the system's own list of features. */
#include "qbrt.h"

#include <stdio.h>
#include <string.h>

/* Is `word` on the line of /proc/cpuinfo that begins with `key`? -1: no such line. */
static int listed(const char *key, const char *word)
{
    static char line[1 << 16];
    char padded[64];
    int found = -1;
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(padded, sizeof padded, " %s ", word);
    while (f && found < 0 && fgets(line, sizeof line - 1, f)) {
        if (strncmp(line, key, strlen(key)))
            continue;
        line[strcspn(line, "\n")] = ' ';
        found = strstr(line, padded) != NULL;
    }
    if (f)
        fclose(f);
    return found;
}

static const struct {
    const char *ours, *theirs;
} names[] = {
#if defined(__x86_64__)
#define KEY "flags"
    {"sse2", "sse2"},             {"ssse3", "ssse3"},           {"sse4.2", "sse4_2"},
    {"popcnt", "popcnt"},         {"avx", "avx"},               {"f16c", "f16c"},
    {"fma", "fma"},               {"avx2", "avx2"},             {"bmi", "bmi1"},
    {"bmi2", "bmi2"},             {"lzcnt", "abm"},             {"movbe", "movbe"},
    {"avx512f", "avx512f"},       {"avx512bw", "avx512bw"},     {"avx512cd", "avx512cd"},
    {"avx512dq", "avx512dq"},     {"avx512vl", "avx512vl"},     {"avx512vnni", "avx512_vnni"},
    {"avx512vbmi", "avx512vbmi"}, {"avx512bf16", "avx512_bf16"}, {"avx512fp16", "avx512_fp16"},
    {"gfni", "gfni"},             {"avxvnni", "avx_vnni"},      {"amx-int8", "amx_int8"},
    {"amx-tile", "amx_tile"},     {"vaes", "vaes"},             {"avx512ifma", "avx512ifma"},
    {"avx512vbmi2", "avx512_vbmi2"}, {"avx512bitalg", "avx512_bitalg"}, {"aes", "aes"},
    {"avx512vpopcntdq", "avx512_vpopcntdq"},
#elif defined(__aarch64__)
#define KEY "Features"
    {"neon", "asimd"},   {"dotprod", "asimddp"}, {"i8mm", "i8mm"}, {"sve", "sve"},
    {"sve2", "sve2"},    {"bf16", "bf16"},       {"lse", "atomics"},
#else
#define KEY "no such line"
    {"none", "none"},
#endif
};

int main(void)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int theirs = listed(KEY, names[i].theirs);
        if (theirs < 0) {
            puts("cpu_test: skipped, the system lists no features");
            return 77;
        }
        if (qbrt_cpu_has(names[i].ours) != theirs) {
            fprintf(stderr, "cpu_test: %s: we say %d, the system %d\n", names[i].ours,
                    qbrt_cpu_has(names[i].ours), theirs);
            wrong++;
        }
    }
    if (qbrt_cpu_has("") || qbrt_cpu_has("avx4096") || qbrt_cpu_has("+avx")) {
        fprintf(stderr, "cpu_test: an unknown feature is there\n");
        wrong++;
    }
    if (!wrong)
        puts("cpu_test: passed");
    return wrong != 0;
}
