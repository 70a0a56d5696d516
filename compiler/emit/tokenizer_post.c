/* tokenizer_post.c: the component "post_processor": ids in front of a text and behind it. */
#include "tokenizer_build.h"

#include <string.h>

struct around {
    uint32_t *prefix, *suffix; /* [MOST] */
    size_t n_prefix, n_suffix;
    bool done; /* one component has put ids around the text */
};

enum { MOST = 64 };

static bool add_ids(struct builder *b, const cJSON *ids, uint32_t *list, size_t *n)
{
    for (const cJSON *id = ids ? ids->child : NULL; id; id = id->next) {
        if (!cJSON_IsNumber(id) || id->valueint < 0 || (uint32_t)id->valueint >= b->header.vocab)
            return qbc_token_fail(b, "post_processor: it adds an id that is no token");
        if (*n == MOST)
            return qbc_token_fail(b, "post_processor: it adds more than %d tokens", MOST);
        list[(*n)++] = (uint32_t)id->valueint;
    }
    return true;
}

/* {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": ...}
 */
static bool read_template(struct builder *b, const cJSON *processor, struct around *around)
{
    const cJSON *pieces = qbc_json_member(processor, "single");
    const cJSON *tokens = qbc_json_member(processor, "special_tokens");
    int texts = 0;
    for (const cJSON *piece = pieces ? pieces->child : NULL; piece; piece = piece->next) {
        const cJSON *special = qbc_json_member(piece, "SpecialToken");
        const char *name = qbc_json_string(special, "id");
        const cJSON *token = name ? qbc_json_member(tokens, name) : NULL;
        if (qbc_json_member(piece, "Sequence")) {
            texts++;
            continue;
        }
        if (!token)
            return qbc_token_fail(b, "post_processor: its template names the unknown token \"%s\"",
                                  name ? name : "?");
        const cJSON *ids = qbc_json_member(token, "ids");
        if (!(texts ? add_ids(b, ids, around->suffix, &around->n_suffix)
                    : add_ids(b, ids, around->prefix, &around->n_prefix)))
            return false;
    }
    return texts == 1 || qbc_token_fail(b, "post_processor: a template without exactly one text");
}

/* ["[CLS]", 101] */
static bool add_pair(struct builder *b, const cJSON *pair, uint32_t *list, size_t *n)
{
    cJSON one = {.child = cJSON_IsArray(pair) ? cJSON_GetArrayItem(pair, 1) : NULL};
    return one.child ? add_ids(b, &one, list, n)
                     : qbc_token_fail(b, "post_processor: a token without an id");
}

static bool read_one(struct builder *b, const cJSON *processor, struct around *around)
{
    struct text type = qbc_token_text_of(b, qbc_token_type_of(processor));
    bool pair =
        qbc_token_text_is(type, "BertProcessing") || qbc_token_text_is(type, "RobertaProcessing");
    if (qbc_token_text_is(type, "ByteLevel")) /* about offsets only */
        return true;
    if (!pair && !qbc_token_text_is(type, "TemplateProcessing"))
        return qbc_token_fail(b, "post_processor: %s is not supported", type.data);
    if (around->done)
        return qbc_token_fail(b, "post_processor: two that add tokens are not supported");
    around->done = true;
    if (!pair)
        return read_template(b, processor, around);
    return add_pair(b, qbc_json_member(processor, "cls"), around->prefix, &around->n_prefix) &&
           add_pair(b, qbc_json_member(processor, "sep"), around->suffix, &around->n_suffix);
}

static bool read_all(struct builder *b, const cJSON *processor, struct around *around, int depth)
{
    if (strcmp(qbc_token_type_of(processor), "Sequence"))
        return read_one(b, processor, around);
    const cJSON *list = qbc_json_member(processor, "processors");
    if (depth > 8)
        return qbc_token_fail(b, "post_processor: sequences are nested too deep");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (!read_all(b, item, around, depth + 1))
            return false;
    return true;
}

bool qbc_token_post_write(struct builder *b)
{
    const cJSON *processor = qbc_json_member(b->root, "post_processor");
    uint32_t prefix[MOST], suffix[MOST];
    struct around around = {.prefix = prefix, .suffix = suffix};
    if (processor && !read_all(b, processor, &around, 0))
        return false;
    for (size_t i = 0; i < around.n_prefix; i++)
        qbc_token_table_word(b, QBRT_TABLE_prefix, prefix[i]);
    for (size_t i = 0; i < around.n_suffix; i++)
        qbc_token_table_word(b, QBRT_TABLE_suffix, suffix[i]);
    return true;
}
