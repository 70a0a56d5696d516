/* tokenizer_bpe.c: byte pair encoding of one word.
 *
 * A word begins as a row of symbols, bytes or characters. Of all neighbours that may merge, those
 * with the smallest rank do, the leftmost first, until none is left. Short words look at all
 * neighbours each time; long ones keep a heap of them, so that a text without a single space is
 * still encoded in n log n.
 */
#include "tokenizer_inside.h"

enum { SHORT_WORD = 48 };
#define NO_RANK UINT32_MAX
#define NOWHERE UINT32_MAX

struct symbol {
    uint32_t id;
    uint32_t rank; /* of merging with the next one */
    uint32_t previous, next;
};

struct heap {
    struct entry {
        uint32_t rank, at;
    } *entry;
    size_t n, room;
};

int32_t qbrt_vocabulary(const struct qbrt_tokenizer *t, struct qbrt_text key)
{
    uint32_t mask = t->table[QBRT_TABLE_slots].count - 1;
    int keys = t->table[QBRT_TABLE_keys].count ? QBRT_TABLE_keys : QBRT_TABLE_texts;
    uint32_t at = qbrt_tokenizer_hash(key.data, key.length) & mask;
    for (int probe = 0; probe < QBRT_TOKENIZER_PROBES; probe++, at = (at + 1) & mask) {
        uint32_t slot = qbrt_word(t, QBRT_TABLE_slots, at);
        if (slot == 0)
            return -1;
        struct qbrt_text other = qbrt_string(t, keys, slot - 1);
        if (other.length == key.length && memcmp(other.data, key.data, key.length) == 0)
            return (int32_t)(slot - 1);
    }
    return -1;
}

/* Rank of merging two neighbours and the id that they become. */
static uint32_t merge_rank(const struct qbrt_tokenizer *t, uint32_t left, uint32_t right,
                           uint32_t *id)
{
    uint32_t low = qbrt_word(t, QBRT_TABLE_merge_start, left);
    uint32_t high = qbrt_word(t, QBRT_TABLE_merge_start, (size_t)left + 1);
    struct qbrt_tokenizer_merge merge;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        qbrt_entry(t, QBRT_TABLE_merges, middle, &merge, sizeof merge);
        if (merge.right == right) {
            *id = merge.id;
            return merge.rank;
        }
        if (merge.right < right)
            low = middle + 1;
        else
            high = middle;
    }
    return NO_RANK;
}

static void rank_symbol(const struct qbrt_tokenizer *t, struct symbol *symbol, size_t at)
{
    uint32_t id, next = symbol[at].next;
    symbol[at].rank =
        next == NOWHERE ? NO_RANK : merge_rank(t, symbol[at].id, symbol[next].id, &id);
}

/* --- a short word: symbols stay packed, the smallest rank is looked for each time */
static size_t merge_short(const struct qbrt_tokenizer *t, uint32_t *id, size_t n)
{
    uint32_t rank[SHORT_WORD], merged[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = merge_rank(t, id[i], id[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            best = rank[i] < rank[best] ? i : best;
        if (rank[best] == NO_RANK)
            break;
        id[best] = merged[best];
        n--;
        memmove(id + best + 1, id + best + 2, (n - best - 1) * sizeof *id);
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof *rank);
        memmove(merged + best, merged + best + 1, (n - best - 1) * sizeof *merged);
        if (best + 1 < n)
            rank[best] = merge_rank(t, id[best], id[best + 1], &merged[best]);
        if (best > 0)
            rank[best - 1] = merge_rank(t, id[best - 1], id[best], &merged[best - 1]);
    }
    return n;
}

/* --- a long word: a linked list and a heap. Entries that are out of date stay in the heap and
 * are known by their rank. */
static bool before(struct entry a, struct entry b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void heap_push(struct heap *heap, const struct symbol *symbol, uint32_t at)
{
    struct entry entry = {symbol[at].rank, at};
    if (entry.rank == NO_RANK || heap->n >= heap->room)
        return;
    size_t i = heap->n++;
    while (i > 0 && before(entry, heap->entry[(i - 1) / 2])) {
        heap->entry[i] = heap->entry[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap->entry[i] = entry;
}

static struct entry heap_pop(struct heap *heap)
{
    struct entry top = heap->entry[0], last = heap->entry[--heap->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap->n)
            break;
        if (child + 1 < heap->n && before(heap->entry[child + 1], heap->entry[child]))
            child++;
        if (!before(heap->entry[child], last))
            break;
        heap->entry[i] = heap->entry[child];
        i = child;
    }
    heap->entry[i] = last;
    return top;
}

static void merge_at(const struct qbrt_tokenizer *t, struct symbol *symbol, struct heap *heap,
                     uint32_t at)
{
    uint32_t id = 0, next = symbol[at].next;
    merge_rank(t, symbol[at].id, symbol[next].id, &id);
    symbol[at].id = id;
    symbol[at].next = symbol[next].next;
    symbol[next].rank = NO_RANK;
    if (symbol[at].next != NOWHERE)
        symbol[symbol[at].next].previous = at;
    rank_symbol(t, symbol, at);
    heap_push(heap, symbol, at);
    uint32_t previous = symbol[at].previous;
    if (previous == NOWHERE)
        return;
    rank_symbol(t, symbol, previous);
    heap_push(heap, symbol, previous);
}

static void merge_long(struct qbrt_encoder *e, struct symbol *symbol, size_t n)
{
    struct heap heap = {.room = 2 * n};
    heap.entry = qbrt_encoder_alloc(e, heap.room * sizeof *heap.entry);
    if (!heap.entry)
        return;
    for (size_t i = 0; i < n; i++) {
        symbol[i].previous = i ? (uint32_t)i - 1 : NOWHERE;
        symbol[i].next = i + 1 < n ? (uint32_t)i + 1 : NOWHERE;
    }
    for (size_t i = 0; i < n; i++) {
        rank_symbol(e->t, symbol, i);
        heap_push(&heap, symbol, (uint32_t)i);
    }
    while (heap.n > 0) {
        struct entry top = heap_pop(&heap);
        if (symbol[top.at].rank == top.rank)
            merge_at(e->t, symbol, &heap, top.at);
    }
    for (uint32_t i = 0; i != NOWHERE; i = symbol[i].next)
        qbrt_encoder_add(e, (int32_t)symbol[i].id);
}

/* --- the first symbols */
struct row {
    struct qbrt_encoder *e;
    uint32_t flags;
    int32_t unknown;       /* id, or -1 */
    bool pending;          /* an unknown symbol waits, it may grow */
    uint32_t *small;       /* [SHORT_WORD] */
    struct symbol *symbol; /* [n at most]; NULL as long as `small` does */
    size_t n;
};

static void add_symbol(struct row *row, uint32_t id)
{
    if (row->symbol)
        row->symbol[row->n].id = id;
    else
        row->small[row->n] = id;
    row->n++;
}

static void flush_unknown(struct row *row)
{
    if (row->pending)
        add_symbol(row, (uint32_t)row->unknown);
    row->pending = false;
}

static bool add_bytes(struct row *row, struct qbrt_text character)
{
    const struct qbrt_tokenizer *t = row->e->t;
    if (!(row->flags & QBRT_TOKENIZER_BYTE_FALLBACK))
        return false;
    for (size_t i = 0; i < character.length; i++)
        if ((int32_t)qbrt_word(t, QBRT_TABLE_bytes, character.data[i]) < 0)
            return false;
    for (size_t i = 0; i < character.length; i++)
        add_symbol(row, qbrt_word(t, QBRT_TABLE_bytes, character.data[i]));
    return true;
}

/* A byte-level symbol, or a character: its id, its bytes, or unknown. The order of a waiting
 * unknown and the bytes behind it is the one of `tokenizers`. */
static void add_character(struct row *row, struct qbrt_text character)
{
    const struct qbrt_tokenizer *t = row->e->t;
    bool byte_level = row->flags & QBRT_TOKENIZER_BYTE_LEVEL;
    int32_t id = byte_level ? (int32_t)qbrt_word(t, QBRT_TABLE_bytes, character.data[0])
                            : qbrt_vocabulary(t, character);
    if (id >= 0) {
        flush_unknown(row);
        add_symbol(row, (uint32_t)id);
        return;
    }
    if ((!byte_level && add_bytes(row, character)) || row->unknown < 0)
        return;
    if (!(row->flags & QBRT_TOKENIZER_FUSE_UNKNOWN))
        flush_unknown(row);
    row->pending = true;
}

static void add_characters(struct row *row, struct qbrt_text word)
{
    const uint8_t *end = word.data + word.length;
    bool byte_level = row->flags & QBRT_TOKENIZER_BYTE_LEVEL;
    for (const uint8_t *p = word.data; p < end;) {
        size_t bytes = 1;
        if (!byte_level)
            qbrt_utf8_decode(p, end, &bytes);
        add_character(row, (struct qbrt_text){p, bytes});
        p += bytes;
    }
    flush_unknown(row);
}

void qbrt_text_bpe(struct qbrt_encoder *e, struct qbrt_text word)
{
    uint32_t small[SHORT_WORD];
    struct row row = {
        .e = e,
        .flags = QBRT_HEADER(e->t, flags),
        .unknown = (int32_t)QBRT_HEADER(e->t, unknown),
        .small = small,
    };
    if (row.flags & QBRT_TOKENIZER_IGNORE_MERGES) {
        int32_t id = qbrt_vocabulary(e->t, word);
        if (id >= 0) {
            qbrt_encoder_add(e, id);
            return;
        }
    }
    if (word.length <= SHORT_WORD) {
        add_characters(&row, word);
        size_t n = merge_short(e->t, small, row.n);
        for (size_t i = 0; i < n; i++)
            qbrt_encoder_add(e, (int32_t)small[i]);
        return;
    }
    size_t used = e->used;
    row.symbol = qbrt_encoder_alloc(e, word.length * sizeof *row.symbol);
    if (row.symbol)
        add_characters(&row, word);
    if (row.n > 0)
        merge_long(e, row.symbol, row.n);
    e->used = used;
}
