/* own_text.h: the model writes the text that it is calibrated with. */
#ifndef QBC_OWN_TEXT_H
#define QBC_OWN_TEXT_H

#include "tokens.h"
#include "qbrt_types.h"

/* Windows of `length` tokens, at most `most` of them in all (fewer where the model is large), drawn from what the model
 * itself thinks comes next: every other one from the token that begins a text, if there is one, the rest from any token. The
 * same model writes the same text. False after an error. */
bool qbc_own_text(struct qbc *q, MlirOperation graph, const struct qbrt_parallel *threads, size_t length, size_t most,
                  struct qbc_windows *out);

#endif
