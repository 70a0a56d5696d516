/* evaluate_norm: normalizations, with the sum with a skip connection that ONNX Runtime fuses in. */
#include "evaluate_ops.h"

#include <math.h>
#include <string.h>

bool qbc_ev_same_shape(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 1) && qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]);
}

/* The statistics of a run, where the operation gives them as results. */
static void keep(struct qbc_ev *c, size_t result, size_t run, double value)
{
    if (result < c->n_out && (c->out[result].known || qbc_ev_numbers(c, result)))
        qbc_ev_put(&c->out[result], run, value);
}

/* y = (x - mean) / sqrt(variance + eps) * scale + bias over runs of n; without centering the mean
 * is taken as 0. scale and bias repeat every n. */
static void norm_numbers(struct qbc_ev *c, const float *x, size_t n, size_t deviation_at,
                         bool centered, const struct qbc_array *scale, const struct qbc_array *bias)
{
    double epsilon = (double)qbc_ev_float(c, "epsilon", 1e-5f);
    for (size_t start = 0; start + n <= c->out->n && n; start += n) {
        double mean = 0, square = 0;
        for (size_t i = 0; centered && i < n; ++i)
            mean += (double)x[start + i] / (double)n;
        for (size_t i = 0; i < n; ++i)
            square += ((double)x[start + i] - mean) * ((double)x[start + i] - mean);
        double factor = 1 / sqrt(square / (double)n + epsilon);
        keep(c, 1, start / n, deviation_at == 2 ? mean : factor);
        keep(c, 2, start / n, factor);
        for (size_t i = 0; i < n; ++i) {
            double y = ((double)x[start + i] - mean) * factor;
            y *= scale ? (double)scale->f[i % scale->n] : 1;
            c->out->f[start + i] = (float)(y + (bias ? (double)bias->f[i % bias->n] : 0));
        }
    }
}

static bool centered(const struct qbc_ev *c)
{
    return strstr(c->row->name, "Layer") && !strstr(c->row->name, "Simplified");
}

static bool floats(const struct qbc_ev *c)
{
    for (size_t i = 0; i < c->n_in; ++i)
        if (c->in[i] && (!c->in[i]->f || !c->in[i]->n))
            return false;
    return true;
}

/* Results 1 and 2, mean and 1 / deviation: dims from axis on are 1. */
static bool statistics(struct qbc_ev *c, size_t n, size_t axis)
{
    int64_t dims[QBC_MAX_RANK];
    const struct qbc_array *x = c->in[0];
    for (size_t d = 0; d < x->rank; ++d)
        dims[d] = d < axis ? x->dims[d] : 1;
    for (size_t i = 1; i <= n; ++i)
        if (!qbc_ev_shape(c, i, QBC_F32, x->rank, dims))
            return false;
    return true;
}

bool qbc_ev_norm(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", -1);
    if (!qbc_ev_same_shape(c))
        return false;
    const struct qbc_array *x = c->in[0];
    if (!qbc_ev_axis(&axis, x->rank))
        return qbc_ev_fail(c, "its axis is outside %s", qbc_ev_dims_text(c->e, x));
    if (!statistics(c, 2, (size_t)axis))
        return false;
    if (!qbc_ev_all_known(c) || !floats(c) || !qbc_ev_numbers(c, 0))
        return true;
    size_t n = 1;
    for (size_t d = (size_t)axis; d < x->rank; ++d)
        n *= (size_t)x->dims[d];
    /* SimplifiedLayerNormalization has no mean, so its result 1 is 1 / deviation */
    norm_numbers(c, x->f, n, centered(c) ? 2 : 1, centered(c), qbc_ev_has(c, 1) ? c->in[1] : NULL,
                 qbc_ev_has(c, 2) ? c->in[2] : NULL);
    return true;
}

/* input, skip, gamma, then [beta,] bias -> y, mean, 1 / deviation, input + skip + bias */
bool qbc_ev_skip_norm(struct qbc_ev *c)
{
    size_t bias_at = centered(c) ? 4 : 3;
    if (!qbc_ev_wants(c, 3) || !qbc_ev_same_shape(c))
        return false;
    const struct qbc_array *x = c->in[0], *skip = c->in[1];
    if (x->rank == 0 || skip->n > x->n || (skip->n && x->n % skip->n))
        return qbc_ev_fail(c, "skip %s does not fit %s", qbc_ev_dims_text(c->e, skip),
                           qbc_ev_dims_text(c->e, x));
    if (!statistics(c, 2, x->rank - 1) || !qbc_ev_shape_like(c, 3, x->element, x))
        return false;
    if (!qbc_ev_all_known(c) || !floats(c) || !qbc_ev_numbers(c, 0))
        return true;
    const struct qbc_array *bias = qbc_ev_has(c, bias_at) ? c->in[bias_at] : NULL;
    float *sum = qbc_ev_alloc(c->e, x->n * sizeof *sum);
    for (size_t i = 0; i < x->n; ++i)
        sum[i] = x->f[i] + skip->f[i % skip->n] + (bias ? bias->f[i % bias->n] : 0);
    if (qbc_ev_numbers(c, 3))
        memcpy(c->out[3].f, sum, x->n * sizeof *sum);
    norm_numbers(c, sum, (size_t)x->dims[x->rank - 1], 2, centered(c), c->in[2],
                 centered(c) && qbc_ev_has(c, 3) ? c->in[3] : NULL);
    return true;
}
