/* tokenizer_files.h: what the tests of the tokenizer share: compile a tokenizer.json, run texts. */
#ifndef QBC_TOKENIZER_FILES_H
#define QBC_TOKENIZER_FILES_H

#include "json.h"
#include "tokenizer.h" /* of the compiler */

#include "../runtime/tokenizer.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tokenizers that come with the tree. */
static const char *const bundled_tokenizers[] = {
    "test/models/docs-4m/tokenizer.json",           "test/models/tokenizers/added-flags.json",
    "test/models/tokenizers/compatible-forms.json", "test/models/tokenizers/decomposed.json",
    "test/models/tokenizers/metaspace.json",        "test/models/tokenizers/byte-fallback.json",
    "test/models/tokenizers/bare-words.json",       "test/models/tokenizers/early-bytes.json"};

enum { N_BUNDLED = sizeof bundled_tokenizers / sizeof *bundled_tokenizers };

struct ids {
    int32_t *id; /* from malloc */
    ptrdiff_t n; /* negative: encode failed */
};

/* Encode with scratch and ids of just the promised sizes, so that a sanitizer sees what goes
 * beyond. */
static inline struct ids encode_text(const struct qbrt_tokenizer *t, const char *text,
                                     size_t length, int flags, size_t most_scratch)
{
    size_t size = qbrt_tokenizer_scratch(t, length);
    size = size < most_scratch ? size : most_scratch;
    void *scratch = malloc(size ? size : 1);
    struct ids ids = {NULL, 0};
    ids.n = qbrt_tokenizer_encode(t, text, length, flags, NULL, 0, scratch, size);
    if (ids.n >= 0) {
        ids.id = malloc((size_t)ids.n * sizeof *ids.id + 1);
        ptrdiff_t again =
            qbrt_tokenizer_encode(t, text, length, flags, ids.id, (size_t)ids.n, scratch, size);
        CHECK(again == ids.n, "counting gave %td ids, writing %td", ids.n, again);
    }
    free(scratch);
    return ids;
}

/* The text of ids, from malloc, with a final NUL. */
static inline char *decode_ids(const struct qbrt_tokenizer *t, const int32_t *id, size_t n,
                               int flags, size_t *length)
{
    *length = qbrt_tokenizer_decode(t, id, n, flags, NULL, 0);
    char *text = malloc(*length + 1);
    size_t again = qbrt_tokenizer_decode(t, id, n, flags, text, *length);
    CHECK(again == *length, "counting gave %zu bytes, writing %zu", *length, again);
    text[*length] = 0;
    return text;
}

/* The same, one token at a time; each piece gets just the room that is asked for. */
static inline char *stream_ids(const struct qbrt_tokenizer *t, const int32_t *id, size_t n,
                               int flags, size_t *length)
{
    size_t room = qbrt_tokenizer_stream_room(t), used = 0;
    char *text = malloc((n + 1) * room + 1), *piece = malloc(room);
    struct qbrt_tokenizer_stream s;
    qbrt_tokenizer_stream_begin(&s, t, flags);
    for (size_t i = 0; i <= n; i++) {
        size_t got = i < n ? qbrt_tokenizer_stream_next(&s, id[i], piece, room)
                           : qbrt_tokenizer_stream_end(&s, piece, room);
        memcpy(text + used, piece, got);
        used += got;
    }
    free(piece);
    *length = used;
    return text;
}

#endif
