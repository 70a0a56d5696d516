/* tokenizer_trie.c: a number for each character, in three steps (tokenizer_blob.h). Equal blocks
 * are stored once, across all tries of a tokenizer.
 */
#include "tokenizer_build.h"

#include <string.h>

enum { BUCKETS = 1 << 12 };

/* Finds a block of a table among those that are there already. */
struct trie_index {
    struct bucket {
        uint32_t block; /* number + 1 */
        struct bucket *next;
    } bucket[3][BUCKETS]; /* middle, leaves, leaves of kinds */
};

/* Number of the block of 32 entries in the table, which is added if need be. */
static uint16_t block_of(struct builder *b, int table, const void *block, size_t bytes)
{
    int which = table == QBRT_TABLE_trie_middle ? 0 : table == QBRT_TABLE_trie_leaf ? 1 : 2;
    struct bytes *all = &b->table[table];
    struct bucket *bucket =
        &b->trie_index->bucket[which][qbrt_tokenizer_hash(block, bytes) % BUCKETS];
    for (; bucket->block; bucket = bucket->next)
        if (!memcmp(all->data + (bucket->block - 1) * bytes, block, bytes))
            return (uint16_t)(bucket->block - 1);
    bucket->block = (uint32_t)(all->n / bytes) + 1;
    bucket->next = qbc_alloc(b->q, sizeof *bucket->next);
    qbc_token_table_add(b, table, block, bytes);
    return (uint16_t)(bucket->block - 1);
}

static uint16_t leaf_of(struct builder *b, const uint16_t *value, bool kinds)
{
    uint8_t narrow[QBRT_TRIE_LEAF];
    for (int i = 0; i < QBRT_TRIE_LEAF; i++)
        narrow[i] = (uint8_t)value[i];
    return kinds ? block_of(b, QBRT_TABLE_kind_leaf, narrow, sizeof narrow)
                 : block_of(b, QBRT_TABLE_trie_leaf, value, QBRT_TRIE_LEAF * sizeof *value);
}

static uint32_t write_trie(struct builder *b, const uint16_t *value, bool kinds)
{
    uint32_t trie = (uint32_t)qbc_token_table_count(b, QBRT_TABLE_trie_top);
    uint16_t leaf[QBRT_TRIE_MIDDLE];
    if (!b->trie_index)
        b->trie_index = qbc_alloc(b->q, sizeof *b->trie_index);
    for (int top = 0; top < QBRT_TRIE_TOP; top++) {
        for (int i = 0; i < QBRT_TRIE_MIDDLE; i++)
            leaf[i] = leaf_of(b, value + (top * QBRT_TRIE_MIDDLE + i) * QBRT_TRIE_LEAF, kinds);
        uint16_t middle = block_of(b, QBRT_TABLE_trie_middle, leaf, sizeof leaf);
        qbc_token_table_add(b, QBRT_TABLE_trie_top, &middle, sizeof middle);
    }
    return trie;
}

uint32_t qbc_token_trie_write(struct builder *b, const uint16_t *value)
{
    return write_trie(b, value, false);
}

uint32_t qbc_token_kinds_write(struct builder *b, const uint16_t *value)
{
    return write_trie(b, value, true);
}
