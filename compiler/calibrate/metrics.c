/* metrics: the rows of metrics.def, and names of granularities. */
#include "metrics.h"

#include <string.h>

#define METRIC(name, about, kind, positive, flows) {#name, about, QBC_METRIC_##kind, positive, flows},
static const struct qbc_metric metrics[] = {
#include "metrics.def"
};
#undef METRIC

const char *const qbc_granularities[] = {"tensor", "block", "segment", NULL};

const struct qbc_metric *qbc_metric_at(size_t i)
{
    return i < sizeof metrics / sizeof *metrics ? &metrics[i] : NULL;
}

const struct qbc_metric *qbc_find_metric(const char *name)
{
    const struct qbc_metric *m;
    for (size_t i = 0; (m = qbc_metric_at(i)); ++i)
        if (!name || !strcmp(m->name, name))
            return m;
    return NULL;
}

enum qbc_granularity qbc_find_granularity(const char *name)
{
    int i = 0;
    while (name && qbc_granularities[i] && strcmp(qbc_granularities[i], name))
        ++i;
    return (enum qbc_granularity)i;
}
