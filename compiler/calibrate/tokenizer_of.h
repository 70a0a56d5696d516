/* tokenizer_of.h: the runtime's own tokenizer, in the compiler. */
#ifndef QBC_TOKENIZER_OF_H
#define QBC_TOKENIZER_OF_H

#include "base.h"

/* Text to ids by a tokenizer.json, as one, without its special tokens. malloc'ed; NULL after an error, for which `option`
 * is the place. */
int32_t *qbc_tokenize(struct qbc *q, const char *option, const char *tokenizer, const char *text, size_t bytes, size_t *n);

#endif
