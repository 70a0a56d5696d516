/* speed: how long calls of a model take, and where the time goes.
 *
 *   speed MODEL.qbm THREADS PLAN... [--busy] [--where HZ]
 *
 * A plan is CALL@AT:COUNT: COUNT calls of CALL tokens each, one after another, when AT tokens are already in the
 * state; CALL@0:COUNT with a CALL over MANY starts each call from the empty state: a prompt. A prompt is scored at
 * its last token, other calls at every token, as who verifies drafts needs it. Before the first that counts come a
 * prompt of an eighth, or two of the other calls.
 *
 *   --busy       a process that only computes runs on one of the cores meanwhile
 *   --where HZ   stop the first thread HZ times a second and note where in the generated code it is; the code
 *                itself is the same as ever
 *
 * Prints JSON: {"runs": [{"call": 1, "at": 64, "ms": [one a call], "others": share}], "where": {"step": bytes
 * from `decode` to `step`, "outside": n, "samples": [[bytes from `decode`, n], ...]}}; `others` is the share of
 * this machine's cores that went to other processes meanwhile.
 */
#define _GNU_SOURCE /* affinity, and registers in signal handlers */
#include "internal.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { MANY = 64, MOST_PLANS = 32, MOST_TOKENS = 4096, MOST_SAMPLES = 1 << 18 };

struct plan {
    unsigned call, at, count;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "speed: error: %s: %s\n", what, why);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        fail("memory", "the system has none");
    return p;
}

/* --- where the time goes */

static struct {
    uintptr_t at[MOST_SAMPLES];
    volatile sig_atomic_t n;
} samples;

static void note(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *c = context;
    (void)signal, (void)info;
    if (samples.n == MOST_SAMPLES)
        return;
#if defined(__x86_64__)
    samples.at[samples.n++] = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    samples.at[samples.n++] = (uintptr_t)c->uc_mcontext.pc;
#elif defined(__riscv)
    samples.at[samples.n++] = (uintptr_t)c->uc_mcontext.__gregs[REG_PC];
#else
    (void)c;
#endif
}

/* The pool's helpers block signals, so this thread gets them. */
static timer_t make_timer(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    timer_t timer;
    if (sigaction(SIGPROF, &action, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer))
        fail("--where", "no timer");
    return timer;
}

static void set_timer(timer_t timer, long hz)
{
    struct timespec period = {.tv_nsec = hz ? 1000000000 / hz : 0};
    timer_settime(timer, 0, &(struct itimerspec){period, period}, NULL);
}

static int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static void print_where(const struct qbrt_model *model)
{
    size_t n = (size_t)samples.n, outside = 0;
    uintptr_t decode = (uintptr_t)model->decode, step = (uintptr_t)model->step;
    uintptr_t end = (uintptr_t)model->code + qbrt_facts(model)->code_bytes;
    const char *comma = "";
    qsort(samples.at, n, sizeof *samples.at, compare);
    printf(", \"where\": {\"step\": %jd, \"samples\": [", (intmax_t)step - (intmax_t)decode);
    for (size_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && samples.at[i + same] == samples.at[i];)
            ++same;
        if (samples.at[i] < (uintptr_t)model->code || samples.at[i] >= end) {
            outside += same;
            continue;
        }
        printf("%s[%jd, %zu]", comma, (intmax_t)samples.at[i] - (intmax_t)decode, same);
        comma = ", ";
    }
    printf("], \"outside\": %zu}", outside);
}

/* --- who else is working */

struct cores {
    double busy, own, n; /* seconds of all cores, of this process; cores */
};

static struct cores look_at_cores(void)
{
    struct cores c = {.n = (double)sysconf(_SC_NPROCESSORS_ONLN)};
    struct rusage usage;
    long long user = 0, nice = 0, system = 0;
    FILE *file = fopen("/proc/stat", "r");
    if (file) {
        if (fscanf(file, "cpu %lld %lld %lld", &user, &nice, &system) == 3)
            c.busy = (double)(user + nice + system) / (double)sysconf(_SC_CLK_TCK);
        fclose(file);
    }
    getrusage(RUSAGE_SELF, &usage);
    c.own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return c;
}

/* A child on the first core that this process may use; it ends with this process. */
static pid_t start_busy(void)
{
    pid_t child = fork();
    if (child)
        return child;
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); ++i)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (pid_t parent = getppid(); getppid() == parent;)
        for (volatile int i = 0; i < 1 << 20; ++i) {
        }
    _exit(0);
}

/* --- calls */

struct machine {
    struct qbrt_model *model;
    struct qbrt_session *session;
    int32_t tokens[MOST_TOKENS];
    float *logits; /* [MANY][vocab] */
};

static void feed(struct machine *m, size_t n, bool all)
{
    const int32_t *tokens = m->tokens + qbrt_position(m->session) % (MOST_TOKENS / 2);
    enum qbrt_status status = all ? qbrt_eval_all(m->session, tokens, n, m->logits)
                                  : qbrt_eval(m->session, tokens, n, m->logits);
    if (status)
        fail("a call", qbrt_status_text(status));
}

static void run_plan(struct machine *m, struct plan p, timer_t timer, long hz, const char *comma)
{
    bool prompt = p.call > MANY;
    unsigned before = prompt ? 1 : 2;
    double others = 0, wall = 0;
    qbrt_reset(m->session);
    if (p.at)
        feed(m, p.at, false);
    printf("%s{\"call\": %u, \"at\": %u, \"ms\": [", comma, p.call, p.at);
    struct cores begin = {0};
    for (unsigned i = 0; i < p.count + before; ++i) {
        if (prompt)
            qbrt_reset(m->session);
        if (i == before) {
            begin = look_at_cores(), wall = now();
            set_timer(timer, hz);
        }
        double start = now();
        feed(m, prompt && i < before ? p.call / 8 : p.call, !prompt && p.call > 1);
        if (i >= before)
            printf("%s%.4f", i > before ? ", " : "", 1e3 * (now() - start));
    }
    set_timer(timer, 0);
    struct cores end = look_at_cores();
    wall = now() - wall;
    others = ((end.busy - begin.busy) - (end.own - begin.own)) / (wall * end.n);
    printf("], \"others\": %.3f}", others < 0 ? 0 : others);
}

static struct plan parse(const char *text)
{
    struct plan p;
    int end = 0;
    if (sscanf(text, "%u@%u:%u%n", &p.call, &p.at, &p.count, &end) != 3 || text[end] || !p.call || !p.count ||
        p.call > MOST_TOKENS / 2 || p.at > MOST_TOKENS / 2 || (p.call > MANY && p.at))
        fail(text, "a plan is CALL@AT:COUNT, like 1@64:32 or 512@0:2");
    return p;
}

static struct machine open_machine(const char *path, long threads)
{
    struct machine m = {0};
    char detail[QBRT_DETAIL];
    size_t model_bytes = qbrt_model_size(), pool_bytes = qbrt_pool_size((int)threads);
    struct qbrt_pool *pool;
    if (!pool_bytes)
        fail("threads", "1 to 1024");
    enum qbrt_status status = qbrt_open_file(path, reserve(model_bytes), model_bytes, &m.model, detail);
    if (status)
        fail(path, *detail ? detail : qbrt_status_text(status));
    if (qbrt_pool_create((int)threads, reserve(pool_bytes), pool_bytes, &pool))
        fail("threads", "the system gives none");
    struct qbrt_parallel parallel = qbrt_pool_parallel(pool);
    size_t bytes = qbrt_session_size(m.model);
    status = qbrt_session_create(m.model, reserve(bytes), bytes, &parallel, &m.session);
    if (status)
        fail(path, qbrt_status_text(status));
    m.logits = reserve(sizeof(float) * MANY * qbrt_facts(m.model)->vocab);
    uint64_t random = 1;
    for (int i = 0; i < MOST_TOKENS; ++i) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        m.tokens[i] = (int32_t)((random >> 33) % qbrt_facts(m.model)->vocab);
    }
    return m;
}

int main(int argc, char **argv)
{
    struct plan plans[MOST_PLANS];
    size_t n = 0;
    long hz = 0;
    bool busy = false;
    if (argc < 4)
        fail("usage", "speed MODEL.qbm THREADS PLAN... [--busy] [--where HZ]");
    for (int i = 3; i < argc; ++i) {
        if (!strcmp(argv[i], "--busy"))
            busy = true;
        else if (!strcmp(argv[i], "--where") && i + 1 < argc)
            hz = strtol(argv[++i], NULL, 10);
        else if (n < MOST_PLANS)
            plans[n++] = parse(argv[i]);
    }
    struct machine m = open_machine(argv[1], strtol(argv[2], NULL, 10));
    timer_t timer = make_timer();
    pid_t child = busy ? start_busy() : 0;
    printf("{\"runs\": [");
    for (size_t i = 0; i < n; ++i)
        run_plan(&m, plans[i], timer, hz, i ? ", " : "");
    printf("]");
    if (hz)
        print_where(m.model);
    puts("}");
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return 0;
}
