/* bench.c: tokens per second, in the table of llama-bench, and how much of the machine's memory
 * bandwidth decoding reaches.
 *
 * Decoding reads every weight once a token, so its bound is the speed of reading memory. That is
 * measured here, in the same process by the same threads, so the share means something on any
 * machine, loaded or not.
 */
#include "tool.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROMPT = 512, GENERATE = 128, PROBES = 5 };

/* --- the probe */

struct probe {
    const uint64_t *words;
    size_t n;
    int threads;
    uint64_t *sums; /* [threads], a cache line apart */
};

/* Sixteen sums, so that loads do not wait for one another. */
static void read_share(void *arg, int64_t thread)
{
    enum { WIDE = 16, LINE = 8 };
    const struct probe *p = arg;
    const size_t share = p->n / (size_t)p->threads / WIDE * WIDE;
    const uint64_t *at = p->words + (size_t)thread * share;
    uint64_t sum[WIDE] = {0};
    for (size_t i = 0; i < share; i += WIDE)
        for (int k = 0; k < WIDE; k++)
            sum[k] += at[i + (size_t)k];
    for (int k = 1; k < WIDE; k++)
        sum[0] += sum[k];
    p->sums[thread * LINE] = sum[0];
}

static void fill_share(void *arg, int64_t thread)
{
    const struct probe *p = arg;
    const size_t share = p->n / (size_t)p->threads;
    memset((uint64_t *)(uintptr_t)(p->words + (size_t)thread * share), 1, share * sizeof *p->words);
}

/* Bytes a second that all threads read together; the best of several. */
static double probe_bandwidth(const struct tool *tool, struct probe *p)
{
    double best = 0;
    for (int i = 0; i < PROBES; i++) {
        double start = seconds();
        tool->parallel.run(tool->parallel.context, read_share, p);
        double speed = (double)(p->n * sizeof *p->words) / (seconds() - start);
        best = speed > best ? speed : best;
    }
    return best;
}

static struct probe make_probe(const struct tool *tool)
{
    enum { BYTES = 256 << 20, LINE = 64 };
    struct probe p = {.n = BYTES / sizeof(uint64_t), .threads = tool->parallel.threads};
    p.words = reserve(BYTES);
    p.sums = reserve((size_t)p.threads * LINE);
    tool->parallel.run(tool->parallel.context, fill_share, &p);
    return p;
}

/* --- the measurements */

struct speed {
    double mean, deviation; /* tokens per second */
};

static struct speed summarise(const double *speeds, size_t n)
{
    struct speed s = {.mean = 0};
    for (size_t i = 0; i < n; i++)
        s.mean += speeds[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        s.deviation += (speeds[i] - s.mean) * (speeds[i] - s.mean);
    s.deviation = n > 1 ? sqrt(s.deviation / (double)(n - 1)) : 0;
    return s;
}

/* Tokens a second for n tokens, `step` a call, after one run that does not count. */
static bool measure(struct tool *tool, const int32_t *tokens, size_t n, size_t step, float *logits,
                    struct speed *out)
{
    const size_t repetitions = (size_t)tool->options.repetitions;
    double speeds[1000]; /* the most that -r takes */
    for (size_t r = 0; r <= repetitions; r++) {
        qbrt_reset(tool->session);
        double start = seconds();
        for (size_t at = 0; at < n; at += step) {
            size_t now = n - at < step ? n - at : step;
            if (!tool_check(tool, qbrt_eval(tool->session, tokens + at, now, logits)))
                return false;
        }
        if (r)
            speeds[r - 1] = (double)n / (seconds() - start);
    }
    *out = summarise(speeds, repetitions);
    return true;
}

/* Bytes of weights that one token reads: all, of look-up tables one row. */
static double bytes_per_token(const struct tool *tool)
{
    double bytes = 0;
    for (size_t i = 0; i < tool->facts->n_tensors; i++) {
        struct qbrt_tensor_facts t = qbrt_tensor(tool->model, i);
        bytes += t.lookup && t.rows ? (double)t.size / (double)t.rows : (double)t.size;
    }
    return bytes;
}

/* --- the table */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "1.10 B", "637.18 MiB" */
static void print_scaled(char *out, size_t room, double value, double base,
                         const char *const *units)
{
    int unit = 0;
    for (; value >= base && units[unit + 1]; unit++)
        value /= base;
    snprintf(out, room, "%.2f %s", value, units[unit]);
}

static void print_row(const struct tool *tool, const char *test, struct speed s)
{
    static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    static const char *const counts[] = {"", "K", "M", "B", "T", NULL};
    char size[24], parameters[24], speed[48];
    print_scaled(size, sizeof size, (double)tool->facts->file_bytes, 1024, bytes);
    print_scaled(parameters, sizeof parameters, (double)tool->facts->parameters, 1000, counts);
    snprintf(speed, sizeof speed, "%.2f ± %.2f", s.mean, s.deviation);
    printf("| %-30.30s | %10s | %10s | %7d | %6s | %18s |\n", file_name(tool->options.model), size,
           parameters, tool->parallel.threads, test, speed);
    fflush(stdout);
}

static void print_share(const struct tool *tool, struct speed decode, double bandwidth)
{
    enum { CACHE = 64 << 20 };
    const double bytes = bytes_per_token(tool), used = bytes * decode.mean;
    printf("\nread bandwidth: %.2f GB/s by %d threads\n"
           "decode: %.3f MB of weights a token, %.2f GB/s, %.1f %% of the read bandwidth%s\n",
           bandwidth * 1e-9, tool->parallel.threads, bytes * 1e-6, used * 1e-9,
           100 * used / bandwidth,
           bytes < CACHE ? " (weights this small may stay in a cache)" : "");
}

bool task_bench(struct tool *tool)
{
    const size_t context = tool->facts->context;
    const size_t prompt = PROMPT < context ? PROMPT : context;
    const size_t generate = GENERATE < context ? GENERATE : context;
    int32_t tokens[PROMPT];
    uint64_t random = 1;
    for (size_t i = 0; i < PROMPT; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        tokens[i] = (int32_t)((random >> 33) % tool->facts->vocab);
    }
    float *logits = reserve(tool->facts->vocab * sizeof *logits);
    struct probe probe = make_probe(tool);
    double bandwidth = probe_bandwidth(tool, &probe);
    struct speed speed;
    char test[16];

    printf("| %-30s | %10s | %10s | %7s | %6s | %17s |\n", "model", "size", "params", "threads",
           "test", "t/s");
    puts("| ------------------------------ | ---------: | ---------: | ------: | -----: | "
         "----------------: |");
    snprintf(test, sizeof test, "pp%zu", prompt);
    if (!measure(tool, tokens, prompt, tool_chunk(tool), logits, &speed))
        return false;
    print_row(tool, test, speed);
    snprintf(test, sizeof test, "tg%zu", generate);
    if (!measure(tool, tokens, generate, 1, logits, &speed))
        return false;
    print_row(tool, test, speed);
    double again = probe_bandwidth(tool, &probe);
    print_share(tool, speed, again > bandwidth ? again : bandwidth);
    return true;
}
