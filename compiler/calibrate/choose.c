/* choose: from what was measured to a format for each tensor. */
#include "choose.h"
#include "resume.h"

#include <stdlib.h>
#include <string.h>

bool qbc_choice_wanted(const struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    return o->bpw || o->size || ((o->max_ppl || o->max_kld) && !o->quant);
}

/* --- the budget */

/* "900M", "1.5G", "123456": bytes; 0 after an error. */
static int64_t read_size(struct qbc *q, const char *text)
{
    static const char units[] = "kMG";
    char *end;
    double n = strtod(text, &end), unit = 1;
    const char *found = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    for (const char *u = units; found && u <= found; ++u)
        unit *= 1000;
    bool good = end != text && n > 0 && n * unit < 9e18 && (!*end || (found && (!end[1] || !strcmp(end + 1, "B"))));
    if (!good)
        qbc_error_in(q, "-size", "'%s' is no size; write bytes, or a number with k, M or G: -size=900M", text);
    return good ? (int64_t)(n * unit) : 0;
}

static bool read_budget(struct qbc *q, struct qbc_choice *c)
{
    const char *bpw = q->options.bpw, *size = q->options.size;
    char *end = NULL;
    if (bpw && size) {
        qbc_error_in(q, "-size", "-bpw=%s is a budget already; give one of them", bpw);
        return false;
    }
    c->whole_file = size;
    c->bounded = !bpw && !size;
    if (c->bounded) {
        c->budget = q->options.max_ppl ? qbc_text(q, "-max-ppl=%s", q->options.max_ppl) : qbc_text(q, "-max-kld=%s", q->options.max_kld);
        return true;
    }
    c->budget = bpw ? qbc_text(q, "-bpw=%s", bpw) : qbc_text(q, "-size=%s", size);
    c->bits = bpw ? strtod(bpw, &end) : 0;
    if (bpw && (*end || end == bpw || !(c->bits > 0 && c->bits <= 64)))
        qbc_error_in(q, "-bpw", "'%s' is no number of bits a weight, as 4.25", bpw);
    c->bytes = size ? read_size(q, size) : (int64_t)(c->bits * (double)c->parameters / 8);
    return !q->errors;
}

/* --- learning and choosing */

static const struct qbc_allocator *allocator_of(const struct qbc *q)
{
    return qbc_find_allocator(q->options.allocator);
}

static void cannot_be_met(struct qbc *q, const struct qbc_choice *c, int64_t bytes)
{
    qbc_error_in(q, c->budget, "cannot be met: with the smallest formats of -formats there are %lld bytes, %.3f bits a weight", (long long)bytes,
                 8 * (double)bytes / (double)c->parameters);
}

/* Before hours of measuring. */
static bool can_be_met(struct qbc *q, const struct qbc_choice *c)
{
    int64_t least = c->others;
    for (size_t i = 0; i < c->items.n; ++i)
        least += c->items.item[i].candidate[0].bytes;
    bool good = c->bounded || least <= c->bytes;
    if (!good)
        cannot_be_met(q, c, least);
    return good;
}

static bool learn(struct qbc *q, MlirOperation graph, struct qbc_calibration *calibration, struct qbc_choice *c)
{
    enum { LONGEST = 256 };
    struct qbc_effort effort = qbc_measure_effort(&c->items, LONGEST);
    calibration->n_measure = effort.windows;
    calibration->measured = effort.tokens;
    bool known = qbc_find_losses(q, &c->items);
    calibration->only_moments = known || (c->items.alone && !c->items.metric->flows);
    if (!qbc_calibrate(q, graph, calibration))
        return false;
    bool good = known || qbc_measure(q, calibration, &c->items);
    c->measured_tokens = calibration->n_measure * calibration->measured;
    qbc_calibration_forget(calibration);
    return good;
}

bool qbc_choice_learn(struct qbc *q, MlirOperation graph, struct qbc_calibration *calibration, struct qbc_choice *c)
{
    *c = (struct qbc_choice){.budget = "-bpw"};
    if (!qbc_items_find(q, graph, &c->items, &c->parameters, &c->others) || !read_budget(q, c) || !can_be_met(q, c) ||
        !learn(q, graph, calibration, c))
        return false;
    c->units = qbc_units_create(q, &c->items, allocator_of(q));
    c->target = c->bytes - c->others;
    c->high = INT64_MAX;
    return qbc_units_can_be_solved(q, c->units, allocator_of(q));
}

/* Nothing fits, or a rule that does not look at bytes took too many. */
static void complain(struct qbc *q, const struct qbc_choice *c, const struct qbc_problem *p, size_t *choice)
{
    const struct qbc_allocator *allocator = allocator_of(q);
    if (!allocator->over_budget)
        qbc_choose_smallest(p, choice);
    int64_t bytes = qbc_choice_bytes(p, choice) + c->bytes - c->target;
    if (allocator->over_budget)
        qbc_error_in(q, c->budget, "is not met: -allocator=%s does not look at the budget, and what it chose takes %lld bytes, %.3f bits "
                     "a weight; give as many, or other -formats, -share or -metric", allocator->name, (long long)bytes, 8 * (double)bytes / (double)c->parameters);
    else
        cannot_be_met(q, c, bytes);
}

/* For the record. */
static const char *describe(struct qbc *q, const struct qbc_choice *c)
{
    const struct qbc_metric *metric = c->items.metric;
    const char *grain = c->items.granularity == QBC_GRAIN_TENSOR ? "" : qbc_text(q, " for each %s", qbc_granularities[c->items.granularity]);
    const char *by = q->options.metric ? qbc_text(q, " of %s", metric->name) : "";
    const char *unit = c->items.alone ? "in squared errors" : "nats a token";
    return qbc_text(q, "%s by %s%s%s, measured on %zu tokens; %.4f %s are expected", c->budget, allocator_of(q)->name, by, grain,
                    c->measured_tokens, c->predicted, unit);
}

bool qbc_choice_make(struct qbc *q, struct qbc_choice *c)
{
    struct qbc_problem p = c->units->problem;
    size_t *choice = qbc_alloc(q, (p.n + 1) * sizeof *choice);
    p.budget = c->target;
    if (!allocator_of(q)->solve(&p, choice) || qbc_choice_bytes(&p, choice) > p.budget) {
        complain(q, c, &p, choice);
        return false;
    }
    c->settles = allocator_of(q)->over_budget;
    c->predicted = qbc_choice_sum(&p, choice);
    if (!qbc_units_choose(q, c->units, choice))
        return false;
    for (size_t i = 0; i < c->items.n; ++i)
        qbc_set_string(q, c->items.item[i].weight, "assigned", c->items.item[i].format->name);
    q->chosen = describe(q, c);
    return true;
}

bool qbc_choice_frontier(struct qbc *q, struct qbc_choice *c, struct qbc_frontier_point *points, int n)
{
    struct qbc_problem p = c->units->problem;
    size_t *choice = qbc_alloc(q, (p.n + 1) * sizeof *choice);
    qbc_choose_smallest(&p, choice);
    int64_t least = qbc_choice_bytes(&p, choice), most = 0;
    for (size_t i = 0; i < p.n; ++i)
        most += p.bytes[qbc_largest_option(&p, i)];
    for (int i = 0; i < n; ++i) {
        p.budget = least + (int64_t)((double)(most - least) * i / (n - 1));
        if (!qbc_allocate_mckp(&p, choice))
            return false;
        points[i] = (struct qbc_frontier_point){p.budget, qbc_choice_loss(&p, choice)};
    }
    return true;
}

int64_t qbc_choice_item_bytes(const struct qbc_choice *c)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < c->items.n; ++i)
        bytes += c->items.item[i].bytes;
    return bytes;
}

/* What is beside the items (code, for one) depends on the choice, so the bytes for items are searched: between the most that
 * came out within the budget and the least that did not. */
bool qbc_choice_settled(struct qbc_choice *c, int64_t bytes)
{
    int64_t next = c->bytes - (bytes - qbc_choice_item_bytes(c));
    bool fits = bytes <= c->bytes, used = 1000 * (c->bytes - bytes) < c->bytes;
    if (fits)
        c->low = c->target;
    else
        c->high = c->target;
    bool settled = fits && (used || c->settles || next <= c->target || c->high - c->low < c->bytes / 4000);
    if (next <= c->low || next >= c->high)
        next = c->low ? c->low + (c->high - c->low) / 2 : c->high - (bytes - c->bytes);
    c->target = settled ? c->target : next;
    return settled;
}

bool qbc_choice_fall_back(struct qbc_choice *c)
{
    c->target = c->low;
    return c->low;
}
