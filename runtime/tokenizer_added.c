/* tokenizer_added.c: find added tokens (special ones, mostly) in a text.
 *
 * The spellings are sorted, so the longest one that the text begins with is found by narrowing a
 * range byte by byte; most bytes begin none and are passed over with one look.
 */
#include "tokenizer_inside.h"

/* Byte `depth` of entry i; -1 behind its end. */
static int byte_of(const struct qbrt_tokenizer *t, int table, uint32_t i, size_t depth)
{
    struct qbrt_tokenizer_added entry;
    qbrt_entry(t, table, i, &entry, sizeof entry);
    struct qbrt_text spelling = qbrt_pool_text(t, entry.offset, entry.length);
    return depth < spelling.length ? spelling.data[depth] : -1;
}

/* First of the entries low .. high whose byte `depth` is at least `value`. */
static uint32_t lower_bound(const struct qbrt_tokenizer *t, int table, uint32_t low, uint32_t high,
                            size_t depth, int value)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (byte_of(t, table, middle, depth) < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t qbrt_longest_added(const struct qbrt_tokenizer *t, const struct qbrt_added_tables *tables,
                           struct qbrt_text text)
{
    uint32_t count = t->table[tables->entries].count;
    uint32_t low = qbrt_word(t, tables->start, text.data[0]);
    uint32_t high = qbrt_word(t, tables->start, (size_t)text.data[0] + 1);
    int64_t best = -1;
    high = high < count ? high : count;
    for (size_t depth = 1; low < high; depth++) {
        if (byte_of(t, tables->entries, low, depth) < 0)
            best = low; /* it ends here and sorts before the longer ones */
        if (depth >= text.length)
            break;
        low = lower_bound(t, tables->entries, low, high, depth, text.data[depth]);
        high = lower_bound(t, tables->entries, low, high, depth, text.data[depth] + 1);
    }
    return best;
}

static bool class_at(struct qbrt_matcher *m, uint32_t class, size_t pos, size_t *after)
{
    return pos < m->text.length && qbrt_in_class(m->t, class, qbrt_match_kind(m, pos, after));
}

static bool class_before(struct qbrt_matcher *m, uint32_t class, size_t pos, size_t *start)
{
    size_t after;
    if (pos == 0)
        return false;
    *start = qbrt_match_before(m, pos);
    return class_at(m, class, *start, &after);
}

/* Whether an added token that is spelled at start .. end counts, and what it takes along. */
static bool accept(struct qbrt_encoder *e, struct qbrt_matcher *m, uint32_t flags, size_t least,
                   size_t *start, size_t *end)
{
    uint32_t space = QBRT_HEADER(e->t, space_class), word = QBRT_HEADER(e->t, word_class);
    size_t at;
    if ((flags & QBRT_ADDED_SPECIAL) && (e->flags & QBRT_TOKENIZER_PLAIN))
        return false;
    if ((flags & QBRT_ADDED_SINGLE_WORD) &&
        (class_before(m, word, *start, &at) || class_at(m, word, *end, &at)))
        return false;
    if (flags & QBRT_ADDED_LSTRIP) {
        while (class_before(m, space, *start, &at))
            *start = at;
        *start = *start > least ? *start : least;
    }
    while ((flags & QBRT_ADDED_RSTRIP) && class_at(m, space, *end, &at))
        *end = at;
    return true;
}

void qbrt_find_added(struct qbrt_encoder *e, const struct qbrt_added_tables *tables,
                     struct qbrt_text text, bool front)
{
    struct qbrt_matcher m;
    size_t done = 0, at = 0;
    bool bytes = tables->entries == QBRT_TABLE_late &&
                 (QBRT_HEADER(e->t, flags) & QBRT_TOKENIZER_EARLY_BYTES);
    qbrt_match_begin(&m, e, 0, bytes, text);
    while (at < text.length && e->t->table[tables->entries].count && !e->small) {
        struct qbrt_tokenizer_added entry;
        struct qbrt_text here = {text.data + at, text.length - at};
        int64_t found = qbrt_longest_added(e->t, tables, here);
        if (found < 0) {
            at++;
            continue;
        }
        qbrt_entry(e->t, tables->entries, (size_t)found, &entry, sizeof entry);
        size_t length = entry.length < here.length ? entry.length : here.length;
        size_t start = at, end = at + length;
        at += length ? length : 1;
        if (!accept(e, &m, entry.flags, done, &start, &end))
            continue;
        if (start > done)
            tables->rest(e, (struct qbrt_text){text.data + done, start - done}, front && !done);
        if (end > start) /* else the token before has taken all of it along */
            qbrt_encoder_add(e, (int32_t)entry.id);
        done = end;
    }
    if (done < text.length)
        tables->rest(e, (struct qbrt_text){text.data + done, text.length - done}, front && !done);
}
