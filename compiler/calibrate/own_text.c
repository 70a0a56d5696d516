/* own_text: see own_text.h. arXiv 2305.17888 (LLM-QAT) does so to have data; here nothing is trained, it only says which
 * channels matter. A model that is small enough writes as it is, larger ones with 8 or 4 bits a weight: a token then
 * reads fewer bytes, and what the model would rather say hardly changes.
 */
#include "own_text.h"
#include "../emit/tokenizer.h"
#include "artifact.h"
#include "checksum.h"
#include "kept.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>

static const double FLOATS_UP_TO = 64e6, BYTES_UP_TO = 4e8, MOST_READ = 2e12, SEED = 1; /* weights; weights read for all tokens */
enum { FEWEST = 2048 };

struct writing {
    struct qbc *q;
    struct qbc_stage *stage;
    const struct qbrt_parallel *threads;
    const struct qbc_tokenizer_facts *facts;
    float *logits;                   /* [vocab] */
    struct qbrt_candidate *scratch; /* [vocab] */
    size_t vocab;
};

static bool ends(const struct qbc_tokenizer_facts *f, int32_t id)
{
    for (size_t i = 0; i < f->n_eos; ++i)
        if (f->eos[i] == id)
            return true;
    return false;
}

/* Of window i. Any token: all are equally likely. */
static int32_t first_token(const struct writing *w, size_t i, struct qbrt_sampler *sampler)
{
    if (w->facts->bos >= 0 && (size_t)w->facts->bos < w->vocab && i % 2 == 0)
        return w->facts->bos;
    for (size_t k = 0; k < w->vocab; ++k)
        w->logits[k] = 0;
    return qbrt_sample(sampler, w->logits, w->vocab, w->scratch);
}

/* Behind the end of a text another one begins. */
static void write_window(const struct writing *w, size_t i, int32_t *ids, size_t length)
{
    struct qbrt_sampler sampler = {.temperature = 1, .top_p = 1, .state = (uint64_t)SEED << 32 | i};
    ids[0] = first_token(w, i, &sampler);
    for (size_t t = 1; t < length; ++t) {
        qbc_stage_next(w->stage, w->threads, ids[t - 1], (int64_t)t - 1, w->logits);
        ids[t] = qbrt_sample(&sampler, w->logits, w->vocab, w->scratch);
        if (ends(w->facts, ids[t - 1]) && w->facts->bos >= 0)
            ids[t] = w->facts->bos;
    }
}

static bool write_all(struct writing *w, struct qbc_windows *out)
{
    for (size_t i = 0; i < out->n; ++i) {
        qbc_progress(w->q, "writing a text to calibrate with", i, out->n);
        if (qbc_stop(w->q))
            return false;
        write_window(w, i, out->ids + i * out->length, out->length);
    }
    qbc_progress(w->q, "writing a text to calibrate with", out->n, out->n);
    return true;
}

static bool read_facts(struct qbc *q, struct qbc_tokenizer_facts *facts)
{
    const char *tokenizer = qbc_tokenizer_path(q);
    *facts = (struct qbc_tokenizer_facts){.bos = -1};
    return !tokenizer || qbc_tokenizer_facts(q, tokenizer, facts);
}

bool qbc_own_text(struct qbc *q, MlirOperation graph, const struct qbrt_parallel *threads, size_t length, size_t most,
                  struct qbc_windows *out)
{
    double weights = qbc_matrix_weights(q, graph), affordable = MOST_READ / (weights + 1);
    struct qbc_tokenizer_facts facts;
    struct qbc_stages stages;
    most = affordable < (double)most ? (affordable > FEWEST ? (size_t)affordable : FEWEST) : most;
    *out = (struct qbc_windows){.name = "the model's own text", .length = length, .n = most / length ? most / length : 1};
    out->found = out->n * length;
    out->ids = qbc_alloc(q, (out->found + 1) * sizeof *out->ids);
    size_t bytes, wanted = out->found * sizeof *out->ids;
    const void *kept = qbc_kept_find(q, "own text", &bytes);
    if (kept && bytes == wanted) {
        memcpy(out->ids, kept, bytes);
        out->hash = qbrt_checksum(out->ids, wanted);
        return true;
    }
    if (!read_facts(q, &facts) ||
        !qbc_stages_create_whole(q, graph, (int64_t)length, weights <= FLOATS_UP_TO ? "f32" : weights <= BYTES_UP_TO ? "i8g32" : "i4g32", &stages))
        return false;
    struct writing w = {q, stages.stage, threads, &facts, NULL, NULL, (size_t)stages.vocab};
    w.logits = qbc_alloc(q, w.vocab * sizeof *w.logits);
    w.scratch = qbc_alloc(q, w.vocab * sizeof *w.scratch);
    bool good = qbc_stage_load(q, &stages, stages.stage) && write_all(&w, out);
    qbc_stages_destroy(&stages);
    out->hash = qbrt_checksum(out->ids, wanted);
    if (good)
        qbc_kept_put(q, "own text", out->ids, wanted);
    return good;
}
