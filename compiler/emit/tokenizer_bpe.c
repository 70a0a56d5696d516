/* tokenizer_bpe.c: the model BPE: its flags, and its merges sorted for the runtime. */
#include "tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

struct merge {
    uint32_t left;
    struct qbrt_tokenizer_merge rest;
};

static int compare(const void *a, const void *c)
{
    const struct merge *x = a, *y = c;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    if (x->rest.right != y->rest.right)
        return x->rest.right < y->rest.right ? -1 : 1;
    return x->rest.rank < y->rest.rank ? -1 : 1;
}

/* The two parts of an entry: ["a", "b"], or, in older files, "a b". */
static bool parts_of(struct builder *b, const cJSON *item, struct text *left, struct text *right)
{
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2 && cJSON_IsString(item->child) &&
        cJSON_IsString(item->child->next)) {
        *left = qbc_token_text_of(b, item->child->valuestring);
        *right = qbc_token_text_of(b, item->child->next->valuestring);
        return true;
    }
    if (!cJSON_IsString(item))
        return false;
    struct text both = qbc_token_text_of(b, item->valuestring);
    const char *space = memchr(both.data, ' ', both.length);
    if (!space)
        return false;
    left->data = both.data;
    left->length = (size_t)(space - both.data);
    right->data = space + 1;
    right->length = both.length - left->length - 1;
    return !memchr(right->data, ' ', right->length);
}

static bool read_merge(struct builder *b, const cJSON *item, uint32_t rank, struct merge *merge)
{
    struct text left, right, whole;
    if (!parts_of(b, item, &left, &right))
        return qbc_token_fail(b, "model: merge %u is no pair of tokens", rank);
    char *joined = qbc_alloc(b->q, left.length + right.length + 1);
    memcpy(joined, left.data, left.length);
    memcpy(joined + left.length, right.data, right.length);
    whole = (struct text){joined, left.length + right.length};
    int32_t ids[] = {qbc_token_vocab_find(b, left), qbc_token_vocab_find(b, right),
                     qbc_token_vocab_find(b, whole)};
    for (int i = 0; i < 3; i++)
        if (ids[i] < 0)
            return qbc_token_fail(
                b, "model: merge %u needs the token \"%s\", which the vocabulary lacks", rank,
                qbc_copy(b->q, (struct text[]){left, right, whole}[i].data,
                         (struct text[]){left, right, whole}[i].length));
    *merge = (struct merge){(uint32_t)ids[0],
                            {.right = (uint32_t)ids[1], .rank = rank, .id = (uint32_t)ids[2]}};
    return true;
}

/* Sorted by left and right; of equal pairs the last one counts. */
static void write_merges(struct builder *b, struct merge *merge, size_t n)
{
    uint32_t count = 0;
    size_t i = 0;
    qsort(merge, n, sizeof *merge, compare);
    for (uint32_t left = 0; left < b->header.vocab; left++) {
        qbc_token_table_word(b, QBRT_TABLE_merge_start, count);
        for (; i < n && merge[i].left == left; i++) {
            if (i + 1 < n && merge[i + 1].left == left &&
                merge[i + 1].rest.right == merge[i].rest.right)
                continue;
            qbc_token_table_add(b, QBRT_TABLE_merges, &merge[i].rest, sizeof merge[i].rest);
            count++;
        }
    }
    qbc_token_table_word(b, QBRT_TABLE_merge_start, count);
}

static bool read_merges(struct builder *b, const cJSON *merges)
{
    size_t n = 0;
    if (!cJSON_IsArray(merges))
        return qbc_token_fail(b, "model: it has no merges");
    for (const cJSON *item = merges->child; item; item = item->next)
        n++;
    struct merge *merge = qbc_alloc(b->q, (n + 1) * sizeof *merge);
    n = 0;
    for (const cJSON *item = merges->child; item; item = item->next) {
        if (cJSON_IsString(item) && !strncmp(item->valuestring, "#version", 8))
            continue;
        if (!read_merge(b, item, (uint32_t)n, &merge[n]))
            return false;
        n++;
    }
    write_merges(b, merge, n);
    return true;
}

static bool is_set(struct builder *b, const cJSON *model, const char *name)
{
    const char *value = qbc_json_string(model, name);
    return value && *value && !qbc_token_fail(b, "model: %s is not supported", name);
}

bool qbc_token_bpe_write(struct builder *b)
{
    const cJSON *model = qbc_json_member(b->root, "model");
    const cJSON *dropout = qbc_json_member(model, "dropout");
    const char *unknown = qbc_json_string(model, "unk_token");
    if (is_set(b, model, "continuing_subword_prefix") || is_set(b, model, "end_of_word_suffix"))
        return false;
    if (dropout && dropout->valuedouble != 0)
        return qbc_token_fail(b, "model: dropout is not supported, ids would be random");
    bool fallback = qbc_json_bool(model, "byte_fallback", false);
    b->header.model = QBRT_TOKENIZER_BPE;
    b->header.unknown = unknown ? qbc_token_vocab_find(b, qbc_token_text_of(b, unknown)) : -1;
    b->header.flags |=
        (qbc_json_bool(model, "ignore_merges", false) ? QBRT_TOKENIZER_IGNORE_MERGES : 0u) |
        (qbc_json_bool(model, "fuse_unk", false) ? QBRT_TOKENIZER_FUSE_UNKNOWN : 0u) |
        (fallback && !b->byte_level ? QBRT_TOKENIZER_BYTE_FALLBACK : 0u) |
        (b->byte_level ? QBRT_TOKENIZER_BYTE_LEVEL : 0u);
    if (unknown && b->header.unknown < 0)
        return qbc_token_fail(b, "model: its unk_token \"%s\" is not in the vocabulary", unknown);
    qbc_token_vocab_write(b);
    return read_merges(b, qbc_json_member(model, "merges"));
}
