/* tokenizer_of: compile tokenizer.json, and encode with what the artifact will hold. */
#include "tokenizer_of.h"
#include "../emit/tokenizer.h"
#include "encode.h"

int32_t *qbc_tokenize(struct qbc *q, const char *option, const char *tokenizer, const char *text, size_t bytes, size_t *n)
{
    uint8_t *blob;
    size_t size;
    if (!tokenizer) {
        qbc_error_in(q, option, "a text needs the model's tokenizer.json, and none was found beside it; say where with "
                                "-tokenizer=FILE, or give token ids in a .npy");
        return NULL;
    }
    if (!qbc_tokenizer_compile(q, tokenizer, &blob, &size))
        return NULL;
    int32_t *ids = qbc_encode(blob, size, text, bytes, n);
    if (!ids)
        qbc_error_in(q, option, "there is no memory to read this text");
    return ids;
}
