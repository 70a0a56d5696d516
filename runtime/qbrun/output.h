/* output.h: a file that appears whole or not at all.
 *
 * It is written under a temporary name in the same folder and renamed at the end; what fails, or in a
 * guarded program is ended by a signal, leaves nothing behind. What is no regular file (/dev/stdout) is written in
 * place. The compiler writes its artifacts through this too.
 */
#ifndef QBRUN_OUTPUT_H
#define QBRUN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTPUT_PATH = 4096 };

struct output {
    int file;
    char path[OUTPUT_PATH];      /* where it will be; links resolved */
    char temporary[OUTPUT_PATH]; /* where it is; "" when written in place */
};

/* For programs, once at their start: signals that end it remove the temporary files first, exit() too. */
void output_guard(void);

/* All return false with errno set. */
bool output_open(struct output *o, const char *path);
bool output_write(struct output *o, const void *bytes, size_t n);
bool output_write_at(struct output *o, uint64_t offset, const void *bytes, size_t n);
/* Whoever may read it may run it. */
bool output_make_executable(struct output *o);
/* Give the file its name if `keep`, else remove it. `o` is closed in any case. */
bool output_close(struct output *o, bool keep);

#endif
