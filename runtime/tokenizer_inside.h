/* tokenizer_inside.h: what the files of the tokenizer share: checked reading of the blob, UTF-8,
 * and the state of one encoding.
 */
#ifndef QBRT_TOKENIZER_INSIDE_H
#define QBRT_TOKENIZER_INSIDE_H

#include "memory.h"
#include "tokenizer.h"
#include "tokenizer_blob.h"

#include <stdbool.h>

_Static_assert((int)QBRT_TABLE_COUNT <= (int)QBRT_TOKENIZER_TABLES, "room in the struct");

/* --- reading the blob: what lies outside of a table reads as zero */
static inline uint32_t qbrt_load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t qbrt_word(const struct qbrt_tokenizer *t, int table, size_t i)
{
    return i < t->table[table].count ? qbrt_load32(t->table[table].data + 4 * i) : 0;
}

static inline uint32_t qbrt_half(const struct qbrt_tokenizer *t, int table, size_t i)
{
    uint16_t value = 0;
    if (i < t->table[table].count)
        memcpy(&value, t->table[table].data + 2 * i, sizeof value);
    return value;
}

/* Copy entry i of a table whose entries have `bytes` bytes. */
static inline void qbrt_entry(const struct qbrt_tokenizer *t, int table, size_t i, void *out,
                              size_t bytes)
{
    if (i < t->table[table].count)
        memcpy(out, t->table[table].data + bytes * i, bytes);
    else
        memset(out, 0, bytes);
}

static inline void qbrt_header(const struct qbrt_tokenizer *t, struct qbrt_tokenizer_header *out)
{
    memcpy(out, t->header, sizeof *out);
}

#define QBRT_HEADER(t, field)                                                                      \
    qbrt_load32((t)->header + offsetof(struct qbrt_tokenizer_header, field))

/* A string of the pool; empty when it does not lie inside. */
struct qbrt_text {
    const uint8_t *data;
    size_t length;
};

static inline struct qbrt_text qbrt_pool_text(const struct qbrt_tokenizer *t, uint32_t offset,
                                              uint32_t length)
{
    const struct qbrt_tokenizer_table *pool = &t->table[QBRT_TABLE_pool];
    if (offset > pool->count || length > pool->count - offset)
        return (struct qbrt_text){pool->data, 0};
    return (struct qbrt_text){pool->data + offset, length};
}

/* Entry i of texts, firsts or keys. */
static inline struct qbrt_text qbrt_string(const struct qbrt_tokenizer *t, int table, size_t i)
{
    uint32_t start = qbrt_word(t, table, i) & QBRT_TEXT_PLACE;
    uint32_t end = qbrt_word(t, table, i + 1) & QBRT_TEXT_PLACE;
    return qbrt_pool_text(t, start, end > start ? end - start : 0);
}

/* Where a trie ends for a character: the place in a table of leaves. */
static inline size_t qbrt_leaf(const struct qbrt_tokenizer *t, uint32_t trie, uint32_t c)
{
    uint32_t top = qbrt_half(t, QBRT_TABLE_trie_top, (size_t)trie + (c >> 10));
    uint32_t middle =
        qbrt_half(t, QBRT_TABLE_trie_middle, (size_t)top * QBRT_TRIE_MIDDLE + (c >> 5 & 31));
    return (size_t)middle * QBRT_TRIE_LEAF + (c & 31);
}

/* The number that a trie holds for a character. */
static inline uint32_t qbrt_trie(const struct qbrt_tokenizer *t, uint32_t trie, uint32_t c)
{
    return qbrt_half(t, QBRT_TABLE_trie_leaf, qbrt_leaf(t, trie, c));
}

/* The kind of a character. */
static inline unsigned qbrt_kind(const struct qbrt_tokenizer *t, uint32_t c)
{
    const struct qbrt_tokenizer_table *leaves = &t->table[QBRT_TABLE_kind_leaf];
    size_t leaf = qbrt_leaf(t, QBRT_HEADER(t, kind_trie), c);
    return leaf < leaves->count ? leaves->data[leaf] : 0;
}

static inline bool qbrt_in_class(const struct qbrt_tokenizer *t, uint32_t class, uint32_t kind)
{
    const struct qbrt_tokenizer_table *classes = &t->table[QBRT_TABLE_classes];
    return class < classes->count &&
           (classes->data[32 * (size_t)class + (kind >> 3 & 31)] >> (kind & 7) & 1);
}

/* --- tokenizer_utf8.c */
/* Bytes of the character that `lead` begins, 0 if none; its second byte lies in *low .. *high. */
unsigned qbrt_utf8_lead(uint8_t lead, uint8_t *low, uint8_t *high);
/* Bytes at p (n > 0 of them) that are one character, or, with *valid = false, that the standard
 * replaces by one U+FFFD. */
size_t qbrt_utf8_step(const uint8_t *p, size_t n, bool *valid);
/* The character at p < end and its bytes; U+FFFD and 1 if there is none. */
uint32_t qbrt_utf8_decode(const uint8_t *p, const uint8_t *end, size_t *bytes);
size_t qbrt_utf8_encode(uint32_t c, uint8_t *out); /* 1 to 4 bytes */

/* --- the state of one encoding. Scratch is a stack: save `used`, allocate, put it back. */
struct qbrt_encoder {
    const struct qbrt_tokenizer *t;
    int flags;
    int32_t *ids;
    size_t capacity;
    size_t count;
    uint8_t *scratch;
    size_t size;
    size_t used;
    uint64_t steps; /* of matching that are left: a damaged program must not run for ever */
    bool small;     /* scratch was not enough; all work ends quickly */
};

/* `bytes` of scratch at a multiple of 8; NULL, and e->small, when there is no room. */
void *qbrt_encoder_alloc(struct qbrt_encoder *e, size_t bytes);
void qbrt_encoder_add(struct qbrt_encoder *e, int32_t id);

/* --- tokenizer_match.c: a tiny backtracking matcher */
struct qbrt_matcher {
    const struct qbrt_tokenizer *t;
    struct qbrt_text text;
    bool bytes;      /* a character is a byte */
    uint32_t entry;  /* of the program */
    uint8_t *stack;  /* frames of backtracking */
    size_t room;     /* how many fit */
    uint64_t *steps; /* of the encoder */
    bool overflow;   /* the stack was too small */
    size_t from;     /* where the next search begins */
    bool matched;    /* there was a match, and it ended at `last` */
    size_t last;
};

void qbrt_match_begin(struct qbrt_matcher *m, struct qbrt_encoder *e, uint32_t entry, bool bytes,
                      struct qbrt_text text);
/* The next match, as Oniguruma's find_iter gives them: leftmost, first alternative, greedy. */
bool qbrt_match_next(struct qbrt_matcher *m, size_t *start, size_t *end);
/* Kind of the character at `pos` < length, and where the next one begins. */
unsigned qbrt_match_kind(const struct qbrt_matcher *m, size_t pos, size_t *after);
/* Where the character before `pos` > 0 begins. */
size_t qbrt_match_before(const struct qbrt_matcher *m, size_t pos);

/* --- tokenizer_normalize.c */
/* Run an operation that changes a text. `front` is cleared when the first character of the result
 * no longer stems from the first one of the text. The result is the text itself or in scratch. */
struct qbrt_text qbrt_text_change(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                                  struct qbrt_text text, bool *front);
struct qbrt_text qbrt_text_normalize(struct qbrt_encoder *e, struct qbrt_text text, bool *front);

/* --- tokenizer_unicode.c: the operation MAP, with ordering and composing of marks */
struct qbrt_text qbrt_text_map(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                               struct qbrt_text text, bool *front);

/* --- tokenizer_split.c: cut a text into words and hand each one to the model */
void qbrt_text_split(struct qbrt_encoder *e, struct qbrt_text text, bool front);

/* --- tokenizer_bpe.c */
void qbrt_text_bpe(struct qbrt_encoder *e, struct qbrt_text word);
int32_t qbrt_vocabulary(const struct qbrt_tokenizer *t, struct qbrt_text key); /* id or -1 */

/* --- tokenizer_added.c: find added tokens; what lies between them goes to `rest` */
struct qbrt_added_tables {
    int entries; /* QBRT_TABLE_added or QBRT_TABLE_late */
    int start;
    void (*rest)(struct qbrt_encoder *e, struct qbrt_text text, bool front);
};
void qbrt_find_added(struct qbrt_encoder *e, const struct qbrt_added_tables *tables,
                     struct qbrt_text text, bool front);
/* The longest entry that `text` begins with; -1 if none. */
int64_t qbrt_longest_added(const struct qbrt_tokenizer *t, const struct qbrt_added_tables *tables,
                           struct qbrt_text text);

#endif
