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

/* How texts become windows. */
struct qbc_reading {
    const char *tokenizer; /* tokenizer.json; NULL: none */
    int64_t vocab;
    size_t length; /* tokens in a window */
};

/* Tokens of a text, or of a .npy of ids. Windows have how->length tokens (its own rows' in a .npy [n, length], where these are
 * shorter); at most `most` tokens, evenly from all of the file. False after an error, for which `option` is the place. */
bool qbc_windows_read(struct qbc *q, const char *option, const char *path, const struct qbc_reading *how, size_t most,
                      struct qbc_windows *out);
/* Weights in matrices: what a token costs. */
double qbc_matrix_weights(struct qbc *q, MlirOperation graph);

#endif
