/* fit_range: search scale and zero point for the least squared error.
 *
 * Candidates are s = amax / (Q + t), t = -2 .. 2 in steps of 0.1, where Q is the reach of the codes
 * (for zero points: range / (L - 1 + t), with every zero point between "the least weight fits"
 * and "the largest fits"). Each is refitted by least squares with its codes,
 *
 *     s = sum(h w c) / sum(h c c)     c = code - zero; h, the errors' weights, 1 where there are none
 *
 * rounded to f16, and judged by sum h (w - s c)^2 with the codes of the rounded scale. The plain fit
 * competes and wins ties, so the result is never worse. Same arithmetic on every machine: sums
 * over a group run in LANES fixed lanes, which are then added in pairs.
 */
#include "fit.h"
#include "half.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, STEPS = 41 };

struct sums {
    float wc, cc, error;
};

/* One group, padded with zeros to full lanes, and the best parameters so far. */
struct search {
    const struct qbc_format *format;
    float w[QBC_MAX_GROUP + LANES], h[QBC_MAX_GROUP + LANES];
    int n;
    bool weighted;
    float error;
    struct qbc_params best, last; /* last: judged before */
};

static float fold(float lanes[LANES])
{
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; ++l)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

/* evaluate with weights. */
static struct sums evaluate_weighted(const struct search *s, float scale, int zero)
{
    static const float magic = 12582912.0f;
    float low = (float)(s->format->low - zero), high = (float)(s->format->high - zero);
    float wc[LANES] = {0}, cc[LANES] = {0}, error[LANES] = {0};
    for (int i = 0; i < s->n; i += LANES)
        for (int l = 0; l < LANES; ++l) {
            float w = s->w[i + l], h = s->h[i + l], x = w / scale;
            x = x < low ? low : x;
            x = x > high ? high : x;
            float c = (x + magic) - magic, e = w - scale * c, hc = h * c;
            wc[l] += w * hc;
            cc[l] += c * hc;
            error[l] += h * (e * e);
        }
    return (struct sums){fold(wc), fold(cc), fold(error)};
}

/* The codes of `scale`, and what they sum to. Padding has c = 0 and adds nothing. */
static struct sums evaluate(const struct search *s, float scale, int zero)
{
    static const float magic = 12582912.0f; /* see fit.c */
    if (s->weighted)
        return evaluate_weighted(s, scale, zero);
    float low = (float)(s->format->low - zero), high = (float)(s->format->high - zero);
    float wc[LANES] = {0}, cc[LANES] = {0}, error[LANES] = {0};
    for (int i = 0; i < s->n; i += LANES)
        for (int l = 0; l < LANES; ++l) {
            float w = s->w[i + l], x = w / scale;
            x = x < low ? low : x;
            x = x > high ? high : x;
            float c = (x + magic) - magic, e = w - scale * c;
            wc[l] += w * c;
            cc[l] += c * c;
            error[l] += e * e;
        }
    return (struct sums){fold(wc), fold(cc), fold(error)};
}

static void judge(struct search *s, struct qbc_params p)
{
    if (!(p.scale & 0x7fff) || (p.scale & 0x7fff) >= 0x7c00)
        return;
    if (p.scale == s->last.scale && p.zero == s->last.zero)
        return;
    s->last = p;
    float error = evaluate(s, qbc_half_to_float(p.scale), p.zero).error;
    if (error < s->error) {
        s->error = error;
        s->best = p;
    }
}

static void try_candidate(struct search *s, float scale, int zero)
{
    struct sums sums = evaluate(s, scale, zero);
    if (sums.cc > 0)
        judge(s, (struct qbc_params){qbc_fit_scale(sums.wc / sums.cc), zero});
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
    struct search s; /* most of it is never read */
    s.format = g->format, s.error = INFINITY, s.last = (struct qbc_params){0, -1}, s.best = plain;
    s.n = (g->n + LANES - 1) / LANES * LANES;
    memcpy(s.w, g->w, (size_t)g->n * sizeof *g->w);
    memset(s.w + g->n, 0, (size_t)(s.n - g->n) * sizeof *s.w);
    s.weighted = g->h;
    if (s.weighted) {
        memcpy(s.h, g->h, (size_t)g->n * sizeof *g->h);
        memset(s.h + g->n, 0, (size_t)(s.n - g->n) * sizeof *s.h);
    }
    judge(&s, plain);
    if (g->format->offset == QBC_OFFSET_ZERO)
        search_zero_point(&s, g);
    else
        search_symmetric(&s, g);
    return s.best;
}
