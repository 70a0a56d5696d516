/* tool.h: what the tasks of qbrun share: an open model and how to complain. */
#ifndef QBRUN_TOOL_H
#define QBRUN_TOOL_H

#include "options.h"
#include "qbrt.h"
#include "tokenizer.h"

#define TOOL_VERSION "0.1"
#define TOOL_OWN_FILE "/proc/self/exe" /* the running program */

struct tool {
    struct options options;
    struct qbrt_model *model;
    const struct qbrt_facts *facts;
    struct qbrt_pool *pool;
    struct qbrt_parallel parallel;
    struct qbrt_session *session;
    struct qbrt_tokenizer tokenizer;
    bool has_tokenizer;
};

/* --- tool.c */

/* Print "qbrun: error: ..." and return false. */
bool complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed pages that cost nothing until they are touched, never freed. Ends the program when the
 * system has none; so take memory before an output file is begun. */
void *reserve(size_t bytes);

/* Monotonic. */
double seconds(void);

/* Open the model; with a session and threads unless only the facts are wanted. */
bool tool_open(struct tool *tool);
void tool_close(struct tool *tool);
/* False, with a complaint, when the model has no tokenizer. */
bool tool_needs_tokenizer(const struct tool *tool, const char *what);
/* Complains unless `status` is QBRT_OK. */
bool tool_check(const struct tool *tool, enum qbrt_status status);
/* Text to ids; NULL after a complaint. */
int32_t *tool_encode(const struct tool *tool, const char *text, size_t length, int flags,
                     size_t *n);
/* A whole file ("-": standard input), NUL behind it; NULL after a complaint. */
char *tool_read(const char *path, size_t *bytes);
/* Tokens that one call shall take. */
size_t tool_chunk(const struct tool *tool);
/* The next token by the options' rules. */
struct qbrt_sampler tool_sampler(const struct tool *tool);

/* --- the tasks, a file each: false after a complaint */
bool task_text(struct tool *tool);
bool task_ppl(struct tool *tool);
bool task_bench(struct tool *tool);
bool task_info(struct tool *tool);
bool task_logits(struct tool *tool);
bool task_tokens(struct tool *tool);
bool task_run(struct tool *tool);

#endif
