/* eval: see eval.h.
 *
 * Texts of a kind share phrases, licences, headers; a text that is read twice shares all. So what is looked for are runs of
 * RUN tokens that occur in both, and what is refused is more than a tenth of the tokens in such runs.
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

enum { RUN = 32, PART = 4, MOST_TOKENS = 65536, FEWEST_TOKENS = 4096 };
static const double MOST_WORK = 1e13, MOST_SHARED = 0.1; /* weights times tokens; of the tokens */

size_t qbc_affordable_tokens(struct qbc *q, MlirOperation graph)
{
    double affordable = MOST_WORK / (qbc_matrix_weights(q, graph) + 1);
    return affordable > MOST_TOKENS ? MOST_TOKENS : affordable < FEWEST_TOKENS ? FEWEST_TOKENS : (size_t)affordable;
}

/* --- runs that occur in both */

static uint64_t run_hash(const int32_t *ids)
{
    uint64_t hash = 0;
    for (int i = 0; i < RUN; ++i)
        hash = (hash ^ (uint64_t)(uint32_t)ids[i]) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
    return hash;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Hashes of all runs, sorted; *n: how many. */
static uint64_t *runs_of(struct qbc *q, const struct qbc_windows *w, size_t *n)
{
    uint64_t *runs = qbc_alloc(q, (w->n * w->length + 1) * sizeof *runs);
    *n = 0;
    for (size_t i = 0; i < w->n; ++i)
        for (size_t at = 0; at + RUN <= w->length; ++at)
            runs[(*n)++] = run_hash(w->ids + i * w->length + at);
    qsort(runs, *n, sizeof *runs, compare);
    return runs;
}

/* Of the tokens of `w`, how many lie in a run of the other. */
static size_t shared_tokens(const struct qbc_windows *w, const uint64_t *runs, size_t n)
{
    size_t shared = 0;
    for (size_t i = 0; i < w->n; ++i)
        for (size_t at = 0, until = 0; at < w->length; ++at) {
            const int32_t *ids = w->ids + i * w->length + at;
            uint64_t hash = at + RUN <= w->length ? run_hash(ids) : 0;
            if (at + RUN <= w->length && bsearch(&hash, runs, n, sizeof *runs, compare))
                until = at + RUN;
            shared += at < until;
        }
    return shared;
}

static bool is_another(struct qbc *q, const struct qbc_windows *learn, const struct qbc_windows *eval)
{
    size_t n, tokens = eval->n * eval->length;
    const uint64_t *runs = runs_of(q, learn, &n);
    size_t shared = shared_tokens(eval, runs, n);
    if ((double)shared <= MOST_SHARED * (double)tokens)
        return true;
    qbc_error_in(q, "-eval", "'%s' has %zu of its %zu tokens in common with what is learned from, '%s': what was learned by heart "
                 "says nothing; give another text", eval->name, shared, tokens, learn->name);
    return false;
}

/* --- a part of the text to learn from */

static bool hold_out(struct qbc *q, struct qbc_windows *learn, struct qbc_windows *out)
{
    size_t length = learn->length, kept = 0;
    *out = *learn;
    out->n = 0;
    out->name = qbc_text(q, "a part of %s that was not learned from", learn->name);
    out->ids = qbc_alloc(q, (learn->n * length + 1) * sizeof *out->ids);
    for (size_t i = 0; i < learn->n; ++i) {
        bool held = i % PART == PART - 1;
        memmove(held ? out->ids + out->n * length : learn->ids + kept * length, learn->ids + i * length,
                length * sizeof *out->ids);
        out->n += held;
        kept += !held;
    }
    learn->n = kept;
    if (!out->n)
        qbc_error_in(q, "-eval", "the text to learn from is too short to keep a part of it; give another with -eval=FILE");
    return out->n;
}

bool qbc_eval_read(struct qbc *q, const struct qbc_reading *how, size_t most, struct qbc_windows *learn,
                   struct qbc_windows *out)
{
    if (!q->options.eval)
        return hold_out(q, learn, out);
    return qbc_windows_read(q, "-eval", q->options.eval, how, most, out) && (!learn->n || is_another(q, learn, out));
}
