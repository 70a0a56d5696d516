/* text.c: continue a prompt, printing each piece of text as soon as its characters are whole. */
#include "tool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct speech {
    struct tool *tool;
    struct qbrt_tokenizer_stream stream;
    char *piece;
    size_t room;
};

static struct speech begin(struct tool *tool)
{
    struct speech speech = {.tool = tool, .room = qbrt_tokenizer_stream_room(&tool->tokenizer)};
    speech.piece = reserve(speech.room);
    qbrt_tokenizer_stream_begin(&speech.stream, &tool->tokenizer, 0);
    return speech;
}

static bool print(const char *text, size_t n)
{
    if (!n || (fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0))
        return true;
    clearerr(stdout); /* said once is enough */
    return complain("cannot write to standard output: %s", strerror(errno));
}

/* Text of ids; `aloud` false: only remember where we are. */
static bool say(struct speech *s, const int32_t *ids, size_t n, bool aloud)
{
    for (size_t i = 0; i < n; i++) {
        size_t bytes = qbrt_tokenizer_stream_next(&s->stream, ids[i], s->piece, s->room);
        if (aloud && !print(s->piece, bytes))
            return false;
    }
    return true;
}

static bool end(struct speech *s)
{
    size_t bytes = qbrt_tokenizer_stream_end(&s->stream, s->piece, s->room);
    return print(s->piece, bytes) && print("\n", 1);
}

static bool is_good_prompt(const struct tool *tool, size_t n)
{
    if (!n)
        return complain("the prompt is empty and the model's tokenizer puts nothing before it");
    return n <= tool->facts->context ||
           complain("the prompt has %zu tokens, the model's context holds %u", n,
                    tool->facts->context);
}

/* Ids of the prompt; NULL after a complaint. */
static int32_t *read_prompt(const struct tool *tool, size_t *n)
{
    const struct options *o = &tool->options;
    size_t length = strlen(o->input);
    char *file = o->prompt_is_file ? tool_read(o->input, &length) : NULL;
    if (o->prompt_is_file && !file)
        return NULL;
    int32_t *ids = tool_encode(tool, file ? file : o->input, length,
                               o->no_special ? 0 : QBRT_TOKENIZER_SPECIAL, n);
    free(file);
    return ids && is_good_prompt(tool, *n) ? ids : NULL;
}

struct tally {
    size_t prompt, made;
    double prompt_seconds, seconds;
};

static void report(const struct tool *tool, const struct tally *t)
{
    if (!tool->options.verbose && !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "prompt: %zu tokens, %.1f t/s; text: %zu tokens, %.1f t/s; %d threads\n",
            t->prompt, (double)t->prompt / t->prompt_seconds, t->made,
            t->made > 1 ? (double)(t->made - 1) / t->seconds : 0, tool->parallel.threads);
    if (qbrt_room(tool->session) == 0)
        fprintf(stderr, "the context of %u tokens is full\n", tool->facts->context);
}

/* The logits of the prompt's end are there. Ends at n tokens, an end token or a full context. */
static bool speak(struct tool *tool, struct speech *speech, size_t n, float *logits,
                  struct tally *tally)
{
    struct qbrt_sampler sampler = tool_sampler(tool);
    struct qbrt_candidate *scratch = reserve(tool->facts->vocab * sizeof *scratch);
    while (tally->made < n) {
        int32_t token = qbrt_sample(&sampler, logits, tool->facts->vocab, scratch);
        if (qbrt_is_eos(tool->model, token))
            break;
        tally->made++;
        if (!say(speech, &token, 1, true))
            return false;
        if (tally->made == n || !qbrt_room(tool->session))
            break;
        if (!tool_check(tool, qbrt_eval(tool->session, &token, 1, logits)))
            return false;
    }
    return true;
}

static bool feed(struct tool *tool, const int32_t *ids, size_t n, float *logits)
{
    size_t chunk = tool_chunk(tool);
    for (size_t at = 0; at < n; at += chunk) {
        size_t now = n - at < chunk ? n - at : chunk;
        if (!tool_check(tool, qbrt_eval(tool->session, ids + at, now, logits)))
            return false;
    }
    return true;
}

bool task_text(struct tool *tool)
{
    enum { NEW_TOKENS = 256 };
    if (!tool_needs_tokenizer(tool, "it cannot read a prompt"))
        return false;
    struct tally tally = {.made = 0};
    const int32_t *prompt = read_prompt(tool, &tally.prompt);
    if (!prompt)
        return false;
    const size_t n = tool->options.n < 0 ? NEW_TOKENS : (size_t)tool->options.n;
    float *logits = reserve(tool->facts->vocab * sizeof *logits);
    struct speech speech = begin(tool);
    if (!say(&speech, prompt, tally.prompt, !tool->options.no_echo))
        return false;

    double start = seconds();
    if (!feed(tool, prompt, tally.prompt, logits))
        return false;
    double middle = seconds();
    if (!speak(tool, &speech, n, logits, &tally) || !end(&speech))
        return false;
    tally.prompt_seconds = middle - start;
    tally.seconds = seconds() - middle;
    report(tool, &tally);
    return true;
}
