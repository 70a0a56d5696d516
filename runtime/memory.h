/* memory.h: the functions of memory that the core calls, and that a compiler may call by itself.
 *
 * They are libc's where there is one. In a core that is built alone they are freestanding/memory.c's, and
 * are called qbrt_memcpy and so on: the build renames them, so that no program meets two of them.
 */
#ifndef QBRT_MEMORY_H
#define QBRT_MEMORY_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
