/* pool_test: the built-in pool under stress, with fewer and with more threads than cores. */
#include "qbrt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, ROUNDS = 2000, MEETINGS = 10 };

struct work {
    struct qbrt_parallel parallel;
    int64_t seen[MOST][16]; /* a line each: the round that a thread is in */
    bool is_wrong;
};

/* Between two meetings all threads are in the same round. */
static void body(void *arg, int64_t thread)
{
    struct work *w = arg;
    for (int k = 0; k < MEETINGS; k++) {
        w->seen[thread][0]++;
        w->parallel.barrier(w->parallel.context);
        for (int i = 0; i < w->parallel.threads; i++)
            if (w->seen[i][0] != w->seen[thread][0])
                w->is_wrong = true;
        w->parallel.barrier(w->parallel.context);
    }
}

int main(void)
{
    static struct work work;
    for (int threads = 1; threads <= MOST; threads++) {
        size_t bytes = (qbrt_pool_size(threads) + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
        struct qbrt_pool *pool;
        void *memory = aligned_alloc(QBRT_ALIGN, bytes);
        if (qbrt_pool_create(threads, memory, bytes, &pool))
            return fprintf(stderr, "pool_test: %d threads cannot be made\n", threads), 1;
        work = (struct work){.parallel = qbrt_pool_parallel(pool)};
        int rounds = ROUNDS / threads;
        for (int i = 0; i < rounds; i++)
            work.parallel.run(work.parallel.context, body, &work);
        for (int i = 0; i < threads; i++)
            if (work.seen[i][0] != (int64_t)rounds * MEETINGS)
                work.is_wrong = true;
        qbrt_pool_destroy(pool);
        free(memory);
        if (work.is_wrong || work.parallel.threads != threads)
            return fprintf(stderr, "pool_test: %d threads did not stay together\n", threads), 1;
    }
    puts("pool_test: passed");
    return 0;
}
