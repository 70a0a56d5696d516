/* tokenizer_added.c: tokens that are looked for in a text before the model sees it.
 *
 * Those that are not "normalized" are found in the text as it comes, the others, by their
 * normalized spelling, in the normalized text. To normalize a spelling the compiler runs the
 * runtime's own code on a blob that has no such tokens yet.
 */
#include "tokenizer_build.h"

#include "../runtime/tokenizer.h"
#include "tokenizer_inside.h"

#include <stdlib.h>
#include <string.h>

int32_t qbc_token_added_find(const struct builder *b, struct text content)
{
    for (size_t i = 0; i < b->n_added; i++)
        if (qbc_token_text_equal(b->added[i].content, content))
            return b->added[i].id;
    return -1;
}

bool qbc_token_added_is_special(const struct builder *b, struct text content)
{
    for (size_t i = 0; i < b->n_added; i++)
        if ((b->added[i].flags & QBRT_ADDED_SPECIAL) &&
            qbc_token_text_equal(b->added[i].content, content))
            return true;
    return false;
}

/* Ids are given as `tokenizers` does: the model's, or the next free one; the file's is ignored. */
static bool read_one(struct builder *b, const cJSON *item, int32_t *next)
{
    const char *content = qbc_json_string(item, "content");
    struct added token = {.content = qbc_token_text_of(b, content)};
    if (!content)
        return qbc_token_fail(b, "added_tokens: an entry has no content");
    if (token.content.length == 0)
        return true;
    bool special = qbc_json_bool(item, "special", false);
    token.normalized = qbc_json_bool(item, "normalized", !special);
    token.flags = (special ? QBRT_ADDED_SPECIAL : 0u) |
                  (qbc_json_bool(item, "single_word", false) ? QBRT_ADDED_SINGLE_WORD : 0u) |
                  (qbc_json_bool(item, "lstrip", false) ? QBRT_ADDED_LSTRIP : 0u) |
                  (qbc_json_bool(item, "rstrip", false) ? QBRT_ADDED_RSTRIP : 0u);
    token.spelling = token.content;
    token.id = qbc_token_vocab_find(b, token.content);
    for (size_t i = 0; i < b->n_added; i++)
        if (qbc_token_text_equal(b->added[i].content, token.content)) { /* the later entry counts */
            token.id = b->added[i].id;
            token.flags |= b->added[i].flags & QBRT_ADDED_SPECIAL;
            b->added[i] = token;
            return true;
        }
    if (token.id < 0)
        token.id = (*next)++;
    b->added[b->n_added++] = token;
    qbc_token_vocab_set_id(b, token.id, token.content, true);
    return true;
}

bool qbc_token_added_read(struct builder *b)
{
    const cJSON *list = qbc_json_member(b->root, "added_tokens");
    int32_t next = (int32_t)b->n_tokens;
    size_t n = 0;
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        n++;
    b->added = qbc_alloc(b->q, (n + 1) * sizeof *b->added);
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (!read_one(b, item, &next))
            return false;
    uint32_t looks = 0;
    for (size_t i = 0; i < b->n_added; i++)
        looks |= b->added[i].flags;
    if (looks & (QBRT_ADDED_LSTRIP | QBRT_ADDED_RSTRIP))
        b->header.space_class = qbc_token_class_add(b, qbc_token_charset_space(b));
    if (looks & QBRT_ADDED_SINGLE_WORD)
        b->header.word_class = qbc_token_class_add(b, qbc_token_charset_word(b));
    return true;
}

/* --- spellings of normalized tokens */
static bool normalize(struct builder *b, const struct qbrt_tokenizer *t, struct added *token)
{
    size_t size = qbrt_tokenizer_scratch(t, token->content.length);
    struct qbrt_encoder e = {.t = t, .size = size, .steps = UINT64_MAX};
    bool front = true;
    e.scratch = qbc_alloc(b->q, size);
    struct qbrt_text text = qbrt_text_normalize(
        &e, (struct qbrt_text){(const uint8_t *)token->content.data, token->content.length},
        &front);
    if (e.small)
        return qbc_token_fail(b, "internal error: no scratch to normalize an added token");
    token->spelling =
        (struct text){qbc_copy(b->q, (const char *)text.data, text.length), text.length};
    return true;
}

/* Decoding, too, starts from what a token is normalized to; by the normalizer ByteLevel that is the
 * spelling of its bytes. */
static void set_texts(struct builder *b)
{
    for (size_t i = 0; i < b->n_added; i++) {
        struct text text = b->added[i].spelling;
        if (b->added[i].normalized && (b->header.flags & QBRT_TOKENIZER_EARLY_BYTES))
            text = qbc_token_vocab_spell(b, text);
        qbc_token_vocab_set_id(b, b->added[i].id, text, true);
    }
}

static bool normalize_all(struct builder *b)
{
    uint8_t *blob;
    size_t size, n = 0;
    struct qbrt_tokenizer t;
    struct builder copy = *b;
    for (size_t i = 0; i < b->n_added; i++)
        n += b->added[i].normalized;
    if (n == 0 || qbc_token_table_count(b, QBRT_TABLE_normalizers) == 0)
        return true;
    /* The runtime asks for a complete model: an empty one will do here. */
    copy.header.model = QBRT_TOKENIZER_BPE;
    copy.header.vocab = 1;
    for (int i = 0; i < 2; i++)
        qbc_token_table_word(&copy, QBRT_TABLE_texts, (uint32_t)QBRT_TEXT_ABSENT);
    copy.header.text_growth = (uint32_t)b->text_growth;
    copy.header.text_extra = (uint32_t)b->text_extra;
    if (!qbc_token_blob_finish(&copy, &blob, &size))
        return false;
    if (qbrt_tokenizer_open(&t, blob, size))
        return qbc_token_fail(b,
                              "internal error: the tables of its normalizer cannot be read back");
    for (size_t i = 0; i < b->n_added; i++)
        if (b->added[i].normalized && !normalize(b, &t, &b->added[i]))
            return false;
    return true;
}

/* --- tables */
static int compare(const void *a, const void *c)
{
    struct text x = ((const struct added *)a)->spelling, y = ((const struct added *)c)->spelling;
    size_t n = x.length < y.length ? x.length : y.length;
    int order = memcmp(x.data, y.data, n);
    if (!order)
        order = (x.length > y.length) - (x.length < y.length);
    return order ? order : ((const struct added *)a)->id - ((const struct added *)c)->id;
}

static void write_list(struct builder *b, bool normalized)
{
    struct added *list = qbc_alloc(b->q, (b->n_added + 1) * sizeof *list);
    size_t n = 0, i = 0;
    for (size_t k = 0; k < b->n_added; k++)
        if (b->added[k].normalized == normalized && b->added[k].spelling.length > 0)
            list[n++] = b->added[k];
    if (n == 0)
        return;
    qsort(list, n, sizeof *list, compare);
    uint32_t count = 0;
    for (int byte = 0; byte < 256; byte++) {
        qbc_token_table_word(b, normalized ? QBRT_TABLE_late_start : QBRT_TABLE_added_start, count);
        for (; i < n && (uint8_t)list[i].spelling.data[0] == byte; i++) {
            if (i > 0 && qbc_token_text_equal(list[i].spelling, list[i - 1].spelling))
                continue;
            struct qbrt_tokenizer_added entry = {.offset = qbc_token_pool_add(b, list[i].spelling),
                                                 .length = (uint32_t)list[i].spelling.length,
                                                 .id = (uint32_t)list[i].id,
                                                 .flags = list[i].flags};
            qbc_token_table_add(b, normalized ? QBRT_TABLE_late : QBRT_TABLE_added, &entry,
                                sizeof entry);
            count++;
        }
    }
    qbc_token_table_word(b, normalized ? QBRT_TABLE_late_start : QBRT_TABLE_added_start, count);
}

bool qbc_token_added_write(struct builder *b)
{
    if (!normalize_all(b))
        return false;
    set_texts(b);
    write_list(b, false);
    write_list(b, true);
    return true;
}
