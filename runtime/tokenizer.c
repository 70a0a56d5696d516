/* tokenizer.c: open a tokenizer blob, ask it things. See tokenizer.h. */
#include "tokenizer_inside.h"

static const uint8_t entry_bytes[] = {
#define TABLE(name, bytes) bytes,
#include "tokenizer_tables.def"
#undef TABLE
};

static bool sound(const struct qbrt_tokenizer *t, const struct qbrt_tokenizer_header *h)
{
    return h->model == QBRT_TOKENIZER_BPE && h->vocab > 0 && h->vocab < INT32_MAX &&
           t->table[QBRT_TABLE_texts].count > h->vocab;
}

int qbrt_tokenizer_open(struct qbrt_tokenizer *t, const void *blob, size_t size)
{
    struct qbrt_tokenizer_header h;
    memset(t, 0, sizeof *t);
    if (!blob || size < sizeof h)
        return -1;
    memcpy(&h, blob, sizeof h);
    if (h.magic != QBRT_TOKENIZER_MAGIC || h.version != QBRT_TOKENIZER_VERSION || h.size > size ||
        h.size < sizeof h)
        return -1;
    for (int i = 0; i < QBRT_TABLE_COUNT; i++) {
        uint64_t bytes = (uint64_t)h.table[i].count * entry_bytes[i];
        if (h.table[i].offset > h.size || bytes > h.size - h.table[i].offset)
            return -1;
        t->table[i].data = (const uint8_t *)blob + h.table[i].offset;
        t->table[i].count = h.table[i].count;
    }
    t->header = blob;
    return sound(t, &h) ? 0 : -1;
}

int32_t qbrt_tokenizer_vocab(const struct qbrt_tokenizer *t)
{
    return (int32_t)QBRT_HEADER(t, vocab);
}

static int32_t find_in(const struct qbrt_tokenizer *t, const struct qbrt_added_tables *tables,
                       struct qbrt_text token)
{
    struct qbrt_tokenizer_added entry;
    int64_t at = qbrt_longest_added(t, tables, token);
    if (at < 0)
        return -1;
    qbrt_entry(t, tables->entries, (size_t)at, &entry, sizeof entry);
    return entry.length == token.length ? (int32_t)entry.id : -1;
}

int32_t qbrt_tokenizer_find(const struct qbrt_tokenizer *t, const char *token, size_t length)
{
    struct qbrt_text text = {(const uint8_t *)token, length};
    struct qbrt_added_tables early = {.entries = QBRT_TABLE_added, .start = QBRT_TABLE_added_start};
    struct qbrt_added_tables late = {.entries = QBRT_TABLE_late, .start = QBRT_TABLE_late_start};
    if (length == 0)
        return -1;
    int32_t id = find_in(t, &early, text);
    return id >= 0 ? id : find_in(t, &late, text);
}
