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
    } bucket[2][BUCKETS];
};

/* Number of the block in the table, which is added if need be. All blocks have 32 numbers. */
static uint16_t block_of(struct builder *b, int which, const uint16_t *block)
{
    size_t bytes = QBRT_TRIE_LEAF * sizeof *block;
    int table = which ? QBRT_TABLE_trie_leaf : QBRT_TABLE_trie_middle;
    uint32_t hash = qbrt_tokenizer_hash((const uint8_t *)block, bytes) % BUCKETS;
    struct bucket *bucket = &b->trie_index->bucket[which][hash];
    for (; bucket->block; bucket = bucket->next)
        if (!memcmp(b->table[table].data + (bucket->block - 1) * bytes, block, bytes))
            return (uint16_t)(bucket->block - 1);
    bucket->block = (uint32_t)(qbc_token_table_count(b, table) / QBRT_TRIE_LEAF) + 1;
    bucket->next = qbc_alloc(b->q, sizeof *bucket->next);
    qbc_token_table_add(b, table, block, bytes);
    return (uint16_t)(bucket->block - 1);
}

uint32_t qbc_token_trie_write(struct builder *b, const uint16_t *value)
{
    uint32_t trie = (uint32_t)qbc_token_table_count(b, QBRT_TABLE_trie_top);
    uint16_t leaf[QBRT_TRIE_MIDDLE];
    if (!b->trie_index)
        b->trie_index = qbc_alloc(b->q, sizeof *b->trie_index);
    for (int top = 0; top < QBRT_TRIE_TOP; top++) {
        for (int i = 0; i < QBRT_TRIE_MIDDLE; i++)
            leaf[i] = block_of(b, 1, value + (top * QBRT_TRIE_MIDDLE + i) * QBRT_TRIE_LEAF);
        uint16_t middle = block_of(b, 0, leaf);
        qbc_token_table_add(b, QBRT_TABLE_trie_top, &middle, sizeof middle);
    }
    return trie;
}
