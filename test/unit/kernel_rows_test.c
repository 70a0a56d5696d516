/* kernel_rows_test: kernels that work on rows.
 *
 *   quantize     records bit for bit (docs/numerics.md, rules 10 and 11): zeros, subnormals, ties, infinities
 *   act          other ways to round, number by number as qbc_activation_round does: a token's scale, zero points, static
 *   rms_norm     sums of f32 against f64; runs shorter than the row; into a quantize
 */
#include "activation.h"
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, WIDE = 1000, ODD = 344, NARROW = 172 };

/* --- quantize */

static float edge(int kind, int64_t i, uint64_t *seed)
{
    static const float least = 0x1p-100f;
    switch (kind) {
    case 0: /* ties: the scale is 1 */
        return i % 32 == 0 ? 127 : (float)(i % 32) - 15.5f;
    case 1:
        return i % 32 == 3 ? nextafterf(least, 0) : 0x1p-110f;
    case 2:
        return i % 32 == 31 ? -least : 0x1p-103f * check_normal(seed);
    case 3: /* largest and smallest together */
        return i % 2 ? 3.4028234e38f : 0x1p-149f;
    case 4:
        return i == 40 ? INFINITY : i == 80 ? -INFINITY : i == 100 ? NAN : check_normal(seed);
    case 5:
        return -0.0f;
    case 6: /* one value only, everywhere in a run */
        return i % 33 ? 0 : check_normal(seed);
    default:
        return check_normal(seed) * ldexpf(1, (int)(i / 32) % 60 - 30);
    }
}

static void check_record(struct lab *lab, const uint8_t *record, const float *x, int64_t n, int64_t multiplier,
                         int token, int64_t index)
{
    int8_t codes[REFERENCE_RUN];
    float scale = n > 0 ? reference_quantize(x, n, codes) : 0, got_scale;
    int32_t sum = 0, got_minus;
    memset(codes, 0, n > 0 ? 0 : sizeof codes);
    memcpy(&got_minus, record + QBC_ACT_MINUS, 4);
    memcpy(&got_scale, record + QBC_ACT_SCALE, 4);
    for (int i = 0; i < REFERENCE_RUN; ++i)
        sum += codes[i];
    bool same_scale = isnan(scale) ? isnan(got_scale) : !memcmp(&scale, &got_scale, 4);
    CHECK(same_scale, "%s token %d record %ld: scale %a, want %a", lab->q->target->name, token, (long)index,
          (double)got_scale, (double)scale);
    CHECK(got_minus == -multiplier * sum, "%s token %d record %ld: sum %d, want %ld * %d",
          lab->q->target->name, token, (long)index, got_minus, (long)-multiplier, sum);
    CHECK(!memcmp(codes, record + QBC_ACT_CODES, sizeof codes), "%s token %d record %ld: codes differ",
          lab->q->target->name, token, (long)index);
}

/* Rows quantized for product `name` from the table of `input`; a group of the weights asks for
 * `records`, of which those past the row hold nothing. */
static void check_quantize(struct lab *lab, const char *name, const char *input, int64_t columns,
                           int64_t records, int64_t multiplier)
{
    const float *table = lab_values(lab, qbc_text(lab->q, "t%s", input));
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            int token = lab->tokens[run][t];
            const uint8_t *row = lab_row(lab, run, "quantize", name, t);
            for (int64_t i = 0; i < records; ++i) {
                int64_t rest = columns - i * REFERENCE_RUN;
                check_record(lab, row + i * QBC_ACT_RECORD, table + token * columns + i * REFERENCE_RUN,
                             rest < REFERENCE_RUN ? rest : REFERENCE_RUN, multiplier, token, i);
            }
        }
}

/* --- other activations */

static const char *const acts[] = {"i8t", "i4tz", "i4t", "i8s", "i4sz", "i6g96", "i7g64z", "i4tq", "i7g64q", "i2g96q"};
enum { N_ACTS = sizeof acts / sizeof *acts };
static const float act_low = -1.5f, act_high = 2.25f; /* of static ones */

/* Every second one is clipped; static ones, and those by rms, are not, whatever they are told. */
static float clip_of(int n, float share)
{
    return n % 2 ? share : 1;
}
static const float clip_low = 0.75f, clip_high = 0.9f;

/* The sum of squares is added up in another order than the reference's, so it may be the other one of two that are equally near. */
static bool is_by_rms(float got, float want, float x, float scale)
{
    bool same = fabsf(got - want) <= 1e-4f * fabsf(want), beside = fabsf(got - want) <= 2.001f * scale;
    return same || (beside && fabsf(fabsf(got - x) - scale) <= 1e-3f * scale + 1e-5f * fabsf(x));
}

static void check_act(struct lab *lab, int n, int64_t columns)
{
    const char *name = acts[n];
    const float *table = lab_values(lab, qbc_text(lab->q, "tx%s", name));
    float *want = qbc_alloc(lab->q, (size_t)columns * sizeof *want);
    struct qbc_activation act;
    CHECK(qbc_activation_parse(name, &act), "%s is no activation", name);
    act.clip_low = clip_of(n, clip_low), act.clip_high = clip_of(n, clip_high);
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * columns;
            const uint8_t *row = lab_row(lab, run, "quantize", name, t);
            qbc_activation_round(&act, columns, act_low, act_high, x, want);
            for (int64_t i = 0; i < columns; ++i) {
                const uint8_t *record = row + i / REFERENCE_RUN * QBC_ACT_RECORD;
                bool group_is_bad = false; /* a static scale is nobody's fault but of the columns beside */
                float scale;
                memcpy(&scale, record + QBC_ACT_SCALE, 4);
                for (int64_t j = i / REFERENCE_RUN * REFERENCE_RUN; j < columns && j < (i / REFERENCE_RUN + 1) * REFERENCE_RUN; ++j)
                    group_is_bad = group_is_bad || !isfinite(x[j]);
                float got = scale * (float)(int8_t)record[QBC_ACT_CODES + i % REFERENCE_RUN];
                bool as_wanted = act.rms ? is_by_rms(got, want[i], x[i], scale) : got == want[i];
                bool good = isnan(want[i]) || group_is_bad ? isnan(got) : as_wanted;
                CHECK(good, "%s: %s, token %d column %ld: %a is %a, not %a", lab->q->target->name, name,
                      lab->tokens[run][t], (long)i, (double)x[i], (double)got, (double)want[i]);
            }
        }
}

/* --- norm */

static double inverse_rms(const float *x, int64_t n, double eps)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i] * (double)x[i];
    return 1 / sqrt(sum / (double)n + eps);
}

static void check_norm(struct lab *lab, const char *name, const char *input, int64_t columns, int64_t length,
                       double eps)
{
    const float *table = lab_values(lab, qbc_text(lab->q, "t%s", input));
    const float *gain = lab_tensor(lab, qbc_text(lab->q, "g%s", name))->vector;
    double worst = 0;
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * columns;
            const float *y = lab_row(lab, run, "rms_norm", name, t);
            for (int64_t i = 0; i < columns; ++i) {
                double want = (double)x[i] * (double)gain[i % length] *
                              inverse_rms(x + i / length * length, length, (double)(float)eps);
                double error = want == 0 ? fabs((double)y[i]) : fabs((double)y[i] / want - 1);
                worst = error > worst ? error : worst;
            }
        }
    /* a sum of n positive terms, halved by the root; six more roundings */
    CHECK(worst <= ((double)length / 2 + 6) * reference_unit, "%s: rms_norm over %ld: relative error %g",
          lab->q->target->name, (long)length, worst);
}

/* Quantized within the same kernel: the f64 norm is known only nearly, so a code may be its neighbour. */
static void check_norm_quantize(struct lab *lab, const char *name, const char *norm, const char *input,
                                int64_t columns, double eps)
{
    const float *table = lab_values(lab, qbc_text(lab->q, "t%s", input));
    const float *gain = lab_tensor(lab, qbc_text(lab->q, "g%s", norm))->vector;
    double worst = 0;
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *x = table + lab->tokens[run][t] * columns;
            const uint8_t *row = lab_row(lab, run, "quantize", name, t);
            double inverse = inverse_rms(x, columns, (double)(float)eps);
            for (int64_t i = 0; i < columns; ++i) {
                const uint8_t *record = row + i / REFERENCE_RUN * QBC_ACT_RECORD;
                float scale;
                memcpy(&scale, record + QBC_ACT_SCALE, 4);
                int code = (int8_t)record[QBC_ACT_CODES + i % REFERENCE_RUN];
                double steps = (double)x[i] * (double)gain[i] * inverse / (double)scale - code;
                worst = fabs(steps) > worst ? fabs(steps) : worst;
            }
        }
    CHECK(worst < 0.51, "%s: a normalised value is %g steps from its code", lab->q->target->name, worst);
}

/* --- all of it in one module */

static void add_product(struct lab *lab, const char *name, const char *x, const char *format, int64_t columns,
                        uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", name);
    lab_fill(lab_matrix(lab, w, qbc_find_format(lab->q, format), 5, columns), seed);
    lab_linear(lab, name, x, w, 5, columns);
}

/* Quantized for a zero-point format (rows padded to its group), for one bias, for two biases. */
static void add_quantizes(struct lab *lab, uint64_t *seed)
{
    static const char *const inputs[] = {"edges", "edges2", "edges3"};
    for (int copy = 0; copy < 3; ++copy) {
        uint64_t same = 5;
        float *x = lab_input(lab, inputs[copy], VOCABULARY, NARROW);
        for (int i = 0; i < VOCABULARY * NARROW; ++i)
            x[i] = edge(i / NARROW % 9, i % NARROW, &same);
    }
    add_product(lab, "z", "edges", "i4g128z", NARROW, seed);
    add_product(lab, "b", "edges2", "i4g32", NARROW, seed);
    add_product(lab, "m", "edges3", "i8g32", NARROW, seed);
    add_product(lab, "m2", "edges3", "i4g32", NARROW, seed);
}

static void add_acts(struct lab *lab, uint64_t *seed)
{
    for (int n = 0; n < N_ACTS; ++n) {
        uint64_t same = 7;
        float *x = lab_input(lab, qbc_text(lab->q, "x%s", acts[n]), VOCABULARY, NARROW);
        for (int i = 0; i < VOCABULARY * NARROW; ++i)
            x[i] = edge(i / NARROW % 9, i % NARROW, &same);
        lab_fill(lab_matrix(lab, qbc_text(lab->q, "w%s", acts[n]), qbc_find_format(lab->q, "i4g32"), 5, NARROW), seed);
        lab_say(lab,
                "%%a%s = \"qb.quantize\"(%%x%s) {act = \"%s\", low = %.9e : f32, high = %.9e : f32, clip_low = %.9e : f32, "
                "clip_high = %.9e : f32} : (tensor<?x%dxf32>) -> tensor<?x%dx!qb.block<\"i8g32\">> loc(\"%s\")\n",
                acts[n], acts[n], acts[n], (double)act_low, (double)act_high, (double)clip_of(n, clip_low),
                (double)clip_of(n, clip_high), NARROW, NARROW, acts[n]);
        lab_say(lab,
                "%%y%s = \"qb.linear\"(%%a%s, %%w%s) : (tensor<?x%dx!qb.block<\"i8g32\">>, tensor<5x%dxf32>) -> "
                "tensor<?x5xf32> loc(\"y%s\")\n",
                acts[n], acts[n], acts[n], NARROW, NARROW, acts[n]);
    }
}

static void add_norms(struct lab *lab, uint64_t *seed)
{
    lab_fill(lab_table(lab, "wide", qbc_find_format(lab->q, "f32"), VOCABULARY, WIDE), seed);
    lab_fill(lab_table(lab, "x", qbc_find_format(lab->q, "f32"), VOCABULARY, ODD), seed);
    lab_norm(lab, "n1", "wide", WIDE, WIDE, 1e-5, seed);
    lab_norm(lab, "n2", "x", ODD, ODD, 1e-6, seed);
    lab_norm(lab, "n3", "x", ODD, 43, 0.5, seed);
    lab_norm(lab, "n4", "x", ODD, ODD, 1e-6, seed); /* read by a quantize only: fused */
    add_product(lab, "q4", "n4", "i8g32", ODD, seed);
}

static void check_all(struct lab *lab)
{
    check_quantize(lab, "z", "edges", NARROW, 8, 1);
    check_quantize(lab, "b", "edges2", NARROW, 6, 8);
    check_quantize(lab, "m", "edges3", NARROW, 6, 1);
    for (int n = 0; n < N_ACTS; ++n)
        check_act(lab, n, NARROW);
    check_norm(lab, "n1", "wide", WIDE, WIDE, 1e-5);
    check_norm(lab, "n2", "x", ODD, ODD, 1e-6);
    check_norm(lab, "n3", "x", ODD, 43, 0.5);
    check_norm_quantize(lab, "q4", "n4", "x", ODD, 1e-6);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static const int counts[] = {1, 33, 14};
    struct lab lab;
    uint64_t seed = 3;
    lab_begin(&lab, q, machine);
    add_quantizes(&lab, &seed);
    add_acts(&lab, &seed);
    add_norms(&lab, &seed);
    lab_run_counts(&lab, sizeof counts / sizeof *counts, counts, VOCABULARY);
    bool good = lab_build(&lab, "q4", 5) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    if (good)
        check_all(&lab);
    lab_end(&lab);
}

/* kernel_rows_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
