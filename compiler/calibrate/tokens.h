/* tokens.h: what the model is shown: token ids in windows. */
#ifndef QBC_CALIBRATION_TOKENS_H
#define QBC_CALIBRATION_TOKENS_H

#include "base.h"

struct qbc_windows {
    int32_t *ids;   /* [n][length], in the arena */
    size_t n, length;
    const char *name; /* of the file, without folders */
    uint64_t hash;    /* of the file's bytes */
    size_t found;     /* tokens in the file */
};

/* Tokens of a text (by the model's tokenizer.json, `tokenizer`) or of a .npy of ids. Windows are `length` long (its own
 * rows in a .npy [n, length], where these are shorter); at most `most` tokens, evenly from all of the file. False after an
 * error. */
bool qbc_windows_read(struct qbc *q, const char *option, const char *path, const char *tokenizer, int64_t vocab,
                      size_t length, size_t most, struct qbc_windows *out);

#endif
