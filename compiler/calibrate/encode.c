/* encode: see encode.h. */
#include "encode.h"
#include "../../runtime/tokenizer.h"

#include <stdlib.h>
#include <sys/mman.h>

int32_t *qbc_encode(const void *blob, size_t size, const char *text, size_t bytes, size_t *n)
{
    struct qbrt_tokenizer t;
    int32_t *ids = malloc((bytes + 1) * sizeof *ids);
    if (qbrt_tokenizer_open(&t, blob, size) || !ids) {
        free(ids);
        return NULL;
    }
    size_t most = qbrt_tokenizer_scratch(&t, bytes); /* hardly touched: address space is enough */
    void *scratch = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ptrdiff_t count = -1;
    if (scratch != MAP_FAILED) {
        count = qbrt_tokenizer_encode(&t, text, bytes, 0, ids, bytes, scratch, most);
        munmap(scratch, most);
    }
    if (count >= 0 && (size_t)count <= bytes) {
        *n = (size_t)count;
        return ids;
    }
    free(ids);
    return NULL;
}
