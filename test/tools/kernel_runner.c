/* kernel_runner: load a code image and call its step functions; see kernel_job.h.
 *
 * Every run is done with 1, 2 and 3 threads, which must give the same bits. What is not said to be
 * written before it is read holds NaN at first, and every piece of memory ends (to the alignment
 * that the contract promises) before a page that may not be touched: reading what was not written,
 * or beyond the end, shows.
 *
 * AMX code runs on a CPU that has none, emulated.
 *
 * Exit status: 0, or 1 after a message.
 */
#include "amx_emulator.h"
#include "image.h"
#include "kernel_job.h"
#include "step.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { UNWRITTEN = 0xff }; /* bytes of a NaN, as f32, f16 and f64 */

static void fail(const char *what)
{
    fprintf(stderr, "kernel_runner: %s\n", what);
    exit(1);
}

static void read_all(void *to, size_t bytes)
{
    if (fread(to, 1, bytes, stdin) != bytes)
        fail("the job is cut short");
}

static void write_all(const void *from, size_t bytes)
{
    if (fwrite(from, 1, bytes, stdout) != bytes)
        fail("the answer cannot be written");
}

/* `bytes` that end where a page begins which may not be touched. */
static uint8_t *guarded(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    uint8_t *at = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || (whole && mprotect(at + page, whole, PROT_READ | PROT_WRITE)))
        fail("there is no memory");
    memset(at + page, UNWRITTEN, whole);
    return at + page + whole - bytes;
}

static void forbid_writing(uint8_t *at, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *start = at - (uintptr_t)at % page;
    if (bytes && mprotect(start, (size_t)(at + bytes - start), PROT_READ))
        fail("memory cannot be protected");
}

/* --- the image */

static uint8_t *load_image(const uint8_t *bytes, size_t size, uint16_t machine)
{
    struct image image;
    char why[QBRT_DETAIL] = "";
    if (image_check(&image, bytes, size, machine, why) != QBRT_OK)
        fail(why);
    uint8_t *base = mmap(NULL, image.span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        fail("there is no memory for the code");
    for (size_t i = 0; i < image.n_segments; ++i)
        memcpy(base + image.segment[i].address, bytes + image.segment[i].offset, image.segment[i].bytes);
    __builtin___clear_cache((char *)base, (char *)base + image.span);
    if (mprotect(base, image.span, PROT_READ | PROT_EXEC))
        fail("code cannot be made executable");
    return base;
}

static qbrt_step_function function_at(const uint8_t *base, uint64_t address)
{
    const uint8_t *at = base + address;
    qbrt_step_function f;
    memcpy(&f, &at, sizeof f);
    return f;
}

/* --- threads */

struct team {
    qbrt_step_function function;
    struct qbrt_step step;
    pthread_barrier_t barrier;
};

struct member {
    struct team *team;
    int64_t number;
    pthread_t thread;
};

static void meet(void *barrier)
{
    pthread_barrier_wait(barrier);
}

static void *walk(void *user)
{
    struct member *m = user;
    m->team->function(&m->team->step, m->number);
    return NULL;
}

static void walk_together(struct team *t, int threads)
{
    struct member members[KERNEL_MOST_THREADS];
    pthread_barrier_init(&t->barrier, NULL, (unsigned)threads);
    t->step.threads = threads;
    t->step.barrier = meet;
    t->step.barrier_arg = &t->barrier;
    for (int i = 0; i < threads; ++i) {
        members[i] = (struct member){.team = t, .number = i};
        if (i && pthread_create(&members[i].thread, NULL, walk, &members[i]))
            fail("a thread does not start");
    }
    walk(&members[0]);
    for (int i = 1; i < threads; ++i)
        pthread_join(members[i].thread, NULL);
    pthread_barrier_destroy(&t->barrier);
}

/* --- runs */

struct memory {
    uint8_t *weights, *arena, *state, *arena_before, *state_before, *state_after;
};

static void same(const void *a, const void *b, size_t bytes, const char *what, int threads, size_t run)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < bytes; ++i)
        if (x[i] != y[i]) {
            fprintf(stderr, "kernel_runner: run %zu with %d threads differs in the %s at byte %zu\n", run,
                    threads, what, i);
            exit(1);
        }
}

static void do_run(const struct kernel_job *job, const struct memory *m, const uint8_t *code, size_t index)
{
    struct kernel_run run;
    read_all(&run, sizeof run);
    size_t rows = (size_t)(run.n_tokens - run.first_logit);
    size_t logits_bytes = rows * job->vocab * 4, tokens_bytes = (size_t)run.n_tokens * 4;
    uint8_t *tokens = guarded(tokens_bytes), *logits = guarded(logits_bytes), *first = malloc(logits_bytes + 1);
    read_all(tokens, tokens_bytes);
    forbid_writing(tokens, tokens_bytes);
    memcpy(m->state_before, m->state, job->state_bytes);
    struct team team = {.function = function_at(code, run.decode ? job->decode : job->step)};
    for (int threads = 1; threads <= KERNEL_MOST_THREADS; ++threads) {
        memset(m->arena, UNWRITTEN, job->arena_bytes);
        memset(logits, UNWRITTEN, logits_bytes);
        memcpy(m->state, m->state_before, job->state_bytes);
        team.step = (struct qbrt_step){
            .weights = m->weights,
            .arena = m->arena,
            .state = m->state,
            .tokens = (const int32_t *)(const void *)tokens,
            .logits = (float *)(void *)logits,
            .n_tokens = run.n_tokens,
            .pos = run.pos,
            .first_logit = run.first_logit,
        };
        walk_together(&team, threads);
        if (threads == 1) {
            memcpy(m->arena_before, m->arena, job->arena_bytes);
            memcpy(m->state_after, m->state, job->state_bytes);
            memcpy(first, logits, logits_bytes);
        }
        same(m->arena_before, m->arena, job->arena_bytes, "arena", threads, index);
        same(m->state_after, m->state, job->state_bytes, "state", threads, index);
        same(first, logits, logits_bytes, "logits", threads, index);
    }
    write_all(m->arena, job->arena_bytes);
    write_all(logits, logits_bytes);
    free(first);
}

int main(void)
{
    struct kernel_job job;
    amx_emulate();
    read_all(&job, sizeof job);
    uint8_t *image = malloc(job.image_bytes + 1);
    read_all(image, job.image_bytes);
    const uint8_t *code = load_image(image, job.image_bytes, (uint16_t)job.machine);
    struct memory m = {
        .weights = guarded(job.weights_bytes),
        .arena = guarded(job.arena_bytes),
        .state = guarded(job.state_bytes),
        .arena_before = malloc(job.arena_bytes + 1),
        .state_before = malloc(job.state_bytes + 1),
        .state_after = malloc(job.state_bytes + 1),
    };
    read_all(m.weights, job.weights_bytes);
    forbid_writing(m.weights, job.weights_bytes);
    for (size_t i = 0; i < job.runs; ++i)
        do_run(&job, &m, code, i);
    free(image);
    free(m.arena_before);
    free(m.state_before);
    free(m.state_after);
    return fflush(stdout) != 0;
}
