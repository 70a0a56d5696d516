/* kernel_elementwise_test: elementwise work, alone and fused into a product.
 *
 *   glu          x * sigmoid(x) on a dense range: the error that kernel.h promises
 *   epilogues    the bits of the same work after the product, for floats and for codes
 */
#include "kernel_graph.h"
#include "kernel_machines.h"

#include <math.h>

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, WIDE = 1000, K = 344, N = 77 };

/* --- silu */

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* kernel.h, k_silu: relative error below 2^-22 from -87 up, and of no size below that. */
static void check_silu(struct lab *lab, const char *name, const char *gate)
{
    const float *table = lab_values(lab, qbc_text(lab->q, "t%s", gate));
    double worst = 0;
    float at = 0;
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * WIDE, *y = lab_row(lab, run, "elementwise", name, t);
            for (int64_t i = 0; i < WIDE; ++i) {
                double error = x[i] == 0 ? fabs((double)y[i]) : fabs((double)y[i] / silu((double)x[i]) - 1);
                bool far = x[i] < -87;
                CHECK(!far || fabsf(y[i]) < 2e-36f, "silu(%g) is %g", (double)x[i], (double)y[i]);
                at = !far && error > worst ? x[i] : at;
                worst = !far && error > worst ? error : worst;
            }
        }
    CHECK(worst < 0x1p-22, "%s: silu(%a) has a relative error of %g", lab->q->target->name, (double)at, worst);
    printf("%s: silu: largest relative error 2^%.2f\n", lab->q->target->name, log2(worst));
}

/* --- epilogues */

static void check_same(struct lab *lab, const char *kernel, const char *name, const char *other_kernel,
                       const char *other, int64_t columns)
{
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            CHECK(!memcmp(lab_row(lab, run, kernel, name, t), lab_row(lab, run, other_kernel, other, t),
                          (size_t)columns * sizeof(float)),
                  "%s: %s and %s differ in run %zu", lab->q->target->name, name, other, run);
}

/* Each fused thing twice: once where a second reader of the product keeps the work apart. */
static void add_epilogues(struct lab *lab, const struct qbc_format *f, uint64_t *seed)
{
    const char *p = qbc_text(lab->q, "%s", f->name), *w = qbc_text(lab->q, "w%s", p);
    const char *name = qbc_text(lab->q, "p%s", p), *alone = qbc_text(lab->q, "q%s", p);
    lab_fill(lab_matrix(lab, w, f, N, K), seed);
    lab_linear(lab, name, "x", w, N, K);  /* read twice below */
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "a%s", p), "r", name, N);
    lab_binary(lab, "qb.glu", qbc_text(lab->q, "b%s", p), name, "r", N);
    lab_binary(lab, "qb.glu", qbc_text(lab->q, "c%s", p), "r", name, N);
    lab_linear(lab, alone, "x", w, N, K);
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "A%s", p), "r", alone, N);
    lab_linear(lab, qbc_text(lab->q, "s%s", p), "x", w, N, K);
    lab_binary(lab, "qb.glu", qbc_text(lab->q, "B%s", p), qbc_text(lab->q, "s%s", p), "r", N);
    lab_linear(lab, qbc_text(lab->q, "u%s", p), "x", w, N, K);
    lab_binary(lab, "qb.glu", qbc_text(lab->q, "C%s", p), "r", qbc_text(lab->q, "u%s", p), N);
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "D%s", p), qbc_text(lab->q, "C%s", p), "r", N);
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "d%s", p), qbc_text(lab->q, "c%s", p), "r", N);
}

static void check_epilogues(struct lab *lab, const struct qbc_format *f)
{
    static const char apart[] = "abd", fused[] = "ABD";
    for (int i = 0; i < 3; ++i)
        check_same(lab, "elementwise", qbc_text(lab->q, "%c%s", apart[i], f->name), "linear",
                   qbc_text(lab->q, "%c%s", fused[i], f->name), N);
}

/* --- all of it in one module */

static void add_silu(struct lab *lab)
{
    float *wide = lab_input(lab, "wide", VOCABULARY, WIDE), *ones = lab_input(lab, "ones", VOCABULARY, WIDE);
    for (int i = 0; i < VOCABULARY * WIDE; ++i) {
        wide[i] = -100 + 200.0f * (float)i / (VOCABULARY * WIDE);
        ones[i] = 1;
    }
    lab_binary(lab, "qb.glu", "silu", "wide", "ones", WIDE);
    lab_binary(lab, "arith.addf", "sum", "wide", "ones", WIDE);
    lab_binary(lab, "arith.mulf", "product", "wide", "sum", WIDE);
}

/* The result of the module: the host gets the rows that it asked for, and these end exactly. */
static void check_product(struct lab *lab)
{
    const float *table = lab_values(lab, "twide");
    for (size_t run = 0; run < lab->job.runs; ++run) {
        int64_t first = lab->runs[run].first_logit * WIDE;
        for (int64_t i = first; i < lab->runs[run].n_tokens * WIDE; ++i) {
            float x = table[lab->tokens[run][i / WIDE] * WIDE + i % WIDE], sum = x + 1, want = x * sum;
            CHECK(lab_logits(lab, run)[i - first] == want, "%a * (%a + 1) is %a", (double)x, (double)x,
                  (double)lab_logits(lab, run)[i - first]);
        }
    }
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static const int counts[] = {1, 33, 14};
    static const char *const formats[] = {"f32", "i4g32"};
    struct lab lab;
    uint64_t seed = 3;
    lab_begin(&lab, q, machine);
    add_silu(&lab);
    lab_fill(lab_table(&lab, "x", qbc_find_format(q, "f32"), VOCABULARY, K), &seed);
    lab_fill(lab_table(&lab, "r", qbc_find_format(q, "f32"), VOCABULARY, N), &seed);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        add_epilogues(&lab, qbc_find_format(q, formats[i]), &seed);
    lab_run_counts(&lab, sizeof counts / sizeof *counts, counts, VOCABULARY);
    lab_run(&lab, false, 5, (int32_t[]){9, 8, 7, 6, 5}, 0, 3);
    bool good = lab_build(&lab, "product", WIDE) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    if (good) {
        check_silu(&lab, "silu", "wide");
        check_product(&lab);
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats && good; ++i)
        check_epilogues(&lab, qbc_find_format(q, formats[i]));
    lab_end(&lab);
}

/* kernel_elementwise_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
