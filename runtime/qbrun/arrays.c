/* arrays.c: token ids in, arrays out: --logits and --tokens. */
#include "npy.h"
#include "tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The ids of the task's file, checked; false after a complaint. More room than `more` ids behind
 * them must be left in the context. */
static bool read_ids(const struct tool *tool, size_t more, struct npy_tokens *ids)
{
    const char *path = tool->options.input;
    const char *wrong = npy_read_tokens(path, ids);
    if (wrong)
        return complain("'%s': %s", path, wrong);
    if (ids->rank == 2 && ids->dims[0] > 1)
        wrong = "this takes one row of token ids";
    else if (!ids->count)
        wrong = "there are no token ids in it";
    for (size_t i = 0; i < ids->count && !wrong; i++)
        if (ids->ids[i] < 0 || (uint32_t)ids->ids[i] >= tool->facts->vocab)
            return complain("'%s': token %zu is %d; the vocabulary has the ids 0 to %u", path, i,
                            ids->ids[i], tool->facts->vocab - 1);
    if (wrong)
        return complain("'%s': %s", path, wrong);
    if (ids->count + more > tool->facts->context)
        return complain("'%s': %zu tokens and %zu new ones do not fit into the context of %u", path,
                        ids->count, more, tool->facts->context);
    return true;
}

static bool begin(const struct tool *tool, struct output *o)
{
    return output_open(o, tool->options.output) ||
           complain("cannot write '%s': %s", tool->options.output, strerror(errno));
}

/* Close the file; it stays only if all went well. A complaint was made already unless `written` is
 * false. */
static bool finish(const struct tool *tool, struct output *o, bool good, bool written)
{
    int why = errno;
    bool closed = output_close(o, good && written);
    if (good && (!written || !closed))
        complain("cannot write '%s': %s", tool->options.output, strerror(written ? errno : why));
    return good && written && closed;
}

bool task_logits(struct tool *tool)
{
    struct npy_tokens ids;
    if (!read_ids(tool, 0, &ids)) {
        free(ids.ids);
        return false;
    }
    const size_t chunk = tool_chunk(tool), columns = tool->facts->outputs;
    float *logits = reserve(chunk * columns * sizeof *logits);
    struct output o;
    bool good = begin(tool, &o);
    if (good) {
        bool written = npy_write_header(&o, "<f4", 2, (const size_t[]){ids.count, columns});
        for (size_t at = 0; at < ids.count && good && written; at += chunk) {
            size_t n = ids.count - at < chunk ? ids.count - at : chunk;
            good = tool_check(tool, qbrt_eval_all(tool->session, ids.ids + at, n, logits));
            written = good && output_write(&o, logits, n * columns * sizeof *logits);
        }
        good = finish(tool, &o, good, written);
    }
    free(ids.ids);
    return good;
}

/* n ids that follow; end tokens do not end it, so the array has the size that was asked for. */
static bool continue_ids(struct tool *tool, const struct npy_tokens *ids, size_t n, int64_t *made)
{
    const size_t chunk = tool_chunk(tool), vocab = tool->facts->vocab;
    struct qbrt_sampler sampler = tool_sampler(tool);
    float *logits = reserve(vocab * sizeof *logits);
    struct qbrt_candidate *scratch = reserve(vocab * sizeof *scratch);
    for (size_t at = 0; at < ids->count; at += chunk) {
        size_t now = ids->count - at < chunk ? ids->count - at : chunk;
        if (!tool_check(tool, qbrt_eval(tool->session, ids->ids + at, now, logits)))
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t token = qbrt_sample(&sampler, logits, vocab, scratch);
        made[i] = token;
        if (i + 1 < n && !tool_check(tool, qbrt_eval(tool->session, &token, 1, logits)))
            return false;
    }
    return true;
}

bool task_tokens(struct tool *tool)
{
    const size_t n = (size_t)tool->options.n;
    struct npy_tokens ids;
    struct output o;
    bool good = read_ids(tool, n ? n - 1 : 0, &ids);
    int64_t *made = good ? reserve(n * sizeof *made) : NULL;
    good = good && continue_ids(tool, &ids, n, made) && begin(tool, &o);
    if (good) {
        bool written =
            npy_write_header(&o, "<i8", 1, &n) && output_write(&o, made, n * sizeof *made);
        good = finish(tool, &o, true, written);
    }
    free(ids.ids);
    return good;
}
