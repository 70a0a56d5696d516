/* tool.c: see tool.h. */
#include "tool.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

bool complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("qbrun: error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        complain("the system has no %zu bytes of memory", bytes);
        exit(1);
    }
    return memory;
}

double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool tool_check(const struct tool *tool, enum qbrt_status status)
{
    return !status || complain("'%s': %s", tool->options.model, qbrt_status_text(status));
}

static bool open_model(struct tool *tool)
{
    const char *path = tool->options.model;
    char detail[QBRT_DETAIL];
    size_t bytes = qbrt_model_size();
    bool with_code = tool->options.task != TASK_INFO, own = tool->options.own_bytes;
    enum qbrt_status status =
        own ? qbrt_open_part(TOOL_OWN_FILE, tool->options.own_offset, tool->options.own_bytes,
                             with_code, reserve(bytes), bytes, &tool->model, detail)
        : with_code ? qbrt_open_file(path, reserve(bytes), bytes, &tool->model, detail)
                    : qbrt_open_facts(path, reserve(bytes), bytes, &tool->model, detail);
    if (status == QBRT_CANNOT_OPEN || status == QBRT_CANNOT_MAP)
        return complain("%s '%s': %s",
                        status == QBRT_CANNOT_OPEN ? "cannot open" : "cannot map the code of", path,
                        strerror(errno));
    if (status)
        return complain("'%s': %s%s%s", path, qbrt_status_text(status), *detail ? ": " : "",
                        detail);
    tool->facts = qbrt_facts(tool->model);
    return true;
}

static bool open_session(struct tool *tool)
{
    int threads = tool->options.threads ? (int)tool->options.threads : qbrt_cores();
    size_t bytes = qbrt_pool_size(threads);
    enum qbrt_status status = qbrt_pool_create(threads, reserve(bytes), bytes, &tool->pool);
    if (status)
        return complain("%d threads: %s", threads, qbrt_status_text(status));
    tool->parallel = qbrt_pool_parallel(tool->pool);
    bytes = qbrt_session_size(tool->model);
    status =
        qbrt_session_create(tool->model, reserve(bytes), bytes, &tool->parallel, &tool->session);
    return tool_check(tool, status);
}

/* An encoder takes a text at once, and gives no scores of a next token. */
static bool check_task(const struct tool *tool)
{
    const struct options *o = &tool->options;
    bool runs = tool->facts->n_results > 0;
    if (runs && o->task != TASK_RUN && o->task != TASK_INFO)
        return complain("'%s' is no language model: --input NAME=FILE.npy -o FOLDER runs it, --info says what goes in", o->model);
    if (!runs && o->task == TASK_RUN)
        return complain("'%s' is a language model: -p TEXT, --logits and --tokens run it", o->model);
    if (!tool->facts->whole || o->task == TASK_INFO || (o->task == TASK_LOGITS && !o->chunk))
        return true;
    return complain("'%s' is an encoder, which reads whole texts: --logits gives its results, without --chunk", o->model);
}

bool tool_open(struct tool *tool)
{
    if (!open_model(tool) || !check_task(tool))
        return false;
    if (tool->facts->tokenizer) {
        if (qbrt_tokenizer_open(&tool->tokenizer, tool->facts->tokenizer,
                                tool->facts->tokenizer_bytes))
            return complain("'%s': its tokenizer is damaged, or newer than this runtime",
                            tool->options.model);
        tool->has_tokenizer = true;
    }
    return tool->options.task == TASK_INFO || tool->options.task == TASK_RUN || open_session(tool);
}

void tool_close(struct tool *tool)
{
    qbrt_pool_destroy(tool->pool);
    qbrt_close(tool->model);
}

bool tool_needs_tokenizer(const struct tool *tool, const char *what)
{
    return tool->has_tokenizer ||
           complain("'%s' has no tokenizer, so %s; --tokens and --logits take ids",
                    tool->options.model, what);
}

int32_t *tool_encode(const struct tool *tool, const char *text, size_t length, int flags, size_t *n)
{
    size_t bytes = qbrt_tokenizer_scratch(&tool->tokenizer, length);
    if (bytes == SIZE_MAX) {
        complain("a text of %zu bytes is too long for the tokenizer", length);
        return NULL;
    }
    enum { USUAL = 64 }; /* special tokens; texts have at most an id a byte, nearly always */
    void *scratch = reserve(bytes);
    size_t capacity = length + USUAL;
    int32_t *ids = reserve(capacity * sizeof *ids);
    ptrdiff_t count;
    while ((count = qbrt_tokenizer_encode(&tool->tokenizer, text, length, flags, ids, capacity,
                                          scratch, bytes)) > (ptrdiff_t)capacity) {
        capacity = (size_t)count;
        ids = reserve(capacity * sizeof *ids);
    }
    munmap(scratch, bytes ? bytes : 1);
    if (count < 0) {
        complain("the tokenizer ran out of memory");
        return NULL;
    }
    *n = (size_t)count;
    return ids;
}

/* Twice the room when it is used up, so pipes work too. */
static char *read_all(FILE *f, size_t *bytes)
{
    size_t room = 1 << 16;
    char *text = malloc(room);
    for (*bytes = 0; text;) {
        *bytes += fread(text + *bytes, 1, room - 1 - *bytes, f);
        if (*bytes < room - 1)
            break;
        char *more = realloc(text, room *= 2);
        if (!more)
            free(text);
        text = more;
    }
    if (text && ferror(f)) {
        free(text);
        return NULL;
    }
    if (text)
        text[*bytes] = 0;
    return text;
}

char *tool_read(const char *path, size_t *bytes)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    char *text = f ? read_all(f, bytes) : NULL;
    if (!text)
        complain("cannot read '%s': %s", path, strerror(errno));
    if (f && f != stdin)
        fclose(f);
    return text;
}

size_t tool_chunk(const struct tool *tool)
{
    size_t asked = (size_t)tool->options.chunk, most = tool->facts->chunk;
    return asked && asked < most ? asked : most;
}

struct qbrt_sampler tool_sampler(const struct tool *tool)
{
    const struct options *o = &tool->options;
    return (struct qbrt_sampler){
        .temperature = (float)o->temperature,
        .top_k = (int32_t)o->top_k,
        .top_p = (float)o->top_p,
        .min_p = (float)o->min_p,
        .state = o->seed,
    };
}
