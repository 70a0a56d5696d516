/* units: see units.h.
 *
 * Tensors of a block that has one format are one item, whose losses and bytes are the sums. A segment is a quarter of a tensor's
 * columns, those that weigh most first; its loss is the tensor's times its share, and segments with formats of their own
 * make a split tensor, "i4g32@25%p|i2g32z". A block, or segment, that cannot be one (pinned tensors, few columns) is taken whole.
 */
#include "units.h"
#include "kernel.h"
#include "parts.h"
#include "target.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, LEAST_SEGMENTED = 128 /* columns */ };
static const double COMMON_BITS = 4, THRESHOLD = 64, TOP = 0.1, MOST_COMBINATIONS = 1e6;

/* --- bytes */

static int64_t leaf_bytes(const struct qbc *q, const struct qbc_format *f, int64_t rows, int64_t cols)
{
    struct qbc_packing seen[64];
    size_t n = 0;
    int64_t bytes = 0;
    for (size_t t = 0; t < q->n_targets; ++t) {
        struct qbc_packing p = qbc_packing_for(q->targets[t], f, rows);
        size_t i = 0;
        while (i < n && !qbc_same_packing(seen[i], p))
            ++i;
        if (i < n || n == sizeof seen / sizeof *seen)
            continue;
        seen[n++] = p;
        bytes += (qbc_layout(f, p, rows, cols).bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    return bytes;
}

int64_t qbc_packed_bytes(struct qbc *q, const struct qbc_format *f, int64_t rows, int64_t cols)
{
    struct qbc_format part;
    int64_t bytes = f->permuted ? (int64_t)sizeof(uint16_t) * cols + ALIGN : 0;
    if (!qbc_is_composite(f))
        return leaf_bytes(q, f, rows, cols);
    if (f->codebook != QBC_CODE_SPLIT && f->codebook != QBC_CODE_SUM)
        return qbc_format_bytes(f, rows, cols) + ALIGN;
    for (int i = 0; i < f->n_parts && qbc_format_part(f, i, &part); ++i) {
        bool split = f->codebook == QBC_CODE_SPLIT;
        int64_t all = f->by_rows ? rows : cols, n = qbc_format_cut(f, i + 1, all) - qbc_format_cut(f, i, all);
        bytes += qbc_packed_bytes(q, &part, split && f->by_rows ? n : rows, split && !f->by_rows ? n : cols);
    }
    return bytes;
}

/* --- units */

static bool is_segmented(const struct qbc_items *items, const struct qbc_item *item)
{
    bool good = items->granularity == QBC_GRAIN_SEGMENT && !item->pinned && item->view.cols >= LEAST_SEGMENTED;
    for (size_t i = 0; i < item->n && good; ++i)
        good = !qbc_is_composite(item->candidate[i].format) && item->candidate[i].format->codebook != QBC_CODE_FLOAT;
    return good;
}

static int64_t segment_cols(const struct qbc_item *item, int segment)
{
    int64_t cols = item->view.cols;
    return segment < 0 ? cols : cols * (segment + 1) / QBC_SEGMENTS - cols * segment / QBC_SEGMENTS;
}

struct sums {
    double loss, weights, importance;
    int64_t bytes;
};

/* Option `format` of a unit, over all of its tensors. */
static struct sums sum_up(struct qbc *q, const struct qbc_items *items, const struct qbc_unit *u, const struct qbc_format *format)
{
    struct sums s = {.importance = -INFINITY};
    for (size_t i = u->item; i < items->n; ++i) {
        const struct qbc_item *item = &items->item[i];
        const struct qbc_candidate *c = qbc_same_unit(items, u->item, i) ? qbc_item_candidate(item, format) : NULL;
        if (!c)
            continue;
        bool whole = u->segment < 0;
        int64_t cols = segment_cols(item, u->segment);
        s.loss += whole ? c->loss : c->loss * c->share[u->segment];
        s.bytes += whole ? c->bytes : qbc_packed_bytes(q, format, item->view.rows, cols);
        s.weights += (double)item->view.rows * (double)cols;
        s.importance = fmax(s.importance, item->importance);
    }
    return s;
}

static size_t list_units(const struct qbc_items *items, struct qbc_unit *units)
{
    size_t n = 0;
    for (size_t i = 0; i < items->n; ++i) {
        bool parts = is_segmented(items, &items->item[i]);
        for (int s = 0; s < (parts ? QBC_SEGMENTS : 1) && qbc_leads_unit(items, i); ++s)
            units[n++] = (struct qbc_unit){i, parts ? s : -1};
    }
    return n;
}

/* --- what allocators want beside losses and bytes */

/* What two options of one block cost together beyond their sum. */
static double together(void *user, size_t option, size_t other)
{
    const struct qbc_units *u = user;
    size_t i = u->item_of[option], j = u->item_of[other];
    double a = u->problem.loss[option], b = u->problem.loss[other], c = u->items->pairs[i * u->items->n + j];
    return i != j && a > 0 && b > 0 ? c * sqrt(a * b) : 0;
}

/* The option of unit i with about COMMON_BITS bits a weight. */
static size_t common_option(const struct qbc_problem *p, size_t i)
{
    size_t best = p->first[i];
    for (size_t o = best; o < p->first[i + 1]; ++o)
        if (fabs(p->bits[o] - COMMON_BITS) < fabs(p->bits[best] - COMMON_BITS))
            best = o;
    return best;
}

/* How much a unit matters. Of losses: what is lost with the smallest option and not with the largest; for `waterfill` a weight's loss
 * at a common width. */
static double metric_of(const struct qbc_problem *p, const struct qbc_allocator *allocator, size_t i, const struct sums *s)
{
    size_t small = p->first[i];
    for (size_t o = small; o < p->first[i + 1]; ++o)
        small = p->bytes[o] < p->bytes[small] ? o : small;
    if (!strcmp(allocator->name, "waterfill"))
        return p->loss[common_option(p, i)] / s->weights;
    return p->loss[small] - p->loss[qbc_largest_option(p, i)];
}

static int rising(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(struct qbc *q, const double *x, size_t n)
{
    double *sorted = qbc_alloc(q, (n + 1) * sizeof *sorted);
    memcpy(sorted, x, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, rising);
    return sorted[n / 2];
}

static void set_share(struct qbc *q, struct qbc_problem *p, const struct qbc_allocator *allocator)
{
    bool threshold = !strcmp(allocator->name, "threshold");
    p->share = q->options.share ? strtod(q->options.share, NULL) : threshold ? THRESHOLD : TOP;
    if (threshold)
        p->share *= median(q, p->metric, p->n);
}

struct qbc_units *qbc_units_create(struct qbc *q, struct qbc_items *items, const struct qbc_allocator *allocator)
{
    struct qbc_units *u = qbc_alloc(q, sizeof *u);
    *u = (struct qbc_units){.items = items, .unit = qbc_alloc(q, (QBC_SEGMENTS * items->n + 1) * sizeof *u->unit)};
    size_t n = list_units(items, u->unit), options = 0, at = 0;
    for (size_t i = 0; i < n; ++i)
        options += items->item[u->unit[i].item].n;
    size_t *first = qbc_alloc(q, (n + 1) * sizeof *first);
    double *loss = qbc_alloc(q, options * sizeof *loss), *bits = qbc_alloc(q, options * sizeof *bits);
    double *metric = qbc_alloc(q, (n + 1) * sizeof *metric);
    int64_t *bytes = qbc_alloc(q, options * sizeof *bytes);
    int *block = qbc_alloc(q, (n + 1) * sizeof *block);
    u->item_of = qbc_alloc(q, options * sizeof *u->item_of);
    u->problem = (struct qbc_problem){.n = n, .first = first, .loss = loss, .bytes = bytes, .metric = metric, .bits = bits,
                                      .block = block, .together = items->pairs ? together : NULL, .user = u};
    for (size_t i = 0; i < n; ++i) {
        const struct qbc_item *item = &items->item[u->unit[i].item];
        struct sums s = {0};
        first[i] = at;
        for (size_t k = 0; k < item->n; ++k, ++at) {
            s = sum_up(q, items, &u->unit[i], item->candidate[k].format);
            loss[at] = s.loss;
            bytes[at] = s.bytes;
            bits[at] = 8 * (double)s.bytes / s.weights;
            u->item_of[at] = u->unit[i].item;
        }
        first[i + 1] = at;
        block[i] = item->block < 0 ? -1 - (int)i : item->block;
        metric[i] = qbc_metric_is_loss(items->metric) ? metric_of(&u->problem, allocator, i, &s) : s.importance;
    }
    set_share(q, &u->problem, allocator);
    return u;
}

/* quad_block looks at all combinations of a block. */
bool qbc_units_can_be_solved(struct qbc *q, const struct qbc_units *units, const struct qbc_allocator *allocator)
{
    const struct qbc_problem *p = &units->problem;
    double combinations = 0, most = 0;
    for (size_t i = 0; i < p->n && !strcmp(allocator->name, "quad_block"); ++i) {
        bool goes_on = i && p->block[i] == p->block[i - 1];
        combinations = (goes_on ? combinations : 1) * (double)(p->first[i + 1] - p->first[i]);
        most = fmax(most, combinations);
    }
    if (most > MOST_COMBINATIONS)
        qbc_error_in(q, "-allocator", "quad_block looks at all combinations of a block's formats: %.3g here, of at most %.0e; give fewer with "
                     "-formats", most, MOST_COMBINATIONS);
    return most <= MOST_COMBINATIONS;
}

/* --- back */

/* Segments' formats as one: neighbours with the same are one part. NULL after an error. */
static const struct qbc_format *joined(struct qbc *q, const struct qbc_format *const *of)
{
    const char *name = "";
    for (int from = 0, to; from < QBC_SEGMENTS; from = to) {
        to = from;
        while (to < QBC_SEGMENTS && of[to] == of[from])
            ++to;
        name = to == QBC_SEGMENTS ? qbc_text(q, "%s%s", name, of[from]->name)
                                  : qbc_text(q, "%s%s@%d%%p|", name, of[from]->name, 100 * (to - from) / QBC_SEGMENTS);
    }
    return qbc_read_format(q, "-granularity=segment", name);
}

static bool choose_segments(struct qbc *q, const struct qbc_units *units, size_t unit, const size_t *choice)
{
    struct qbc_item *item = &units->items->item[units->unit[unit].item];
    const struct qbc_format *of[QBC_SEGMENTS];
    item->loss = 0;
    for (int s = 0; s < QBC_SEGMENTS; ++s) {
        size_t option = choice[unit + (size_t)s];
        of[s] = item->candidate[option - units->problem.first[unit + (size_t)s]].format;
        item->loss += units->problem.loss[option];
    }
    item->format = joined(q, of);
    item->bytes = item->format ? qbc_packed_bytes(q, item->format, item->view.rows, item->view.cols) : 0;
    return item->format;
}

static void choose_whole(const struct qbc_units *units, size_t unit, const struct qbc_format *format)
{
    const struct qbc_items *items = units->items;
    size_t leader = units->unit[unit].item;
    for (size_t i = leader; i < items->n; ++i) {
        struct qbc_item *item = &items->item[i];
        const struct qbc_candidate *c = qbc_same_unit(items, leader, i) ? qbc_item_candidate(item, format) : NULL;
        if (!c)
            continue;
        item->format = format;
        item->bytes = c->bytes;
        item->loss = c->loss;
    }
}

bool qbc_units_choose(struct qbc *q, const struct qbc_units *units, const size_t *choice)
{
    for (size_t i = 0; i < units->problem.n; ++i) {
        const struct qbc_unit *u = &units->unit[i];
        if (u->segment < 0)
            choose_whole(units, i, units->items->item[u->item].candidate[choice[i] - units->problem.first[i]].format);
        else if (u->segment == 0 && !choose_segments(q, units, i, choice))
            return false;
    }
    return true;
}
