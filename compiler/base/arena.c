/* arena: memory that lives as long as the context. Passes never free.
 *
 * Blocks grow by doubling from 64 KiB; a request larger than that gets a block of its own.
 */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 64 << 10, LARGEST_BLOCK = 4 << 20, ALIGNMENT = 16 };

struct qbc_block_of_memory {
    struct qbc_block_of_memory *next;
    size_t used, size;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

void *qbc_alloc(struct qbc *q, size_t bytes)
{
    struct qbc_block_of_memory *top = q->memory;
    bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!top || top->size - top->used < bytes) {
        size_t size = top ? top->size * 2 : FIRST_BLOCK;
        if (size > LARGEST_BLOCK)
            size = LARGEST_BLOCK;
        if (size < bytes)
            size = bytes;
        struct qbc_block_of_memory *block = calloc(1, sizeof *block + size);
        if (!block)
            qbc_out_of_memory(q, bytes);
        *block = (struct qbc_block_of_memory){.next = top, .size = size};
        q->memory = top = block;
    }
    void *p = top->bytes + top->used;
    top->used += bytes;
    return p;
}

void qbc_arena_free(struct qbc *q)
{
    while (q->memory) {
        struct qbc_block_of_memory *next = q->memory->next;
        free(q->memory);
        q->memory = next;
    }
}

char *qbc_copy(struct qbc *q, const char *text, size_t length)
{
    char *copy = qbc_alloc(q, length + 1);
    if (length) /* text may be NULL then */
        memcpy(copy, text, length);
    return copy;
}

char *qbc_text(struct qbc *q, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = qbc_alloc(q, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}
