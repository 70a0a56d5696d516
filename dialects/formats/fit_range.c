/* fit_range: search scale and zero point for the least squared error.
 *
 * Candidates are s = amax / (Q + t), t = -2 .. 2 in steps of 0.1, where Q is the reach of the codes
 * (for zero points: range / (L - 1 + t), with every zero point between "the least weight fits"
 * and "the largest fits"). Each is refitted by least squares with its codes,
 *
 *     s = sum(h w c) / sum(h c c)     c = code - zero; h, the errors' weights, 1 where there are none
 *
 * rounded to f16, and judged by sum h (w - s c)^2 with the codes of the rounded scale. The plain fit
 * competes and wins ties, so the result is never worse. Candidates go side by side through the
 * group's weights, each with its own sums, so that compilers make vectors of them and yet every
 * machine computes the same.
 */
#include "clones.h"
#include "fit.h"
#include "half.h"

#include <math.h>
#include <string.h>

enum { STEPS = 41, LANES = 16, MOST = 48 };

/* Candidates, and what their codes sum to. */
struct batch {
    float scale[MOST], inverse[MOST], low[MOST], high[MOST];
    float wc[MOST], cc[MOST], error[MOST];
    int zero[MOST];
    int n;
};

/* One group, and the best parameters so far. */
struct search {
    const struct qbc_format *format;
    const float *w, *h; /* [n] */
    int n;
    float error;
    struct qbc_params best;
    struct batch batch; /* not tried yet */
};

/* Sums of LANES candidates from `first` on. */
QBC_CLONES
static void evaluate(struct batch *restrict b, int first, const float *restrict w, const float *restrict h, int n)
{
    static const float magic = 12582912.0f; /* see fit.c */
    float wc[LANES] = {0}, cc[LANES] = {0}, error[LANES] = {0};
    const float *scale = b->scale + first, *inverse = b->inverse + first, *low = b->low + first, *high = b->high + first;
    for (int i = 0; i < n; ++i)
        for (int l = 0; l < LANES; ++l) {
            float x = w[i] * inverse[l];
            x = x < low[l] ? low[l] : x;
            x = x > high[l] ? high[l] : x;
            float c = (x + magic) - magic, e = w[i] - scale[l] * c, hc = h[i] * c;
            wc[l] += w[i] * hc;
            cc[l] += c * hc;
            error[l] += h[i] * (e * e);
        }
    memcpy(b->wc + first, wc, sizeof wc);
    memcpy(b->cc + first, cc, sizeof cc);
    memcpy(b->error + first, error, sizeof error);
}

static void put(struct search *s, int at, float scale, int zero)
{
    struct batch *b = &s->batch;
    b->scale[at] = scale;
    b->inverse[at] = 1 / scale;
    b->low[at] = (float)(s->format->low - zero);
    b->high[at] = (float)(s->format->high - zero);
    b->zero[at] = zero;
}

static void evaluate_all(struct search *s)
{
    for (int i = s->batch.n; i % LANES; ++i) /* nobody asks for these */
        put(s, i, 1, 0);
    for (int first = 0; first < s->batch.n; first += LANES)
        evaluate(&s->batch, first, s->w, s->h, s->n);
}

/* Of the batch, whose scales can be stored, the best becomes s->best where it is better. */
static void judge(struct search *s)
{
    evaluate_all(s);
    for (int i = 0; i < s->batch.n; ++i)
        if (s->batch.error[i] < s->error) {
            s->error = s->batch.error[i];
            s->best = (struct qbc_params){qbc_fit_scale(s->batch.scale[i]), s->batch.zero[i]};
        }
    s->batch.n = 0;
}

/* What the candidates' codes say about scales is judged, if it can be stored. */
static void judge_refitted(struct search *s)
{
    struct batch *b = &s->batch;
    int n = b->n;
    evaluate_all(s);
    b->n = 0;
    for (int i = 0; i < n; ++i) {
        uint16_t half = b->cc[i] > 0 ? qbc_fit_scale(b->wc[i] / b->cc[i]) : 0;
        float scale = qbc_half_to_float(half);
        bool again = b->n && b->scale[b->n - 1] == scale && b->zero[b->n - 1] == b->zero[i];
        if ((half & 0x7fff) && (half & 0x7fff) < 0x7c00 && !again)
            put(s, b->n++, scale, b->zero[i]);
    }
    judge(s);
}

static void try_candidate(struct search *s, float scale, int zero)
{
    put(s, s->batch.n++, scale, zero);
    if (s->batch.n == MOST)
        judge_refitted(s);
}

/* t = -2 .. 2 around `reach`; nothing below half of it, where few codes are left to shift. */
static float divisor(int reach, int step)
{
    float d = (float)reach + (float)(step - STEPS / 2) * 0.1f;
    return d < 0.5f * (float)reach ? 0.5f * (float)reach : d;
}

static void search_symmetric(struct search *s, const struct qbc_group *g)
{
    const struct qbc_format *f = g->format;
    int below = f->bias - f->low, above = f->high - f->bias;
    int reach = below > above ? below : above;
    float to_reach = below == above ? fabsf(g->extreme) : below > above ? -g->extreme : g->extreme;
    for (int step = 0; step < STEPS; ++step)
        try_candidate(s, to_reach / divisor(reach, step), f->bias);
}

static int limited(float zero, int most)
{
    return zero<0 ? 0 : zero>(float) most ? most : (int)zero;
}

static void search_zero_point(struct search *s, const struct qbc_group *g)
{
    int reach = g->format->high - g->format->low;
    for (int step = 0; step < STEPS; ++step) {
        float scale = (g->most - g->least) / divisor(reach, step);
        int low_fits = limited(rintf(-g->least / scale), reach);
        int high_fits = limited((float)reach - rintf(g->most / scale), reach);
        int first = low_fits < high_fits ? low_fits : high_fits;
        int last = low_fits < high_fits ? high_fits : low_fits;
        for (int zero = first; zero <= last; ++zero)
            try_candidate(s, scale, g->format->low + zero);
    }
}

struct qbc_params qbc_fit_range(const struct qbc_group *g, struct qbc_params plain)
{
    float alike[QBC_MAX_GROUP];
    struct search s; /* most of it is never read */
    s.format = g->format, s.error = INFINITY, s.best = plain, s.w = g->w, s.h = g->h, s.n = g->n, s.batch.n = 0;
    for (int i = 0; i < g->n && !g->h; ++i)
        alike[i] = 1;
    s.h = g->h ? g->h : alike;
    put(&s, s.batch.n++, qbc_half_to_float(plain.scale), plain.zero);
    judge(&s);
    if (g->format->offset == QBC_OFFSET_ZERO)
        search_zero_point(&s, g);
    else
        search_symmetric(&s, g);
    judge_refitted(&s);
    return s.best;
}
