/* stream_weights: one tensor at a time is read, fitted, packed and written, so memory is a few slabs and not the
 * model. Sections hold the same tensors laid out for different targets; a tensor is fitted once for all of them, and
 * packed once for those that lay it out alike.
 */
#include "artifact.h"
#include "fit_weights.h"

#include <stdatomic.h>

/* Where one tensor goes. */
struct sink {
    const struct qbc_artifact_weights *sections; /* [n] */
    size_t n, tensor;
    size_t *way; /* [n] which packing a section wants */
    qbc_put put;
    void *const *users;
    atomic_bool failed; /* the disk is full: what follows would be in vain */
};

static void put(void *user, size_t which, int64_t offset, const void *bytes, size_t n)
{
    struct sink *s = user;
    for (size_t i = 0; i < s->n; ++i) {
        uint64_t begin = s->sections[i].tensors[s->tensor].offset;
        if (s->way[i] == which && !s->put(s->users[i], begin + (uint64_t)offset, bytes, n))
            s->failed = true;
    }
}

/* The different packings of the sink's tensor; returns how many. */
static size_t ways_of(struct sink *s, struct qbc_packing *packings)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; ++i) {
        struct qbc_packing p = s->sections[i].tensors[s->tensor].packing;
        size_t way = 0;
        while (way < n && !qbc_same_packing(packings[way], p))
            ++way;
        packings[way] = p;
        s->way[i] = way;
        n += way == n;
    }
    return n;
}

bool qbc_stream_sections(struct qbc *q, struct qbc_ops weights, const struct qbc_artifact_weights *sections, size_t n,
                         qbc_put write, void *const *users)
{
    struct sink sink = {sections, n, 0, qbc_alloc(q, n * sizeof *sink.way), write, users, false};
    struct qbc_packing *packings = qbc_alloc(q, n * sizeof *packings);
    for (; sink.tensor < weights.n && !sink.failed; ++sink.tensor) { /* whoever closes the file reports it */
        size_t ways = ways_of(&sink, packings);
        qbc_progress(q, "fitting weights", sink.tensor, weights.n);
        if (qbc_stop(q) || !qbc_fit_and_pack(q, weights.op[sink.tensor], packings, ways, put, &sink))
            return false;
    }
    qbc_progress(q, "fitting weights", weights.n, weights.n);
    return true;
}

bool qbc_stream_weights(struct qbc *q, const struct qbc_described *d, qbc_put write, void *user)
{
    return qbc_stream_sections(q, d->weights, &d->section, 1, write, &user);
}
