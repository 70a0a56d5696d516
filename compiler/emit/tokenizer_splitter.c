/* tokenizer_splitter.c: the component "pre_tokenizer" becomes a list of operations that cut a text.
 *
 * ByteLevel spells the bytes of its words as characters; the runtime keeps the bytes, and what
 * comes later takes each byte for the character that it is spelled as (flag QBRT_BYTES).
 */
#include "tokenizer_build.h"

#include <string.h>

static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char words[] = /* the classes of Rust */
    "[\\w\\x{200c}\\x{200d}]+|[^\\w\\s\\x{200c}\\x{200d}]+";

static uint32_t bytes_flag(const struct builder *b)
{
    return b->byte_level ? QBRT_BYTES : 0;
}

static bool write_split(struct builder *b, struct node *tree, uint32_t behavior, bool invert)
{
    uint32_t least;
    struct qbrt_tokenizer_operation op = {
        .kind = QBRT_SPLIT, .flags = bytes_flag(b) | (invert ? QBRT_INVERT : 0u), .b = behavior};
    if (!tree || !qbc_token_regex_write(b, tree, &op.a, &least))
        return false;
    qbc_token_table_add(b, QBRT_TABLE_splitters, &op, sizeof op);
    return true;
}

static bool write_expression(struct builder *b, const char *expression, uint32_t behavior,
                             bool invert)
{
    return write_split(b, qbc_token_regex_parse(b, (struct text){expression, strlen(expression)}),
                       behavior, invert);
}

static bool behavior_of(struct builder *b, const cJSON *splitter, const char *fallback,
                        uint32_t *behavior)
{
    static const char *const names[] = {[QBRT_ISOLATED] = "Isolated",
                                        [QBRT_REMOVED] = "Removed",
                                        [QBRT_CONTIGUOUS] = "Contiguous",
                                        [QBRT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [QBRT_MERGED_WITH_NEXT] = "MergedWithNext"};
    const char *name = qbc_json_string(splitter, "behavior");
    name = name ? name : fallback;
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) {
            *behavior = i;
            return true;
        }
    return qbc_token_fail(b, "pre_tokenizer: the behavior \"%s\" is not supported", name);
}

static bool write_pattern(struct builder *b, const cJSON *splitter)
{
    const cJSON *pattern = qbc_json_member(splitter, "pattern");
    const char *regex = qbc_json_string(pattern, "Regex");
    const char *string = qbc_json_string(pattern, "String");
    uint32_t behavior;
    if (!regex && (!string || !*string))
        return qbc_token_fail(b, "pre_tokenizer: Split has neither a text nor an expression");
    return behavior_of(b, splitter, "Isolated", &behavior) &&
           write_split(b,
                       regex ? qbc_token_regex_parse(b, qbc_token_text_of(b, regex))
                             : qbc_token_regex_literal(b, qbc_token_text_of(b, string)),
                       behavior, qbc_json_bool(splitter, "invert", false));
}

static bool write_byte_level(struct builder *b, const cJSON *splitter)
{
    if (b->byte_level)
        return qbc_token_fail(b, "pre_tokenizer: ByteLevel twice is not supported");
    if (qbc_json_bool(splitter, "add_prefix_space", false))
        qbc_token_prepend_write(b, QBRT_TABLE_splitters, QBRT_UNLESS, (struct text){" ", 1});
    if (qbc_json_bool(splitter, "use_regex", true) &&
        !write_expression(b, gpt2, QBRT_ISOLATED, false))
        return false;
    return b->byte_level = true;
}

static bool write_metaspace(struct builder *b, const cJSON *splitter)
{
    static const char space[] = "{\"String\": \" \"}";
    const char *scheme = qbc_json_string(splitter, "prepend_scheme");
    struct text with = qbc_token_text_of(b, qbc_json_string(splitter, "replacement"));
    cJSON *pattern = qbc_json_parse(b->q, space, sizeof space - 1);
    scheme = scheme ? scheme : "always";
    if (!qbc_json_bool(splitter, "add_prefix_space", true))
        scheme = "never";
    if (with.length == 0)
        with = (struct text){"\xe2\x96\x81", 3};
    if (b->byte_level)
        return qbc_token_fail(b, "pre_tokenizer: Metaspace behind ByteLevel is not supported");
    bool ok = qbc_token_replace_write(b, QBRT_TABLE_splitters, 0, pattern, with);
    cJSON_Delete(pattern);
    if (ok && strcmp(scheme, "never"))
        qbc_token_prepend_write(b, QBRT_TABLE_splitters,
                                QBRT_UNLESS | (strcmp(scheme, "first") ? 0u : (uint32_t)QBRT_FIRST),
                                with);
    if (ok && qbc_json_bool(splitter, "split", true))
        ok = write_split(b, qbc_token_regex_literal(b, with), QBRT_MERGED_WITH_NEXT, false);
    return ok;
}

/* What Rust's is_ascii_punctuation or the category P says. */
static struct node *punctuation(struct builder *b)
{
    static const struct range ascii[] = {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};
    struct charset set;
    qbc_token_charset_property(b, (struct text){"P", 1}, &set);
    for (size_t i = 0; i < sizeof ascii / sizeof *ascii; i++)
        set = qbc_token_charset_union(b, set,
                                      qbc_token_charset_range(b, ascii[i].first, ascii[i].last));
    return qbc_token_regex_set(b, set);
}

static bool write_fixed_length(struct builder *b, const cJSON *splitter)
{
    const cJSON *length = qbc_json_member(splitter, "length");
    double n = cJSON_IsNumber(length) ? length->valuedouble : 0;
    if (n < 1 || n > 100000)
        return qbc_token_fail(b, "pre_tokenizer: FixedLength needs a length from 1 to 100000");
    return write_expression(b, qbc_text(b->q, "[\\s\\S]{1,%d}", (int)n), QBRT_ISOLATED, false);
}

static bool write_one(struct builder *b, const cJSON *splitter)
{
    struct text type = qbc_token_text_of(b, qbc_token_type_of(splitter));
    uint32_t behavior;
    if (qbc_token_text_is(type, "Split"))
        return write_pattern(b, splitter);
    if (qbc_token_text_is(type, "ByteLevel"))
        return write_byte_level(b, splitter);
    if (qbc_token_text_is(type, "Metaspace"))
        return write_metaspace(b, splitter);
    if (qbc_token_text_is(type, "Digits"))
        return write_expression(
            b, "\\p{N}",
            qbc_json_bool(splitter, "individual_digits", false) ? QBRT_ISOLATED : QBRT_CONTIGUOUS,
            false);
    if (qbc_token_text_is(type, "Punctuation"))
        return behavior_of(b, splitter, "Isolated", &behavior) &&
               write_split(b, punctuation(b), behavior, false);
    if (qbc_token_text_is(type, "Whitespace"))
        return write_expression(b, words, QBRT_REMOVED, true);
    if (qbc_token_text_is(type, "WhitespaceSplit"))
        return write_expression(b, "\\s", QBRT_REMOVED, false);
    if (qbc_token_text_is(type, "BertPreTokenizer"))
        return write_expression(b, "\\s", QBRT_REMOVED, false) &&
               write_split(b, punctuation(b), QBRT_ISOLATED, false);
    if (qbc_token_text_is(type, "CharDelimiterSplit") && qbc_json_string(splitter, "delimiter"))
        return write_split(b,
                           qbc_token_regex_literal(
                               b, qbc_token_text_of(b, qbc_json_string(splitter, "delimiter"))),
                           QBRT_REMOVED, false);
    if (qbc_token_text_is(type, "FixedLength"))
        return write_fixed_length(b, splitter);
    return qbc_token_fail(b, "pre_tokenizer: %s is not supported", type.data);
}

static bool write_all(struct builder *b, const cJSON *splitter, int depth)
{
    if (strcmp(qbc_token_type_of(splitter), "Sequence"))
        return write_one(b, splitter);
    const cJSON *list = qbc_json_member(splitter, "pretokenizers");
    if (depth > 8)
        return qbc_token_fail(b, "pre_tokenizer: sequences are nested too deep");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (!write_all(b, item, depth + 1))
            return false;
    return true;
}

bool qbc_token_splitter_write(struct builder *b)
{
    const cJSON *splitter = qbc_json_member(b->root, "pre_tokenizer");
    if (splitter && !write_all(b, splitter, 0))
        return false;
    if (qbc_token_table_count(b, QBRT_TABLE_splitters) > QBRT_TOKENIZER_OPERATIONS)
        return qbc_token_fail(b, "pre_tokenizer: more than %d operations",
                              QBRT_TOKENIZER_OPERATIONS);
    return true;
}
