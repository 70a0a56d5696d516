/* tokenizer.h: text to token ids and back.
 *
 * The compiler turns a Hugging Face tokenizer.json into one flat blob (docs/tokenizer.md); the
 * runtime reads it where it lies, usually inside the mapped artifact: nothing is built, copied or
 * allocated when it is opened. All results equal those of the `tokenizers` library.
 *
 * A damaged blob gives an error or wrong ids and wrong text, never an access outside of the
 * buffers given and never an endless loop. No function here keeps anything between calls except
 * in the structs the caller brings; one tokenizer may serve many threads.
 */
#ifndef QBRT_TOKENIZER_H
#define QBRT_TOKENIZER_H

#include "qbrt_types.h"

#include <stddef.h>
#include <stdint.h>

/* A part of the blob: `count` entries of a fixed size, checked to lie inside. */
struct qbrt_tokenizer_table {
    const uint8_t *data;
    uint32_t count;
};

enum { QBRT_TOKENIZER_TABLES = 32 };

/* Filled by qbrt_tokenizer_open; the fields are the implementation's own. The blob is borrowed. */
struct qbrt_tokenizer {
    const uint8_t *header;
    struct qbrt_tokenizer_table table[QBRT_TOKENIZER_TABLES];
};

/* Look at a blob. It must be 8-byte aligned and stay where it is as long as `t` is used.
 *
 * Returns  0, or -1 when this is no tokenizer blob, one of another version, or damaged.
 * Costs    a walk over the header, not over the vocabulary.
 */
int qbrt_tokenizer_open(struct qbrt_tokenizer *t, const void *blob, size_t size);

/* One more than the largest id. */
int32_t qbrt_tokenizer_vocab(const struct qbrt_tokenizer *t);

/* The id of a token by its spelling in tokenizer.json's added tokens ("<|im_end|>"), or -1. */
int32_t qbrt_tokenizer_find(const struct qbrt_tokenizer *t, const char *token, size_t length);

/* Bytes of scratch that encode can need for a text of `length` bytes, whatever it says. It is a
 * bound for the worst text: most of it is never touched, so reserved address space is enough.
 * Texts are usually encoded with far less; SIZE_MAX stands for "more than can be counted". */
size_t qbrt_tokenizer_scratch(const struct qbrt_tokenizer *t, size_t length);

/* Text to ids.
 *
 * text     char [length]          UTF-8, may hold NUL; what is no UTF-8 counts as U+FFFD
 * flags    qbrt_tokenizer_flags
 * ids      int32 [capacity]       the first `capacity` ids; may be NULL when capacity is 0
 * scratch  [scratch_size] bytes   any alignment
 *
 * Returns  how many ids the text has, even when more than `capacity`
 *          QBRT_TOKENIZER_SMALL when the scratch was used up; see qbrt_tokenizer_scratch
 */
ptrdiff_t qbrt_tokenizer_encode(const struct qbrt_tokenizer *t, const char *text, size_t length,
                                int flags, int32_t *ids, size_t capacity, void *scratch,
                                size_t scratch_size);

/* Ids to text.
 *
 * ids      int32 [n]          ids outside of the vocabulary give nothing
 * text     char [capacity]    the first `capacity` bytes, no final NUL; may be NULL with 0
 *
 * Returns  how many bytes the text has, even when more than `capacity`. It is valid UTF-8:
 *          bytes that make no character become U+FFFD.
 */
size_t qbrt_tokenizer_decode(const struct qbrt_tokenizer *t, const int32_t *ids, size_t n,
                             int flags, char *text, size_t capacity);

/* Ids to text, one at a time, for printing while a model speaks. The bytes of a character that is
 * not complete yet are held back. All pieces together equal qbrt_tokenizer_decode of all ids,
 * except that byte tokens (<0xE2>) which make no character are replaced one sequence at a time.
 *
 * The first token of a text may lose its leading space: feed the ids of the prompt too, and drop
 * what they give, to continue it.
 */
struct qbrt_tokenizer_stream {
    const struct qbrt_tokenizer *tokenizer;
    int flags;
    uint8_t begun;    /* something but special tokens has come */
    uint8_t strip;    /* characters that may still be taken from the front */
    uint8_t n_held;   /* bytes of an incomplete character */
    uint8_t byte_run; /* they came from byte tokens */
    uint8_t held[4];
};

void qbrt_tokenizer_stream_begin(struct qbrt_tokenizer_stream *s, const struct qbrt_tokenizer *t,
                                 int flags);

/* Bytes that one call of next or end can give at most. */
size_t qbrt_tokenizer_stream_room(const struct qbrt_tokenizer *t);

/* Both return how many bytes were written to `text`; at least ..._room bytes must fit there, or
 * `capacity` cuts the piece off. */
size_t qbrt_tokenizer_stream_next(struct qbrt_tokenizer_stream *s, int32_t id, char *text,
                                  size_t capacity);
size_t qbrt_tokenizer_stream_end(struct qbrt_tokenizer_stream *s, char *text, size_t capacity);

#endif
