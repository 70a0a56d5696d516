/* tokenizer_blob.c: tables that grow, and the blob made of them. */
#include "tokenizer_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 8 };

static const uint8_t entry_bytes[] = {
#define TABLE(name, bytes) bytes,
#include "tokenizer_tables.def"
#undef TABLE
};

bool qbc_token_fail(struct builder *b, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    qbc_error_in(b->q, b->path, "%s", message);
    return false;
}

struct text qbc_token_text_of(struct builder *b, const char *json_string)
{
    struct qbc_json_text text = qbc_json_text(b->q, json_string);
    return (struct text){text.data, text.length};
}

bool qbc_token_text_equal(struct text a, struct text b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

bool qbc_token_text_is(struct text a, const char *b)
{
    return qbc_token_text_equal(a, (struct text){b, strlen(b)});
}

const char *qbc_token_type_of(const cJSON *component)
{
    const char *type = qbc_json_string(component, "type");
    return type ? type : "?";
}

void qbc_token_bytes_add(struct builder *b, struct bytes *bytes, const void *data, size_t n)
{
    if (bytes->room - bytes->n < n) {
        bytes->room = 2 * bytes->room + n + 64;
        uint8_t *grown = qbc_alloc(b->q, bytes->room);
        if (bytes->n)
            memcpy(grown, bytes->data, bytes->n);
        bytes->data = grown;
    }
    if (n)
        memcpy(bytes->data + bytes->n, data, n);
    bytes->n += n;
}

void qbc_token_table_add(struct builder *b, int table, const void *entry, size_t bytes)
{
    qbc_token_bytes_add(b, &b->table[table], entry, bytes);
}

void qbc_token_table_word(struct builder *b, int table, uint32_t word)
{
    qbc_token_table_add(b, table, &word, sizeof word);
}

size_t qbc_token_table_count(const struct builder *b, int table)
{
    return b->table[table].n / entry_bytes[table];
}

uint32_t qbc_token_pool_add(struct builder *b, struct text text)
{
    uint32_t offset = (uint32_t)b->table[QBRT_TABLE_pool].n;
    qbc_token_table_add(b, QBRT_TABLE_pool, text.data, text.length);
    return offset;
}

bool qbc_token_blob_finish(struct builder *b, uint8_t **blob, size_t *size)
{
    struct bytes out = {0};
    static const uint8_t zeros[ALIGNMENT];
    b->header.magic = QBRT_TOKENIZER_MAGIC;
    b->header.version = QBRT_TOKENIZER_VERSION;
    qbc_token_bytes_add(b, &out, &b->header, sizeof b->header);
    for (int i = 0; i < QBRT_TABLE_COUNT; i++) {
        qbc_token_bytes_add(b, &out, zeros, -out.n & (ALIGNMENT - 1));
        b->header.table[i] =
            (struct qbrt_tokenizer_place){(uint32_t)out.n, (uint32_t)qbc_token_table_count(b, i)};
        qbc_token_bytes_add(b, &out, b->table[i].data, b->table[i].n);
        if (out.n > UINT32_MAX / 2)
            return qbc_token_fail(b, "the tables of the tokenizer take more than 2 GiB");
    }
    qbc_token_bytes_add(b, &out, zeros, -out.n & (ALIGNMENT - 1));
    b->header.size = (uint32_t)out.n;
    memcpy(out.data, &b->header, sizeof b->header);
    *blob = out.data;
    *size = out.n;
    return true;
}
