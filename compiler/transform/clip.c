/* clip: how much of a row's range the codes of activations are spread over, below 0 and above.
 *
 *   before   "qb.linear"(%x, %w)
 *   after    "qb.linear"(%x, %w) {clip_low = 0.9, clip_high = 0.85}    %x is rounded between 0.9 min(x) and 0.85 max(x), row by row
 *
 * What is beyond is clipped: wrong by more, but everything else by less. INFOQUANT (arXiv 2605.26175, LAC) learns two factors for
 * each input of products by gradients of what a block gives; here they are searched, for the least squared error of what the products
 * give of some rows of the text, with weights as they are. Functions in floats stay what they are.
 */
#include "transform.h"
#include "trial.h"

#include <math.h>

enum { MOST_ROUNDS = 3 };
static const float LEAST = 0.4f, STEP = 0.05f;

/* Try this end alone, from all of it down; *loss is that of the factors at hand. */
static void choose_end(struct qbc_trial *t, float *end, double *loss)
{
    float best = *end;
    for (int i = 0; 1 - (float)i * STEP > LEAST; ++i) {
        *end = 1 - (float)i * STEP;
        double now = qbc_trial_activations(t);
        if (now < *loss) {
            *loss = now;
            best = *end;
        }
    }
    *end = best;
}

/* One end after the other, as long as that helps. */
static void choose(struct qbc_trial *t)
{
    double loss = qbc_trial_activations(t), was = INFINITY;
    for (int round = 0; round < MOST_ROUNDS && loss < was; ++round) {
        was = loss;
        choose_end(t, &t->act.clip_low, &loss);
        choose_end(t, &t->act.clip_high, &loss);
    }
}

static bool clip(struct qbc *q, const struct qbc_edge *e)
{
    struct qbc_trial t;
    bool good = qbc_trial_create(q, e, &t);
    if (good)
        choose(&t);
    bool less = t.act.clip_low < 1 || t.act.clip_high < 1;
    for (size_t i = 0; i < e->n && good && less; ++i) {
        qbc_set_float(q, e->linear[i], "clip_low", t.act.clip_low);
        qbc_set_float(q, e->linear[i], "clip_high", t.act.clip_high);
    }
    qbc_trial_destroy(&t);
    return good;
}

void qbc_transform_clip(struct qbc *q, MlirOperation graph, const struct qbc_transform *self)
{
    struct qbc_activation act;
    (void)self;
    if (!qbc_activation_parse(q->options.act, &act) || !qbc_activation_clips(&act)) {
        qbc_error_in(q, "-transform=clip", "is for activations whose rows have ranges of their own; ask for some, as -act=i4tz");
        return;
    }
    struct qbc_edges edges = qbc_edges_find(q, graph, QBC_EDGES_ALL);
    bool good = qbc_edges_learn(q, graph, &edges);
    for (size_t i = 0; i < edges.n && good; ++i) {
        qbc_progress(q, "clipping activations", i, edges.n);
        good = clip(q, &edges.edge[i]) && !qbc_stop(q);
    }
    qbc_progress(q, "clipping activations", edges.n, edges.n);
    qbc_edges_destroy(&edges);
}
