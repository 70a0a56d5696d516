/* stream_weights: one tensor at a time is read, fitted, packed and written, so memory is a few slabs and not the
 * model. Sections hold the same tensors laid out for different targets; a tensor is fitted once for all of them, and
 * packed once for those that lay it out alike. Pieces of a composite are written when the first of them comes.
 */
#include "artifact.h"
#include "fit_composite.h"

#include <stdatomic.h>
#include <string.h>

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

static bool stream_one(struct qbc *q, struct sink *sink, MlirOperation weight, struct qbc_packing *packings)
{
    size_t ways = ways_of(sink, packings);
    return qbc_fit_and_pack(q, weight, packings, ways, put, sink);
}

/* All pieces of the composite that tensor `first` is a piece of. groups[i]: of which tensor i is one. */
static bool stream_pieces(struct qbc *q, struct sink *sink, struct qbc_ops weights, const char *const *groups,
                          struct qbc_packing *packings)
{
    struct qbc_fitted fitted;
    size_t first = sink->tensor;
    bool good = qbc_composite_fit(q, weights.op[first], &fitted);
    if (!good)
        return false;
    for (sink->tensor = first; good && sink->tensor < weights.n && !sink->failed; ++sink->tensor)
        if (groups[sink->tensor] && !strcmp(groups[sink->tensor], groups[first])) {
            size_t ways = ways_of(sink, packings);
            good = qbc_composite_pack(q, &fitted, weights.op[sink->tensor], packings, ways, put, sink);
        }
    sink->tensor = first;
    qbc_fitted_destroy(&fitted);
    return good;
}

static bool is_done(const char *const *groups, size_t i)
{
    for (size_t before = 0; groups[i] && before < i; ++before)
        if (groups[before] && !strcmp(groups[before], groups[i]))
            return true;
    return false;
}

static const char *const *groups_of(struct qbc *q, struct qbc_ops weights)
{
    const char **groups = qbc_alloc(q, (weights.n + 1) * sizeof *groups);
    for (size_t i = 0; i < weights.n; ++i)
        groups[i] = qbc_piece_group(q, weights.op[i]);
    return groups;
}

bool qbc_stream_sections(struct qbc *q, struct qbc_ops weights, const struct qbc_artifact_weights *sections, size_t n,
                         qbc_put write, void *const *users)
{
    struct sink sink = {sections, n, 0, qbc_alloc(q, n * sizeof *sink.way), write, users, false};
    struct qbc_packing *packings = qbc_alloc(q, n * sizeof *packings);
    const char *const *groups = groups_of(q, weights);
    for (; sink.tensor < weights.n && !sink.failed; ++sink.tensor) { /* whoever closes the file reports it */
        qbc_progress(q, "fitting weights", sink.tensor, weights.n);
        if (is_done(groups, sink.tensor))
            continue;
        bool good = !qbc_stop(q);
        if (good && groups[sink.tensor])
            good = stream_pieces(q, &sink, weights, groups, packings);
        else if (good)
            good = stream_one(q, &sink, weights.op[sink.tensor], packings);
        if (!good)
            return false;
    }
    qbc_progress(q, "fitting weights", weights.n, weights.n);
    return true;
}

bool qbc_stream_weights(struct qbc *q, const struct qbc_described *d, qbc_put write, void *user)
{
    return qbc_stream_sections(q, d->weights, &d->section, 1, write, &user);
}
