/* choice_options: what goes with a budget: metric, allocator, granularity, and which of them go together. */
#include "pipeline.h"

#include "allocator.h"
#include "choose.h"
#include "metrics.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 32 };

/* "a, b, c": names for which `is_good` holds (NULL: all). */
static const char *listed(struct qbc *q, const char *(*name)(size_t i), bool (*is_good)(size_t i))
{
    const char *text = "";
    for (size_t i = 0; name(i); ++i)
        if (!is_good || is_good(i))
            text = qbc_text(q, "%s%s%s", text, *text ? ", " : "", name(i));
    return text;
}

static const char *allocator_name(size_t i)
{
    const struct qbc_allocator *a = qbc_allocator_at(i);
    return a ? a->name : NULL;
}

static const char *metric_name(size_t i)
{
    const struct qbc_metric *m = qbc_metric_at(i);
    return m ? m->name : NULL;
}

static const char *granularity_name(size_t i)
{
    return qbc_granularities[i];
}

static void check_name(struct qbc *q, const char *option, const char *value, const char *(*name)(size_t i))
{
    const char *names[MOST_NAMES] = {NULL};
    for (size_t i = 0; i + 1 < MOST_NAMES && name(i); ++i)
        names[i] = name(i);
    if (value && !qbc_one_of(value, names))
        qbc_error_in(q, option, "'%s' is no choice, which are %s%s", value, listed(q, name, NULL), qbc_suggestion(q, value, names, ""));
}

/* --- which metric an allocator can go by */

static bool is_loss(size_t i)
{
    return qbc_metric_is_loss(qbc_metric_at(i));
}

static bool is_of_the_model(size_t i)
{
    return is_loss(i) && qbc_metric_at(i)->kind != QBC_METRIC_LOCAL;
}

static bool is_positive(size_t i)
{
    return qbc_metric_at(i)->positive;
}

static bool orders(size_t i)
{
    const struct qbc_allocator *a = qbc_allocator_at(i);
    return strstr(a->wants, "metric") && strcmp(a->name, "waterfill");
}

static bool looks_at_bytes(size_t i)
{
    return !qbc_allocator_at(i)->over_budget;
}

static size_t index_of(const struct qbc_metric *metric)
{
    size_t i = 0;
    while (qbc_metric_at(i) != metric)
        ++i;
    return i;
}

static void check_metric(struct qbc *q, const struct qbc_allocator *rule, const struct qbc_metric *metric)
{
    size_t m = index_of(metric);
    bool threshold = !strcmp(rule->name, "threshold"), pairs = !strcmp(rule->name, "quad_block"), by_order = false;
    for (size_t i = 0; qbc_allocator_at(i); ++i)
        by_order |= qbc_allocator_at(i) == rule && orders(i);
    if (!by_order && !is_loss(m))
        qbc_error_in(q, "-metric", "'%s' says how much a tensor matters, not what a format costs it, which %s goes by; take one of %s, or "
                     "one of the allocators %s", metric->name, rule->name, listed(q, metric_name, is_loss), listed(q, allocator_name, orders));
    else if (threshold && !is_positive(m))
        qbc_error_in(q, "-metric", "'%s' is never positive, and threshold compares with multiples of the median; take one of %s", metric->name,
                     listed(q, metric_name, is_positive));
    else if (pairs && !is_of_the_model(m))
        qbc_error_in(q, "-metric", "'%s' says nothing of two tensors together, which quad_block goes by; take one of %s", metric->name,
                     listed(q, metric_name, is_of_the_model));
}

static void check_granularity(struct qbc *q, const struct qbc_allocator *rule, const struct qbc_metric *metric)
{
    enum qbc_granularity grain = qbc_find_granularity(q->options.granularity);
    if (grain == QBC_GRAIN_SEGMENT && !qbc_metric_is_loss(metric))
        qbc_error_in(q, "-granularity", "columns of a tensor do not differ in '%s'; segments go with one of %s", metric->name,
                     listed(q, metric_name, is_loss));
    if (grain != QBC_GRAIN_TENSOR && !strcmp(rule->name, "quad_block"))
        qbc_error_in(q, "-granularity", "quad_block goes by pairs of tensors of a block: -granularity=tensor is what there is");
}

static void check_share(struct qbc *q, const struct qbc_allocator *rule)
{
    const char *share = q->options.share;
    char *end = NULL;
    double n = share ? strtod(share, &end) : 0;
    bool top = !strcmp(rule->name, "top_ratio"), threshold = !strcmp(rule->name, "threshold");
    if (share && !top && !threshold)
        qbc_error_in(q, "-share", "is for -allocator=top_ratio, a share of the tensors, and -allocator=threshold, a multiple of the median");
    else if (share && (end == share || *end || !(n >= 0) || (top && n > 1) || n > 1e30))
        qbc_error_in(q, "-share", top ? "'%s' is no share, from 0 to 1" : "'%s' is no multiple of the median", share);
}

void qbc_choice_options_check(struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    bool bound = (o->max_ppl || o->max_kld) && !o->bpw && !o->size, choice = qbc_choice_wanted(q);
    const char *alone = o->formats ? "-formats" : o->allocator ? "-allocator" : o->metric ? "-metric" : o->granularity ? "-granularity" : "-share";
    size_t errors = q->errors;
    check_name(q, "-allocator", o->allocator, allocator_name);
    check_name(q, "-metric", o->metric, metric_name);
    check_name(q, "-granularity", o->granularity, granularity_name);
    if ((o->bpw || o->size) && o->quant)
        qbc_error_in(q, "-quant", "%s chooses the formats; -formats=%s is what to choose from, -quant-tensor=REGEX=FORMAT an "
                     "exception", o->bpw ? "-bpw" : "-size", o->quant);
    if (!choice && (o->formats || o->allocator || o->metric || o->granularity || o->share))
        qbc_error_in(q, alone, "is for choosing formats; say within which budget: -bpw=N, -size=N, -max-ppl=N%%, or -max-kld=N");
    if (q->errors != errors)
        return;
    const struct qbc_allocator *rule = qbc_find_allocator(o->allocator);
    const struct qbc_metric *metric = qbc_find_metric(o->metric);
    check_metric(q, rule, metric);
    check_granularity(q, rule, metric);
    check_share(q, rule);
    if (bound && choice && rule->over_budget)
        qbc_error_in(q, "-allocator", "'%s' does not look at bytes, which a bound is kept by; take one of %s, or give -bpw=N or -size=N", rule->name,
                     listed(q, allocator_name, looks_at_bytes));
}
