/* tokenizer_vocab.c: the vocabulary of the model: which text has which id, and the tables that the
 * runtime looks texts up in.
 */
#include "tokenizer_build.h"

#include <stdio.h>
#include <string.h>

enum { SPARSE = 1 << 16 };

/* GPT-2 spells each byte as a printable character: those that are none become 256, 257, ... */
static void fill_alphabet(struct builder *b)
{
    uint16_t next = 256;
    memset(b->char_to_byte, -1, sizeof b->char_to_byte);
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
        uint16_t c = printable ? (uint16_t)byte : next++;
        b->byte_to_char[byte] = c;
        b->char_to_byte[c] = byte;
    }
}

/* --- text to id */
static size_t slot_of(const struct builder *b, struct text text)
{
    size_t at = qbrt_tokenizer_hash((const uint8_t *)text.data, text.length) & b->token_mask;
    while (b->token_slot[at] && !qbc_token_text_equal(b->token[b->token_slot[at] - 1].text, text))
        at = (at + 1) & b->token_mask;
    return at;
}

int32_t qbc_token_vocab_find(const struct builder *b, struct text text)
{
    uint32_t slot = b->token_slot[slot_of(b, text)];
    return slot ? b->token[slot - 1].id : -1;
}

void qbc_token_vocab_set_id(struct builder *b, int32_t id, struct text text, bool added)
{
    if (id >= b->n_ids) {
        int32_t n = id + 1 + b->n_ids / 4;
        struct text *grown = qbc_alloc(b->q, (size_t)n * sizeof *grown);
        bool *flags = qbc_alloc(b->q, (size_t)n * sizeof *flags);
        if (b->n_ids) {
            memcpy(grown, b->id_text, (size_t)b->n_ids * sizeof *grown);
            memcpy(flags, b->id_added, (size_t)b->n_ids * sizeof *flags);
        }
        b->id_text = grown;
        b->id_added = flags;
        b->n_ids = n;
    }
    b->id_text[id] = text;
    b->id_added[id] = added;
    if ((uint32_t)id >= b->header.vocab)
        b->header.vocab = (uint32_t)id + 1;
}

static bool add_token(struct builder *b, const cJSON *item, size_t room)
{
    struct text text = qbc_token_text_of(b, item->string);
    size_t slot = slot_of(b, text);
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (id < 0 || id != (double)(int32_t)id || id > (double)(4 * room + SPARSE))
        return qbc_token_fail(b, "model: the token \"%s\" has no sensible id", item->string);
    if (!b->token_slot[slot])
        b->token_slot[slot] = (uint32_t)++b->n_tokens;
    b->token[b->token_slot[slot] - 1] = (struct token){text, (int32_t)id};
    return true;
}

bool qbc_token_vocab_read(struct builder *b)
{
    const cJSON *vocab = qbc_json_member(qbc_json_member(b->root, "model"), "vocab");
    size_t n = 0;
    if (!cJSON_IsObject(vocab))
        return qbc_token_fail(b, "model: it has no vocabulary");
    for (const cJSON *item = vocab->child; item; item = item->next)
        n++;
    fill_alphabet(b);
    for (b->token_mask = 1023; b->token_mask < 2 * n; b->token_mask = 2 * b->token_mask + 1)
        ;
    b->token = qbc_alloc(b->q, n * sizeof *b->token);
    b->token_slot = qbc_alloc(b->q, (b->token_mask + 1) * sizeof *b->token_slot);
    for (const cJSON *item = vocab->child; item; item = item->next)
        if (!add_token(b, item, n))
            return false;
    for (size_t i = 0; i < b->n_tokens; i++)
        qbc_token_vocab_set_id(b, b->token[i].id, b->token[i].text, false);
    return b->n_tokens > 0 || qbc_token_fail(b, "model: its vocabulary is empty");
}

static size_t spell_byte(const struct builder *b, uint8_t byte, char *out)
{
    uint16_t c = b->byte_to_char[byte];
    out[0] = (char)(c < 0x80 ? c : 0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return c < 0x80 ? 1 : 2;
}

struct text qbc_token_vocab_spell(struct builder *b, struct text text)
{
    char *out = qbc_alloc(b->q, 2 * text.length + 2);
    size_t n = 0;
    for (size_t i = 0; i < text.length; i++)
        n += spell_byte(b, (uint8_t)text.data[i], out + n);
    return (struct text){out, n};
}

bool qbc_token_vocab_bytes(struct builder *b, struct text text, struct text *out)
{
    char *bytes = qbc_alloc(b->q, text.length + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.length; n++) {
        uint8_t lead = (uint8_t)text.data[i++];
        int32_t c = lead;
        if (lead >= 0xc2 && lead <= 0xc7 && i < text.length) /* all spellings are below 512 */
            c = (lead & 0x1f) << 6 | (text.data[i++] & 0x3f);
        else if (lead >= 0x80)
            return false;
        if (b->char_to_byte[c] < 0)
            return false;
        bytes[n] = (char)b->char_to_byte[c];
    }
    *out = (struct text){bytes, n};
    return true;
}

/* --- what the runtime looks up */
/* The id of each byte: of its character, or of its token <0x..>. */
static void write_bytes(struct builder *b)
{
    for (int byte = 0; byte < 256; byte++) {
        char spelling[8];
        struct text text = {spelling, 6};
        snprintf(spelling, sizeof spelling, "<0x%02X>", (unsigned)byte);
        if (b->byte_level)
            text.length = spell_byte(b, (uint8_t)byte, spelling);
        qbc_token_table_word(b, QBRT_TABLE_bytes, (uint32_t)qbc_token_vocab_find(b, text));
    }
}

void qbc_token_vocab_write(struct builder *b)
{
    b->key = qbc_alloc(b->q, b->header.vocab * sizeof *b->key);
    for (size_t i = 0; i < b->n_tokens; i++) {
        struct text text = b->token[i].text;
        if (!b->byte_level || qbc_token_vocab_bytes(b, text, &text))
            b->key[b->token[i].id] = text; /* else no text can lead to it */
    }
    write_bytes(b);
}

bool qbc_token_strings_write(struct builder *b, int table, const struct text *text,
                             const uint32_t *flags, size_t n)
{
    for (size_t i = 0; i <= n; i++) {
        size_t place = b->table[QBRT_TABLE_pool].n;
        if (place > QBRT_TEXT_PLACE)
            return qbc_token_fail(b, "its tokens take more than 512 MiB");
        qbc_token_table_word(b, table, (uint32_t)place | (flags && i < n ? flags[i] : 0));
        if (i < n)
            qbc_token_pool_add(b, text[i]);
    }
    return true;
}

/* Fills a hash table; false when it would make a walk too long. */
static bool fill_slots(const struct builder *b, uint32_t *slot, size_t size)
{
    for (uint32_t id = 0; id < b->header.vocab; id++) {
        struct text key = b->key[id];
        size_t at = qbrt_tokenizer_hash((const uint8_t *)key.data, key.length) & (size - 1);
        int probes = 1;
        if (key.length == 0)
            continue;
        for (; slot[at] && probes < QBRT_TOKENIZER_PROBES; probes++)
            at = (at + 1) & (size - 1);
        if (slot[at])
            return false;
        slot[at] = id + 1;
    }
    return true;
}

bool qbc_token_keys_write(struct builder *b, const struct text *texts)
{
    size_t size = 16;
    bool same = true;
    if (b->byte_level && !(b->header.flags & QBRT_TOKENIZER_IGNORE_MERGES))
        return true; /* symbols are bytes, merges give the ids of the rest */
    while (size < 2 * b->n_tokens)
        size *= 2;
    uint32_t *slot = qbc_alloc(b->q, size * sizeof *slot);
    while (!fill_slots(b, slot, size)) {
        size *= 2;
        slot = qbc_alloc(b->q, size * sizeof *slot);
    }
    qbc_token_table_add(b, QBRT_TABLE_slots, slot, size * sizeof *slot);
    for (uint32_t id = 0; id < b->header.vocab; id++)
        same = same && (b->key[id].length == 0 || qbc_token_text_equal(b->key[id], texts[id]));
    return same || qbc_token_strings_write(b, QBRT_TABLE_keys, b->key, NULL, b->header.vocab);
}
