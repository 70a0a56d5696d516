/* spread: see spread.h. The cost and its gradient are PSOT's (INFOQUANT, arXiv 2605.26175): of a row z = x Q
 *
 *   u = z - mean(z) in each block,  a = |u|,  p = softmax(a / 2) over the row,  r = p a,  C = sqrt(sum of r^2 over all rows)
 *
 * where softmax picks the peaks: lower ones mean values that are spread. The mean is off because what is beyond it is the zero
 * point's. Descent goes along the orthogonal matrices: the gradient's skew part, rows made orthonormal after each step, the
 * step halved while the cost would rise.
 */
#include "spread.h"
#include "linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEMPERATURE = 2 };

struct work {
    float *z, *gz;          /* [most rows][cols] */
    float *gradient, *next; /* as q */
    float *skew, *step;     /* [order][order] */
    float *turned;          /* [order][order]: q transposed */
};

/* z = x q, block by block */
static void turn(const struct qbc_spread *s, const struct qbc_spread_rows *r, const float *q, float *z)
{
    int64_t n = s->order, size = r->n * s->cols;
    memset(z, 0, (size_t)size * sizeof *z);
    for (int64_t b = 0; b < s->cols / n; ++b)
        qbc_subtract_product(r->n, n, n, r->x + b * n, s->cols, q + b * n * n, n, z + b * n, s->cols);
    for (int64_t i = 0; i < size; ++i)
        z[i] = -z[i];
}

/* u in place of z */
static void centre(float *z, int64_t cols, int64_t n)
{
    for (int64_t from = 0; from < cols; from += n) {
        double sum = 0;
        for (int64_t i = from; i < from + n; ++i)
            sum += (double)z[i];
        for (int64_t i = from; i < from + n; ++i)
            z[i] -= (float)(sum / (double)n);
    }
}

static void softmax(const float *u, int64_t cols, float *p)
{
    float most = 0, sum = 0;
    for (int64_t i = 0; i < cols; ++i)
        most = fmaxf(most, fabsf(u[i]));
    for (int64_t i = 0; i < cols; ++i)
        sum += p[i] = expf((fabsf(u[i]) - most) / TEMPERATURE);
    for (int64_t i = 0; i < cols; ++i)
        p[i] /= sum;
}

/* The sum of r^2 of a row; z becomes u. p [cols] */
static double row_cost(const struct qbc_spread *s, float *z, float *p)
{
    double sum = 0;
    centre(z, s->cols, s->order);
    softmax(z, s->cols, p);
    for (int64_t i = 0; i < s->cols; ++i)
        sum += (double)(p[i] * z[i]) * (double)(p[i] * z[i]);
    return sum;
}

/* From u and p of a row to dC/dz in place of p. G = r / C, ga_k = p_k (G_k (1 + a_k / T) - sum_j G_j r_j / T). */
static void row_gradient(const struct qbc_spread *s, const float *u, float *p, double c)
{
    double sum = 0;
    for (int64_t i = 0; i < s->cols; ++i) {
        double r = (double)(p[i] * fabsf(u[i]));
        sum += r * r / c;
    }
    for (int64_t i = 0; i < s->cols; ++i) {
        double a = fabs((double)u[i]), g = (double)p[i] * a / c;
        double ga = (double)p[i] * (g * (1 + a / TEMPERATURE) - sum / TEMPERATURE);
        p[i] = (float)(u[i] < 0 ? -ga : ga);
    }
    centre(p, s->cols, s->order);
}

/* The cost of all rows with q; with `gradient` dC/dq is added there. */
static double cost(const struct qbc_spread *s, struct work *w, const float *q, float *gradient)
{
    double all = 0;
    int64_t n = s->order;
    for (int64_t i = 0; i < s->n; ++i) {
        struct qbc_spread_rows *r = &s->rows[i];
        double sum = 0, c;
        turn(s, r, q, w->z);
        for (int64_t t = 0; t < r->n; ++t)
            sum += row_cost(s, w->z + t * s->cols, w->gz + t * s->cols);
        c = sqrt(sum);
        r->first = r->first > 0 ? r->first : c > 0 ? c : 1;
        all += c / r->first;
        for (int64_t t = 0; t < r->n && gradient; ++t)
            row_gradient(s, w->z + t * s->cols, w->gz + t * s->cols, c > 0 ? c * r->first : 1);
        for (int64_t b = 0; b < s->cols / n && gradient; ++b) /* minus: of the gradient, its negative is gathered */
            qbc_subtract_product(n, n, r->n, r->columns + b * n * r->n, r->n, w->gz + b * n, s->cols, gradient + b * n * n, n);
    }
    return all;
}

/* --- steps */

static void transpose(const float *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
            to[j * n + i] = from[i * n + j];
}

/* Gram and Schmidt, twice: rows are orthonormal to what f32 can say. */
static void orthonormal(float *q, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        for (int twice = 0; twice < 2; ++twice) {
            double length = 0;
            for (int64_t j = 0; j < i; ++j) {
                double dot = 0;
                for (int64_t k = 0; k < n; ++k)
                    dot += (double)q[i * n + k] * (double)q[j * n + k];
                for (int64_t k = 0; k < n; ++k)
                    q[i * n + k] -= (float)dot * q[j * n + k];
            }
            for (int64_t k = 0; k < n; ++k)
                length += (double)q[i * n + k] * (double)q[i * n + k];
            for (int64_t k = 0; k < n; ++k)
                q[i * n + k] = (float)((double)q[i * n + k] / sqrt(length));
        }
}

/* With V, the negative gradient: A = V Q^T - Q V^T; what a step adds to Q is A Q. In place of V. The largest sum of a row of |A|,
 * by which steps are scaled. */
static double direction(const struct qbc_spread *s, struct work *w, const float *q, float *v)
{
    int64_t n = s->order;
    double most = 0;
    transpose(q, n, w->turned);
    memset(w->skew, 0, (size_t)(n * n) * sizeof *w->skew);
    qbc_subtract_product(n, n, n, v, n, w->turned, n, w->skew, n); /* -V Q^T */
    memset(v, 0, (size_t)(n * n) * sizeof *v);
    for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < n; ++j) {
            w->step[i * n + j] = w->skew[i * n + j] - w->skew[j * n + i]; /* -A */
            sum += fabs((double)w->step[i * n + j]);
        }
        most = fmax(most, sum);
    }
    qbc_subtract_product(n, n, n, w->step, n, q, n, v, n);
    return most;
}

static void move(const struct qbc_spread *s, struct work *w, double step)
{
    int64_t n = s->order, all = s->cols * n;
    for (int64_t i = 0; i < all; ++i)
        w->next[i] = s->q[i] + (float)step * w->gradient[i];
    for (int64_t b = 0; b < s->cols / n; ++b)
        orthonormal(w->next + b * n * n, n);
}

static void descend(struct qbc_spread *s, struct work *w, int steps)
{
    enum { HALVES = 12 };
    int64_t n = s->order, all = s->cols * n;
    double stride = 1;
    s->cost = cost(s, w, s->q, NULL);
    for (int i = 0; i < steps; ++i) {
        double most = 0, now = INFINITY;
        int halves = 0;
        memset(w->gradient, 0, (size_t)all * sizeof *w->gradient);
        cost(s, w, s->q, w->gradient);
        for (int64_t b = 0; b < s->cols / n; ++b)
            most = fmax(most, direction(s, w, s->q + b * n * n, w->gradient + b * n * n));
        for (stride *= 2; most > 0 && halves < HALVES && !(now < s->cost); stride /= 2, ++halves) {
            move(s, w, stride / most);
            now = cost(s, w, w->next, NULL);
        }
        if (!(now < s->cost))
            return;
        stride *= 2; /* what the loop halved once too often */
        s->cost = now;
        memcpy(s->q, w->next, (size_t)all * sizeof *s->q);
    }
}

bool qbc_spread_learn(struct qbc_spread *s, int steps)
{
    int64_t most = 0;
    size_t matrices = (size_t)(s->cols * s->order), one = (size_t)(s->order * s->order);
    for (int64_t i = 0; i < s->n; ++i)
        most = s->rows[i].n > most ? s->rows[i].n : most;
    size_t rows = (size_t)(most * s->cols);
    float *memory = malloc((2 * rows + 2 * matrices + 3 * one) * sizeof *memory);
    if (!memory)
        return false;
    struct work w = {.z = memory, .gz = memory + rows, .gradient = memory + 2 * rows};
    w.next = w.gradient + matrices;
    w.skew = w.next + matrices;
    w.step = w.skew + one;
    w.turned = w.step + one;
    descend(s, &w, steps);
    free(memory);
    return true;
}
