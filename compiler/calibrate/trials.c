/* trials: see trials.h.
 *
 * A metric of a tensor alone needs some formats of each tensor measured, to know what its unit is worth in nats; one of the
 * model needs all. Where blocks have one format, a block is changed as a whole, and what that costs is shared out to its tensors as
 * their errors alone are. Pairs of tensors of a block, at one format each, say how much losses of one block add up to more
 * than their sum: a quadratic form's mixed term grows with the roots of both losses,
 *
 *     M_ij(o, p) = c_ij sqrt(L_i(o) L_j(p)),   c_ij = (L_ij - L_i - L_j) / sqrt(L_i L_j)   as measured
 */
#include "trials.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more: the list doubles. */
static struct qbc_trial *add(struct qbc *q, struct qbc_trials *v, size_t n_patches)
{
    if (!(v->n & (v->n - 1))) {
        struct qbc_trial *grown = qbc_alloc(q, (2 * v->n + 1) * sizeof *grown);
        if (v->n)
            memcpy(grown, v->list, v->n * sizeof *grown);
        v->list = grown;
    }
    struct qbc_trial *x = &v->list[v->n++];
    *x = (struct qbc_trial){.patch = qbc_alloc(q, n_patches * sizeof *x->patch)};
    return x;
}

static void add_patch(struct qbc_trial *x, struct qbc_item *item, struct qbc_candidate *candidate)
{
    x->patch[x->n++] = (struct qbc_patch){item, candidate};
}

static void add_alone(struct qbc *q, struct qbc_trials *v, struct qbc_item *item, size_t anchors)
{
    struct qbc_candidate **chosen = qbc_alloc(q, (item->n + 1) * sizeof *chosen);
    size_t n = qbc_choose_anchors(item, anchors, chosen);
    for (size_t i = 0; i < n; ++i)
        add_patch(add(q, v, 1), item, chosen[i]);
    item->reference = n ? chosen[n / 2] : NULL;
}

static void add_block(struct qbc *q, struct qbc_trials *v, struct qbc_items *items, size_t first)
{
    struct qbc_item *leader = &items->item[first];
    for (size_t o = 0; o < leader->n; ++o) {
        struct qbc_trial *x = add(q, v, items->n);
        for (size_t i = first; i < items->n; ++i)
            if (qbc_same_unit(items, first, i))
                add_patch(x, &items->item[i], qbc_item_candidate(&items->item[i], leader->candidate[o].format));
    }
}

static void add_pairs(struct qbc *q, struct qbc_trials *v, struct qbc_items *items)
{
    for (size_t i = 0; i < items->n; ++i)
        for (size_t j = i + 1; j < items->n; ++j) {
            struct qbc_item *a = &items->item[i], *b = &items->item[j];
            if (a->block < 0 || a->block != b->block || !a->reference || !b->reference)
                continue;
            struct qbc_trial *x = add(q, v, 2);
            x->pair = true;
            add_patch(x, a, a->reference);
            add_patch(x, b, b->reference);
        }
}

struct qbc_trials qbc_trials_create(struct qbc *q, struct qbc_items *items, size_t anchors)
{
    struct qbc_trials v = {NULL, 0};
    bool whole = items->metric->kind == QBC_METRIC_MODEL && items->granularity == QBC_GRAIN_BLOCK;
    for (size_t i = 0; i < items->n && !items->alone; ++i) {
        struct qbc_item *item = &items->item[i];
        if (item->pinned)
            continue;
        if (!whole)
            add_alone(q, &v, item, items->metric->kind == QBC_METRIC_MODEL ? item->n : anchors);
        else if (qbc_leads_unit(items, i))
            add_block(q, &v, items, i);
    }
    if (items->pairs)
        add_pairs(q, &v, items);
    return v;
}

/* --- what they say */

/* To each tensor its share. */
static void share_out(const struct qbc_trial *x, double nats)
{
    double total = 0;
    for (size_t i = 0; i < x->n; ++i)
        total += x->patch[i].candidate->local;
    for (size_t i = 0; i < x->n; ++i) {
        struct qbc_candidate *c = x->patch[i].candidate;
        c->measured = nats * (total > 0 ? c->local / total : 1 / (double)x->n);
        c->is_measured = true;
    }
}

static void tell_pair(struct qbc_items *items, const struct qbc_trial *x, double nats)
{
    size_t i = (size_t)(x->patch[0].item - items->item), j = (size_t)(x->patch[1].item - items->item);
    double a = x->patch[0].candidate->loss, b = x->patch[1].candidate->loss;
    double c = a > 0 && b > 0 ? (nats - a - b) / sqrt(a * b) : 0; /* twice a cosine; more is noise */
    c = c < -2 ? -2 : c > 2 ? 2 : c;
    items->pairs[i * items->n + j] = items->pairs[j * items->n + i] = c;
}

static double nats_of(const struct qbc_items *items, const struct qbc_trial *x, size_t tokens)
{
    bool rise = !strcmp(items->metric->name, "delta_ce");
    return (rise ? x->distance.rise : x->distance.divergence) / (double)tokens;
}

void qbc_trials_tell(struct qbc *q, struct qbc_items *items, const struct qbc_trials *v, size_t tokens)
{
    for (size_t i = 0; i < v->n; ++i)
        if (!v->list[i].pair)
            share_out(&v->list[i], nats_of(items, &v->list[i], tokens));
    for (size_t i = 0; i < items->n; ++i) {
        struct qbc_item *item = &items->item[i];
        struct qbc_candidate **anchors = qbc_alloc(q, (item->n + 1) * sizeof *anchors);
        size_t n = 0;
        for (size_t k = 0; k < item->n; ++k)
            if (item->candidate[k].is_measured)
                anchors[n++] = &item->candidate[k];
        qbc_set_losses(item, n, anchors);
    }
    for (size_t i = 0; i < v->n; ++i)
        if (v->list[i].pair)
            tell_pair(items, &v->list[i], nats_of(items, &v->list[i], tokens));
}
