/* search: scale, minimum or zero point, and selector for weights that share them.
 *
 * Nearest (QBC_FIT_RTN): the largest magnitude gets the largest level, the range all levels; three levels or fewer get the
 * least squared error of their signs at once: s = mean |w|. QBC_FIT_RANGE looks around that:
 *
 *     s = amax / (Q + t), t = -2 .. 2 in steps of 0.1;  (max - min) / (L - 1 + t) with a minimum or zero point
 *
 * Each candidate is refitted by least squares with its codes, rounded as it will be stored, and judged by
 * sum h (w - decoded)^2 with the codes of what is stored. Sums are f64. The first of equals wins, the plain fit being first.
 */
#include "search.h"

#include <math.h>

enum { STEPS = 41 };

/* A table's levels in rising order, and what lies half way between neighbours. */
struct levels {
    int n;
    float level[QBC_MOST_LEVELS], middle[QBC_MOST_LEVELS];
};

struct search {
    const struct qbc_format *f;
    struct levels levels; /* of one selector */
    const struct qbc_samples *x;
    enum qbc_scale type;
    float outer;
    float extreme, least, most; /* of the weights; least and most with 0, where 0 must be a value */
    struct qbc_found best;
};

/* --- levels */

static float table_level(const struct qbc_format *f, int selector, int code)
{
    return (float)f->level[(selector << f->bits) + code];
}

static float level_of(const struct qbc_format *f, const struct qbc_found *p, int code)
{
    return f->codebook == QBC_CODE_TABLE ? table_level(f, p->selector, code) : (float)(code - p->zero);
}

int qbc_nearest_code(const struct qbc_format *f, const struct qbc_found *p, float w)
{
    float x = p->scale == 0 ? 0 : (w - p->min) / p->scale;
    if (f->codebook == QBC_CODE_AFFINE) {
        float low = (float)(f->low - p->zero), high = (float)(f->high - p->zero);
        return (int)rintf(x < low ? low : x > high ? high : x) + p->zero;
    }
    int best = f->low;
    float least = INFINITY;
    for (int code = f->low; code <= f->high; ++code) {
        float distance = fabsf(x - table_level(f, p->selector, code));
        if (distance < least) {
            least = distance;
            best = code;
        }
    }
    return best;
}

static void sort_levels(struct search *s, int selector)
{
    struct levels *l = &s->levels;
    l->n = 0;
    for (int code = s->f->low; code <= s->f->high; ++code) {
        int at = l->n++;
        for (; at && l->level[at - 1] > table_level(s->f, selector, code); --at)
            l->level[at] = l->level[at - 1];
        l->level[at] = table_level(s->f, selector, code);
    }
    for (int i = 0; i + 1 < l->n; ++i)
        l->middle[i] = 0.5f * (l->level[i] + l->level[i + 1]);
}

/* The nearest level, without its code; a sum instead of a search, so that compilers make vectors of it. */
static float nearest_level(const struct search *s, const struct qbc_found *p, float w)
{
    float x = p->scale == 0 ? 0 : (w - p->min) / p->scale;
    if (s->f->codebook == QBC_CODE_AFFINE) {
        float low = (float)(s->f->low - p->zero), high = (float)(s->f->high - p->zero);
        return rintf(x < low ? low : x > high ? high : x);
    }
    int below = 0;
    for (int i = 0; i + 1 < s->levels.n; ++i)
        below += x > s->levels.middle[i];
    return s->levels.level[below];
}

/* --- storing */

static float stored(const struct search *s, float value)
{
    if (s->type == QBC_SCALE_NONE || s->outer == 0)
        return value;
    return s->outer * qbc_scale_decode(s->type, qbc_scale_encode(s->type, value / s->outer));
}

static float stored_scale(const struct search *s, float scale)
{
    float unit = s->f->unit ? s->f->unit : 1, value = stored(s, scale / unit);
    return s->f->unit ? value * unit : value;
}

/* --- judging */

struct sums {
    double h, l, ll, w, wl, error;
};

static struct sums evaluate(const struct search *s, const struct qbc_found *p)
{
    struct sums t = {0};
    for (int64_t i = 0; i < s->x->n; ++i) {
        float w = s->x->w[i], level = nearest_level(s, p, w);
        float decoded = p->scale * level + p->min;
        double h = qbc_sample_weight(s->x, i), l = (double)level, e = (double)w - (double)decoded;
        t.h += h, t.l += h * l, t.ll += h * l * l;
        t.w += h * (double)w, t.wl += h * (double)w * l;
        t.error += h * e * e;
    }
    return t;
}

static void judge(struct search *s, struct qbc_found p)
{
    p.scale = stored_scale(s, p.scale);
    if (s->f->offset == QBC_OFFSET_MIN)
        p.min = stored(s, p.min);
    if (!isfinite(p.scale) || !isfinite(p.min)) {
        s->best.too_large = true;
        return;
    }
    p.error = evaluate(s, &p).error;
    p.too_large = s->best.too_large;
    if (p.error < s->best.error)
        s->best = p;
}

/* Least squares with the codes of `p`: of the scale, or of scale and minimum together. */
static struct qbc_found refit(const struct search *s, struct qbc_found p)
{
    struct sums t = evaluate(s, &p);
    double det = t.h * t.ll - t.l * t.l;
    if (s->f->offset == QBC_OFFSET_MIN && det > 1e-12 * t.h * t.ll) {
        p.scale = (float)((t.h * t.wl - t.l * t.w) / det);
        p.min = (float)((t.ll * t.w - t.l * t.wl) / det);
    } else if (t.ll > 0) {
        p.scale = (float)((t.wl - (double)p.min * t.l) / t.ll);
    }
    return p;
}

/* --- limits of what can be stored */

static bool may_be_negative(const struct qbc_format *f)
{
    enum qbc_scale t = f->scale;
    return t != QBC_SCALE_E8M0 && t != QBC_SCALE_E4M3 && t != QBC_SCALE_U4 && t != QBC_SCALE_U6 && t != QBC_SCALE_U8;
}

/* A minimum that is a code cannot be above 0; no scale of unsigned codes below. */
static struct qbc_found storable(const struct search *s, struct qbc_found p)
{
    if (qbc_scale_is_code(s->f->scale) && p.min > 0)
        p.min = 0;
    if (!may_be_negative(s->f) && p.scale < 0)
        p.scale = 0;
    return p;
}

/* --- candidates */

struct reach {
    float below, above; /* of levels: magnitudes */
};

static struct reach reach_of(const struct qbc_format *f, int selector)
{
    struct reach r = {0, 0};
    struct qbc_found p = {.zero = f->bias, .selector = selector};
    for (int code = f->low; code <= f->high; ++code) {
        float level = level_of(f, &p, code);
        r.below = -level > r.below ? -level : r.below;
        r.above = level > r.above ? level : r.above;
    }
    return r;
}

/* The largest weight at the largest level, where the scale's sign may say so; else no weight beyond a level. */
static float symmetric_scale(const struct search *s, struct reach r, float divisor)
{
    float side = r.below > r.above ? -s->extreme : s->extreme;
    if (r.below == r.above)
        return fabsf(s->extreme) / divisor;
    if (may_be_negative(s->f))
        return side / divisor;
    return fabsf(s->extreme) / divisor;
}

/* Powers of two: of the largest element of e2m1 (or others), 2^floor(log2 amax) less its own exponent. */
static float power_scale(const struct search *s, struct reach r)
{
    float unit = s->f->unit ? s->f->unit : 1, most = r.above > r.below ? r.above : r.below;
    float amax = fabsf(s->extreme);
    return amax > 0 ? ldexpf(unit, ilogbf(amax) - ilogbf(most * unit)) : 0;
}

static double mean_magnitude(const struct search *s)
{
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < s->x->n; ++i) {
        sum += qbc_sample_weight(s->x, i) * fabs((double)s->x->w[i]);
        weights += qbc_sample_weight(s->x, i);
    }
    return weights > 0 ? sum / weights : 0;
}

static void try_both(struct search *s, struct qbc_found p)
{
    judge(s, storable(s, p));
    judge(s, storable(s, refit(s, p)));
}

static void search_symmetric(struct search *s, enum qbc_fit how, int selector)
{
    struct reach r = reach_of(s->f, selector);
    float most = r.below > r.above ? r.below : r.above;
    if (selector)
        sort_levels(s, selector);
    struct qbc_found p = {.zero = s->f->bias, .selector = selector};
    bool powers = s->f->scale == QBC_SCALE_E8M0, few = s->f->high - s->f->low < 3;
    p.scale = powers ? power_scale(s, r) : few ? (float)mean_magnitude(s) / most : symmetric_scale(s, r, most);
    judge(s, p);
    if (how == QBC_FIT_RTN)
        return;
    for (int e = -1; powers && e <= 1; ++e)
        judge(s, (struct qbc_found){.scale = ldexpf(p.scale, e), .zero = p.zero, .selector = selector});
    for (int step = 0; !powers && step < STEPS; ++step) {
        float divisor = most * (1 + (float)(step - STEPS / 2) * 0.1f / (most < 4 ? 4 : most > 16 ? 16 : most));
        p.scale = symmetric_scale(s, r, divisor);
        try_both(s, p);
    }
    for (float wide = 0.5f; few && wide < 3; wide += 0.1f) { /* far outliers */
        p.scale = wide * (float)mean_magnitude(s) / most;
        try_both(s, p);
    }
}

static int limited(float zero, int low, int high)
{
    return zero < (float)low ? low : zero > (float)high ? high : (int)zero;
}

static void search_zero_point(struct search *s, enum qbc_fit how)
{
    int low = s->f->low, reach = s->f->high - low;
    for (int step = -1; step < (how == QBC_FIT_RTN ? 0 : STEPS); ++step) {
        float t = step < 0 ? 0 : (float)(step - STEPS / 2) * 0.1f, divisor = (float)reach + t;
        float scale = (s->most - s->least) / (divisor < 0.5f * (float)reach ? 0.5f * (float)reach : divisor);
        if (scale <= 0)
            continue;
        struct qbc_found p = {.scale = step < 0 ? stored_scale(s, scale) : scale};
        p.zero = low + limited(p.scale > 0 ? rintf(-s->least / p.scale) : 0, 0, reach);
        if (step < 0)
            judge(s, p);
        else
            for (int zero = p.zero - 1; zero <= p.zero + 1; ++zero) {
                p.zero = limited((float)zero, low, s->f->high);
                try_both(s, p);
            }
    }
}

/* With a minimum levels are counted from the lowest. */
static void search_min(struct search *s, enum qbc_fit how)
{
    struct reach r = reach_of(s->f, 0);
    float span = r.below + r.above;
    if (s->f->high - s->f->low < 2) /* the ends of the range say little about two levels */
        how = QBC_FIT_RANGE;
    for (int step = -1; step < (how == QBC_FIT_RTN ? 0 : STEPS); ++step) {
        float t = step < 0 ? 0 : (float)(step - STEPS / 2) * 0.1f * (span < 4 ? span / 4 : 1);
        struct qbc_found p = {.scale = (s->most - s->least) / (span + t)};
        p.min = s->least + r.below * p.scale;
        if (step < 0)
            judge(s, storable(s, p));
        else
            try_both(s, p);
    }
}

static void measure(struct search *s)
{
    bool with_zero = s->f->offset == QBC_OFFSET_ZERO || qbc_scale_is_code(s->f->scale);
    s->least = with_zero ? 0 : INFINITY, s->most = with_zero ? 0 : -INFINITY;
    for (int64_t i = 0; i < s->x->n; ++i) {
        float w = s->x->w[i];
        s->least = w < s->least ? w : s->least;
        s->most = w > s->most ? w : s->most;
    }
    s->extreme = -s->least >= s->most ? s->least : s->most;
}

struct qbc_found qbc_search(const struct qbc_format *f, enum qbc_fit how, const struct qbc_samples *x,
                            enum qbc_scale type, float outer)
{
    struct search s = {.f = f, .x = x, .type = type, .outer = outer};
    s.best = (struct qbc_found){.zero = f->offset == QBC_OFFSET_ZERO ? f->low : f->bias, };
    if (f->codebook == QBC_CODE_TABLE)
        sort_levels(&s, 0);
    s.best.error = evaluate(&s, &s.best).error; /* all zeros */
    measure(&s);
    if (f->offset == QBC_OFFSET_MIN)
        search_min(&s, how);
    else if (f->offset == QBC_OFFSET_ZERO)
        search_zero_point(&s, how);
    else
        for (int selector = 0; selector < 1 << f->selector_bits; ++selector)
            search_symmetric(&s, how, selector);
    return s.best;
}
