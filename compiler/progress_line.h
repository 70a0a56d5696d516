/* progress_line.h: the line on a terminal that tells how far long work is, and how long it will still take. */
#ifndef QBC_PROGRESS_LINE_H
#define QBC_PROGRESS_LINE_H

#include <stddef.h>
#include <time.h>

/* Zeroed before the first call. */
struct progress_line {
    char what[64];               /* the work at hand */
    size_t from, at;             /* steps that were done when it began, that are done */
    struct timespec start, last; /* it began; the line was written */
};

/* `done` of `total` steps of `what`: a line on the standard error, only for what takes more than a second, and five times a second;
 * gone when all is done. */
void progress_line_show(struct progress_line *line, const char *what, size_t done, size_t total);

#endif
