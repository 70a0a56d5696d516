/* nats: which formats of a tensor are measured, and what that says about the others. See measure.h. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

static int by_local(const void *a, const void *b)
{
    const struct qbc_candidate *x = *(struct qbc_candidate *const *)a, *y = *(struct qbc_candidate *const *)b;
    return x->local < y->local ? -1 : x->local > y->local ? 1 : x < y ? -1 : x > y;
}

size_t qbc_choose_anchors(struct qbc_item *item, size_t most, struct qbc_candidate **sorted)
{
    size_t n = 0, count = 0, next = 0;
    for (size_t i = 0; i < item->n; ++i)
        if (item->n <= most || item->candidate[i].format->codebook != QBC_CODE_FLOAT) /* floats lose nothing worth a measurement */
            sorted[count++] = &item->candidate[i];
    qsort(sorted, count, sizeof *sorted, by_local);
    if (count <= most)
        return count;
    double low = log(sorted[0]->local + 1e-30), high = log(sorted[count - 1]->local + 1e-30);
    for (size_t a = 0; a < most && next < count; ++a) {
        double wanted = most == 1 ? 0.5 * (low + high) : low + (high - low) * (double)a / (double)(most - 1);
        size_t best = next;
        for (size_t i = next; i < count; ++i)
            if (fabs(log(sorted[i]->local + 1e-30) - wanted) < fabs(log(sorted[best]->local + 1e-30) - wanted))
                best = i;
        sorted[n++] = sorted[best];
        next = best + 1;
    }
    return n;
}

void qbc_set_losses(struct qbc_item *item, size_t n_anchors, struct qbc_candidate **anchors)
{
    qsort(anchors, n_anchors, sizeof *anchors, by_local);
    for (size_t i = 0; i < item->n; ++i) {
        struct qbc_candidate *c = &item->candidate[i];
        double at = log(c->local + 1e-30), ratio = 0;
        size_t above = 0;
        while (above < n_anchors && anchors[above]->local < c->local)
            ++above;
        for (size_t k = 0; k < 2 && n_anchors; ++k) { /* the anchors around it, by the logarithm */
            size_t low = above ? above - 1 : 0, high = above < n_anchors ? above : n_anchors - 1;
            double x0 = log(anchors[low]->local + 1e-30), x1 = log(anchors[high]->local + 1e-30);
            double share = x1 > x0 ? (at - x0) / (x1 - x0) : 0;
            const struct qbc_candidate *a = anchors[k ? high : low];
            ratio += (k ? share : 1 - share) * (log((a->measured > 0 ? a->measured : 0) + 1e-12) - log(a->local + 1e-30));
        }
        c->loss = !c->is_measured ? exp(at + ratio) : c->measured > 0 ? c->measured : 0;
    }
}
