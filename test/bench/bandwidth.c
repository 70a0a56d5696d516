/* bandwidth: how fast this machine reads memory. The roof of decoding.
 *
 *   bandwidth [THREADS [GIB]]        default: 2 threads, 1 GiB
 *
 * Each thread adds up its part of a buffer that is much larger than any cache, several times; the
 * best time counts. Prints one line: threads and GB/s (10^9).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_THREADS = 256, REPETITIONS = 7, SUMS = 32 };

struct part {
    const uint64_t *words;
    size_t n;
    uint64_t sum;
    pthread_barrier_t *barrier;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t add_up(const uint64_t *words, size_t n)
{
    uint64_t sums[SUMS] = {0}, sum = 0;
    for (size_t i = 0; i + SUMS <= n; i += SUMS)
        for (int j = 0; j < SUMS; ++j) /* independent, so that loads overlap */
            sums[j] += words[i + (size_t)j];
    for (int j = 0; j < SUMS; ++j)
        sum += sums[j];
    return sum;
}

static void *work(void *arg)
{
    struct part *p = arg;
    for (int i = 0; i < REPETITIONS; ++i) {
        pthread_barrier_wait(p->barrier);
        p->sum += add_up(p->words, p->n);
        pthread_barrier_wait(p->barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    double gib = argc > 2 ? strtod(argv[2], NULL) : 1;
    size_t n = (size_t)(gib * (1 << 30)) / sizeof(uint64_t);
    uint64_t *words = gib > 0 && threads > 0 && threads <= MOST_THREADS ? malloc(n * sizeof *words) : NULL;
    if (!words) {
        fprintf(stderr, "bandwidth: error: %ld threads and %g GiB do not work here\n", threads, gib);
        return 1;
    }
    memset(words, 1, n * sizeof *words);
    static struct part parts[MOST_THREADS];
    static pthread_t ids[MOST_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; ++i) {
        size_t share = n / (size_t)threads;
        parts[i] = (struct part){words + (size_t)i * share, share, 0, &barrier};
        if (pthread_create(&ids[i], NULL, work, &parts[i]))
            return 1;
    }
    double best = 1e30;
    uint64_t sum = 0;
    for (int i = 0; i < REPETITIONS; ++i) {
        pthread_barrier_wait(&barrier);
        double start = now();
        pthread_barrier_wait(&barrier);
        double time = now() - start;
        best = time < best ? time : best;
    }
    for (long i = 0; i < threads; ++i) {
        pthread_join(ids[i], NULL);
        sum += parts[i].sum;
    }
    printf("%ld threads: %.2f GB/s%s\n", threads, (double)(n * sizeof *words) / best * 1e-9,
           sum == 1 ? " " : "");
    return 0;
}
