/* trial: see trial.h. */
#include "trial.h"
#include "hessians.h"
#include "linear_algebra.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 96 };

/* What -quant asks for; where that is not rounded row by row, or not known yet, something like what will be. */
static const struct qbc_format *likely_format(struct qbc *q)
{
    const struct qbc_format *f = q->options.quant ? qbc_find_format(q, q->options.quant) : NULL;
    bool plain = f && f->codebook != QBC_CODE_FLOAT && f->codebook < QBC_CODE_SUM && qbc_format_can_fit(f) && !qbc_format_is_shared(f);
    return plain ? f : qbc_find_format(q, "i4g64");
}

/* As many of each matrix, evenly. False after an error. */
static bool read_sample(struct qbc *q, struct qbc_trial *t)
{
    const struct qbc_edge *e = t->edge;
    int64_t each = MOST_ROWS / (int64_t)e->n > 8 ? MOST_ROWS / (int64_t)e->n : 8;
    t->m = 0;
    for (size_t i = 0; i < e->n; ++i) {
        struct qbc_view view;
        if (!qbc_view_of(q, e->weight[i], &view))
            return false;
        int64_t n = each < view.rows ? each : view.rows;
        for (int64_t r = 0; r < n; ++r)
            qbc_view_read(&view, r * view.rows / n, 1, t->w + t->m++ * e->cols);
        qbc_view_release(&view);
    }
    return true;
}

static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c)
            to[c * rows + r] = from[r * cols + c];
}

/* y [m][n_rows] = -w x */
static void multiply(const struct qbc_trial *t, const float *w, const float *x, float *y)
{
    int64_t n = t->edge->n_rows;
    memset(y, 0, (size_t)(t->m * n) * sizeof *y);
    qbc_subtract_product(t->m, n, t->edge->cols, w, t->edge->cols, x, n, y, n);
}

bool qbc_trial_create(struct qbc *q, const struct qbc_edge *edge, struct qbc_trial *out)
{
    size_t cols = (size_t)edge->cols, most = MOST_ROWS + 8 * edge->n, rows = (size_t)edge->n_rows;
    struct qbc_trial *t = out;
    *t = (struct qbc_trial){.edge = edge, .format = likely_format(q), .h = qbc_hessian_find(q, edge->name, edge->cols)};
    if (!qbc_activation_parse(q->options.act, &t->act))
        return false;
    t->w = malloc(most * cols * sizeof(float));
    t->scaled = malloc(most * cols * sizeof(float));
    t->errors = malloc(most * cols * sizeof(float));
    t->x = malloc((rows + 1) * cols * sizeof(float));
    t->scaled_x = malloc((rows + 1) * cols * sizeof(float));
    t->y = malloc(most * (rows + 1) * sizeof(float));
    t->scaled_y = malloc(most * (rows + 1) * sizeof(float));
    bool good = t->w && t->scaled && t->errors && t->x && t->scaled_x && t->y && t->scaled_y && read_sample(q, t) &&
                qbc_blocks_create(&t->blocks, t->format, t->m, edge->cols);
    if (!good && !q->errors)
        qbc_error_in(q, "-transform", "there is no memory to try what '%s' reads", edge->name);
    if (good) {
        transpose(edge->rows, edge->n_rows, edge->cols, t->x);
        multiply(t, t->w, t->x, t->y);
    }
    return good;
}

void qbc_trial_destroy(struct qbc_trial *t)
{
    float *all[] = {t->w, t->scaled, t->errors, t->x, t->scaled_x, t->y, t->scaled_y};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        free(all[i]);
    qbc_blocks_destroy(&t->blocks);
}

/* scaled = Q(w s) */
static bool round_weights(struct qbc_trial *t, const float *s)
{
    int64_t cols = t->edge->cols;
    for (int64_t i = 0; i < t->m * cols; ++i)
        t->errors[i] = t->w[i] * s[i % cols];
    if (qbc_format_fit(QBC_FIT_RTN, &t->blocks, 0, t->m, t->errors) >= 0)
        return false;
    qbc_format_decode_rows(&t->blocks, 0, t->m, t->scaled);
    return true;
}

double qbc_trial_weights(struct qbc_trial *t, const float *s)
{
    int64_t cols = t->edge->cols, n = t->m * cols;
    double loss = 0;
    if (!t->h || !round_weights(t, s))
        return INFINITY;
    for (int64_t i = 0; i < n; ++i)
        t->errors[i] = t->scaled[i] / s[i % cols] - t->w[i];
    memset(t->scaled, 0, (size_t)n * sizeof *t->scaled);
    qbc_subtract_product(t->m, cols, cols, t->errors, cols, t->h, cols, t->scaled, cols);
    for (int64_t i = 0; i < n; ++i)
        loss -= (double)t->scaled[i] * (double)t->errors[i] / 2;
    return loss;
}

/* What a channel is divided by. */
static float divisor(const float *s, int64_t c)
{
    return s ? s[c] : 1;
}

/* The range of all rows over s, for a static activation. */
static void range(const struct qbc_edge *e, const float *s, float *low, float *high)
{
    *low = *high = 0;
    for (int64_t i = 0; i < e->n_rows * e->cols; ++i) {
        float x = e->rows[i] / divisor(s, i % e->cols);
        *low = x < *low ? x : *low;
        *high = x > *high ? x : *high;
    }
}

/* scaled_x = Q(x / s), transposed; s NULL: Q(x). `errors` has room for two rows. */
static void round_activations(struct qbc_trial *t, const float *s)
{
    const struct qbc_edge *e = t->edge;
    float low, high, *row = t->errors, *rounded = t->errors + e->cols;
    range(e, s, &low, &high);
    for (int64_t r = 0; r < e->n_rows; ++r) {
        for (int64_t c = 0; c < e->cols; ++c)
            row[c] = e->rows[r * e->cols + c] / divisor(s, c);
        qbc_activation_round(&t->act, e->cols, low, high, row, rounded);
        for (int64_t c = 0; c < e->cols; ++c)
            t->scaled_x[c * e->n_rows + r] = rounded[c];
    }
}

/* Of the outputs of sampled rows, with activations over s rounded and weights w. */
static double output_error(struct qbc_trial *t, const float *w, const float *s)
{
    double loss = 0;
    round_activations(t, s);
    multiply(t, w, t->scaled_x, t->scaled_y);
    for (int64_t i = 0; i < t->m * t->edge->n_rows; ++i) {
        double e = (double)t->y[i] - (double)t->scaled_y[i];
        loss += e * e;
    }
    return loss;
}

double qbc_trial_both(struct qbc_trial *t, const float *s)
{
    return round_weights(t, s) ? output_error(t, t->scaled, s) : INFINITY;
}

double qbc_trial_activations(struct qbc_trial *t)
{
    return output_error(t, t->w, NULL);
}
