/* score: see score.h. */
#include "score.h"

#include <math.h>

/* e^x for x <= 0, to 2e-7: 2^n times a polynomial, without a call, so that compilers make vectors of it. */
static inline float exponential(float x)
{
    static const float magic = 12582912.0f; /* + 2^23 * 1.5 rounds */
    float t = (x < -87 ? -87 : x) * 1.44269504f, n = (t + magic) - magic, f = (t - n) * 0.693147181f;
    float p = 1 + f * (1 + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333333f + f * 0.00138888889f)))));
    union {
        int32_t bits;
        float value;
    } power = {((int32_t)n + 127) << 23};
    return p * power.value;
}

static float largest(const float *x, int64_t n)
{
    float most = x[0];
    for (int64_t i = 1; i < n; ++i)
        most = x[i] > most ? x[i] : most;
    return most;
}

enum { LANES = 16 };

/* sum e^(x - most), in lanes of their own; f64 over pieces. */
static double sum_exponentials(const float *x, int64_t n, float most)
{
    enum { PIECE = 1024 };
    double total = 0;
    for (int64_t from = 0; from < n; from += PIECE) {
        int64_t to = from + PIECE < n ? from + PIECE : n, i = from;
        float lanes[LANES] = {0};
        for (; i + LANES <= to; i += LANES)
            for (int k = 0; k < LANES; ++k)
                lanes[k] += exponential(x[i + k] - most);
        for (int k = 0; k < LANES; ++k)
            total += (double)lanes[k];
        for (; i < to; ++i)
            total += (double)exponential(x[i] - most);
    }
    return total;
}

double qbc_expectation(const float *p, const float *x, int64_t n, double shift)
{
    double total = 0;
    for (int64_t i = 0; i < n; ++i)
        total += (double)p[i] * ((double)x[i] - shift);
    return total;
}

double qbc_log_norm(const float *x, int64_t n)
{
    float most = largest(x, n);
    return (double)most + log(sum_exponentials(x, n, most));
}

static int64_t top(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i)
        best = x[i] > x[best] ? i : best;
    return best;
}

struct qbc_row_score qbc_score_row(const float *want, const float *got, int64_t n, int32_t next)
{
    double a = qbc_log_norm(want, n), b = qbc_log_norm(got, n), divergence = 0;
    for (int64_t i = 0; i < n; ++i) {
        double logarithm = (double)want[i] - a;
        divergence += (double)exponential((float)logarithm) * (logarithm - ((double)got[i] - b));
    }
    return (struct qbc_row_score){divergence > 0 ? divergence : 0, a - (double)want[next], b - (double)got[next],
                                  top(want, n) == top(got, n)};
}
