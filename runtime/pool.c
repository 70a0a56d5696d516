/* pool.c (hosted, Linux): threads that work in step.
 *
 * One barrier does everything: all threads meet to begin a piece of work, inside of it, and to end
 * it. Who waits spins for a while, then sleeps on a futex. On a quiet machine spinning for
 * SPIN_NANOSECONDS, about what the shares of one kernel differ by, saves the system calls. On a
 * busy one it burns the time slice that the partner waits for, so the while adapts: it halves each
 * time that spinning was in vain and grows when it was not; every PROBE-th wait tries the whole, to
 * notice that the machine has become quiet. With more threads than cores nobody spins.
 *
 * The barrier counts arrivals; the last one resets the count, moves `turn` on and wakes sleepers.
 * Sequential consistency matters in one place: `turn` is moved before `sleepers` is read, and a
 * sleeper counts itself before the kernel compares `turn`, so no sleeper is missed.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "qbrt.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 1024, SPIN_NANOSECONDS = 50000, PROBE = 16, LINE = 64 };

struct helper {
    struct qbrt_pool *pool;
    pthread_t thread;
    int64_t number;
};

struct qbrt_pool {
    void (*body)(void *arg, int64_t thread);
    void *arg;
    bool is_ending;
    int most_spins;
    _Atomic int spins;   /* of a wait now */
    _Atomic int threads; /* that a barrier waits for */
    int n_helpers;
    _Alignas(LINE) _Atomic int arrived;
    _Alignas(LINE) _Atomic uint32_t turn;
    _Atomic int sleepers;
    _Alignas(LINE) struct helper helper[];
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static bool spin(struct qbrt_pool *pool, uint32_t turn)
{
    const int most = pool->most_spins;
    int now = turn % PROBE ? atomic_load_explicit(&pool->spins, memory_order_relaxed) : most;
    for (int i = 0; i < now; i++) {
        if (atomic_load_explicit(&pool->turn, memory_order_acquire) != turn) {
            now = now + most / 8 < most ? now + most / 8 : most;
            atomic_store_explicit(&pool->spins, now, memory_order_relaxed);
            return true;
        }
        pause_briefly();
    }
    atomic_store_explicit(&pool->spins, now / 2, memory_order_relaxed);
    return false;
}

static void wait_for_turn(struct qbrt_pool *pool, uint32_t turn)
{
    if (spin(pool, turn))
        return;
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->turn) == turn)
        futex(&pool->turn, FUTEX_WAIT, turn);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void meet(void *context)
{
    struct qbrt_pool *pool = context;
    uint32_t turn = atomic_load(&pool->turn);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 < atomic_load(&pool->threads)) {
        wait_for_turn(pool, turn);
        return;
    }
    atomic_store(&pool->arrived, 0);
    atomic_store(&pool->turn, turn + 1);
    if (atomic_load(&pool->sleepers))
        futex(&pool->turn, FUTEX_WAKE, INT_MAX);
}

static void *help(void *arg)
{
    const struct helper *me = arg;
    struct qbrt_pool *pool = me->pool;
    for (;;) {
        meet(pool);
        if (pool->is_ending)
            return NULL;
        pool->body(pool->arg, me->number);
        meet(pool);
    }
}

static void run(void *context, void (*body)(void *arg, int64_t thread), void *arg)
{
    struct qbrt_pool *pool = context;
    pool->body = body;
    pool->arg = arg;
    meet(pool);
    body(arg, 0);
    meet(pool);
}

int qbrt_cores(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed);
    long cores = sysconf(_SC_NPROCESSORS_ONLN); /* more than the set can tell */
    return cores < 1 ? 1 : cores < MOST_THREADS ? (int)cores : MOST_THREADS;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How many looks at `turn` take SPIN_NANOSECONDS; none when threads outnumber cores. */
static int count_spins(struct qbrt_pool *pool)
{
    enum { TRIAL = 200, MOST = 1000000 };
    if (atomic_load(&pool->threads) > qbrt_cores())
        return 0;
    int64_t begin = nanoseconds();
    for (int i = 0; i < TRIAL; i++) {
        atomic_load_explicit(&pool->turn, memory_order_acquire);
        pause_briefly();
    }
    int64_t took = nanoseconds() - begin;
    int64_t spins = (int64_t)SPIN_NANOSECONDS * TRIAL / (took > 0 ? took : 1);
    return spins < MOST ? (int)spins : MOST;
}

/* Helpers leave signals to the host's own threads. */
static bool start_helpers(struct qbrt_pool *pool, int n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; pool->n_helpers < n; pool->n_helpers++) {
        struct helper *h = &pool->helper[pool->n_helpers];
        *h = (struct helper){.pool = pool, .number = pool->n_helpers + 1};
        if (pthread_create(&h->thread, NULL, help, h))
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->n_helpers == n;
}

size_t qbrt_pool_size(int threads)
{
    if (threads < 1 || threads > MOST_THREADS)
        return 0;
    return sizeof(struct qbrt_pool) + (size_t)(threads - 1) * sizeof(struct helper);
}

enum qbrt_status qbrt_pool_create(int threads, void *memory, size_t bytes, struct qbrt_pool **out)
{
    if (!out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    if (!qbrt_pool_size(threads) || !memory)
        return QBRT_BAD_ARGUMENT;
    if ((uintptr_t)memory % QBRT_ALIGN)
        return QBRT_BAD_ALIGN;
    if (bytes < qbrt_pool_size(threads))
        return QBRT_NO_ROOM;

    struct qbrt_pool *pool = memory;
    *pool = (struct qbrt_pool){.body = NULL};
    atomic_store(&pool->threads, threads);
    pool->most_spins = count_spins(pool);
    atomic_store(&pool->spins, pool->most_spins);
    if (!start_helpers(pool, threads - 1)) {
        atomic_store(&pool->threads, pool->n_helpers + 1); /* those who came can still leave */
        qbrt_pool_destroy(pool);
        return QBRT_NO_THREADS;
    }
    *out = pool;
    return QBRT_OK;
}

void qbrt_pool_destroy(struct qbrt_pool *pool)
{
    if (!pool)
        return;
    pool->is_ending = true;
    meet(pool);
    for (int i = 0; i < pool->n_helpers; i++)
        pthread_join(pool->helper[i].thread, NULL);
}

struct qbrt_parallel qbrt_pool_parallel(struct qbrt_pool *pool)
{
    return (struct qbrt_parallel){
        .context = pool,
        .threads = atomic_load(&pool->threads),
        .run = run,
        .barrier = meet,
    };
}
