/* Fits: error bounds, numeric rules, tails, what is not finite, and range against nearest. */
#include "check.h"
#include "named.h"
#include "format.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const codes[] = {"i8g32", "i4g32", "i4g128z"};
enum { N_CODES = 3 };

struct fitted {
    struct qbc_blocks b;
    float *w, *decoded;
};

static struct fitted fit(const char *name, enum qbc_fit how, int64_t rows, int64_t cols,
                         const float *w)
{
    struct fitted t = {.decoded = malloc((size_t)(rows * cols) * sizeof *w)};
    CHECK(t.decoded && qbc_blocks_create(&t.b, named(name), rows, cols), "memory");
    int64_t bad = qbc_format_fit(how, &t.b, 0, rows, w);
    CHECK(bad == -1, "%s: weight %ld is refused", name, (long)bad);
    qbc_format_decode(&t.b, t.decoded);
    return t;
}

static void done(struct fitted *t)
{
    qbc_blocks_destroy(&t->b);
    free(t->decoded);
}

static float *normal(int64_t n, float scale, uint64_t seed)
{
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; ++i)
        w[i] = scale * check_normal(&seed);
    return w;
}

static double squared_error(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum;
}

/* Half a step; a whole one where a code is missing on one side, or the zero point was rounded. */
static void bounds(const char *name, int64_t cols, float size)
{
    enum { ROWS = 9 };
    float *w = normal(ROWS * cols, size, (uint64_t)cols);
    struct fitted t = fit(name, QBC_FIT_RTN, ROWS, cols, w);
    double steps = strcmp(name, "i8g32") ? 1.01 : 0.51, worst = 0;
    for (int64_t i = 0; i < ROWS * cols; ++i) {
        int64_t group = i / cols * t.b.groups + i % cols / t.b.format->group;
        double step = fabs((double)qbc_half_to_float(t.b.scales[group]));
        double error = fabs((double)w[i] - (double)t.decoded[i]) / step;
        worst = error > worst ? error : worst;
    }
    CHECK(worst <= steps, "%s, K = %ld: an error of %g steps", name, (long)cols, worst);
    done(&t);
    free(w);
}

static bool codes_in_range(const struct qbc_blocks *b)
{
    for (int64_t i = 0; i < b->rows * b->groups * b->format->group; ++i)
        if (b->codes[i] < b->format->low || b->codes[i] > b->format->high)
            return false;
    return true;
}

/* The last group is fitted on its own weights; its padding decodes to 0. */
static void tails(const char *name, enum qbc_fit how, int64_t cols)
{
    float *w = normal(2 * cols, 0.1f, 5);
    struct fitted t = fit(name, how, 2, cols, w);
    int64_t group = t.b.format->group, last = (t.b.groups - 1) * group;
    struct fitted alone = fit(name, how, 1, cols - last, w + cols + last);
    CHECK(!memcmp(alone.decoded, t.decoded + cols + last, (size_t)(cols - last) * sizeof *w),
          "%s, K = %ld: the tail differs from a tensor of its own", name, (long)cols);
    for (int64_t i = cols; i < t.b.groups * group; ++i) {
        int zero = t.b.zeros ? t.b.zeros[t.b.groups - 1] : t.b.format->bias;
        CHECK(t.b.codes[i] == zero, "%s: padding code %d", name, t.b.codes[i]);
    }
    CHECK(codes_in_range(&t.b), "%s: a code outside low .. high", name);
    done(&t);
    done(&alone);
    free(w);
}

static void zeros_and_tiny(const char *name, enum qbc_fit how)
{
    float w[256] = {0};
    w[128] = 1e-9f; /* its scale underflows */
    w[131] = -1e-9f;
    struct fitted t = fit(name, how, 1, 256, w);
    for (int i = 0; i < 256; ++i)
        CHECK(t.decoded[i] == 0, "%s: zeros become %g", name, (double)t.decoded[i]);
    for (int64_t i = 0; i < t.b.groups; ++i)
        CHECK(t.b.scales[i] == 0, "%s: scale %#x of zeros", name, t.b.scales[i]);
    done(&t);
}

static void faults(const char *name, enum qbc_fit how)
{
    enum { ROWS = 3, COLS = 172 };
    static const int64_t places[] = {0, 31, 32, 171, 172, 300, ROWS * COLS - 1};
    struct qbc_blocks b;
    float *w = normal(ROWS * COLS, 1, 9);
    CHECK(qbc_blocks_create(&b, named(name), ROWS, COLS), "memory");
    for (int i = 0; i < 7; ++i) {
        float kept = w[places[i]];
        static const float bad[] = {NAN, INFINITY, -INFINITY, -3e38f};
        for (int j = 0; j < (strcmp(name, "f32") ? 4 : 3); ++j) {
            w[places[i]] = bad[j];
            int64_t found = qbc_format_fit(how, &b, 0, ROWS, w);
            CHECK(found == places[i], "%s: %g at %ld is found at %ld", name, (double)bad[j],
                  (long)places[i], (long)found);
        }
        w[places[i]] = kept;
    }
    CHECK(qbc_format_fit(how, &b, 0, ROWS, w) == -1, "%s: good weights are refused", name);
    qbc_blocks_destroy(&b);
    free(w);
}

/* amax = 127 s with s = 1: every weight k + 0.5 is a tie. */
static void ties_to_even(void)
{
    float w[32] = {127};
    for (int i = 1; i < 32; ++i)
        w[i] = (float)(i - 16) + 0.5f;
    struct fitted t = fit("i8g32", QBC_FIT_RTN, 1, 32, w);
    for (int i = 1; i < 32; ++i)
        CHECK(t.decoded[i] == rintf(w[i]) && (int)t.decoded[i] % 2 == 0, "%g becomes %g",
              (double)w[i], (double)t.decoded[i]);
    done(&t);
}

/* The weight of largest magnitude gets the code that the other side lacks. */
static void signed_scale(void)
{
    float w[64] = {0};
    w[0] = 8;
    w[1] = -7;
    w[32] = -4; /* a tie: the negative one wins, so the scale is positive */
    w[40] = 4;
    struct fitted t = fit("i4g32", QBC_FIT_RTN, 1, 64, w);
    CHECK(t.b.codes[0] == 0 && t.b.codes[1] == 15, "codes %d, %d", t.b.codes[0], t.b.codes[1]);
    CHECK(t.b.scales[0] == 0xbc00, "scale %#x is not -1", t.b.scales[0]);
    CHECK(t.decoded[0] == 8 && t.decoded[1] == -7, "%g, %g", (double)t.decoded[0],
          (double)t.decoded[1]);
    CHECK(t.b.scales[1] == 0x3800 && t.b.codes[32] == 0 && t.b.codes[40] == 15, "the tie");
    done(&t);
}

/* min = -1, max = 14: scale 1, zero point 1. Positive weights alone: zero point 0. */
static void zero_point(void)
{
    float w[256];
    for (int i = 0; i < 128; ++i) {
        w[i] = (float)(i % 16) - 1;
        w[128 + i] = 7.5f + 7.5f * (float)(i % 2);
    }
    struct fitted t = fit("i4g128z", QBC_FIT_RTN, 1, 256, w);
    CHECK(t.b.scales[0] == 0x3c00 && t.b.zeros[0] == 1, "scale %#x, zero %d", t.b.scales[0],
          t.b.zeros[0]);
    CHECK(!memcmp(t.decoded, w, 128 * sizeof *w), "a grid is kept exactly");
    CHECK(t.b.zeros[1] == 0 && t.b.scales[1] == 0x3c00, "0 belongs to every range");
    CHECK(t.decoded[128] == 8 && t.decoded[129] == 15, "%g is the even one of 7 and 8",
          (double)t.decoded[128]);
    done(&t);
}

/* What was decoded fits again without loss: nearest for symmetric codes, range for all. */
static void idempotent(const char *name, enum qbc_fit how, float scale)
{
    enum { ROWS = 40, COLS = 344 };
    float *w = normal(ROWS * COLS, scale, 21);
    struct fitted once = fit(name, how, ROWS, COLS, w),
                  twice = fit(name, how, ROWS, COLS, once.decoded);
    double error = squared_error(once.decoded, twice.decoded, ROWS * COLS);
    CHECK(error == 0, "%s, %s: the second fit changes something (%g)", name, how ? "range" : "rtn",
          error);
    done(&once);
    done(&twice);
    free(w);
}

static void range_is_better(const char *name, int64_t cols, float outlier)
{
    enum { ROWS = 50 };
    float *w = normal(ROWS * cols, 0.02f, 77);
    for (int64_t i = 0; i < ROWS * cols; i += 97)
        w[i] *= outlier;
    struct fitted plain = fit(name, QBC_FIT_RTN, ROWS, cols, w),
                  range = fit(name, QBC_FIT_RANGE, ROWS, cols, w);
    double before = 0, after = 0;
    for (int64_t i = 0; i < ROWS; ++i)
        for (int64_t k = 0; k < cols; k += plain.b.format->group) {
            int64_t at = i * cols + k,
                    n = cols - k < plain.b.format->group ? cols - k : plain.b.format->group;
            double a = squared_error(w + at, plain.decoded + at, n);
            double b = squared_error(w + at, range.decoded + at, n);
            CHECK(b <= a * (1 + 1e-6), "%s: group at %ld: %g against %g", name, (long)at, b, a);
            before += a;
            after += b;
        }
    CHECK(after < 0.99 * before, "%s: range gains nothing: %g, %g", name, after, before);
    done(&plain);
    done(&range);
    free(w);
}

/* Rows are independent: fitting them one by one, in any order, gives the same bytes. */
static void rows_alone(const char *name, enum qbc_fit how)
{
    enum { ROWS = 5, COLS = 172 };
    float *w = normal(ROWS * COLS, 1, 4);
    struct fitted all = fit(name, how, ROWS, COLS, w);
    struct qbc_blocks b;
    float decoded[ROWS * COLS];
    CHECK(qbc_blocks_create(&b, all.b.format, ROWS, COLS), "memory");
    for (int row = ROWS - 1; row >= 0; --row)
        CHECK(qbc_format_fit(how, &b, row, 1, w + row * COLS) == -1, "row %d", row);
    qbc_format_decode(&b, decoded);
    CHECK(!memcmp(decoded, all.decoded, sizeof decoded), "%s", name);
    qbc_blocks_destroy(&b);
    done(&all);
    free(w);
}

static void each_code(const char *name, enum qbc_fit how)
{
    static const int64_t awkward[] = {344, 1000, 172, 1, 33};
    for (int i = 0; i < 5; ++i)
        tails(name, how, awkward[i]);
    zeros_and_tiny(name, how);
    faults(name, how);
    rows_alone(name, how);
}

int main(void)
{
    for (int i = 0; i < N_CODES; ++i) {
        each_code(codes[i], QBC_FIT_RTN);
        each_code(codes[i], QBC_FIT_RANGE);
        bounds(codes[i], 344, 0.02f);
        bounds(codes[i], 1000, 40);
        bounds(codes[i], 172, 1);
        range_is_better(codes[i], 1000, 1);
        range_is_better(codes[i], 344, 4);
    }
    faults("f32", QBC_FIT_RTN);
    faults("f16", QBC_FIT_RANGE);
    ties_to_even();
    signed_scale();
    zero_point();
    idempotent("i8g32", QBC_FIT_RTN, 0.02f);
    idempotent("i4g32", QBC_FIT_RTN, 0.02f);
    idempotent("i4g32", QBC_FIT_RANGE, 0.02f);
    idempotent("i4g128z", QBC_FIT_RANGE, 0.02f);
    return check_failures() != 0;
}
