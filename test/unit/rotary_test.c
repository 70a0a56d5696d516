/* rotary_test: laws read off tables of cosines and sines, as exporters round them. */
#include "pattern.h"

#include <math.h>
#include <stdio.h>

static int failures;

static void expect(bool good, const char *what)
{
    if (good)
        return;
    printf("%s\n", what);
    ++failures;
}

static float as_is(float x)
{
    return x;
}

static float half(float x)
{
    return qbc_half_to_float(qbc_float_to_half(x));
}

enum { MOST = 512, PAIRS = 32 };

/* The table of an exporter that multiplies in f32 and rounds what it stores. */
static const char *fit(struct qbc *q, size_t n, int64_t pairs, double (*law)(int64_t pair),
                       float (*round)(float), struct qbc_rotary *r)
{
    static float cosines[MOST * PAIRS], sines[MOST * PAIRS];
    for (size_t i = 0; i < n * (size_t)pairs; ++i) {
        float angle = (float)(i / (size_t)pairs) * (float)law((int64_t)(i % (size_t)pairs));
        cosines[i] = round(cosf(angle));
        sines[i] = round(sinf(angle));
    }
    *r = (struct qbc_rotary){.dim = 2 * pairs, .scale = 1};
    return qbc_rotary_fit(q, n, cosines, sines, r);
}

static double ten_thousand(int64_t pair)
{
    return pow(10000, -(double)pair / 8);
}

static double odd_theta(int64_t pair)
{
    return pow(12345.5, -(double)pair / 32);
}

static double million(int64_t pair)
{
    return pow(1e6, -(double)pair / 32);
}

/* Llama 3: long waves are stretched, short ones not. */
static double stretched(int64_t pair)
{
    double f = pow(500000, -(double)pair / 32);
    return f > 0.003 ? f : f / 32;
}

static void thetas(struct qbc *q)
{
    struct qbc_rotary r;
    expect(!fit(q, 192, 8, ten_thousand, as_is, &r) && r.theta == 10000, "theta 10000, f32");
    expect(!fit(q, 192, 8, ten_thousand, half, &r) && r.theta == 10000, "theta 10000, f16");
    expect(!fit(q, 64, 8, ten_thousand, half, &r) && r.theta == 10000, "theta 10000, f16, short");
    expect(!fit(q, 512, 32, million, half, &r) && r.theta == 1e6, "theta 1e6, f16");
    expect(!fit(q, 192, 32, odd_theta, as_is, &r) && fabs(r.theta - 12345.5) < 0.1, "theta 12345.5");
    expect(!fit(q, 2, 8, ten_thousand, as_is, &r) && r.theta == 10000, "theta from two positions");
}

static void frequencies(struct qbc *q)
{
    struct qbc_rotary r;
    expect(!fit(q, 192, 32, stretched, as_is, &r) && r.theta == 0, "stretched: no theta");
    for (int64_t i = 0; i < 32; ++i)
        expect(qbc_near((double)r.frequencies[i], stretched(i), 1e-6, 0), "a frequency, f32");
    expect(!fit(q, 512, 32, stretched, half, &r) && r.theta == 0, "stretched: no theta, f16");
    for (int64_t i = 0; i < 32; ++i)
        expect(qbc_near((double)r.frequencies[i], stretched(i), 1e-3, 1e-7), "a frequency, f16");
}

static double jumping(int64_t pair)
{
    (void)pair;
    return NAN;
}

static void no_rotation(struct qbc *q)
{
    struct qbc_rotary r;
    float cosines[MOST], sines[MOST];
    expect(fit(q, 64, 8, jumping, as_is, &r) != NULL, "not a number is no rotation");
    for (int p = 0; p < MOST; ++p) { /* by the square of the position */
        cosines[p] = cosf((float)(p * p) * 0.01f);
        sines[p] = sinf((float)(p * p) * 0.01f);
    }
    r = (struct qbc_rotary){.dim = 2, .scale = 1};
    expect(qbc_rotary_fit(q, MOST, cosines, sines, &r) != NULL, "angles by p^2 are no rotation");
}

static void turning(void)
{
    struct qbc_rotary adjacent = {.dim = 4, .adjacent = true, .theta = 100, .scale = 1};
    struct qbc_rotary pairs = {.dim = 4, .theta = 100, .scale = 2};
    float a[5] = {1, 0, 0, 1, 7}, b[5] = {1, 0, 0, 1, 7};
    qbc_rotary_apply(&adjacent, 3, a);
    qbc_rotary_apply(&pairs, 3, b);
    expect(qbc_near((double)a[0], cos(3), 1e-6, 0) && qbc_near((double)a[1], sin(3), 1e-6, 0) &&
               qbc_near((double)a[2], -sin(0.3), 1e-6, 0) && a[4] == 7,
           "adjacent pairs turn");
    expect(qbc_near((double)b[0], 2 * cos(3), 1e-6, 0) && qbc_near((double)b[2], 2 * sin(3), 1e-6, 0) &&
               qbc_near((double)b[1], -2 * sin(0.3), 1e-6, 0) && b[4] == 7,
           "half pairs turn, and grow");
    expect(!qbc_rotary_same(&adjacent, &pairs), "two laws are not the same");
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic, .target = "x86-64-v3"}};
    if (!qbc_open(&q))
        return 1;
    thetas(&q);
    frequencies(&q);
    no_rotation(&q);
    turning();
    qbc_close(&q);
    return failures ? 1 : 0;
}
