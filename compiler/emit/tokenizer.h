/* tokenizer.h: a Hugging Face tokenizer.json becomes the flat tables that the runtime reads in
 * place (docs/tokenizer.md, runtime/tokenizer.h).
 */
#ifndef QBC_TOKENIZER_H
#define QBC_TOKENIZER_H

#include "base.h"

/* Compile `path`. The bytes are deterministic and live in the arena of `q`; the artifact must put
 * them at a multiple of 8. False after an error, which names the component that is not supported
 * or the place where the file is wrong.
 */
bool qbc_tokenizer_compile(struct qbc *q, const char *path, uint8_t **blob, size_t *size);

/* What the files beside a model say about its tokens. */
struct qbc_tokenizer_facts {
    int32_t bos;  /* -1: none */
    int32_t pad;  /* -1: none */
    int32_t *eos; /* [n_eos] generation stops at any of these */
    size_t n_eos;
    const char *chat_template; /* Jinja text, or NULL */
};

/* Read generation_config.json, config.json, tokenizer_config.json and chat_template.jinja (each if
 * there) in the folder of `path`, a tokenizer.json. Ids come from the first of these files that
 * has them. A file that is there and cannot be read is an error.
 */
bool qbc_tokenizer_facts(struct qbc *q, const char *path, struct qbc_tokenizer_facts *facts);

#endif
