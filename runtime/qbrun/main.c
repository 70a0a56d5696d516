/* main.c: qbrun, the tool on the device. `qbrun -h` tells what it does; docs/cli.md too. */
#include "output.h"
#include "tool.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool (*const tasks[])(struct tool *tool) = {
    [TASK_TEXT] = task_text, [TASK_PPL] = task_ppl,       [TASK_BENCH] = task_bench,
    [TASK_INFO] = task_info, [TASK_LOGITS] = task_logits, [TASK_TOKENS] = task_tokens,
    [TASK_RUN] = task_run,
};

/* A full disk behind standard output is an error too. */
static bool finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    return complain("cannot write to standard output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    struct tool tool = {.session = NULL};
    output_guard();
    enum parsed parsed = options_parse(argc, argv, &tool.options);
    if (parsed == PARSED_WRONG)
        return 1;
    bool good = true;
    if (parsed == PARSED) {
        good = tool_open(&tool) && tasks[tool.options.task](&tool);
        tool_close(&tool);
    }
    return finish_output() && good ? 0 : 1;
}
