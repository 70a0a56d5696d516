/* planes: scales of bit planes and ternary planes, and their base, by alternating least squares.
 *
 *     params = (A^T H A)^-1 A^T H w     a row of A is (digits of the weight's code, 1)
 *     codes  = nearest of all sums
 *
 * again and again, at most ROUNDS times, until the error stops falling. Starts: digits 0, 1: s_k = range / (2^q - 1) 2^k,
 * base = min (HLQ); digits -1, 1: greedy, s_k = mean |residual| (BCQ); two planes without a base: a1 = 2 s, a2 = -s, s = amax / 2
 * (FDB); ternary: absmean of w, then of the residual (PTQTP), and the two scales that are best for a normal distribution. Nearest fits
 * are the starts. The normal equations get 1e-8 of
 * their trace on the diagonal, ten times as much while a pivot is too small.
 */
#include "search.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 50, UNKNOWNS = QBC_MOST_PLANES + 1 };

struct planes {
    const struct qbc_format *f;
    const struct qbc_samples *x;
    enum qbc_scale type;
    float scale[QBC_MOST_PLANES], min;
    double error;
};

static int digit_of(const struct qbc_format *f, int code, int plane)
{
    for (int k = 0; k < plane; ++k)
        code /= f->plane_base;
    return f->plane_step * (code % f->plane_base) + f->plane_low;
}

static float value_of(const struct planes *p, int code)
{
    float value = p->min;
    for (int k = 0; k < p->f->planes; ++k)
        value += p->scale[k] * (float)digit_of(p->f, code, k);
    return value;
}

static void grid_of(const struct planes *p, struct qbc_grid *grid)
{
    grid->low = p->f->low, grid->high = p->f->high;
    for (int code = grid->low; code <= grid->high; ++code)
        grid->value[code] = value_of(p, code);
}

static double error_of(const struct planes *p)
{
    struct qbc_grid grid;
    double sum = 0;
    grid_of(p, &grid);
    for (int64_t i = 0; i < p->x->n; ++i) {
        double e = (double)p->x->w[i] - (double)grid.value[qbc_grid_round(&grid, p->x->w[i])];
        sum += qbc_sample_weight(p->x, i) * e * e;
    }
    return sum;
}

/* --- starts */

/* Mean magnitude of what the planes from `above` up leave, the first of them being the largest. */
static float residual_mean(const struct planes *p, int above, float base)
{
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < p->x->n; ++i) {
        float rest = p->x->w[i] - base, least = INFINITY;
        for (int k = p->f->planes - 1; k >= above; --k) {
            float best = rest;
            least = INFINITY;
            for (int d = 0; d < p->f->plane_base; ++d) {
                float left = rest - p->scale[k] * (float)(p->f->plane_step * d + p->f->plane_low);
                best = fabsf(left) < least ? left : best;
                least = fabsf(left) < least ? fabsf(left) : least;
            }
            rest = best;
        }
        sum += qbc_sample_weight(p->x, i) * fabs((double)rest);
        weights += qbc_sample_weight(p->x, i);
    }
    return weights > 0 ? (float)(sum / weights) : 0;
}

static void start(struct planes *p)
{
    const struct qbc_format *f = p->f;
    float least = INFINITY, most = -INFINITY;
    double mean = 0;
    for (int64_t i = 0; i < p->x->n; ++i) {
        least = p->x->w[i] < least ? p->x->w[i] : least;
        most = p->x->w[i] > most ? p->x->w[i] : most;
        mean += (double)p->x->w[i] / (double)p->x->n;
    }
    bool based = f->offset == QBC_OFFSET_MIN, greedy = f->plane_low < 0;
    p->min = !based ? 0 : greedy ? (float)mean : least;
    for (int k = f->planes - 1; k >= 0; --k) {
        float uniform = (most - least) / (float)f->high * (float)(1 << k);
        float half = (most > -least ? most : -least) / 2;
        p->scale[k] = greedy ? residual_mean(p, k + 1, p->min) : based ? uniform : k ? 2 * half : -half;
    }
}

/* Two ternary planes have several local optima. */
static bool start_again(struct planes *p)
{
    static const double NORMAL[2] = {1.375, 0.9}; /* of unit variance: searched, squared error 0.0289 */
    double sum = 0, weights = 0;
    if (p->f->planes != 2 || p->f->plane_base != 3 || p->f->offset == QBC_OFFSET_MIN)
        return false;
    for (int64_t i = 0; i < p->x->n; ++i) {
        sum += qbc_sample_weight(p->x, i) * (double)p->x->w[i] * (double)p->x->w[i];
        weights += qbc_sample_weight(p->x, i);
    }
    for (int k = 0; k < 2; ++k)
        p->scale[k] = (float)(weights > 0 ? NORMAL[1 - k] * sqrt(sum / weights) : 0);
    p->min = 0;
    return true;
}

/* --- least squares */

/* Solves a x = b of size n in place; false: a pivot is too small. */
static bool solve(int n, double a[UNKNOWNS][UNKNOWNS], double *b, double smallest)
{
    for (int i = 0; i < n; ++i) {
        if (a[i][i] <= smallest)
            return false;
        for (int j = i + 1; j < n; ++j) {
            double factor = a[j][i] / a[i][i];
            for (int k = i; k < n; ++k)
                a[j][k] -= factor * a[i][k];
            b[j] -= factor * b[i];
        }
    }
    for (int i = n - 1; i >= 0; --i) {
        for (int k = i + 1; k < n; ++k)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

static void add_equations(const struct planes *p, int n, double a[UNKNOWNS][UNKNOWNS], double *b)
{
    struct qbc_grid grid;
    grid_of(p, &grid);
    for (int64_t i = 0; i < p->x->n; ++i) {
        double h = qbc_sample_weight(p->x, i), row[UNKNOWNS];
        int code = qbc_grid_round(&grid, p->x->w[i]);
        for (int k = 0; k < n; ++k)
            row[k] = k < p->f->planes ? digit_of(p->f, code, k) : 1;
        for (int k = 0; k < n; ++k) {
            b[k] += h * row[k] * (double)p->x->w[i];
            for (int j = 0; j < n; ++j)
                a[k][j] += h * row[k] * row[j];
        }
    }
}

static struct planes refit(const struct planes *p)
{
    struct planes next = *p;
    int n = p->f->planes + (p->f->offset == QBC_OFFSET_MIN);
    double a[UNKNOWNS][UNKNOWNS] = {{0}}, b[UNKNOWNS] = {0}, trace = 0;
    add_equations(p, n, a, b);
    for (int k = 0; k < n; ++k)
        trace += a[k][k];
    for (double lambda = 1e-8 * trace; trace > 0 && lambda <= trace; lambda *= 10) {
        double left[UNKNOWNS][UNKNOWNS], x[UNKNOWNS];
        memcpy(left, a, sizeof left);
        memcpy(x, b, sizeof x);
        for (int k = 0; k < n; ++k)
            left[k][k] += lambda;
        if (!solve(n, left, x, 1e-6 * lambda))
            continue;
        for (int k = 0; k < p->f->planes; ++k)
            next.scale[k] = (float)x[k];
        if (n > p->f->planes)
            next.min = (float)x[n - 1];
        break;
    }
    return next;
}

static void store(struct planes *p)
{
    for (int k = 0; k < p->f->planes; ++k)
        p->scale[k] = qbc_scale_decode(p->type, qbc_scale_encode(p->type, p->scale[k]));
    p->min = qbc_scale_decode(p->type, qbc_scale_encode(p->type, p->min));
    p->error = error_of(p);
}

static struct planes descend(struct planes p, int rounds)
{
    struct planes best = p;
    store(&best);
    for (int round = 0; round < rounds; ++round) {
        p = refit(&p);
        struct planes kept = p;
        store(&kept);
        if (!(kept.error < best.error))
            break;
        best = kept;
    }
    return best;
}

void qbc_fit_planes(const struct qbc_format *f, enum qbc_fit how, const struct qbc_samples *x, enum qbc_scale type,
                    float *scale, float *min)
{
    struct planes p = {.f = f, .x = x, .type = type}, best;
    start(&p);
    best = descend(p, how == QBC_FIT_RTN ? 0 : ROUNDS);
    if (how != QBC_FIT_RTN && start_again(&p)) {
        struct planes other = descend(p, ROUNDS);
        best = other.error < best.error ? other : best;
    }
    memcpy(scale, best.scale, sizeof best.scale);
    *min = best.min;
}
