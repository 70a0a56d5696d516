/* fit_item: see fit_item.h. */
#include "fit_item.h"
#include "fit_composite.h"
#include "local_loss.h"
#include "parts.h"
#include "sweeps.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB = 64, SAMPLE = 128, LEAST_SAMPLE = 16, SAMPLE_WEIGHTS = 1 << 17, ALONE = 8 };

bool qbc_item_sweep(struct qbc *q, const struct qbc_item *item, struct qbc_sweep *out)
{
    if (qbc_sweep_of(q, item->name, item->role, item->view.cols, false, out))
        return true;
    qbc_error(q, item->weight, "there is no memory to fit this weight");
    return false;
}

/* Rows w [n][cols], used up, to codes; their squared errors, weighted where that is known, to *loss. `decoded` [n][cols] (NULL:
 * not wanted) becomes what the codes stand for. False: they cannot be. */
static bool fit(const struct qbc_sweep *sweep, struct qbc_blocks *b, int64_t n, float *w, double *loss, float *decoded)
{
    int64_t cols = b->cols;
    bool swept = sweep->u && qbc_can_sweep(b->format);
    bool good = swept ? qbc_gptq(sweep, b, 0, n, w, loss) < 0
                      : qbc_format_fit_weighted(QBC_FIT_RANGE, b, 0, n, w, sweep->weight) < 0;
    double sum = 0;
    if (good && decoded)
        qbc_format_decode_rows(b, 0, n, decoded);
    for (int64_t i = 0; i < n * cols && good && !swept && loss; ++i) {
        double e = (double)w[i] - (double)decoded[i];
        sum += 0.5 * e * e * (sweep->weight ? (double)sweep->weight[i % cols] : 1);
    }
    if (loss && !swept)
        *loss = sum;
    return good;
}

/* Must rows be fitted together, as what they share is chosen from all of them? A permutation, a table. */
static bool is_whole(const struct qbc_format *f)
{
    return qbc_is_composite(f) || qbc_format_is_shared(f);
}

struct job {
    const struct qbc_item *item;
    const struct qbc_sweep *sweep;
    const struct qbc_format *format; /* of all rows, to `out` */
    float *out;
    struct qbc_candidate *candidate; /* or: all of them, of `sample` */
    const struct qbc_local *local;
    const float *sample;
    int64_t sampled;
    atomic_long next;
    atomic_bool failed;
};

static bool do_slab(struct job *j, int64_t slab, struct qbc_blocks *b, float *w)
{
    int64_t cols = j->item->view.cols, row = slab * SLAB, rest = j->item->view.rows - row, n = rest < SLAB ? rest : SLAB;
    qbc_view_read(&j->item->view, row, n, w);
    qbc_view_release_rows(&j->item->view, row, n);
    return fit(j->sweep, b, n, w, NULL, j->out + row * cols);
}

static void decode_share(void *user, int64_t thread)
{
    struct job *j = user;
    struct qbc_blocks b;
    int64_t slabs = (j->item->view.rows + SLAB - 1) / SLAB, cols = j->item->view.cols, slab;
    float *w = malloc((size_t)(SLAB * cols) * sizeof *w);
    bool good = qbc_blocks_create(&b, j->format, SLAB, cols) && w;
    (void)thread;
    while (good && (slab = atomic_fetch_add(&j->next, 1)) < slabs)
        good = do_slab(j, slab, &b, w);
    if (!good)
        atomic_store(&j->failed, true);
    qbc_blocks_destroy(&b);
    free(w);
}

static bool run(struct qbc *q, struct job *j, const struct qbrt_parallel *threads, void (*share)(void *, int64_t))
{
    threads->run(threads->context, share, j);
    if (atomic_load(&j->failed))
        qbc_error(q, j->item->weight, "weight '%s' cannot be fitted: there is no memory, or it has numbers that no format "
                  "keeps (-quant-tensor='^%s$=f32' keeps all)", j->item->name, j->item->name);
    return !atomic_load(&j->failed);
}

bool qbc_item_decoded(struct qbc *q, const struct qbc_item *item, const struct qbc_sweep *sweep,
                      const struct qbc_format *format, const struct qbrt_parallel *threads, float *out)
{
    struct job j = {.item = item, .sweep = sweep, .format = format, .out = out};
    struct qbc_fitted whole;
    if (is_whole(format)) {
        bool fitted = qbc_composite_try(q, item->weight, format, &whole);
        if (fitted)
            qbc_format_decode(&whole.blocks, out);
        qbc_fitted_destroy(&whole);
        return fitted;
    }
    bool good = run(q, &j, threads, decode_share);
    qbc_view_release(&item->view);
    return good;
}

static void losses_share(void *user, int64_t thread)
{
    struct job *j = user;
    int64_t cols = j->item->view.cols;
    size_t bytes = (size_t)(j->sampled * cols) * sizeof(float), at;
    float *w = malloc(bytes), *decoded = malloc(bytes);
    (void)thread;
    while ((at = (size_t)atomic_fetch_add(&j->next, 1)) < j->item->n) {
        struct qbc_candidate *candidate = &j->candidate[at];
        struct qbc_blocks b;
        double swept = 0;
        if (is_whole(candidate->format))
            continue;
        bool good = qbc_blocks_create(&b, candidate->format, j->sampled, cols) && w && decoded;
        if (good)
            memcpy(w, j->sample, bytes);
        good = good && fit(j->sweep, &b, j->sampled, w, &swept, decoded) &&
               qbc_local_tell(j->local, j->sampled, j->sample, decoded, swept, candidate);
        candidate->local *= (double)j->item->view.rows / (double)j->sampled;
        qbc_blocks_destroy(&b);
        if (!good)
            atomic_store(&j->failed, true);
    }
    free(w);
    free(decoded);
}

/* Formats whose rows share something: of the same sample, once the whole tensor is fitted. */
static bool whole_losses(struct qbc *q, const struct job *j)
{
    int64_t cols = j->item->view.cols, rows = j->item->view.rows;
    float *decoded = malloc((size_t)(j->sampled * cols) * sizeof *decoded);
    bool good = decoded;
    for (size_t at = 0; at < j->item->n && good; ++at) {
        struct qbc_candidate *candidate = &j->candidate[at];
        struct qbc_fitted whole;
        if (!is_whole(candidate->format))
            continue;
        good = qbc_composite_try(q, j->item->weight, candidate->format, &whole);
        for (int64_t i = 0; i < j->sampled && good; ++i)
            qbc_format_decode_rows(&whole.blocks, i * rows / j->sampled, 1, decoded + i * cols);
        good = good && qbc_local_tell(j->local, j->sampled, j->sample, decoded, -1, candidate);
        candidate->local *= (double)rows / (double)j->sampled;
        qbc_fitted_destroy(&whole);
    }
    free(decoded);
    return good;
}

bool qbc_item_losses(struct qbc *q, const struct qbc_items *items, struct qbc_item *item, const struct qbc_sweep *sweep,
                     const struct qbrt_parallel *threads)
{
    /* a row costs cols^2; where nothing else is measured, there is time for more of them: few rows may have most of the error */
    int64_t more = items->metric->kind == QBC_METRIC_LOCAL ? ALONE : 1;
    int64_t rows = item->view.rows, cols = item->view.cols, wanted = more * SAMPLE_WEIGHTS / cols;
    wanted = wanted > more * SAMPLE ? more * SAMPLE : wanted < LEAST_SAMPLE ? LEAST_SAMPLE : wanted;
    int64_t n = rows < wanted ? rows : wanted;
    float *sample = malloc((size_t)(n * cols) * sizeof *sample);
    struct qbc_local local = {0};
    struct job j = {.item = item, .sweep = sweep, .candidate = item->candidate, .sample = sample, .sampled = n, .local = &local};
    for (int64_t i = 0; i < n && sample; ++i)
        qbc_view_read(&item->view, i * rows / n, 1, sample + i * cols);
    if (sample)
        qbc_local_create(q, items, item, sweep, n, sample, &local);
    atomic_store(&j.failed, !sample);
    bool good = run(q, &j, threads, losses_share) && whole_losses(q, &j);
    qbc_local_destroy(&local);
    qbc_view_release(&item->view);
    free(sample);
    return good;
}
