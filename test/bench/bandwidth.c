/* bandwidth: how fast this machine reads memory. The roof of decoding.
 *
 *   bandwidth [THREADS [GIB]]        default: 2 threads, 1 GiB
 *
 * Each thread adds up its part of a buffer that is much larger than any cache, several times; the
 * best time counts. Prints one line: threads and GB/s (10^9).
 */
#include "team.h"
#include <string.h>

enum { REPETITIONS = 7, SUMS = 32 };

struct buffer {
    uint64_t *words;
    size_t share; /* words of a thread */
    uint64_t sum[TEAM_MOST];
};

static void add_up(void *user, int thread)
{
    struct buffer *b = user;
    const uint64_t *words = b->words + (size_t)thread * b->share;
    uint64_t sums[SUMS] = {0};
    for (size_t i = 0; i + SUMS <= b->share; i += SUMS)
        for (int j = 0; j < SUMS; ++j) /* independent, so that loads overlap */
            sums[j] += words[i + (size_t)j];
    for (int j = 0; j < SUMS; ++j)
        b->sum[thread] += sums[j];
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    double gib = argc > 2 ? strtod(argv[2], NULL) : 1, best = 1e30;
    size_t n = gib > 0 ? (size_t)(gib * (1 << 30)) / sizeof(uint64_t) : 0;
    static struct buffer b;
    b.words = n && threads > 0 && threads <= TEAM_MOST ? malloc(n * sizeof *b.words) : NULL;
    if (!b.words) {
        fprintf(stderr, "bandwidth: error: %ld threads and %g GiB do not work here\n", threads, gib);
        return 1;
    }
    memset(b.words, 1, n * sizeof *b.words);
    b.share = n / (size_t)threads;
    for (int i = 0; i < REPETITIONS; ++i) {
        double took = team_run((int)threads, add_up, &b);
        best = took < best ? took : best;
    }
    uint64_t sum = 0;
    for (int i = 0; i < TEAM_MOST; ++i)
        sum += b.sum[i];
    printf("%ld threads: %.2f GB/s%s\n", threads, (double)(n * sizeof *b.words) / best * 1e-9,
           sum == 1 ? " " : ""); /* the sum is used, so it is computed */
    return 0;
}
