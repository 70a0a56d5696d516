/* tokenizer_normalizer.c: the component "normalizer" becomes a list of operations. */
#include "tokenizer_build.h"

#include <string.h>

static uint64_t most(const struct growth *growth)
{
    return growth->valid > growth->broken ? growth->valid : growth->broken;
}

void qbc_token_prepend_write(struct builder *b, int table, uint32_t flags, struct text with)
{
    struct qbrt_tokenizer_operation op = {.kind = QBRT_PREPEND,
                                          .flags = flags,
                                          .b = qbc_token_pool_add(b, with),
                                          .c = (uint32_t)with.length};
    qbc_token_table_add(b, table, &op, sizeof op);
    b->growth.extra += with.length;
    b->text_growth += most(&b->growth);
    b->text_extra += b->growth.extra + 8;
}

bool qbc_token_replace_write(struct builder *b, int table, uint32_t flags, const cJSON *pattern,
                             struct text with)
{
    const char *regex = qbc_json_string(pattern, "Regex");
    const char *string = qbc_json_string(pattern, "String");
    struct qbrt_tokenizer_operation op = {.kind = QBRT_REPLACE, .flags = flags};
    uint32_t least;
    if (!regex && (!string || !*string))
        return qbc_token_fail(b, "Replace: its pattern is neither a text nor an expression");
    struct node *tree = regex ? qbc_token_regex_parse(b, qbc_token_text_of(b, regex))
                              : qbc_token_regex_literal(b, qbc_token_text_of(b, string));
    if (!tree || !qbc_token_regex_write(b, tree, &op.a, &least))
        return false;
    op.b = qbc_token_pool_add(b, with);
    op.c = (uint32_t)with.length;
    qbc_token_table_add(b, table, &op, sizeof op);
    /* `least` characters, each 1 byte or, if it stands for what is no UTF-8, 3, become `with`. */
    uint64_t n = with.length, valid = least ? (n + least - 1) / least : n + 1;
    uint64_t broken = least ? (n + 3ull * least - 1) / (3ull * least) : n + 1;
    b->growth.valid *= valid > 1 ? valid : 1;
    b->growth.broken *= broken > 1 ? broken : 1;
    b->growth.extra = b->growth.extra * (valid > 1 ? valid : 1) + n;
    b->text_growth += most(&b->growth);
    b->text_extra += b->growth.extra + 8;
    return true;
}

static bool write_strip(struct builder *b, const cJSON *normalizer)
{
    struct qbrt_tokenizer_operation op = {
        .kind = QBRT_STRIP,
        .flags = (qbc_json_bool(normalizer, "strip_left", false) ? QBRT_LEFT : 0u) |
                 (qbc_json_bool(normalizer, "strip_right", false) ? QBRT_RIGHT : 0u),
        .a = qbc_token_class_add(b, qbc_token_charset_space(b)),
    };
    qbc_token_table_add(b, QBRT_TABLE_normalizers, &op, sizeof op);
    return true;
}

/* The normalizer of NMT models: controls go, other spaces become spaces. */
static bool write_nmt(struct builder *b)
{
    static const struct range removed[] = {{0x01, 0x08}, {0x0b, 0x0b}, {0x0e, 0x1f},
                                           {0x7f, 0x7f}, {0x8f, 0x8f}, {0x9f, 0x9f}};
    static const struct range space[] = {{0x09, 0x0a},     {0x0c, 0x0d},     {0x1680, 0x1680},
                                         {0x200b, 0x200f}, {0x2028, 0x2029}, {0x2581, 0x2581},
                                         {0xfeff, 0xfeff}, {0xfffd, 0xfffd}};
    struct charset sets[2] = {{NULL, 0}, {NULL, 0}};
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        sets[0] = qbc_token_charset_union(
            b, sets[0], qbc_token_charset_range(b, removed[i].first, removed[i].last));
    for (size_t i = 0; i < sizeof space / sizeof *space; i++)
        sets[1] = qbc_token_charset_union(
            b, sets[1], qbc_token_charset_range(b, space[i].first, space[i].last));
    qbc_token_filter_write(b, sets[0], sets[1]);
    return true;
}

static bool write_strip_accents(struct builder *b)
{
    struct charset marks;
    qbc_token_charset_property(b, (struct text){"M", 1}, &marks);
    qbc_token_filter_write(b, marks, (struct charset){NULL, 0});
    return true;
}

static bool write_form(struct builder *b, enum unicode_form form)
{
    qbc_token_unicode_form_write(b, form);
    return true;
}

static bool write_one(struct builder *b, const cJSON *normalizer)
{
    struct text type = qbc_token_text_of(b, qbc_token_type_of(normalizer));
    if (b->byte_level)
        return qbc_token_fail(b, "normalizer: nothing may follow ByteLevel, but %s does",
                              type.data);
    if (qbc_token_text_is(type, "NFC"))
        return write_form(b, FORM_NFC);
    if (qbc_token_text_is(type, "NFD"))
        return write_form(b, FORM_NFD);
    if (qbc_token_text_is(type, "NFKC"))
        return write_form(b, FORM_NFKC);
    if (qbc_token_text_is(type, "NFKD"))
        return write_form(b, FORM_NFKD);
    if (qbc_token_text_is(type, "Lowercase")) {
        qbc_token_lowercase_write(b);
        return true;
    }
    if (qbc_token_text_is(type, "Strip"))
        return write_strip(b, normalizer);
    if (qbc_token_text_is(type, "StripAccents"))
        return write_strip_accents(b);
    if (qbc_token_text_is(type, "Nmt"))
        return write_nmt(b);
    if (qbc_token_text_is(type, "ByteLevel")) {
        b->header.flags |= QBRT_TOKENIZER_EARLY_BYTES;
        return b->byte_level = true;
    }
    if (qbc_token_text_is(type, "Prepend")) {
        qbc_token_prepend_write(b, QBRT_TABLE_normalizers, 0,
                                qbc_token_text_of(b, qbc_json_string(normalizer, "prepend")));
        return true;
    }
    if (qbc_token_text_is(type, "Replace"))
        return qbc_token_replace_write(
            b, QBRT_TABLE_normalizers, 0, qbc_json_member(normalizer, "pattern"),
            qbc_token_text_of(b, qbc_json_string(normalizer, "content")));
    return qbc_token_fail(b, "normalizer: %s is not supported", type.data);
}

static bool write_all(struct builder *b, const cJSON *normalizer, int depth)
{
    if (strcmp(qbc_token_type_of(normalizer), "Sequence"))
        return write_one(b, normalizer);
    const cJSON *list = qbc_json_member(normalizer, "normalizers");
    if (depth > 8)
        return qbc_token_fail(b, "normalizer: sequences are nested too deep");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (!write_all(b, item, depth + 1))
            return false;
    return true;
}

bool qbc_token_normalizer_write(struct builder *b)
{
    const cJSON *normalizer = qbc_json_member(b->root, "normalizer");
    if (normalizer && !write_all(b, normalizer, 0))
        return false;
    if (qbc_token_table_count(b, QBRT_TABLE_normalizers) > QBRT_TOKENIZER_OPERATIONS)
        return qbc_token_fail(b, "normalizer: more than %d operations", QBRT_TOKENIZER_OPERATIONS);
    return true;
}
