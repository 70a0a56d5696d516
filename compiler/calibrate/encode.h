/* encode.h: ids of a text by a compiled tokenizer. (The compiler's tokenizer.h and the runtime's have the same name.) */
#ifndef QBC_ENCODE_H
#define QBC_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* malloc'ed; NULL: no memory. */
int32_t *qbc_encode(const void *blob, size_t size, const char *text, size_t bytes, size_t *n);

#endif
