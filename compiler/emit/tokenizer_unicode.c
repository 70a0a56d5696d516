/* tokenizer_unicode.c: the tables of operations that turn single characters into others: normal
 * forms, lower case, filters. Unicode data is utf8proc's.
 */
#include "tokenizer_build.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    LONGEST = 32, /* characters of a decomposition; U+FDFA has 18 */
    HANGUL_FIRST = 0xac00,
    HANGUL_LAST = 0xd7a3,
    HANGUL_COUNT = 11172,
    NO_LENGTH = QBRT_RECORD_KEEP
};

/* A map that is being made: the record of each character. */
struct map {
    struct builder *b;
    uint16_t *value;             /* [CODE_POINTS] */
    uint64_t growth, characters; /* most bytes, most characters made of one byte */
};

static struct map map_begin(struct builder *b)
{
    static const struct qbrt_tokenizer_record nothing = {.length = QBRT_RECORD_KEEP};
    struct map map = {.b = b, .growth = 1, .characters = 1};
    map.value = qbc_alloc(b->q, CODE_POINTS * sizeof *map.value);
    if (qbc_token_table_count(b, QBRT_TABLE_records) == 0)
        qbc_token_table_add(b, QBRT_TABLE_records, &nothing, sizeof nothing);
    return map;
}

static uint16_t record_add(struct builder *b, struct qbrt_tokenizer_record record)
{
    size_t n = qbc_token_table_count(b, QBRT_TABLE_records);
    const struct qbrt_tokenizer_record *all = (void *)b->table[QBRT_TABLE_records].data;
    for (size_t i = 0; i < n; i++)
        if (!memcmp(&all[i], &record, sizeof record))
            return (uint16_t)i;
    qbc_token_table_add(b, QBRT_TABLE_records, &record, sizeof record);
    return (uint16_t)n;
}

/* Character c becomes the n characters of `to`; n = -1: stays. */
static void map_set(struct map *map, uint32_t c, const int32_t *to, int n, uint8_t class,
                    uint8_t flags)
{
    uint8_t bytes[4 * LONGEST], dummy[4];
    size_t length = 0, before = (size_t)utf8proc_encode_char((int32_t)c, dummy);
    struct qbrt_tokenizer_record record = {.length = NO_LENGTH, .class = class, .flags = flags};
    for (int i = 0; i < n; i++)
        length += (size_t)utf8proc_encode_char(to[i], bytes + length);
    if (n >= 0) {
        record.offset = qbc_token_pool_add(map->b, (struct text){(const char *)bytes, length});
        record.length = (uint16_t)length;
        uint64_t growth = (length + before - 1) / before;
        uint64_t characters = ((size_t)n + before - 1) / before;
        map->growth = growth > map->growth ? growth : map->growth;
        map->characters = characters > map->characters ? characters : map->characters;
    }
    map->value[c] = record_add(map->b, record);
}

static void map_end(struct map *map, uint32_t flags)
{
    struct builder *b = map->b;
    struct qbrt_tokenizer_operation op = {.kind = QBRT_MAP, .flags = flags};
    uint64_t valid = b->growth.valid * map->characters;
    op.a = qbc_token_trie_write(b, map->value);
    qbc_token_table_add(b, QBRT_TABLE_normalizers, &op, sizeof op);
    /* 32 bits for a character, twice when marks are sorted */
    b->text_growth += 8 * (valid > b->growth.broken ? valid : b->growth.broken);
    b->text_extra += 8 * b->growth.extra * map->characters + 16;
    b->growth.valid *= map->growth;
    b->growth.extra *= map->growth;
}

/* --- normal forms */
static int decompose(uint32_t c, bool compatible, int32_t *out)
{
    int last = 0;
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    utf8proc_ssize_t n = utf8proc_decompose_char((int32_t)c, out, LONGEST, options, &last);
    return n > 0 && n <= LONGEST ? (int)n : 0;
}

/* Compose in place; the new number of characters. */
static int compose(int32_t *text, int n)
{
    return (int)utf8proc_normalize_utf32(text, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
}

/* If c is a primary composite, the pair it is made of. */
static bool pair_of(uint32_t c, struct qbrt_tokenizer_composition *pair)
{
    int32_t parts[LONGEST], whole[LONGEST];
    int n = decompose(c, false, parts);
    if (n < 2)
        return false;
    memcpy(whole, parts, sizeof whole);
    if (compose(whole, n) != 1 || whole[0] != (int32_t)c)
        return false;
    memcpy(whole, parts, sizeof whole);
    if (compose(whole, n - 1) != 1)
        return false;
    *pair = (struct qbrt_tokenizer_composition){(uint32_t)whole[0], (uint32_t)parts[n - 1], c};
    return true;
}

static bool is_character(uint32_t c)
{
    return c < 0xd800 || c > 0xdfff;
}

static bool is_syllable(uint32_t c)
{
    return c >= HANGUL_FIRST && c <= HANGUL_LAST;
}

static int by_numbers(const void *a, const void *c)
{
    const struct qbrt_tokenizer_composition *x = a, *y = c;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->second < y->second ? -1 : x->second > y->second;
}

/* Writes the table of compositions (once) and marks what can be the second of a pair. */
static void write_compositions(struct builder *b, bool *second)
{
    struct qbrt_tokenizer_composition pair;
    bool there = qbc_token_table_count(b, QBRT_TABLE_compositions) > 0;
    for (uint32_t c = 0xa0; c < CODE_POINTS; c++) {
        if (!is_character(c) || is_syllable(c) || !pair_of(c, &pair))
            continue;
        second[pair.second] = true;
        if (!there)
            qbc_token_table_add(b, QBRT_TABLE_compositions, &pair, sizeof pair);
    }
    for (uint32_t c = 0x1161; c <= 0x1175; c++)
        second[c] = true; /* vowels and final consonants of Hangul */
    for (uint32_t c = 0x11a8; c <= 0x11c2; c++)
        second[c] = true;
    qsort(b->table[QBRT_TABLE_compositions].data, qbc_token_table_count(b, QBRT_TABLE_compositions),
          sizeof pair, by_numbers);
}

void qbc_token_unicode_form_write(struct builder *b, enum unicode_form form)
{
    bool compatible = form == FORM_NFKC || form == FORM_NFKD;
    bool composed = form == FORM_NFC || form == FORM_NFKC;
    bool *second = qbc_alloc(b->q, CODE_POINTS * sizeof *second);
    struct map map = map_begin(b);
    if (composed)
        write_compositions(b, second);
    for (uint32_t c = 0; c < CODE_POINTS; c++) {
        int32_t parts[LONGEST], whole[LONGEST];
        uint8_t class = (uint8_t)utf8proc_get_property((int32_t)c)->combining_class;
        if (!is_character(c) || is_syllable(c))
            continue;
        int n = decompose(c, compatible, parts);
        bool changes = n != 1 || parts[0] != (int32_t)c;
        if (!changes && !class && !second[c])
            continue;
        memcpy(whole, parts, sizeof whole);
        bool stable = composed && compose(whole, n) == 1 && whole[0] == (int32_t)c;
        uint8_t flags = (uint8_t)((second[c] ? QBRT_RECORD_COMPOSES : 0) |
                                  (second[c] || (changes && !stable) ? QBRT_RECORD_MOVES : 0));
        map_set(&map, c, parts, changes ? n : -1, changes ? 0 : class, flags);
    }
    map.growth = map.growth < 3 ? 3 : map.growth; /* syllables */
    map_end(&map, QBRT_HANGUL | QBRT_ORDER | (composed ? QBRT_COMPOSE : 0));
}

/* --- others */
void qbc_token_lowercase_write(struct builder *b)
{
    static const int32_t dotted[] = {'i', 0x307};
    struct map map = map_begin(b);
    for (int32_t c = 0; c < CODE_POINTS; c++) {
        int32_t lower = utf8proc_tolower(c);
        if (c == 0x130)
            map_set(&map, (uint32_t)c, dotted, 2, 0, QBRT_RECORD_MOVES);
        else if (lower != c && is_character((uint32_t)c))
            map_set(&map, (uint32_t)c, &lower, 1, 0, QBRT_RECORD_MOVES);
    }
    map_end(&map, 0);
}

void qbc_token_filter_write(struct builder *b, struct charset removed, struct charset space)
{
    static const int32_t blank[] = {' '};
    struct map map = map_begin(b);
    for (size_t i = 0; i < space.n; i++)
        for (uint32_t c = space.range[i].first; c <= space.range[i].last; c++)
            if (c != ' ')
                map_set(&map, c, blank, 1, 0, QBRT_RECORD_MOVES);
    for (size_t i = 0; i < removed.n; i++)
        for (uint32_t c = removed.range[i].first; c <= removed.range[i].last; c++)
            map_set(&map, c, blank, 0, 0, QBRT_RECORD_MOVES);
    map_end(&map, 0);
}
