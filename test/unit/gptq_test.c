/* GPTQ against the textbook in f64, one column at a time, as they come and by falling H_jj; the factor of the inverse against its definition. */
#include "check.h"
#include "gptq.h"
#include "half.h"
#include "linear_algebra.h"

#include <math.h>
#include <string.h>

enum { ROWS = 24, COLS = 192, SAMPLES = 700 };

/* x [SAMPLES][COLS] with channels of different size that depend on each other; h = 2/T sum x^T x. */
static void make_h(float *h, uint64_t *state)
{
    static float x[SAMPLES][COLS];
    for (int t = 0; t < SAMPLES; ++t)
        for (int j = 0; j < COLS; ++j)
            x[t][j] = check_normal(state) * (0.2f + (float)(j % 7)) + (j > 2 ? 0.7f * x[t][j - 1] - 0.4f * x[t][j - 3] : 0);
    for (int i = 0; i < COLS; ++i)
        for (int j = 0; j < COLS; ++j) {
            double sum = 0;
            for (int t = 0; t < SAMPLES; ++t)
                sum += (double)x[t][i] * (double)x[t][j];
            h[i * COLS + j] = (float)(2 * sum / SAMPLES);
        }
}

static void test_factor(const float *h)
{
    static float u[COLS * COLS];
    double worst = 0;
    REQUIRE(qbc_inverse_factor(COLS, h, u));
    for (int i = 0; i < COLS; ++i) /* h u^T u = 1 */
        for (int j = 0; j < COLS; ++j) {
            double sum = 0;
            for (int k = 0; k < COLS; ++k) {
                double inverse = 0;
                for (int m = 0; m <= (k < j ? k : j); ++m)
                    inverse += (double)u[m * COLS + k] * (double)u[m * COLS + j];
                sum += (double)h[i * COLS + k] * inverse;
            }
            worst = fmax(worst, fabs(sum - (i == j)));
        }
    CHECK(worst < 1e-3, "H U^T U differs from 1 by %g", worst);
    for (int i = 1; i < COLS; ++i)
        CHECK(u[i * COLS + i - 1] == 0, "U is upper triangular at %d", i);
    float indefinite[4] = {1, 2, 2, 1};
    CHECK(!qbc_inverse_factor(2, indefinite, u), "no factor of what is not positive definite");
}

/* --- the textbook: Hinv by Gauss-Jordan, its Cholesky factor by definition, all in f64 */

static double inverse[COLS][2 * COLS], upper[COLS][COLS];

/* order: the column at each place of the inverse. */
static void invert(const float *h, double damping, const int *order)
{
    double mean = 0;
    for (int j = 0; j < COLS; ++j)
        mean += (double)h[j * (COLS + 1)] / COLS;
    for (int i = 0; i < COLS; ++i)
        for (int j = 0; j < COLS; ++j) {
            inverse[i][j] = (double)h[order[i] * COLS + order[j]] + (i == j ? damping * mean : 0);
            inverse[i][COLS + j] = i == j;
        }
    for (int p = 0; p < COLS; ++p) {
        double pivot = inverse[p][p];
        for (int j = 0; j < 2 * COLS; ++j)
            inverse[p][j] /= pivot;
        for (int i = 0; i < COLS; ++i) {
            double factor = i == p ? 0 : inverse[i][p];
            for (int j = 0; j < 2 * COLS && factor != 0; ++j)
                inverse[i][j] -= factor * inverse[p][j];
        }
    }
}

static void factor_inverse(void)
{
    for (int i = 0; i < COLS; ++i)
        for (int j = i; j < COLS; ++j) {
            double sum = inverse[i][COLS + j];
            for (int k = 0; k < i; ++k)
                sum -= upper[k][i] * upper[k][j];
            upper[i][j] = i == j ? sqrt(sum) : sum / upper[i][i];
        }
}

static void textbook(const struct qbc_format *f, const float *w, const float *h, struct qbc_blocks *b)
{
    float diagonal[COLS], unit[COLS];
    double row[COLS];
    struct qbc_grid grid;
    for (int j = 0; j < COLS; ++j)
        diagonal[j] = h[j * (COLS + 1)];
    for (int r = 0; r < ROWS; ++r) {
        for (int j = 0; j < COLS; ++j)
            row[j] = (double)w[r * COLS + j];
        for (int j = 0; j < COLS; ++j) {
            int n = f->block ? f->block : f->group;
            if (j % n == 0) {
                n = n < COLS - j ? n : COLS - j;
                for (int k = 0; k < n; ++k)
                    unit[k] = (float)row[j + k];
                REQUIRE(qbc_fit_unit(QBC_FIT_RANGE, b, r, j / (f->block ? f->block : f->group), n, unit, diagonal + j) < 0);
            }
            qbc_unit_grid(b, r, j / f->group, &grid);
            int code = qbc_grid_round(&grid, (float)row[j]);
            b->codes[(int64_t)r * b->groups * f->group + j] = (uint8_t)code;
            double e = (row[j] - (double)grid.value[code]) / upper[j][j];
            for (int k = j; k < COLS; ++k)
                row[k] -= e * upper[j][k];
        }
    }
}

/* All groups fitted at first, then one column of the order after the other. */
static void textbook_ordered(const struct qbc_format *f, const float *w, const float *h, const int *order, struct qbc_blocks *b)
{
    float diagonal[COLS];
    double row[COLS];
    struct qbc_grid grid;
    for (int j = 0; j < COLS; ++j)
        diagonal[j] = h[j * (COLS + 1)];
    for (int r = 0; r < ROWS; ++r) {
        int n = f->block ? f->block : f->group;
        for (int j = 0; j < COLS; j += n)
            REQUIRE(qbc_fit_unit(QBC_FIT_RANGE, b, r, j / n, n < COLS - j ? n : COLS - j, w + r * COLS + j, diagonal + j) < 0);
        for (int i = 0; i < COLS; ++i)
            row[i] = (double)w[r * COLS + order[i]];
        for (int i = 0; i < COLS; ++i) {
            qbc_unit_grid(b, r, order[i] / f->group, &grid);
            int code = qbc_grid_round(&grid, (float)row[i]);
            b->codes[(int64_t)r * b->groups * f->group + order[i]] = (uint8_t)code;
            double e = (row[i] - (double)grid.value[code]) / upper[i][i];
            for (int k = i; k < COLS; ++k)
                row[k] -= e * upper[i][k];
        }
    }
}

static int64_t count_different(const struct qbc_blocks *a, const struct qbc_blocks *b)
{
    int64_t differ = 0, width = a->groups * a->format->group;
    for (int r = 0; r < ROWS; ++r)
        for (int j = 0; j < COLS; ++j)
            differ += a->codes[r * width + j] != b->codes[r * width + j];
    return differ;
}

/* sum over rows of (w - q) H (w - q)^T */
static double loss_of(const float *w, const struct qbc_blocks *b, const float *h)
{
    static float q[ROWS * COLS];
    double loss = 0;
    qbc_format_decode(b, q);
    for (int r = 0; r < ROWS; ++r)
        for (int i = 0; i < COLS; ++i)
            for (int j = 0; j < COLS; ++j)
                loss += (double)(w[r * COLS + i] - q[r * COLS + i]) * (double)h[i * COLS + j] *
                        (double)(w[r * COLS + j] - q[r * COLS + j]);
    return loss;
}

struct losses {
    double ours, theirs; /* to nearest codes */
};

/* The textbook's codes; less loss than of nearest codes, which are fitted here; as much as the sweep said. */
static struct losses compare(const char *name, const float *w, const float *h, const struct qbc_blocks *fast, const struct qbc_blocks *slow,
                             struct qbc_blocks *nearest, double loss)
{
    int64_t differ = count_different(fast, slow);
    CHECK(differ == 0, "%s: %ld of %d codes differ from the textbook's", name, (long)differ, ROWS * COLS);
    qbc_format_fit(QBC_FIT_RTN, nearest, 0, ROWS, w);
    struct losses l = {loss_of(w, fast, h), loss_of(w, nearest, h)};
    CHECK(l.ours < 0.8 * l.theirs, "%s: loss %g, to nearest %g", name, l.ours, l.theirs);
    CHECK(fabs(2 * loss - l.ours) < 0.2 * l.ours, "%s: the sweep says %g, it is %g", name, 2 * loss, l.ours);
    return l;
}

static void test_format(const char *name, const float *h, uint64_t *state)
{
    static float w[ROWS * COLS], used[ROWS * COLS];
    struct qbc_format f;
    char why[QBC_FORMAT_WHY];
    struct qbc_blocks fast, slow, nearest;
    struct qbc_sweep sweep;
    double loss;
    REQUIRE(qbc_format_parse(name, &f, why) && qbc_can_sweep(&f));
    for (int i = 0; i < ROWS * COLS; ++i)
        used[i] = w[i] = 0.05f * check_normal(state);
    REQUIRE(qbc_blocks_create(&fast, &f, ROWS, COLS) && qbc_blocks_create(&slow, &f, ROWS, COLS) &&
            qbc_blocks_create(&nearest, &f, ROWS, COLS) && qbc_sweep_create(&sweep, COLS, h, QBC_DAMPING, false));
    CHECK(qbc_gptq(&sweep, &fast, 0, ROWS, used, &loss) < 0, "%s: all weights are kept", name);
    textbook(&f, w, h, &slow);
    const struct losses l = compare(name, w, h, &fast, &slow, &nearest, loss);
    memcpy(used, w, sizeof w);
    sweep.h = h;
    CHECK(qbc_gptq(&sweep, &fast, 0, ROWS, used, NULL) < 0, "%s: refined", name);
    double refined = loss_of(w, &fast, h);
    bool fine = f.bits > 6; /* little is left to do */
    CHECK(refined < (fine ? 1.001 : 0.995) * l.ours, "%s: refined to %g from %g", name, refined, l.ours);
    CHECK(qbc_refine(&sweep, &nearest, 0, ROWS, w) && loss_of(w, &nearest, h) < 0.8 * l.theirs, "%s: from nearest codes to %g", name,
          loss_of(w, &nearest, h));
    qbc_sweep_destroy(&sweep);
    qbc_blocks_destroy(&fast);
    qbc_blocks_destroy(&slow);
    qbc_blocks_destroy(&nearest);
}

/* By falling H_jj; `upper` is of that order. */
static void test_ordered(const char *name, const float *h, const int *order, uint64_t *state)
{
    static float w[ROWS * COLS], used[ROWS * COLS];
    struct qbc_format f;
    char why[QBC_FORMAT_WHY];
    struct qbc_blocks fast, slow, nearest;
    struct qbc_sweep sweep;
    double loss;
    REQUIRE(qbc_format_parse(name, &f, why) && qbc_sweep_create(&sweep, COLS, h, QBC_DAMPING, true));
    for (int j = 0; j < COLS; ++j)
        CHECK(sweep.order[j] == order[j], "place %d has column %d, not %d", j, sweep.order[j], order[j]);
    for (int i = 0; i < ROWS * COLS; ++i)
        used[i] = w[i] = 0.05f * check_normal(state);
    REQUIRE(qbc_blocks_create(&fast, &f, ROWS, COLS) && qbc_blocks_create(&slow, &f, ROWS, COLS) &&
            qbc_blocks_create(&nearest, &f, ROWS, COLS));
    CHECK(qbc_gptq(&sweep, &fast, 0, ROWS, used, &loss) < 0, "%s: all weights are kept", name);
    textbook_ordered(&f, w, h, order, &slow);
    compare(name, w, h, &fast, &slow, &nearest, loss);
    qbc_sweep_destroy(&sweep);
    qbc_blocks_destroy(&fast);
    qbc_blocks_destroy(&slow);
    qbc_blocks_destroy(&nearest);
}

static void test_orders(const float *h, uint64_t *state)
{
    static const char *const formats[] = {"i4g32", "i3g64z", "i2g128", "nf4g64"};
    int order[COLS];
    for (int j = 0; j < COLS; ++j) { /* inserted where it belongs */
        int at = j;
        for (; at && h[order[at - 1] * (COLS + 1)] < h[j * (COLS + 1)]; --at)
            order[at] = order[at - 1];
        order[at] = j;
    }
    invert(h, QBC_DAMPING, order);
    factor_inverse();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        test_ordered(formats[i], h, order, state);
}

/* Ranges by |error|^2.4: of one group, against all of them in f64. */
static void test_power(const char *name, uint64_t *state)
{
    enum { N = 32 };
    struct qbc_format f;
    char why[QBC_FORMAT_WHY];
    struct qbc_blocks b;
    float w[N], h[N], q[N];
    REQUIRE(qbc_format_parse(name, &f, why) && qbc_blocks_create(&b, &f, 1, N));
    for (int i = 0; i < N; ++i) {
        w[i] = check_normal(state);
        h[i] = (float)(1 + i % 3);
    }
    double least = INFINITY, losses[2] = {0};
    float low = (float)(f.low - f.bias), high = (float)(f.high - f.bias);
    qbc_format_fit(QBC_FIT_RTN, &b, 0, 1, w);
    float plain = qbc_half_to_float(b.scales[0]);
    for (int step = 0; step <= 100; ++step) {
        float scale = qbc_half_to_float(qbc_float_to_half(plain * (0.9f + 0.002f * (float)step)));
        double loss = 0;
        for (int i = 0; i < N; ++i)
            loss += (double)h[i] * pow(fabs((double)w[i] - (double)(scale * fminf(fmaxf(rintf(w[i] / scale), low), high))), 2.4);
        least = fmin(least, loss);
    }
    for (int fit = 0; fit < 2; ++fit) {
        REQUIRE(qbc_fit_unit(fit ? QBC_FIT_POWER : QBC_FIT_RTN, &b, 0, 0, N, w, h) < 0);
        qbc_format_decode(&b, q);
        for (int i = 0; i < N; ++i)
            losses[fit] += (double)h[i] * pow(fabs((double)w[i] - (double)q[i]), 2.4);
    }
    CHECK(fabs(losses[1] - least) < 1e-3 * least && losses[1] <= losses[0] * 1.000001, "%s: %g, the least is %g, from the ends %g", name,
          losses[1], least, losses[0]);
    qbc_blocks_destroy(&b);
}

/* Split, summed, with entries beside codes: against the same format whose codes are not chosen one by one. */
static void test_parts(const char *name, const float *h, uint64_t *state)
{
    static float w[ROWS * COLS], used[ROWS * COLS], ordered[COLS * COLS], diagonal[COLS];
    struct qbc_format f;
    char why[QBC_FORMAT_WHY];
    struct qbc_blocks b, plain;
    struct qbc_sweep sweep;
    double loss;
    REQUIRE(qbc_format_parse(name, &f, why) && qbc_can_sweep_parts(&f));
    for (int i = 0; i < ROWS * COLS; ++i)
        used[i] = w[i] = 0.05f * check_normal(state);
    for (int j = 0; j < COLS; ++j)
        diagonal[j] = h[j * (COLS + 1)];
    REQUIRE(qbc_blocks_create(&b, &f, ROWS, COLS) && qbc_blocks_create(&plain, &f, ROWS, COLS));
    qbc_format_prepare(&b, ROWS, w, diagonal);
    qbc_format_prepare(&plain, ROWS, w, diagonal);
    struct qbc_swept swept = qbc_swept_of(&b);
    qbc_swept_hessian(&swept, COLS, h, ordered);
    REQUIRE(qbc_sweep_create(&sweep, COLS, ordered, QBC_DAMPING, false));
    CHECK(qbc_gptq_swept(&sweep, &swept, 8, ROWS - 8, used + 8 * COLS, NULL) < 0 &&
          qbc_gptq_swept(&sweep, &swept, 0, 8, used, NULL) < 0, "%s: all weights are kept", name);
    memcpy(used, w, sizeof w);
    qbc_gptq_swept(&sweep, &swept, 0, ROWS, used, &loss);
    qbc_format_fit_weighted(QBC_FIT_RANGE, &plain, 0, ROWS, w, diagonal);
    double ours = loss_of(w, &b, h), theirs = loss_of(w, &plain, h);
    CHECK(ours < 0.8 * theirs, "%s: loss %g, not swept %g", name, ours, theirs);
    CHECK(fabs(2 * loss - ours) < 0.2 * ours, "%s: the sweep says %g, it is %g", name, 2 * loss, ours);
    memcpy(used, w, sizeof w);
    used[COLS + 9] = NAN;
    CHECK(qbc_gptq_swept(&sweep, &swept, 0, ROWS, used, NULL) == COLS + 9, "%s: a weight that is no number is told", name);
    qbc_sweep_destroy(&sweep);
    qbc_blocks_destroy(&b);
    qbc_blocks_destroy(&plain);
}

/* Columns that no token used say nothing: their codes are those of the plain fit with searched ranges. */
static void test_dead_columns(void)
{
    enum { N = 64 };
    static float h[N * N], w[N], used[N];
    uint64_t state = 5;
    struct qbc_sweep sweep;
    struct qbc_blocks fast, plain;
    struct qbc_format f;
    char why[QBC_FORMAT_WHY];
    for (int j = 0; j < N; ++j)
        used[j] = w[j] = check_normal(&state);
    REQUIRE(qbc_format_parse("i4g32", &f, why) && qbc_sweep_create(&sweep, N, h, QBC_DAMPING, false));
    REQUIRE(qbc_blocks_create(&fast, &f, 1, N) && qbc_blocks_create(&plain, &f, 1, N));
    CHECK(qbc_gptq(&sweep, &fast, 0, 1, used, NULL) < 0, "a matrix that nothing reads can be fitted");
    qbc_format_fit(QBC_FIT_RANGE, &plain, 0, 1, w);
    CHECK(!memcmp(fast.codes, plain.codes, N), "codes are those of the range fit");
    used[7] = INFINITY;
    CHECK(qbc_gptq(&sweep, &fast, 0, 1, used, NULL) == 7, "an infinite weight is told");
    qbc_sweep_destroy(&sweep);
    qbc_blocks_destroy(&fast);
    qbc_blocks_destroy(&plain);
}

int main(void)
{
    static const char *const formats[] = {"i4g32", "i3g64z", "i2g128", "i8g64", "nf4g64", "i4g32m", "q4_k"};
    static float h[COLS * COLS];
    uint64_t state = 2210;
    make_h(h, &state);
    test_factor(h);
    int natural[COLS];
    for (int j = 0; j < COLS; ++j)
        natural[j] = j;
    invert(h, QBC_DAMPING, natural);
    factor_inverse();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        test_format(formats[i], h, &state);
    static const char *const composites[] = {"i3g32@50%p|i2g64", "i2g32+i2g32", "i3g32+sparse2%", "(i4g32@25%p|i2g32@40%|i3g16)+sparse1%",
                                             "i4g128@30%|i2g128", "i4row", "lut3row", "lut3g64", "(i4row@30%p|lut3row)+sparse2%"};
    for (size_t i = 0; i < sizeof composites / sizeof *composites; ++i)
        test_parts(composites[i], h, &state);
    test_dead_columns();
    test_orders(h, &state);
    test_power("i4g32", &state);
    test_power("i3g32", &state);
    return check_failures() != 0;
}
