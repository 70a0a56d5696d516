/* tokenizer.c: the compilation of a tokenizer, top to bottom. See tokenizer.h. */
#include "tokenizer_build.h"

#include <string.h>

/* Files of before 2020 may not say what their model is. */
static const char *model_type(const cJSON *model)
{
    const char *type = qbc_json_string(model, "type");
    if (type)
        return type;
    return qbc_json_member(model, "merges") ? "BPE" : "of an unknown type";
}

static bool check(struct builder *b)
{
    const char *version = qbc_json_string(b->root, "version");
    const cJSON *model = qbc_json_member(b->root, "model");
    if (!model)
        return qbc_token_fail(b, "no tokenizer: there is no model in it");
    if (version && strcmp(version, "1.0"))
        return qbc_token_fail(b, "version %s of tokenizer.json is not supported, 1.0 is", version);
    if (strcmp(model_type(model), "BPE"))
        return qbc_token_fail(b, "model: %s is not supported, BPE is", model_type(model));
    return true;
}

static bool write_growth(struct builder *b)
{
    uint64_t word = b->growth.valid > b->growth.broken ? b->growth.valid : b->growth.broken;
    if (b->text_growth > UINT32_MAX || b->text_extra > UINT32_MAX || word > UINT32_MAX ||
        b->growth.extra > UINT32_MAX)
        return qbc_token_fail(b, "its normalizer makes texts grow without measure");
    b->header.text_growth = (uint32_t)b->text_growth;
    b->header.text_extra = (uint32_t)b->text_extra;
    b->header.word_growth = (uint32_t)word;
    b->header.word_extra = (uint32_t)b->growth.extra;
    return true;
}

bool qbc_tokenizer_compile(struct qbc *q, const char *path, uint8_t **blob, size_t *size)
{
    struct builder b = {.q = q, .path = path, .growth = {.valid = 1, .broken = 3}};
    cJSON *root = qbc_json_read(q, path);
    *blob = NULL;
    *size = 0;
    b.root = root;
    bool ok = root && check(&b) && qbc_token_vocab_read(&b) && qbc_token_normalizer_write(&b) &&
              qbc_token_splitter_write(&b) && qbc_token_added_read(&b) &&
              qbc_token_classes_write(&b) && write_growth(&b) && qbc_token_added_write(&b) &&
              qbc_token_bpe_write(&b) && qbc_token_decoder_write(&b) && qbc_token_post_write(&b) &&
              qbc_token_blob_finish(&b, blob, size);
    cJSON_Delete(root);
    return ok;
}
