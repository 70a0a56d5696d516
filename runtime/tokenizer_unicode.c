/* tokenizer_unicode.c: the operation MAP: each character becomes a string, then combining marks are
 * put in canonical order and composed, as far as the operation asks for it. Normal forms, lower
 * case and the removal of characters are all made of this; the tables come from the compiler.
 *
 * Source: Unicode Standard Annex #15 and chapter 3.11/3.12 (Hangul).
 */
#include "tokenizer_inside.h"

enum {
    S_BASE = 0xac00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11a7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT,
    FEW = 16 /* marks that are sorted by insertion */
};

/* The text as characters, on its way through the operation. */
struct row {
    struct qbrt_encoder *e;
    uint32_t trie;
    uint32_t flags;
    uint32_t *character;
    size_t n;
};

static struct qbrt_tokenizer_record record_of(const struct qbrt_tokenizer *t, uint32_t trie,
                                              uint32_t c)
{
    struct qbrt_tokenizer_record record;
    qbrt_entry(t, QBRT_TABLE_records, qbrt_trie(t, trie, c), &record, sizeof record);
    return record;
}

static unsigned class_of(const struct row *row, uint32_t c)
{
    return record_of(row->e->t, row->trie, c).class;
}

/* True when the operation leaves the text as it is: the usual case, and a quick one. */
static bool unmoved(const struct row *row, struct qbrt_text text)
{
    const uint8_t *end = text.data + text.length;
    unsigned last = 0;
    size_t bytes;
    for (const uint8_t *p = text.data; p < end; p += bytes) {
        uint32_t c = qbrt_utf8_decode(p, end, &bytes);
        struct qbrt_tokenizer_record record = record_of(row->e->t, row->trie, c);
        bool hangul = (row->flags & QBRT_HANGUL) && !(row->flags & QBRT_COMPOSE);
        if ((record.flags & QBRT_RECORD_MOVES) || (record.class && record.class < last) ||
            (hangul && c - S_BASE < S_COUNT))
            return false;
        last = record.class;
    }
    return true;
}

/* --- characters to characters. With row->character NULL only counts. */
static void put(struct row *row, uint32_t c)
{
    if (row->character)
        row->character[row->n] = c;
    row->n++;
}

static void put_syllable(struct row *row, uint32_t c)
{
    uint32_t s = c - S_BASE;
    put(row, L_BASE + s / (V_COUNT * T_COUNT));
    put(row, V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT);
    if (s % T_COUNT)
        put(row, T_BASE + s % T_COUNT);
}

static void put_mapped(struct row *row, uint32_t c, struct qbrt_tokenizer_record record)
{
    struct qbrt_text text = qbrt_pool_text(row->e->t, record.offset, record.length);
    const uint8_t *end = text.data + text.length;
    size_t bytes;
    if (record.length == QBRT_RECORD_KEEP || record.length == QBRT_RECORD_SPACED) {
        if (record.length == QBRT_RECORD_SPACED)
            put(row, ' ');
        put(row, c);
        if (record.length == QBRT_RECORD_SPACED)
            put(row, ' ');
        return;
    }
    for (const uint8_t *p = text.data; p < end; p += bytes)
        put(row, qbrt_utf8_decode(p, end, &bytes));
}

static void map(struct row *row, struct qbrt_text text, bool *front)
{
    const uint8_t *end = text.data + text.length;
    size_t bytes;
    row->n = 0;
    for (const uint8_t *p = text.data; p < end; p += bytes) {
        uint32_t c = qbrt_utf8_decode(p, end, &bytes), index = qbrt_trie(row->e->t, row->trie, c);
        struct qbrt_tokenizer_record record;
        qbrt_entry(row->e->t, QBRT_TABLE_records, index, &record, sizeof record);
        if ((row->flags & QBRT_HANGUL) && c - S_BASE < S_COUNT)
            put_syllable(row, c);
        else if (index == 0)
            put(row, c);
        else
            put_mapped(row, c, record);
        if (row->n == 0)
            *front = false; /* the first character is gone */
    }
}

/* --- canonical order: marks between two starters, by class, equal ones as they come */
static void sort_few(const struct row *row, uint32_t *mark, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t c = mark[i];
        unsigned class = class_of(row, c);
        size_t j = i;
        for (; j > 0 && class_of(row, mark[j - 1]) > class; j--)
            mark[j] = mark[j - 1];
        mark[j] = c;
    }
}

/* Counting sort, so that a text of nothing but marks is no trouble. */
static void sort_many(struct row *row, uint32_t *mark, size_t n)
{
    uint32_t start[256] = {0}, sum = 0;
    size_t used = row->e->used;
    uint32_t *sorted = qbrt_encoder_alloc(row->e, n * sizeof *sorted);
    if (!sorted)
        return;
    for (size_t i = 0; i < n; i++)
        start[class_of(row, mark[i])]++;
    for (int class = 0; class < 256; class++) {
        uint32_t count = start[class];
        start[class] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        sorted[start[class_of(row, mark[i])]++] = mark[i];
    memcpy(mark, sorted, n * sizeof *sorted);
    row->e->used = used;
}

static void order(struct row *row)
{
    for (size_t i = 0; i < row->n; i++) {
        size_t first = i;
        while (i < row->n && class_of(row, row->character[i]))
            i++;
        if (i - first > FEW)
            sort_many(row, row->character + first, i - first);
        else
            sort_few(row, row->character + first, i - first);
    }
}

/* --- composition */
static uint32_t compose_hangul(uint32_t first, uint32_t second)
{
    if (first - L_BASE < L_COUNT && second - V_BASE < V_COUNT)
        return S_BASE + ((first - L_BASE) * V_COUNT + (second - V_BASE)) * T_COUNT;
    if (first - S_BASE < S_COUNT && (first - S_BASE) % T_COUNT == 0 && second > T_BASE &&
        second - T_BASE < T_COUNT)
        return first + (second - T_BASE);
    return 0;
}

/* The character that two compose to, or 0. */
static uint32_t compose_pair(const struct qbrt_tokenizer *t, uint32_t first, uint32_t second)
{
    uint32_t low = 0, high = t->table[QBRT_TABLE_compositions].count;
    uint32_t hangul = compose_hangul(first, second);
    while (!hangul && low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct qbrt_tokenizer_composition c;
        qbrt_entry(t, QBRT_TABLE_compositions, middle, &c, sizeof c);
        if (c.first == first && c.second == second)
            return c.composed < 0x110000 ? c.composed : 0;
        if (c.first < first || (c.first == first && c.second < second))
            low = middle + 1;
        else
            high = middle;
    }
    return hangul;
}

static void compose(struct row *row)
{
    uint32_t *c = row->character;
    size_t out = 0, starter = SIZE_MAX;
    unsigned last = 0; /* class of the character before, 0 behind a starter */
    for (size_t i = 0; i < row->n; i++) {
        struct qbrt_tokenizer_record record = record_of(row->e->t, row->trie, c[i]);
        bool free = last == 0 ? out == starter + 1 : last < record.class;
        bool can = record.flags & QBRT_RECORD_COMPOSES;
        uint32_t composed =
            starter != SIZE_MAX && free && can ? compose_pair(row->e->t, c[starter], c[i]) : 0;
        if (composed) {
            c[starter] = composed;
            continue;
        }
        if (record.class == 0)
            starter = out;
        last = record.class;
        c[out++] = c[i];
    }
    row->n = out;
}

struct qbrt_text qbrt_text_map(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                               struct qbrt_text text, bool *front)
{
    struct row row = {.e = e, .trie = op->a, .flags = op->flags};
    bool ignored = true;
    if (unmoved(&row, text))
        return text;
    map(&row, text, &ignored);
    row.character = qbrt_encoder_alloc(e, row.n * sizeof *row.character);
    if (!row.character)
        return (struct qbrt_text){text.data, 0};
    map(&row, text, front);
    if (op->flags & QBRT_ORDER)
        order(&row);
    if (op->flags & QBRT_COMPOSE)
        compose(&row);
    uint8_t *out = (uint8_t *)row.character; /* never overtakes: 4 bytes hold any character */
    size_t length = 0;
    for (size_t i = 0; i < row.n; i++)
        length += qbrt_utf8_encode(row.character[i], out + length);
    return (struct qbrt_text){out, length};
}
