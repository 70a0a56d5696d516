/* metrics.h: what says how much a format costs a tensor, or how much a tensor matters. */
#ifndef QBC_METRICS_H
#define QBC_METRICS_H

#include <stdbool.h>
#include <stddef.h>

enum qbc_metric_kind {
    QBC_METRIC_SWEEP,      /* of a tensor alone, converted to nats by what some formats of it cost the model */
    QBC_METRIC_LOCAL,      /* of a tensor alone, in its own unit */
    QBC_METRIC_MODEL,      /* the model is run with each tensor in each format */
    QBC_METRIC_IMPORTANCE, /* of a tensor, whatever its format: more is more important */
};

struct qbc_metric {
    const char *name, *about;
    enum qbc_metric_kind kind;
    bool positive; /* never negative: has logarithms, multiples of a median */
    bool flows;    /* looks at values between blocks, which the model must be run for */
};
const struct qbc_metric *qbc_find_metric(const char *name); /* NULL: the default; no such one: NULL */
const struct qbc_metric *qbc_metric_at(size_t i);           /* NULL: past the end; the default first */
static inline bool qbc_metric_is_loss(const struct qbc_metric *m)
{
    return m->kind != QBC_METRIC_IMPORTANCE;
}

/* What gets a format of its own. */
enum qbc_granularity { QBC_GRAIN_TENSOR, QBC_GRAIN_BLOCK, QBC_GRAIN_SEGMENT, QBC_GRAINS };
enum qbc_granularity qbc_find_granularity(const char *name); /* NULL: a tensor; QBC_GRAINS: no such one */
extern const char *const qbc_granularities[];                /* by number, then NULL */

#endif
