/* libqbc_test: the compiler as a library, by its public header: twice in one process, from two threads at once, with the
 * bytes that the tool writes; what it tells, when it stops, and that it does nothing behind its caller's back.
 */
#include "check.h"
#include "extension.h"
#include "format.h"
#include "qbc.h"
#include "target.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char model[] = "test/models/docs-4m/optimum-past/model.onnx";
static char folder[] = "/tmp/libqbc-test-XXXXXX";

static const char *path(const char *name)
{
    static _Thread_local char text[4][256];
    static _Thread_local int i;
    i = (i + 1) % 4;
    snprintf(text[i], sizeof text[i], "%s/%s", folder, name);
    return text[i];
}

static char *read_file(const char *name, size_t *size)
{
    struct stat about;
    int file = open(path(name), O_RDONLY);
    *size = 0;
    if (file < 0 || fstat(file, &about))
        return NULL;
    char *bytes = malloc((size_t)about.st_size + 1);
    if (bytes && read(file, bytes, (size_t)about.st_size) == about.st_size)
        *size = (size_t)about.st_size;
    close(file);
    return bytes;
}

static bool same_files(const char *a, const char *b)
{
    size_t n, m;
    char *x = read_file(a, &n), *y = read_file(b, &m);
    bool same = x && y && n == m && n && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

/* --- what callbacks saw */

struct seen {
    int errors, notes, progress, printed, asked, stop_after;
    size_t last_done, last_total, ir_bytes;
    char where[256], text[512], file[256], pass[64];
    int line, column;
};

static void diagnose(void *user, const struct qbc_diagnostic *d)
{
    struct seen *s = user;
    s->errors += d->severity == QBC_ERROR;
    s->notes += d->severity == QBC_NOTE;
    snprintf(s->where, sizeof s->where, "%s", d->where);
    snprintf(s->text, sizeof s->text, "%s", d->text);
    snprintf(s->file, sizeof s->file, "%s", d->file ? d->file : "");
    s->line = d->line;
    s->column = d->column;
}

static void progress(void *user, const char *what, size_t done, size_t total)
{
    struct seen *s = user;
    CHECK(!s->progress == !done && done <= total && *what, "progress %zu of %zu", done, total);
    ++s->progress;
    s->last_done = done;
    s->last_total = total;
}

static void print_ir(void *user, const char *pass, const char *text, size_t length)
{
    struct seen *s = user;
    ++s->printed;
    s->ir_bytes = length;
    snprintf(s->pass, sizeof s->pass, "%s", pass);
    CHECK(strstr(text, "module"), "the module's text");
}

static bool stop(void *user)
{
    struct seen *s = user;
    return ++s->asked > s->stop_after && s->stop_after;
}

static struct qbc_options with(struct seen *s, const char *output)
{
    *s = (struct seen){0};
    return (struct qbc_options){.input = model, .output = output, .target = "x86-64-v3", .quant = "i8g32", .user = s,
                                .diagnose = diagnose, .progress = progress, .stop = stop, .print_ir = print_ir};
}

/* --- the tests */

/* Nothing but callbacks: silence on the standard streams, and signals as they were. */
static void test_silent_errors(void)
{
    struct seen s;
    struct qbc_options o = with(&s, path("none.qbm"));
    o.emit = "qbn";
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors == 1 && !strcmp(s.where, "-emit") && strstr(s.text, "'qbm'"),
          "%s: %s", s.where, s.text);
    o = with(&s, path("none.qbm"));
    o.target = "haswel";
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors == 1 && strstr(s.text, "'haswell'"), "%s", s.text);
    o = with(&s, path("none.qbm"));
    o.input = "/nowhere/model.onnx";
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors == 1 && !strcmp(s.where, "/nowhere/model.onnx"), "%s", s.where);
    o.diagnose = NULL;
    CHECK(qbc_compile(&o) == QBC_FAILED, "without anybody to tell");
    o = with(&s, path("none.qbm"));
    o.context = -1;
    CHECK(qbc_compile(&o) == QBC_FAILED && !strcmp(s.where, "-ctx"), "%s", s.where);
    CHECK(qbc_compile(&(struct qbc_options){0}) == QBC_FAILED, "nothing to compile");
    CHECK(access(path("none.qbm"), F_OK), "no output after an error");
}

static void test_places(void)
{
    struct seen s;
    struct qbc_options o = with(&s, "-");
    FILE *file = fopen(path("bad.mlir"), "w");
    CHECK(file, "a file");
    fputs("module {\n  \"qb.linear\"(\n}\n", file);
    fclose(file);
    o.input = path("bad.mlir");
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors >= 1 && s.line == 2 && s.column == 15 && strstr(s.file, "bad.mlir"),
          "%s: %s (%d:%d)", s.where, s.text, s.line, s.column);
}

static void test_callbacks(void)
{
    struct seen s;
    struct qbc_options o = with(&s, path("first.qbm"));
    o.print_after = "fuse-dequant";
    CHECK(qbc_compile(&o) == QBC_OK && !s.errors, "%s: %s", s.where, s.text);
    CHECK(s.progress > 2 && s.last_done == s.last_total, "progress to the end: %zu", s.last_done);
    CHECK(s.printed == 1 && !strcmp(s.pass, "fuse-dequant") && s.ir_bytes > 1000, "printed %d", s.printed);
    CHECK(s.asked > 20, "asked %d times", s.asked);
}

static void test_twice(void)
{
    struct seen s;
    struct qbc_options o = with(&s, path("second.qbm"));
    CHECK(qbc_compile(&o) == QBC_OK && same_files("first.qbm", "second.qbm"), "the second time: %s", s.text);
}

static void test_stop(void)
{
    const int after[] = {1, 12, 30}; /* before the first pass, between passes, between weights */
    for (size_t i = 0; i < sizeof after / sizeof *after; ++i) {
        struct seen s;
        struct qbc_options o = with(&s, path("second.qbm"));
        o.quant = "i4g32";
        s.stop_after = after[i];
        CHECK(qbc_compile(&o) == QBC_STOPPED && !s.errors, "stopped after %d: %s", after[i], s.text);
        CHECK(same_files("first.qbm", "second.qbm"), "what was there before is as it was");
    }
}

struct job {
    struct qbc_options options;
    struct seen seen;
    enum qbc_status status;
};

static void *run(void *user)
{
    struct job *j = user;
    j->status = qbc_compile(&j->options);
    return NULL;
}

/* The same, other targets and an error, all at once. */
static void test_threads(void)
{
    const char *names[] = {"a.qbm", "b.qbm", "c.qbm", "d.qbm"};
    struct job jobs[4];
    char outputs[4][256];
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        snprintf(outputs[i], sizeof outputs[i], "%s", path(names[i]));
        jobs[i].options = with(&jobs[i].seen, outputs[i]);
    }
    jobs[1].options.target = "armv8";
    jobs[2].options.input = "/nowhere/model.onnx";
    for (int i = 0; i < 4; ++i)
        CHECK(!pthread_create(&threads[i], NULL, run, &jobs[i]), "a thread");
    for (int i = 0; i < 4; ++i)
        pthread_join(threads[i], NULL);
    CHECK(jobs[0].status == QBC_OK && same_files("first.qbm", "a.qbm"), "as alone: %s", jobs[0].seen.text);
    CHECK(jobs[3].status == QBC_OK && same_files("first.qbm", "d.qbm"), "as alone: %s", jobs[3].seen.text);
    CHECK(jobs[1].status == QBC_OK && !same_files("first.qbm", "b.qbm"), "for ARM: %s", jobs[1].seen.text);
    CHECK(jobs[2].status == QBC_FAILED && jobs[2].seen.errors == 1, "an error stays with its own");
    struct seen s;
    struct qbc_options o = with(&s, path("b2.qbm"));
    o.target = "armv8";
    CHECK(qbc_compile(&o) == QBC_OK && same_files("b.qbm", "b2.qbm"), "for ARM, alone: %s", s.text);
}

/* The tool's bytes, where the tool is built: it is not in the sanitized build of tests. */
static void test_tool(void)
{
    char self[4096] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 32);
    char *slash = n > 0 ? strrchr(self, '/') : NULL;
    if (!slash)
        return;
    strcpy(slash, "/../bin/qbc");
    if (access(self, X_OK)) {
        printf("qbc is not built here: its bytes are not compared\n");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        execl(self, self, model, "-target=x86-64-v3", "-quant=i8g32", "-o", path("tool.qbm"), (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status), "qbc: %x", status);
    CHECK(same_files("first.qbm", "tool.qbm"), "the tool's bytes");
}

/* --- sizes of the struct */

static void test_versions(void)
{
    struct {
        struct qbc_options o;
        void *later;
    } newer = {.later = NULL};
    struct seen s;
    newer.o = with(&s, path("none.qbm"));
    newer.o.emit = "qbn";
    CHECK(qbc_compile_sized(&newer.o, sizeof newer) == QBC_FAILED && !strcmp(s.where, "-emit"), "%s", s.text);
    newer.later = &newer;
    CHECK(qbc_compile_sized(&newer.o, sizeof newer) == QBC_FAILED && strstr(s.text, "older"), "%s", s.text);
    /* a program that knows no more than what to read gets all defaults, and nobody to tell */
    newer.o.input = "/nowhere/model.onnx";
    CHECK(qbc_compile_sized(&newer.o, sizeof newer.o.input) == QBC_FAILED, "an old program");
    CHECK(!strcmp(qbc_version(), QBC_VERSION) && strlen(qbc_llvm_version()) > 2, "versions");
}

/* --- extensions and lists */

static int passes_run;

static void count_pass(struct qbc *q, MlirOperation module)
{
    (void)q;
    (void)module;
    ++passes_run;
}

static const struct qbc_format five = {
    .name = "five", .bits = 5, .group = 32, .codebook = QBC_CODE_AFFINE, .bias = 16, .low = 0, .high = 31,
    .scale = QBC_SCALE_F16,
};
static const struct qbc_format *const formats[] = {&five};

struct list {
    int n;
    const char *wanted, *before; /* a name, and what must stand before it */
    bool found;
    char last[64];
};

static void row(void *user, const struct qbc_row *r)
{
    struct list *l = user;
    ++l->n;
    l->found = l->found || (l->wanted && !strcmp(r->name, l->wanted) && (!l->before || !strcmp(l->before, l->last)));
    snprintf(l->last, sizeof l->last, "%s", r->name);
}

static bool listed(const struct qbc_options *o, enum qbc_list which, const char *name, const char *before)
{
    struct list l = {.wanted = name, .before = before};
    return qbc_list(o, which, row, &l) == QBC_OK && l.found;
}

static void test_lists(void)
{
    CHECK(listed(NULL, QBC_TARGETS, "x86-64-v3", NULL) && listed(NULL, QBC_TARGETS, "native", NULL), "targets");
    CHECK(listed(NULL, QBC_FORMATS, "i4g32", NULL) && !listed(NULL, QBC_FORMATS, "five", NULL), "formats");
    CHECK(listed(NULL, QBC_PASSES, "sort-columns", "assign-formats"), "passes");
    CHECK(listed(NULL, QBC_EMITS, "qbm", NULL) && listed(NULL, QBC_FITS, "rtn", NULL), "choices");
}

static void test_extension(void)
{
    struct qbc_target target = *qbc_target_find("x86-64-v3");
    const struct qbc_target *targets[] = {&target};
    const struct qbc_extension_pass passes[] = {
        {.pass = {"count-a", NULL, "counts", count_pass}, .after = "fuse_dequant"},
        {.pass = {"count_b", NULL, "counts", count_pass}, .after = "fuse-dequant"},
        {.pass = {"count-c", NULL, "counts", count_pass}, .before = "fold-shapes"},
        {.pass = {"count-d", "kernels", "counts", count_pass}},
        {.pass = {"count-e", NULL, "counts", count_pass}, .after = "count-d"},
    };
    const struct qbc_extension mine = {QBC_VERSION, "mine", targets, 1, formats, 1, passes, 5}, *all[] = {&mine};
    struct seen s;
    struct qbc_options o = with(&s, path("extended.qbm"));
    target.name = "mine-v3";
    o.extensions = all;
    o.n_extensions = 1;
    o.target = "mine-v3";
    o.quant = "five";
    o.print_after = "count-d";
    CHECK(listed(&o, QBC_PASSES, "count-a", "fuse-dequant") && listed(&o, QBC_PASSES, "count-b", "count-a") &&
              listed(&o, QBC_PASSES, "fold-shapes", "count-c") && listed(&o, QBC_PASSES, "count-d", "insert-barriers") &&
              listed(&o, QBC_PASSES, "count-e", "count-d"),
          "places of passes");
    CHECK(listed(&o, QBC_TARGETS, "mine-v3", NULL) && listed(&o, QBC_FORMATS, "five", NULL), "rows");
    CHECK(qbc_compile(&o) == QBC_OK && passes_run == 5 && s.printed == 1, "%d passes: %s", passes_run, s.text);
    o.n_extensions = 0;
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors, "without the extension there is no such target");
}

static void complains(const struct qbc_extension *e, const char *word)
{
    const struct qbc_extension *all[] = {e, e};
    struct seen s;
    struct qbc_options o = with(&s, path("none.qbm"));
    o.extensions = all;
    o.n_extensions = 1;
    CHECK(qbc_compile(&o) == QBC_FAILED && s.errors == 1 && strstr(s.text, word), "'%s' in: %s", word, s.text);
}

/* LLVM itself would only mumble on the standard error. */
static void test_foreign_machines(void)
{
    struct qbc_target target = *qbc_target_find("x86-64-v3");
    const struct qbc_target *targets[] = {&target};
    const struct qbc_extension e = {QBC_VERSION, "mine", targets, 1}, *all[] = {&e};
    struct seen s;
    target.name = "mine-v3";
    for (int i = 0; i < 3; ++i) {
        struct qbc_options o = with(&s, path("none.qbm"));
        o.extensions = all;
        o.n_extensions = 1;
        o.target = "mine-v3";
        target.cpu = i == 0 ? "haswel" : "haswell";
        target.features = i == 1 ? "+avx2,+fmma" : "+avx2,+fma";
        target.triple = i == 2 ? "z80-none-elf" : "x86_64-linux-gnu";
        const char *words = i == 0 ? "'haswell'" : i == 1 ? "'fma'" : "z80";
        CHECK(qbc_compile(&o) == QBC_FAILED && s.errors == 1 && strstr(s.text, words), "%d: %s", i, s.text);
    }
}

static void test_bad_extensions(void)
{
    struct qbc_target target = *qbc_target_find("x86-64-v3");
    struct qbc_format wide = five;
    const struct qbc_target *targets[] = {&target};
    const struct qbc_format *wides[] = {&wide};
    struct qbc_extension_pass pass = {.pass = {"my-pass", NULL, "counts", count_pass}, .after = "no-such-pass"};
    struct qbc_extension e = {QBC_VERSION, "mine", targets, 1, NULL, 0, NULL, 0};
    complains(&e, "there is one of that name already");
    const struct qbc_tile tiles[] = {{32, 32, 1, 8, QBC_KIND_FMA}, {8, 8, 1, 16, QBC_KIND_FMA}, {8, 8, 2, 32, QBC_KIND_FMA},
                                     {0}};
    target.name = "two-packings";
    target.tiles = tiles;
    complains(&e, "tiles 1 and 2");
    const struct qbc_tile beyond[] = {{32, 32, 1, 8, QBC_KIND_FMA}, {8, 8, 1, 24, QBC_KIND_FMA}, {0}};
    target.tiles = beyond;
    complains(&e, "divide 128");
    target.tiles = tiles + 1;
    complains(&e, "first tile");
    e = (struct qbc_extension){QBC_VERSION, "mine", .formats = wides, .n_formats = 1};
    wide.high = 32;
    complains(&e, "not within 5 bits");
    e = (struct qbc_extension){QBC_VERSION, "mine", .passes = &pass, .n_passes = 1};
    complains(&e, "no-such-pass");
    pass.after = NULL;
    complains(&e, "level");
    pass.before = "fuse-dequant", pass.pass.name = "fuse-dequant";
    complains(&e, "already");
    e.version = "0.0";
    complains(&e, "compile it again");
}

int main(void)
{
    if (access(model, R_OK)) {
        printf("skipped: needs the bundled model\n");
        return 77;
    }
    CHECK(mkdtemp(folder), "a folder");
    /* the standard streams go to a file that must stay empty */
    fflush(stdout);
    int was_out = dup(1), was_err = dup(2), file = open(path("said"), O_RDWR | O_CREAT, 0600);
    CHECK(file >= 0 && dup2(file, 1) == 1 && dup2(file, 2) == 2, "streams");
    test_silent_errors();
    test_places();
    test_callbacks();
    test_twice();
    test_stop();
    test_threads();
    test_versions();
    test_lists();
    test_extension();
    test_bad_extensions();
    test_foreign_machines();
    off_t said = lseek(file, 0, SEEK_END);
    fflush(stdout);
    dup2(was_out, 1);
    dup2(was_err, 2);
    if (said) {
        size_t n;
        char *text = read_file("said", &n);
        fprintf(stderr, "%.*s\n", (int)n, text ? text : "");
        free(text);
    }
    CHECK(!said, "the library printed %ld bytes", (long)said);
    struct sigaction now;
    CHECK(!sigaction(SIGINT, NULL, &now) && now.sa_handler == SIG_DFL, "signals are left alone");
    test_tool();
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) || check_failures() ? 1 : 0;
}
