/* kernel_gpt_test: what models of the GPT-2 kind need beside products and attention.
 *
 *   activations      each on a dense range against f64: the errors below
 *   layer_norm       against f64; runs shorter than the row; with and without a bias
 *   embed_positions  rows of the table by position, bit for bit
 *   bias             the bits of the same work after the product, for rows that end within a panel
 */
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, WIDE = 1000, ODD = 344, K = 64, N = 77, FIRST = 2 };

/* --- activations */

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double gelu(double x)
{
    return x * erfc(-x / sqrt(2)) / 2;
}

static double gelu_tanh(double x)
{
    double u = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}

static double gelu_quick(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double relu2(double x)
{
    return relu(x) * relu(x);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return log1p(exp(x));
}

/* Largest relative error on -10 .. 10, and more for each x^2: what rounding the exponential's argument costs. */
static const struct {
    const char *name;
    double (*of)(double x);
    double error, by_square;
} activations[] = {
    {"silu", silu, 0x1p-21, 0},
    {"gelu", gelu, 0x1p-21, 0x1p-23},
    {"gelu_tanh", gelu_tanh, 0x1p-20, 0x1p-21},
    {"gelu_quick", gelu_quick, 0x1p-21, 0x1p-25},
    {"relu", relu, 0, 0},
    {"relu2", relu2, 0x1p-23, 0},
    {"sigmoid", sigmoid, 0x1p-21, 0},
    {"tanh", tanh, 0x1p-21, 0},
    {"exp", exp, 0x1p-21, 0},
    {"softplus", softplus, 0x1p-20, 0},
    {"abs", fabs, 0, 0},
};
enum { N_ACTIVATIONS = sizeof activations / sizeof *activations };

static void add_activations(struct lab *lab)
{
    float *wide = lab_input(lab, "wide", VOCABULARY, WIDE);
    for (int i = 0; i < VOCABULARY * WIDE; ++i)
        wide[i] = -10 + 20.0f * (float)i / (VOCABULARY * WIDE);
    for (size_t i = 0; i < N_ACTIVATIONS; ++i)
        lab_say(lab, "%%%s = \"qb.act\"(%%wide) {act = \"%s\"} : (tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"%s\")\n",
                activations[i].name, activations[i].name, WIDE, WIDE, activations[i].name);
}

static void check_activation(struct lab *lab, size_t which)
{
    const float *table = lab_values(lab, "twide");
    const char *name = activations[which].name;
    double worst = 0;
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * WIDE, *y = lab_row(lab, run, "elementwise", name, t);
            for (int64_t i = 0; i < WIDE; ++i) {
                double want = activations[which].of((double)x[i]), error = fabs((double)y[i] - want);
                double bound = activations[which].error + activations[which].by_square * (double)x[i] * (double)x[i];
                CHECK(error <= bound * fabs(want) + 0x1p-120, "%s: %s(%a) is %a, want %a", lab->q->target->name, name,
                      (double)x[i], (double)y[i], want);
                worst = want != 0 && error / fabs(want) > worst ? error / fabs(want) : worst;
            }
        }
    printf("%s: %s: largest relative error 2^%.2f\n", lab->q->target->name, name, log2(worst));
}

/* --- layer norm */

static void add_layer_norm(struct lab *lab, const char *name, const char *x, int64_t cols, int64_t length, bool biased,
                           uint64_t *seed)
{
    float *gain = lab_vector(lab, qbc_text(lab->q, "g%s", name), length);
    float *bias = lab_vector(lab, qbc_text(lab->q, "b%s", name), length);
    for (int64_t i = 0; i < length; ++i) {
        gain[i] = 1 + 0.5f * check_normal(seed);
        bias[i] = check_normal(seed);
    }
    const char *more = biased ? qbc_text(lab->q, ", %%b%s", name) : "";
    const char *type = biased ? qbc_text(lab->q, ", tensor<%ldxf32>", (long)length) : "";
    lab_say(lab,
            "%%%s = \"qb.layer_norm\"(%%%s, %%g%s%s) {eps = 1.0e-5 : f32} : (tensor<?x%ldxf32>, tensor<%ldxf32>%s) -> "
            "tensor<?x%ldxf32> loc(\"%s\")\n",
            name, x, name, more, (long)cols, (long)length, type, (long)cols, name);
}

static double largest(const float *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; ++i)
        most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
    return most;
}

/* y of one run of columns; the mean and each difference are rounded, then as an RMS norm of the differences. */
static void check_run(struct lab *lab, const char *name, const float *x, const float *y, int64_t n, bool biased)
{
    const float *gain = lab_tensor(lab, qbc_text(lab->q, "g%s", name))->vector;
    const float *bias = lab_tensor(lab, qbc_text(lab->q, "b%s", name))->vector;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < n; ++i)
        mean += (double)x[i] / (double)n;
    for (int64_t i = 0; i < n; ++i)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    double inverse = 1 / sqrt(variance + (double)1.0e-5f);
    double roundings = (double)n * largest(x, n) * inverse + (double)n + 8;
    for (int64_t i = 0; i < n; ++i) {
        double product = ((double)x[i] - mean) * inverse * (double)gain[i], shift = biased ? (double)bias[i] : 0;
        double bound = roundings * reference_unit * (fabs(product) + fabs((double)gain[i]) + fabs(shift));
        CHECK(fabs((double)y[i] - product - shift) <= bound, "%s: layer_norm %s over %ld: %g, want %g",
              lab->q->target->name, name, (long)n, (double)y[i], product + shift);
    }
}

static void check_layer_norm(struct lab *lab, const char *name, const char *input, int64_t columns, int64_t length,
                             bool biased)
{
    const float *table = lab_values(lab, qbc_text(lab->q, "t%s", input));
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * columns, *y = lab_row(lab, run, "layer_norm", name, t);
            for (int64_t from = 0; from < columns; from += length)
                check_run(lab, name, x + from, y + from, length, biased);
        }
}

/* --- positions and bias */

static void add_positions(struct lab *lab, uint64_t *seed)
{
    lab_fill(lab_matrix(lab, "table", qbc_format_find("f32"), CONTEXT + FIRST, K), seed);
    lab_say(lab,
            "%%positions = \"qb.embed_positions\"(%%table) {first = %d : i64} : (tensor<%dx%dxf32>) -> tensor<?x%dxf32> "
            "loc(\"positions\")\n",
            FIRST, CONTEXT + FIRST, K, K);
}

static void check_positions(struct lab *lab)
{
    const float *table = lab_values(lab, "table");
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            CHECK(!memcmp(lab_row(lab, run, "embed_positions", "positions", t),
                          table + (lab->runs[run].pos + t + FIRST) * K, K * sizeof *table),
                  "%s: position %ld has another row", lab->q->target->name, (long)(lab->runs[run].pos + t));
}

static void say_bias(struct lab *lab, const char *name, const char *x)
{
    lab_say(lab, "%%%s = \"qb.bias\"(%%%s, %%shift) : (tensor<?x%dxf32>, tensor<%dxf32>) -> tensor<?x%dxf32> loc(\"%s\")\n",
            name, x, N, N, N, name);
}

/* Twice: once where a second reader of the product keeps the work apart. */
static void add_bias(struct lab *lab, const char *format, uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", format), *p = qbc_text(lab->q, "p%s", format);
    const char *r = qbc_text(lab->q, "r%s", format), *alone = qbc_text(lab->q, "alone%s", format);
    const char *act = "{act = \"gelu\"}";
    lab_fill(lab_matrix(lab, w, qbc_find_format(lab->q, format), N, K), seed);
    lab_linear(lab, p, "x", w, N, K);
    say_bias(lab, alone, p);
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "twice%s", format), p, p, N);
    lab_linear(lab, r, "x", w, N, K);
    say_bias(lab, qbc_text(lab->q, "s%s", format), r);
    lab_say(lab, "%%apart%s = \"qb.act\"(%%%s) %s : (tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"apart%s\")\n", format,
            alone, act, N, N, format);
    lab_say(lab, "%%fused%s = \"qb.act\"(%%s%s) %s : (tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"fused%s\")\n", format,
            format, act, N, N, format);
}

static void check_bias(struct lab *lab, const char *format)
{
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            CHECK(!memcmp(lab_row(lab, run, "elementwise", qbc_text(lab->q, "apart%s", format), t),
                          lab_row(lab, run, "linear", qbc_text(lab->q, "fused%s", format), t), N * sizeof(float)),
                  "%s: bias and gelu in a product of %s differ from the same alone", lab->q->target->name, format);
}

static void check_all(struct lab *lab)
{
    for (size_t i = 0; i < N_ACTIVATIONS; ++i)
        check_activation(lab, i);
    check_layer_norm(lab, "n1", "wide", WIDE, WIDE, true);
    check_layer_norm(lab, "n2", "odd", ODD, ODD, false);
    check_layer_norm(lab, "n3", "odd", ODD, 43, true);
    check_positions(lab);
    check_bias(lab, "f32");
    check_bias(lab, "i4g32");
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static const int counts[] = {1, 33, 14};
    struct lab lab;
    uint64_t seed = 3;
    lab_begin(&lab, q, machine);
    add_activations(&lab);
    lab_fill(lab_table(&lab, "odd", qbc_format_find("f32"), VOCABULARY, ODD), &seed);
    add_layer_norm(&lab, "n1", "wide", WIDE, WIDE, true, &seed);
    add_layer_norm(&lab, "n2", "odd", ODD, ODD, false, &seed);
    add_layer_norm(&lab, "n3", "odd", ODD, 43, true, &seed);
    add_positions(&lab, &seed);
    lab_fill(lab_table(&lab, "x", qbc_format_find("f32"), VOCABULARY, K), &seed);
    float *shift = lab_vector(&lab, "shift", N);
    for (int i = 0; i < N; ++i)
        shift[i] = check_normal(&seed);
    add_bias(&lab, "f32", &seed);
    add_bias(&lab, "i4g32", &seed);
    lab_run_counts(&lab, sizeof counts / sizeof *counts, counts, VOCABULARY);
    lab_run(&lab, false, 5, (int32_t[]){9, 8, 7, 6, 5}, 40, 0);
    bool good = lab_build(&lab, "twicef32", N) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    if (good)
        check_all(&lab);
    lab_end(&lab);
}

/* kernel_gpt_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
