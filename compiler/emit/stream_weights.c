/* stream_weights: one tensor at a time is read, fitted, packed and written, so memory is a few slabs and not the
 * model. Sections hold the same tensors laid out for different targets; a tensor is fitted once for all of them, and
 * packed once for those that lay it out alike. Pieces of a composite are written when the first of them comes.
 */
#include "artifact.h"
#include "fit_composite.h"
#include "fit_weights.h"
#include "gptq.h"
#include "kept.h"

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

/* --- -resume: a tensor's bytes in all of its packings, one after the other; only where fitting takes time */

enum { MOST_WAYS = 16 };

struct keeping {
    struct sink *sink;
    struct qbc_keeper *keeper;
    size_t at[MOST_WAYS]; /* where a packing begins */
};

static void sizes_of(struct qbc *q, MlirOperation weight, const struct qbc_packing *packings, size_t ways, size_t *sizes)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    size_t rank = qbc_rank(w);
    int64_t rows = rank == 2 ? qbc_dim(w, 0) : 1, cols = qbc_dim(w, rank - 1);
    for (size_t i = 0; i < ways && i < MOST_WAYS; ++i)
        sizes[i] = (size_t)qbc_layout(qbc_weight_format(q, weight), packings[i], rows, cols).bytes;
}

/* NULL: it is not kept. */
static const char *kept_name(struct qbc *q, MlirOperation weight, const struct qbc_packing *packings, size_t ways)
{
    const struct qbc_format *format = qbc_weight_format(q, weight);
    if (!qbc_keeps(q) || !qbc_fit_sweeps(q->options.fit) || !format || format->codebook == QBC_CODE_FLOAT || ways > MOST_WAYS)
        return NULL;
    const char *name = qbc_text(q, "%s as %s", qbc_string(q, weight, "name", ""), format->name);
    for (size_t i = 0; i < ways; ++i)
        name = qbc_text(q, "%s, %d x %d %d", name, packings[i].rows, packings[i].depth, packings[i].is_signed);
    return name;
}

static bool put_kept(struct qbc *q, struct sink *sink, MlirOperation weight, const struct qbc_packing *packings, size_t ways,
                     const uint8_t *kept, size_t bytes)
{
    size_t sizes[MOST_WAYS], total = 0;
    sizes_of(q, weight, packings, ways, sizes);
    for (size_t i = 0; i < ways && total + sizes[i] <= bytes; total += sizes[i++])
        put(sink, i, 0, kept + total, sizes[i]);
    if (total != bytes)
        qbc_error_in(q, "-resume", "what '%s' holds is damaged; remove it", q->options.resume);
    return total == bytes;
}

static void put_and_keep(void *user, size_t which, int64_t offset, const void *bytes, size_t n)
{
    struct keeping *k = user;
    qbc_kept_write(k->keeper, k->at[which] + (size_t)offset, bytes, n);
    put(k->sink, which, offset, bytes, n);
}

static bool stream_one(struct qbc *q, struct sink *sink, MlirOperation weight, struct qbc_packing *packings)
{
    size_t ways = ways_of(sink, packings), bytes;
    const char *name = kept_name(q, weight, packings, ways);
    const uint8_t *kept = name ? qbc_kept_find(q, name, &bytes) : NULL;
    if (kept) {
        bool whole = put_kept(q, sink, weight, packings, ways, kept, bytes);
        qbc_kept_release(kept, bytes);
        return whole;
    }
    struct keeping k = {sink, name ? qbc_kept_begin(q, name) : NULL, {0}};
    size_t sizes[MOST_WAYS];
    sizes_of(q, weight, packings, ways, sizes);
    for (size_t i = 1; i < ways && i < MOST_WAYS; ++i)
        k.at[i] = k.at[i - 1] + sizes[i - 1];
    if (k.keeper)
        qbc_kept_write(k.keeper, k.at[ways - 1] + sizes[ways - 1] - 1, "", 1); /* what is never put is zero */
    bool good = qbc_fit_and_pack(q, weight, packings, ways, put_and_keep, &k);
    qbc_kept_end(q, k.keeper, good);
    return good;
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

/* How much work a tensor is: its numbers. */
static size_t work_of(MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    size_t numbers = 1;
    for (size_t i = 0; i < qbc_rank(w); ++i)
        numbers *= (size_t)qbc_dim(w, i);
    return numbers;
}

bool qbc_stream_sections(struct qbc *q, struct qbc_ops weights, const struct qbc_artifact_weights *sections, size_t n,
                         qbc_put write, void *const *users)
{
    struct sink sink = {sections, n, 0, qbc_alloc(q, n * sizeof *sink.way), write, users, false};
    struct qbc_packing *packings = qbc_alloc(q, n * sizeof *packings);
    const char *const *groups = groups_of(q, weights);
    size_t done = 0, total = 0;
    for (size_t i = 0; i < weights.n; ++i)
        total += work_of(weights.op[i]);
    for (; sink.tensor < weights.n && !sink.failed; ++sink.tensor) { /* whoever closes the file reports it */
        qbc_progress(q, "fitting weights", done, total);
        done += work_of(weights.op[sink.tensor]);
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
    qbc_progress(q, "fitting weights", total, total);
    return true;
}

bool qbc_stream_weights(struct qbc *q, const struct qbc_described *d, qbc_put write, void *user)
{
    return qbc_stream_sections(q, d->weights, &d->section, 1, write, &user);
}
