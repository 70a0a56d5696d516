/* judge: see judge.h. The float model is run from the values before its last stage, which calibration kept. */
#include "judge.h"
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct judging {
    struct qbc *q;
    struct qbc_calibration *c;
    struct qbc_stage *last;
    struct qbrt_session *session;
    float *want, *got;            /* [length][vocab] */
    struct qbc_row_score *scores; /* [windows][length - 1] */
};

/* --- the artifact */

struct opened {
    void *file, *model, *session;
    size_t bytes;
    struct qbrt_model *open;
};

static void *aligned(size_t bytes)
{
    return aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN) / QBRT_ALIGN * QBRT_ALIGN);
}

/* *session NULL: it is for other machines. */
static bool open_session(struct qbc *q, struct qbc_calibration *c, int file, struct opened *o, struct qbrt_session **session)
{
    struct stat about;
    char detail[QBRT_DETAIL] = "";
    *session = NULL;
    *o = (struct opened){.file = MAP_FAILED};
    if (!fstat(file, &about) && (o->bytes = (size_t)about.st_size))
        o->file = mmap(NULL, o->bytes, PROT_READ, MAP_PRIVATE, file, 0);
    o->model = aligned(qbrt_model_size());
    enum qbrt_status status = o->file == MAP_FAILED || !o->model ? QBRT_NO_ROOM
        : qbrt_open_memory(o->file, o->bytes, qbrt_this_machine(), o->model, qbrt_model_size(), &o->open, detail);
    if (status == QBRT_NO_VARIANT)
        return true;
    size_t bytes = status ? 0 : qbrt_session_size(o->open);
    o->session = bytes ? aligned(bytes) : NULL;
    if (!status)
        status = o->session ? qbrt_session_create(o->open, o->session, bytes, &c->threads, session) : QBRT_NO_ROOM;
    if (status)
        qbc_error_in(q, "-eval", "the artifact cannot be run to judge it: %s %s", qbrt_status_text(status), detail);
    return !status;
}

static void close_session(struct opened *o)
{
    if (o->open)
        qbrt_close(o->open);
    if (o->file != MAP_FAILED)
        munmap(o->file, o->bytes);
    free(o->session);
    free(o->model);
}

/* --- scores, rows by threads */

struct share {
    const struct judging *j;
    const int32_t *ids;
    struct qbc_row_score *scores;
};

static void score_share(void *user, int64_t thread)
{
    const struct share *s = user;
    const struct qbc_calibration *c = s->j->c;
    int64_t rows = (int64_t)c->eval.length - 1, vocab = c->stages.vocab;
    for (int64_t r = thread; r < rows; r += c->threads.threads)
        s->scores[r] = qbc_score_row(s->j->want + r * vocab, s->j->got + r * vocab, vocab, s->ids[r + 1]);
}

static bool judge_window(struct judging *j, size_t w)
{
    struct qbc_calibration *c = j->c;
    size_t length = c->eval.length;
    const int32_t *ids = c->eval.ids + w * length;
    const float *before = c->eval_before ? c->eval_before + w * length * (size_t)j->last->in_cols : NULL;
    qbc_stage_run(j->last, &c->threads, ids, before, (int64_t)length, j->want);
    qbrt_reset(j->session);
    enum qbrt_status status = qbrt_eval_all(j->session, ids, length, j->got);
    if (status) {
        qbc_error_in(j->q, "-eval", "the artifact does not take %zu tokens: %s", length, qbrt_status_text(status));
        return false;
    }
    struct share s = {j, ids, j->scores + w * (length - 1)};
    c->threads.run(c->threads.context, score_share, &s);
    qbc_progress(j->q, "judging", w + 1, c->eval.n);
    return !qbc_stop(j->q);
}

static int compare(const void *a, const void *b)
{
    const struct qbc_row_score *x = a, *y = b;
    return x->divergence < y->divergence ? -1 : x->divergence > y->divergence;
}

static void sum_up(struct qbc_row_score *scores, size_t n, struct qbc_quality *out)
{
    double want = 0, got = 0;
    *out = (struct qbc_quality){.predictions = n};
    for (size_t i = 0; i < n; ++i) {
        want += scores[i].want_loss;
        got += scores[i].loss;
        out->divergence += scores[i].divergence / (double)n;
        out->same_top += scores[i].same_top / (double)n;
    }
    qsort(scores, n, sizeof *scores, compare);
    out->median = scores[n / 2].divergence;
    out->high = scores[(size_t)(0.99 * (double)(n - 1))].divergence;
    out->float_perplexity = exp(want / (double)n);
    out->perplexity = exp(got / (double)n);
}

static bool judge_all(struct judging *j, struct qbc_quality *out)
{
    const struct qbc_windows *eval = &j->c->eval;
    size_t numbers = eval->length * (size_t)j->c->stages.vocab, n = eval->n * (eval->length - 1);
    j->want = malloc(numbers * sizeof *j->want);
    j->got = malloc(numbers * sizeof *j->got);
    j->scores = malloc((n + 1) * sizeof *j->scores);
    bool good = j->want && j->got && j->scores;
    if (!good)
        qbc_error_in(j->q, "-eval", "there is no memory for the scores of %zu tokens", eval->length);
    good = good && qbc_stage_load(j->q, &j->c->stages, j->last);
    for (size_t w = 0; w < eval->n && good; ++w)
        good = judge_window(j, w);
    if (good)
        sum_up(j->scores, n, out);
    qbc_stage_unload(j->last);
    free(j->want);
    free(j->got);
    free(j->scores);
    return good;
}

bool qbc_judge(struct qbc *q, struct qbc_calibration *c, int file, struct qbc_quality *out)
{
    struct judging j = {.q = q, .c = c, .last = &c->stages.stage[c->stages.n - 1]};
    struct opened o;
    *out = (struct qbc_quality){0};
    if (c->eval.length < 2) {
        qbc_error_in(q, "-eval", "windows of one token have nothing to predict");
        return false;
    }
    bool good = open_session(q, c, file, &o, &j.session) && (!j.session || judge_all(&j, out));
    close_session(&o);
    return good;
}

const char *qbc_quality_text(struct qbc *q, const struct qbc_quality *x)
{
    return qbc_text(q, "perplexity %.4f, the float model's %.4f (%+.2f %%); KL divergence %.5f nats, median %.5f, 99 %% below "
                    "%.4f; %.1f %% same top; %zu predictions", x->perplexity, x->float_perplexity,
                    100 * (x->perplexity / x->float_perplexity - 1), x->divergence, x->median, x->high, 100 * x->same_top,
                    x->predictions);
}
