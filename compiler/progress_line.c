/* progress_line: see progress_line.h. What is left is estimated by the pace so far, without steps that an interrupted
 * compilation had done before.
 */
#include "progress_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { BAR = 20 };
static const double PATIENCE = 1, PAUSE = 0.2, LEAST_SHARE = 0.02; /* seconds; of the work, before anything is said of the rest */

static double since(const struct timespec *then, const struct timespec *now)
{
    return (double)(now->tv_sec - then->tv_sec) + 1e-9 * (double)(now->tv_nsec - then->tv_nsec);
}

static bool is_new(const struct progress_line *line, const char *what, size_t done)
{
    return done < line->at || strncmp(line->what, what, sizeof line->what - 1) != 0;
}

static void begin(struct progress_line *line, const char *what, size_t done, const struct timespec *now)
{
    *line = (struct progress_line){.from = done, .start = *now, .last = *now};
    snprintf(line->what, sizeof line->what, "%s", what);
}

/* ", 1:05 left"; nothing while too little was done to tell. */
static void print_rest(const struct progress_line *line, size_t total, double passed)
{
    double done = (double)(line->at - line->from), rest = (double)(total - line->at);
    if (done <= LEAST_SHARE * (done + rest))
        return;
    long seconds = (long)(passed * rest / done + 0.5);
    if (seconds >= 3600)
        fprintf(stderr, ", %ld:%02ld:%02ld left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        fprintf(stderr, ", %ld:%02ld left", seconds / 60, seconds % 60);
}

void progress_line_show(struct progress_line *line, const char *what, size_t done, size_t total)
{
    static const char full[BAR + 1] = "####################", empty[BAR + 1] = "....................";
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (is_new(line, what, done))
        begin(line, what, done, &now);
    line->at = done < total ? done : total;
    double passed = since(&line->start, &now);
    if (passed < PATIENCE || (since(&line->last, &now) < PAUSE && done < total))
        return;
    line->last = now;
    int filled = total ? (int)(BAR * line->at / total) : BAR;
    int percent = total ? (int)(100.0 * (double)line->at / (double)total) : 100;
    fprintf(stderr, "\r%s [%.*s%.*s] %d %%", what, filled, full, BAR - filled, empty, percent);
    print_rest(line, total, passed);
    fputs(done >= total ? "\033[K\r\033[K" : "\033[K", stderr);
}
