/* factor: what H says about errors, for a sweep over columns. See gptq.h. */
#include "gptq.h"
#include "hessians.h"
#include "linear_algebra.h"

#include <stdlib.h>
#include <string.h>

static const double MOST = 1; /* damping */

bool qbc_fit_sweeps(const char *fit)
{
    return fit && !strncmp(fit, "gptq", strlen("gptq"));
}

double qbc_damping(const char *role)
{
    return role && !strcmp(role, "embed") ? QBC_DAMPING_LOOKUP : QBC_DAMPING;
}

struct qbc_sweep_kind qbc_sweep_kind(const char *fit)
{
    struct qbc_sweep_kind kind = {.how = QBC_FIT_RANGE};
    const char *more = qbc_fit_sweeps(fit) ? fit + strlen("gptq") : "";
    kind.how = !strcmp(more, "-plain") ? QBC_FIT_RTN : !strcmp(more, "-sqc") ? QBC_FIT_POWER : QBC_FIT_RANGE;
    kind.refined = !strcmp(more, "-cd");
    kind.ordered = !strcmp(more, "-order");
    return kind;
}

void qbc_sweep_put_in_order(const struct qbc_sweep *s, const float *restrict from, float *restrict to)
{
    for (int64_t j = 0; j < s->cols; ++j)
        to[j] = from[s->order[j]];
}

/* H, in the order of the sweep. */
static void gather(const struct qbc_sweep *s, const float *h, float *out)
{
    int64_t n = s->cols;
    for (int64_t i = 0; i < n && s->order; ++i)
        qbc_sweep_put_in_order(s, h + s->order[i] * n, out + i * n);
    if (!s->order)
        memcpy(out, h, (size_t)(n * n) * sizeof *out);
}

static bool factorize(struct qbc_sweep *s, const float *h, double least, float *damped)
{
    double mean = 0;
    for (int64_t j = 0; j < s->cols; ++j)
        mean += (double)h[j * s->cols + j] / (double)s->cols;
    for (double share = least; share < 10 * MOST; share *= 10) {
        gather(s, h, damped);
        for (int64_t j = 0; j < s->cols; ++j) {
            float *d = &damped[j * (s->cols + 1)];
            *d = (*d > 0 ? *d : 1) + (float)(share * mean);
        }
        if (qbc_inverse_factor(s->cols, damped, s->u)) {
            s->damping = share;
            return true;
        }
    }
    return false;
}

float *qbc_sweep_weights(int64_t cols, const float *h)
{
    float *weight = malloc((size_t)cols * sizeof *weight);
    for (int64_t j = 0; j < cols && weight; ++j)
        weight[j] = h[j * (cols + 1)] > 0 ? h[j * (cols + 1)] : 0;
    return weight;
}

struct place {
    float weight;
    int32_t column;
};

static int falling(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->weight > y->weight ? -1 : x->weight < y->weight ? 1 : x->column - y->column;
}

/* Columns by falling H_jj: those that matter most are rounded while all others can still make good for them. NULL: no memory. */
static int32_t *order_of(int64_t cols, const float *h)
{
    struct place *places = malloc((size_t)cols * sizeof *places);
    int32_t *order = malloc((size_t)cols * sizeof *order);
    for (int64_t j = 0; j < cols && places; ++j)
        places[j] = (struct place){h[j * (cols + 1)], (int32_t)j};
    if (places)
        qsort(places, (size_t)cols, sizeof *places, falling);
    for (int64_t j = 0; j < cols && places && order; ++j)
        order[j] = places[j].column;
    if (!places) {
        free(order);
        order = NULL;
    }
    free(places);
    return order;
}

bool qbc_sweep_create(struct qbc_sweep *s, int64_t cols, const float *h, double damping, bool ordered)
{
    size_t n = (size_t)cols;
    *s = (struct qbc_sweep){.cols = cols, .u = malloc(n * n * sizeof *s->u), .weight = qbc_sweep_weights(cols, h),
                            .how = QBC_FIT_RANGE, .order = ordered ? order_of(cols, h) : NULL};
    float *damped = malloc(n * n * sizeof *damped);
    bool memory = s->u && s->weight && damped && (s->order || !ordered);
    bool useful = memory && factorize(s, h, damping, damped);
    free(damped);
    if (!useful) {
        free(s->u);
        s->u = NULL;
    }
    if (!memory)
        qbc_sweep_destroy(s);
    return memory;
}

void qbc_sweep_destroy(struct qbc_sweep *s)
{
    if (s->borrowed)
        qbc_hessian_release(s->u, s->cols);
    else
        free(s->u);
    free(s->weight);
    free(s->order);
    *s = (struct qbc_sweep){0};
}
