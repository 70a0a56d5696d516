/* tokenizer_encode.c: text to ids.
 *
 *   text -> added tokens | the rest -> normalized -> late tokens | the rest -> words -> ids
 *
 * All memory is a stack in the caller's scratch.
 */
#include "tokenizer_inside.h"

/* Bytes for a symbol of a long word and its places in the heap (tokenizer_bpe.c), for a frame of
 * the matcher, and for rounding. Lossy reading makes at most 3 bytes of one. */
enum { SYMBOL_BYTES = 32, FRAME_BYTES = 16, ROUNDING = 256, LOSSY_GROWTH = 3 };
#define LONGEST_TEXT ((size_t)1 << 28)

/* Steps of matching for a text: ordinary expressions take some dozens for each byte. */
enum { STEPS = 10000000, STEPS_PER_BYTE = 2000 };

void *qbrt_encoder_alloc(struct qbrt_encoder *e, size_t bytes)
{
    size_t start = (e->used + 7) & ~(size_t)7;
    if (e->small || start > e->size || bytes > e->size - start) {
        e->small = true;
        return NULL;
    }
    e->used = start + bytes;
    return e->scratch + start;
}

void qbrt_encoder_add(struct qbrt_encoder *e, int32_t id)
{
    if ((uint32_t)id >= QBRT_HEADER(e->t, vocab))
        return; /* only in a damaged blob */
    if (e->count < e->capacity)
        e->ids[e->count] = id;
    e->count++;
}

static size_t saturating(size_t sum, uint64_t factor, uint64_t n)
{
    if (n && factor > (SIZE_MAX - sum) / n)
        return SIZE_MAX;
    return sum + (size_t)(factor * n);
}

size_t qbrt_tokenizer_scratch(const struct qbrt_tokenizer *t, size_t length)
{
    struct qbrt_tokenizer_header h;
    qbrt_header(t, &h);
    if (length > LONGEST_TEXT)
        return SIZE_MAX;
    size_t bytes = saturating(ROUNDING, LOSSY_GROWTH, length);
    bytes = saturating(bytes, h.text_growth, length);
    bytes = saturating(bytes, h.text_extra, 1);
    bytes = saturating(bytes, (uint64_t)h.word_growth * SYMBOL_BYTES, length);
    bytes = saturating(bytes, (uint64_t)h.word_extra * SYMBOL_BYTES, 1);
    bytes = saturating(bytes, (uint64_t)h.stack_growth * FRAME_BYTES, length);
    return saturating(bytes, (uint64_t)h.stack_extra * FRAME_BYTES, 1);
}

/* The text itself if it is UTF-8, else a copy with U+FFFD where it is not. */
static struct qbrt_text readable(struct qbrt_encoder *e, struct qbrt_text text)
{
    static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};
    bool valid = true;
    size_t at = 0, length = 0, bytes;
    while (at < text.length && valid) {
        bytes = qbrt_utf8_step(text.data + at, text.length - at, &valid);
        at += valid ? bytes : 0;
    }
    if (at == text.length)
        return text;
    uint8_t *out = qbrt_encoder_alloc(e, at + sizeof replacement * (text.length - at));
    if (!out)
        return (struct qbrt_text){text.data, 0};
    memcpy(out, text.data, at);
    length = at;
    for (; at < text.length; at += bytes) {
        bytes = qbrt_utf8_step(text.data + at, text.length - at, &valid);
        memcpy(out + length, valid ? text.data + at : replacement,
               valid ? bytes : sizeof replacement);
        length += valid ? bytes : sizeof replacement;
    }
    e->used = (size_t)(out - e->scratch) + length;
    return (struct qbrt_text){out, length};
}

/* What is no added token: normalize it, look for tokens that only show now, cut the rest. */
static void encode_rest(struct qbrt_encoder *e, struct qbrt_text text, bool front)
{
    static const struct qbrt_added_tables late = {
        .entries = QBRT_TABLE_late, .start = QBRT_TABLE_late_start, .rest = qbrt_text_split};
    size_t used = e->used;
    text = qbrt_text_normalize(e, text, &front);
    qbrt_find_added(e, &late, text, front);
    e->used = used;
}

static void add_around(struct qbrt_encoder *e, int table)
{
    if (e->flags & QBRT_TOKENIZER_SPECIAL)
        for (uint32_t i = 0; i < e->t->table[table].count; i++)
            qbrt_encoder_add(e, (int32_t)qbrt_word(e->t, table, i));
}

ptrdiff_t qbrt_tokenizer_encode(const struct qbrt_tokenizer *t, const char *text, size_t length,
                                int flags, int32_t *ids, size_t capacity, void *scratch,
                                size_t scratch_size)
{
    static const struct qbrt_added_tables early = {
        .entries = QBRT_TABLE_added, .start = QBRT_TABLE_added_start, .rest = encode_rest};
    uint64_t nothing[1];
    size_t skip = -(uintptr_t)scratch & 7;
    struct qbrt_encoder e = {
        .t = t,
        .flags = flags,
        .ids = ids,
        .capacity = ids ? capacity : 0,
        .steps = STEPS + (uint64_t)length * STEPS_PER_BYTE,
    };
    if (length > LONGEST_TEXT)
        return QBRT_TOKENIZER_SMALL;
    e.scratch = scratch && scratch_size > skip ? (uint8_t *)scratch + skip : (uint8_t *)nothing;
    e.size = scratch && scratch_size > skip ? scratch_size - skip : 0;
    add_around(&e, QBRT_TABLE_prefix);
    struct qbrt_text whole = readable(&e, (struct qbrt_text){(const uint8_t *)text, length});
    qbrt_find_added(&e, &early, whole, true);
    add_around(&e, QBRT_TABLE_suffix);
    return e.small ? QBRT_TOKENIZER_SMALL : (ptrdiff_t)e.count;
}
