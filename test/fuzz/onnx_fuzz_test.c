/* onnx_fuzz_test: a damaged model gives errors or a module, never a crash, a hang or a GiB.
 *
 * Small models, one with a little of everything and some of kinds of their own (inputs/), are changed
 * in hundreds of ways: bytes replaced, bits turned, ranges cut out, doubled or swapped, the end cut
 * off. Each is imported; what comes through is evaluated for two lengths and goes through fold-shapes,
 * with whatever sizes and indices the damage has put there, then to the plan of kernels, or to loops.
 *
 *   onnx_fuzz_test [ROUNDS [SEED [MODEL.onnx]]]
 *   onnx_fuzz_test 0 0 MODEL.onnx...             as they are, each damaged by somebody else
 *
 * On a crash the model that did it is left in the folder that is printed first.
 */
#include "../unit/check.h"
#include "evaluate.h"
#include "import.h"
#include "passes.h"
#include "pipeline.h"
#include "run_program.h"
#include "target.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROUNDS = 600, SKIPPED = 77, MOST_BYTES = 1 << 19, MOST_SECONDS = 300 };

static char folder[] = "/tmp/onnx_fuzz.XXXXXX";
static char path[64], weights_path[64], data_path[64];

struct bytes {
    size_t n;
    unsigned char data[2 * MOST_BYTES];
};

static bool read_all(const char *from, struct bytes *b)
{
    FILE *file = fopen(from, "rb");
    if (!file)
        return false;
    b->n = fread(b->data, 1, MOST_BYTES, file);
    fclose(file);
    return b->n > 0;
}

static void write_all(const struct bytes *b)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(b->data, 1, b->n, file) == b->n, "%s cannot be written", path);
    if (file)
        fclose(file);
}

static size_t below(uint64_t *seed, size_t n)
{
    return n ? (size_t)(check_random(seed) >> 11) % n : 0;
}

/* Bytes that mean something: small and large numbers, keys of common fields. */
static unsigned char odd_byte(uint64_t *seed)
{
    static const unsigned char odd[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x0a, 0x12, 0x1a, 0x22,
                                        0x2a, 0x32, 0x3a, 0x42, 0x4a, 0x08, 0x10, 0x18, 0x20, 0x40};
    return below(seed, 2) ? odd[below(seed, sizeof odd)] : (unsigned char)check_random(seed);
}

static void damage(struct bytes *b, uint64_t *seed)
{
    size_t at = below(seed, b->n), left = b->n - at;
    size_t run = 1 + below(seed, left < 40 ? left : 40);
    switch (below(seed, 7)) {
    case 0:
    case 1:
        b->data[at] = odd_byte(seed);
        break;
    case 2:
        b->data[at] ^= (unsigned char)(1u << below(seed, 8));
        break;
    case 3: /* cut out */
        memmove(b->data + at, b->data + at + run, left - run);
        b->n -= run;
        break;
    case 4: /* doubled */
        if (b->n + run > sizeof b->data)
            break;
        memmove(b->data + at + run, b->data + at, left);
        b->n += run;
        break;
    case 5: { /* copied to another place */
        size_t to = below(seed, b->n - run + 1);
        memmove(b->data + to, b->data + at, run);
        break;
    }
    default:
        if (below(seed, 8) == 0)
            b->n -= below(seed, b->n);
        else
            b->data[at] = (unsigned char)(b->data[at] + (below(seed, 2) ? 1 : -1));
    }
}

static void evaluate_all(struct qbc *q, MlirOperation func, int64_t tokens, int64_t past)
{
    struct qbc_evaluation *e = qbc_evaluation_create(q, func, tokens, past);
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    for (size_t i = 0; i < ops.n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumResults(ops.op[i]); ++k) {
            const struct qbc_array *a = qbc_evaluate(e, mlirOperationGetResult(ops.op[i], k));
            CHECK(!a || !a->known || a->n == 0 ||
                      (a->f ? a->f[a->n - 1] != 12345.0f : a->i != NULL),
                  "%s: known, but without numbers", qbc_op_name(ops.op[i]));
            CHECK(a || *qbc_evaluation_problem(e, NULL), "a failure without a reason");
        }
    qbc_evaluation_destroy(e);
}

/* What damaged models are told is of no interest: the standard error is closed meanwhile. */
static int hide(void)
{
    int shown = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    fflush(stderr);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    return shown;
}

static void show(int shown)
{
    fflush(stderr);
    dup2(shown, STDERR_FILENO);
    close(shown);
}

/* What the compiler does before it makes machine code. */
static bool plan(struct qbc *q, MlirOperation op)
{
    struct qbc_run_program program;
    size_t before = q->errors;
    int shown = hide();
    bool good = qbc_is_run_model(q, op) ? qbc_lower_run(q, op, &program) : qbc_run_passes(q, op, "onnx", "kernels");
    show(shown);
    CHECK(!good || q->errors == before, "success with errors");
    return good;
}

static void compile(struct qbc *q, const char *model, size_t *imported, size_t *planned)
{
    size_t before = q->errors;
    int shown = hide();
    MlirModule module = qbc_import_onnx(q, model);
    show(shown);
    CHECK(mlirModuleIsNull(module) == (q->errors > before), "an error without a word, or reversed");
    if (mlirModuleIsNull(module))
        return;
    MlirOperation op = mlirModuleGetOperation(module);
    CHECK(mlirOperationVerify(op), "the module is not sound");
    evaluate_all(q, qbc_find_func(op, "main"), 3, 2);
    evaluate_all(q, qbc_find_func(op, "main"), 1, 0);
    MlirOperation whole = mlirOperationClone(op);
    shown = hide();
    qbc_pass_fold_shapes(q, op);
    show(shown);
    CHECK(mlirOperationVerify(op), "the folded module is not sound");
    *planned += plan(q, whole);
    mlirOperationDestroy(whole);
    mlirModuleDestroy(module);
    ++*imported;
}

static void open_context(struct qbc *q)
{
    *q = (struct qbc){.options = {.diagnose = qbc_print_diagnostic, .input = path, .emit = "kernels", .target = "x86-64-v3", .quant = "i4g32"}};
    qbc_options_complete(q);
    CHECK(qbc_passes_open(q) && qbc_choose_target(q) && qbc_open(q), "no context");
    mlirContextEnableMultithreading(q->mlir, false);
}

/* One context for a few hundred models: opening one takes longer than importing. */
static void run(const struct bytes *good, size_t rounds, uint64_t *seed, size_t *imported, size_t *planned)
{
    static struct bytes damaged;
    struct qbc q;
    open_context(&q);
    for (size_t i = 0; i < rounds; ++i) {
        damaged = *good;
        size_t most = below(seed, 3) ? 1 : 4; /* the first is whole */
        for (size_t n = i ? 1 + below(seed, most) : 0; n-- > 0 && damaged.n;)
            damage(&damaged, seed);
        write_all(&damaged);
        q.errors = 0; /* passes go on where there are none */
        alarm(MOST_SECONDS);
        compile(&q, path, imported, planned);
    }
    alarm(0);
    qbc_close(&q);
}

static void as_they_are(char **models, int n)
{
    struct qbc q;
    size_t imported = 0, planned = 0;
    open_context(&q);
    for (int i = 0; i < n; ++i) {
        q.errors = 0;
        printf("%s\n", models[i]);
        fflush(stdout);
        alarm(MOST_SECONDS);
        compile(&q, models[i], &imported, &planned);
    }
    alarm(0);
    qbc_close(&q);
    printf("%d models, %zu imported, %zu planned\n", n, imported, planned);
}

/* The model and the file with its external weights; false where python3 is missing. */
static bool make_model(struct bytes *good, const char *given, const char *text)
{
    char command[256];
    snprintf(command, sizeof command, "/usr/bin/python3 test/tools/onnx_write.py test/fuzz/inputs/%s.txt %s", text, path);
    if (!given && system(command))
        return false;
    snprintf(data_path, sizeof data_path, "%s/model.onnx.data", folder);
    snprintf(command, sizeof command, "%s.data", given ? given : "");
    if (given && !access(command, R_OK))
        CHECK(!symlink(command, data_path), "%s", command);
    FILE *weights = fopen(weights_path, "wb");
    CHECK(weights && fwrite("....abcdefgh", 1, 12, weights) == 12, "%s", weights_path);
    if (weights)
        fclose(weights);
    return read_all(given ? given : path, good);
}

static void damage_model(const struct bytes *good, const char *name, size_t rounds, uint64_t *seed)
{
    enum { IN_A_CONTEXT = 300 };
    size_t imported = 0, planned = 0;
    for (size_t done = 0; done < rounds; done += IN_A_CONTEXT)
        run(good, rounds - done < IN_A_CONTEXT ? rounds - done : IN_A_CONTEXT, seed, &imported, &planned);
    printf("%s: %zu models, %zu imported, %zu planned\n", name, rounds, imported, planned);
    fflush(stdout);
    CHECK(imported > 0, "not even the whole model was imported");
}

int main(int argc, char **argv)
{
    static struct bytes good;
    static const char *const texts[] = {"small", "codes", "experts", "loop", "recurrence", "scan"};
    size_t rounds = argc > 1 ? (size_t)atol(argv[1]) : ROUNDS, n = argc > 3 ? 1 : sizeof texts / sizeof *texts;
    uint64_t seed = argc > 2 ? (uint64_t)atoll(argv[2]) : 20261121;
    if (argc > 3 && !rounds)
        return as_they_are(argv + 3, argc - 3), check_failures() != 0;
    CHECK(mkdtemp(folder), "no temporary folder");
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    snprintf(weights_path, sizeof weights_path, "%s/small.bin", folder);
    printf("%s\n", folder);
    for (size_t i = 0; i < n; ++i) {
        if (!make_model(&good, argc > 3 ? argv[3] : NULL, texts[i]))
            return fprintf(stderr, "skipped: python3 did not write the model\n"), SKIPPED;
        damage_model(&good, argc > 3 ? argv[3] : texts[i], rounds / n, &seed);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld MiB\n", usage.ru_maxrss >> 10);
    CHECK(usage.ru_maxrss < 1 << 20, "more than a GiB");
    unlink(path);
    unlink(weights_path);
    unlink(data_path);
    rmdir(folder);
    return check_failures() != 0;
}
