/* check: qbc-check DIR..., the tests of an ONNX backend.
 *
 * Each DIR holds model.onnx and test_data_set_*: input_I.pb and output_I.pb, serialized tensors. The model is compiled for this
 * CPU, or for -target= and then run under an emulator, as it is (-entry=run), run on each set, and compared by ONNX's rule (compare.c). A line for each DIR says PASS, or FAIL
 * and why. Each DIR has a process of its own, forked from one that has everything loaded: a crash or a hang is one failure.
 */
#include "check.h"
#include "pipeline.h"
#include "target.h"

#include <mlir-c/IR.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_CHILDREN = 64, REASON = 400, TIMEOUT = 60, SCRATCH = 400 };

struct check {
    struct qbc q;
    const char *scratch; /* a folder */
    bool quiet;          /* only failures are told */
    const struct check_emulator *emulator; /* NULL: this CPU runs it */
    char qbrun[1024];                      /* that goes with it */
    char why[REASON];
};

static bool because(struct check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*c->why)
        vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    return false;
}

static void diagnose(void *user, const struct qbc_diagnostic *d)
{
    struct check *c = user;
    if (d->severity == QBC_ERROR || d->severity == QBC_FATAL)
        because(c, "compile: %s", d->text);
}

/* --- one test, in its own process */

static const char *shape_option(struct check *c, const struct check_input *input, const struct check_tensor *t)
{
    char sizes[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < t->rank; ++i)
        used += (size_t)snprintf(sizes + used, sizeof sizes - used, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
    return qbc_text(&c->q, "%s=%s", input->name, sizes);
}

static bool read_set(struct check *c, const char *folder, size_t n, struct check_tensor *inputs)
{
    for (size_t i = 0; i < n; ++i) {
        const char *path = qbc_text(&c->q, "%s/input_%zu.pb", folder, i), *wrong = check_read_tensor(path, &inputs[i]);
        if (wrong)
            return because(c, "input %zu %s", i, wrong);
    }
    return true;
}

static bool compile(struct check *c, const char *dir, const char *artifact, const struct check_input *names, size_t n,
                    const struct check_tensor *first)
{
    struct qbc_options *o = &c->q.options;
    const char **shapes = qbc_alloc(&c->q, (n + 1) * sizeof *shapes);
    o->input = qbc_text(&c->q, "%s/model.onnx", dir);
    o->output = artifact;
    o->shapes = shapes;
    for (size_t i = 0; i < n; ++i)
        if (names[i].open)
            shapes[o->n_shapes++] = shape_option(c, &names[i], &first[i]);
    if (qbc_pipeline_run(&c->q) && !c->q.errors)
        return true;
    return because(c, "compile: failed without a message");
}

static void *allocate(void *context, size_t bytes)
{
    (void)context;
    return aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
}

static bool compare(struct check *c, const struct qbrt_model *model, const char *folder, const struct qbrt_array *results)
{
    for (size_t i = 0; i < qbrt_facts(model)->n_results; ++i) {
        struct check_tensor want;
        char why[REASON / 2];
        const char *path = qbc_text(&c->q, "%s/output_%zu.pb", folder, i), *wrong = check_read_tensor(path, &want);
        const struct qbrt_port port = qbrt_result(model, i);
        if (wrong)
            return because(c, "output %zu %s", i, wrong);
        if (!check_compare(&want, port.element, port.rank, results[i].dims, results[i].data, why, sizeof why))
            return because(c, "output %zu (%s): %s", i, port.name, why);
        free(want.data);
    }
    return true;
}

static bool run_here(struct check *c, const struct qbrt_model *model, const void **data, struct qbrt_array *results)
{
    enum qbrt_status status = qbrt_run(model, data, results, allocate, NULL);
    return !status || because(c, "run: %s", qbrt_status_text(status));
}

static bool run_there(struct check *c, const struct qbrt_model *model, const char *artifact, const struct check_tensor *inputs,
                      struct qbrt_array *results)
{
    struct check_emulation e = {c->emulator, c->qbrun, artifact, qbc_text(&c->q, "%s.files", artifact)};
    const char *wrong = check_run_emulated(&c->q, &e, model, inputs, results);
    return !wrong || because(c, "run: %s", wrong);
}

static bool run_set(struct check *c, const struct qbrt_model *model, const char *artifact, const char *folder,
                    const struct check_tensor *inputs)
{
    const struct qbrt_facts *facts = qbrt_facts(model);
    const void **data = qbc_alloc(&c->q, (facts->n_inputs + 1) * sizeof *data);
    struct qbrt_array *results = qbc_alloc(&c->q, (facts->n_results + 1) * sizeof *results);
    for (size_t i = 0; i < facts->n_inputs; ++i) {
        const struct qbrt_port port = qbrt_input(model, i);
        data[i] = inputs[i].data;
        if (port.element != (uint32_t)inputs[i].element || port.rank != inputs[i].rank ||
            memcmp(port.dims, inputs[i].dims, port.rank * sizeof *port.dims))
            return because(c, "input %zu (%s) is not what the model takes", i, port.name);
    }
    if (!(c->emulator ? run_there(c, model, artifact, inputs, results) : run_here(c, model, data, results)))
        return false;
    return compare(c, model, folder, results);
}

static bool check_dir(struct check *c, const char *dir, const char *artifact)
{
    struct check_input *names;
    size_t n;
    const char *wrong = check_read_inputs(qbc_text(&c->q, "%s/model.onnx", dir), &names, &n);
    if (wrong)
        return because(c, "model.onnx %s", wrong);
    struct check_tensor *inputs = qbc_alloc(&c->q, (n + 1) * sizeof *inputs);
    const char *folder = qbc_text(&c->q, "%s/test_data_set_0", dir);
    if (!read_set(c, folder, n, inputs) || !compile(c, dir, artifact, names, n, inputs))
        return false;
    char detail[QBRT_DETAIL];
    struct qbrt_model *model;
    size_t bytes = (qbrt_model_size() + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
    enum qbrt_status status = qbrt_open_file(artifact, aligned_alloc(QBRT_ALIGN, bytes), bytes, &model, detail);
    if (status)
        return because(c, "open: %s: %s", qbrt_status_text(status), detail);
    for (int set = 0; !access(folder, R_OK); folder = qbc_text(&c->q, "%s/test_data_set_%d", dir, ++set))
        if ((set && !read_set(c, folder, n, inputs)) || !run_set(c, model, artifact, folder, inputs))
            return false;
    qbrt_close(model);
    return true;
}

static const char *base_name(const char *dir)
{
    const char *slash = strrchr(dir, '/');
    return slash && slash[1] ? slash + 1 : dir;
}

static void say(const struct check *c, const char *dir, bool good, const char *why)
{
    char line[REASON + 300];
    int n = snprintf(line, sizeof line, good ? "PASS %s\n" : "FAIL %s: %s\n", base_name(dir), why);
    if ((!good || !c->quiet) && write(STDOUT_FILENO, line, (size_t)n) < 0)
        _exit(2);
}

/* --- all of them */

struct child {
    pid_t pid;
    const char *dir;
};

static pid_t start(struct check *c, const char *dir)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    char artifact[SCRATCH + 40];
    alarm(TIMEOUT);
    snprintf(artifact, sizeof artifact, "%s/%d.qbm", c->scratch, (int)getpid());
    bool good = check_dir(c, dir, artifact);
    unlink(artifact);
    say(c, dir, good, c->why);
    _exit(good ? 0 : 1);
}

/* A child that ended by a signal could not say so itself. */
static bool reap(const struct check *c, struct child *children, size_t *n)
{
    int status;
    pid_t pid = wait(&status);
    for (size_t i = 0; i < *n; ++i) {
        if (children[i].pid != pid)
            continue;
        if (WIFSIGNALED(status)) {
            char why[100];
            bool late = WTERMSIG(status) == SIGALRM;
            snprintf(why, sizeof why, late ? "took more than %d seconds" : "ended by signal %d", late ? TIMEOUT : WTERMSIG(status));
            say(c, children[i].dir, false, why);
        }
        children[i] = children[--*n];
    }
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

static size_t check_all(struct check *c, size_t jobs, char **dirs, size_t n_dirs)
{
    struct child children[MOST_CHILDREN];
    size_t n = 0, passed = 0;
    for (size_t i = 0; i < n_dirs || n;) {
        if (i < n_dirs && n < jobs) {
            children[n++] = (struct child){start(c, dirs[i]), dirs[i]};
            ++i;
        } else {
            passed += reap(c, children, &n);
        }
    }
    return passed;
}

/* Another architecture's artifact also has a variant for this CPU: that one says what goes in and comes out. */
static bool choose_target(struct check *c, const char *name)
{
    struct qbc *q = &c->q;
    q->options.target = name;
    if (!qbc_choose_target(q))
        return false;
    const char *triple = q->targets[0]->triple;
    c->emulator = q->n_targets == 1 ? check_find_emulator(triple) : NULL;
    if (!c->emulator)
        return q->n_targets == 1 || because(c, "one target at a time");
    q->options.target = qbc_text(q, "%s,native", name);
    if (!check_find_runner(c->emulator, c->qbrun, sizeof c->qbrun))
        return because(c, "no %s/bin/qbrun beside the folder of this program", c->emulator->architecture);
    q->n_targets = 0;
    return qbc_choose_target(q);
}

/* All that does not depend on the model, once; without threads, for a fork has only one. */
static bool prepare(struct check *c, const char *target)
{
    struct qbc *q = &c->q;
    q->options.entry = "run";
    q->options.input = "model.onnx";
    q->options.diagnose = diagnose;
    q->options.user = c;
    q->quick = true;
    qbc_options_complete(q);
    if (!qbc_passes_open(q) || !qbc_options_check(q) || !choose_target(c, target) || !qbc_check_machines(q) || !qbc_open(q))
        return false;
    mlirContextEnableMultithreading(q->mlir, false);
    return true;
}

static const char usage[] = "qbc-check: compile ONNX backend tests, run them, compare\n"
                            "\n"
                            "  qbc-check [-jN] [-q] [-target=NAME] DIR...\n"
                            "      -j        so many at once (1)\n"
                            "      -q        tell of failures only\n"
                            "      -target   for this CPU unless given; other architectures run under qemu-user\n"
                            "\n"
                            "What is compiled lies in a folder of TMPDIR meanwhile.\n";

int main(int argc, char **argv)
{
    struct check c = {.why = ""};
    size_t jobs = 1, n = 0;
    const char *target = NULL, *tmp = getenv("TMPDIR");
    char scratch[SCRATCH];
    for (int i = 1; i < argc; ++i)
        if (!strncmp(argv[i], "-j", 2))
            jobs = (size_t)strtoul(argv[i] + 2, NULL, 10);
        else if (!strcmp(argv[i], "-q"))
            c.quiet = true;
        else if (!strncmp(argv[i], "-target=", 8))
            target = argv[i] + 8;
        else
            argv[n++] = argv[i];
    if (!n || !jobs || jobs > MOST_CHILDREN || *argv[0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    bool fits = (size_t)snprintf(scratch, sizeof scratch, "%s/qbc-check-XXXXXX", tmp && *tmp ? tmp : "/tmp") < sizeof scratch;
    if (!prepare(&c, target) || !fits || !mkdtemp(scratch)) {
        fprintf(stderr, "qbc-check: error: %s\n", *c.why ? c.why : "cannot begin");
        return 2;
    }
    c.scratch = scratch;
    size_t passed = check_all(&c, jobs, argv, n);
    rmdir(scratch);
    if (n > 1)
        printf("%zu passed, %zu failed\n", passed, n - passed);
    return passed == n ? 0 : 1;
}
