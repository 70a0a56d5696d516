/* ppl.c: perplexity.
 *
 * Token ids are cut into windows of `window` tokens that do not overlap, the rest is dropped. Each
 * window is one pass from an empty state, with no token added. Every position predicts the next
 * token of the text; the last one of a window predicts the first one of the next. Perplexity is
 * exp of the mean loss in nats.
 */
#include "npy.h"
#include "tool.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rows {
    const float *logits;   /* [n][vocab] */
    const int32_t *target; /* [n] */
    double *loss;          /* [n] */
    size_t n, vocab;
    int threads;
};

/* -log softmax(row)[target] */
static double row_loss(const float *row, size_t vocab, int32_t target)
{
    float largest = row[qbrt_argmax(row, vocab)];
    double sum = 0;
    for (size_t i = 0; i < vocab; i++)
        sum += expf(row[i] - largest);
    return log(sum) + largest - row[target];
}

static void score_share(void *arg, int64_t thread)
{
    const struct rows *r = arg;
    for (size_t i = (size_t)thread; i < r->n; i += (size_t)r->threads)
        r->loss[i] = row_loss(r->logits + i * r->vocab, r->vocab, r->target[i]);
}

struct sum {
    double loss;
    size_t tokens;
};

/* Add the losses of one window; `n` ids, of which `scored` are followed by another. */
static bool add_window(struct tool *tool, const int32_t *ids, size_t n, size_t scored,
                       float *logits, double *loss, struct sum *sum)
{
    const size_t chunk = tool_chunk(tool);
    qbrt_reset(tool->session);
    for (size_t at = 0; at < n; at += chunk) {
        size_t now = n - at < chunk ? n - at : chunk;
        if (!tool_check(tool, qbrt_eval_all(tool->session, ids + at, now, logits)))
            return false;
        struct rows rows = {.logits = logits,
                            .target = ids + at + 1,
                            .loss = loss,
                            .n = scored - at < now ? scored - at : now,
                            .vocab = tool->facts->vocab,
                            .threads = tool->parallel.threads};
        tool->parallel.run(tool->parallel.context, score_share, &rows);
        for (size_t i = 0; i < rows.n; i++)
            sum->loss += loss[i];
    }
    sum->tokens += scored;
    return true;
}

static bool score(struct tool *tool, const int32_t *ids, size_t count, size_t window)
{
    const size_t windows = count / window;
    if (!windows)
        return complain("'%s': %zu tokens are less than one window of %zu", tool->options.input,
                        count, window);
    const size_t chunk = tool_chunk(tool);
    float *logits = reserve(chunk * tool->facts->vocab * sizeof *logits);
    double *loss = reserve(chunk * sizeof *loss);
    struct sum sum = {.tokens = 0};
    for (size_t i = 0; i < windows; i++) {
        size_t left = count - i * window - 1; /* ids behind the window's first */
        if (!add_window(tool, ids + i * window, window, left < window ? left : window, logits, loss,
                        &sum))
            return false;
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r%zu of %zu windows ", i + 1, windows);
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%40s\r", "");
    const double mean = sum.loss / (double)sum.tokens;
    printf("perplexity: %.6f\nmean loss: %.6f nats\ntokens: %zu in %zu windows of %zu\n", exp(mean),
           mean, sum.tokens, windows, window);
    return true;
}

/* The ids of a text, or of a .npy; *window becomes its rows' length where it has rows. */
static int32_t *read_ids(const struct tool *tool, size_t *count, size_t *window)
{
    size_t bytes;
    char *text = tool_read(tool->options.input, &bytes);
    if (!text)
        return NULL;
    int32_t *ids = NULL;
    if (npy_is(text, bytes)) {
        struct npy_tokens array;
        const char *wrong = npy_read_tokens(tool->options.input, &array);
        if (wrong)
            complain("'%s': %s", tool->options.input, wrong);
        else
            memcpy(ids = reserve(array.count * sizeof *ids), array.ids, array.count * sizeof *ids);
        free(array.ids);
        *count = array.count;
        *window = array.rank == 2 ? array.dims[1] : 0;
    } else if (tool_needs_tokenizer(tool, "it cannot read a text")) {
        ids = tool_encode(tool, text, bytes, 0, count);
    }
    free(text);
    return ids;
}

bool task_ppl(struct tool *tool)
{
    enum { WINDOW = 256 };
    size_t count, window = 0;
    const int32_t *ids = read_ids(tool, &count, &window);
    if (!ids)
        return false;
    if (tool->options.window)
        window = (size_t)tool->options.window;
    else if (!window)
        window = WINDOW < tool->facts->context ? WINDOW : tool->facts->context;
    if (window < 2 || window > tool->facts->context)
        return complain("'%s': windows of %zu tokens do not fit into the context of %u; "
                        "--window sets another length",
                        tool->options.input, window, tool->facts->context);
    return score(tool, ids, count, window);
}
