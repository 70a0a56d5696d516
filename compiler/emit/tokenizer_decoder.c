/* tokenizer_decoder.c: the component "decoder" is run over each token, here and now.
 *
 * A decoder is a list of steps. Up to the step that fuses the tokens to one text each step looks at
 * one token and at whether it is the first; so the compiler can store what comes out for each id.
 * Behind it only the front of the text is stripped, which the runtime does.
 */
#include "tokenizer_build.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MOST_STEPS = 32 };

struct decoder {
    const cJSON *step[MOST_STEPS];
    size_t n;
    size_t n_single; /* steps that see single tokens; the rest sees the whole text */
};

/* A token on its way through the steps. */
struct piece {
    struct text text;
    bool first;   /* of its text */
    bool is_byte; /* it has become one byte of a character */
};

/* All occurrences of `from`, left to right. */
static struct text replace(struct builder *b, struct text text, struct text from, struct text to)
{
    struct bytes out = {0};
    if (from.length == 0)
        return text;
    for (size_t i = 0; i < text.length;) {
        bool found =
            text.length - i >= from.length && !memcmp(text.data + i, from.data, from.length);
        qbc_token_bytes_add(b, &out, found ? to.data : text.data + i, found ? to.length : 1);
        i += found ? from.length : 1;
    }
    return (struct text){out.n ? (const char *)out.data : "", out.n};
}

static struct text literal(const char *text)
{
    return (struct text){text, strlen(text)};
}

static struct text member(struct builder *b, const cJSON *step, const char *name)
{
    return qbc_token_text_of(b, qbc_json_string(step, name));
}

/* <0x41> */
static void to_byte(struct builder *b, struct piece *piece)
{
    char digits[3] = {0}, *end, *byte;
    if (piece->text.length != 6 || memcmp(piece->text.data, "<0x", 3) || piece->text.data[5] != '>')
        return;
    memcpy(digits, piece->text.data + 3, 2);
    long value = strtol(digits, &end, 16);
    if (*end || strchr(" -x", digits[0]) || strchr("xX", digits[1]))
        return;
    byte = qbc_alloc(b->q, 1);
    *byte = (char)value;
    piece->text = (struct text){byte, 1};
    piece->is_byte = true;
}

static void from_metaspace(struct builder *b, const cJSON *step, struct piece *piece)
{
    const char *scheme = qbc_json_string(step, "prepend_scheme");
    bool never =
        !qbc_json_bool(step, "add_prefix_space", true) || (scheme && !strcmp(scheme, "never"));
    piece->text = replace(b, piece->text, member(b, step, "replacement"),
                          literal(piece->first && !never ? "" : " "));
}

static void from_wordpiece(struct builder *b, const cJSON *step, struct piece *piece)
{
    static const char *const untidy[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                            {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                            {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                            {" 've", "'ve"}, {" 're", "'re"}};
    struct text prefix = member(b, step, "prefix"), text = piece->text;
    if (!piece->first && text.length >= prefix.length &&
        !memcmp(text.data, prefix.data, prefix.length))
        text = (struct text){text.data + prefix.length, text.length - prefix.length};
    else if (!piece->first) {
        struct bytes spaced = {0};
        qbc_token_bytes_add(b, &spaced, " ", 1);
        qbc_token_bytes_add(b, &spaced, text.data, text.length);
        text = (struct text){(const char *)spaced.data, spaced.n};
    }
    for (size_t i = 0; qbc_json_bool(step, "cleanup", true) && i < sizeof untidy / sizeof *untidy;
         i++)
        text = replace(b, text, literal(untidy[i][0]), literal(untidy[i][1]));
    piece->text = text;
}

static int64_t count_of(const cJSON *step, const char *name)
{
    const cJSON *item = qbc_json_member(step, name);
    return cJSON_IsNumber(item) && item->valueint > 0 ? item->valueint : 0;
}

static void strip(struct builder *b, const cJSON *step, struct piece *piece)
{
    struct text content = member(b, step, "content"), *text = &piece->text;
    for (int64_t i = count_of(step, "start");
         i > 0 && content.length > 0 && text->length >= content.length &&
         !memcmp(text->data, content.data, content.length);
         i--)
        *text = (struct text){text->data + content.length, text->length - content.length};
    for (int64_t i = count_of(step, "stop");
         i > 0 && content.length > 0 && text->length >= content.length &&
         !memcmp(text->data + text->length - content.length, content.data, content.length);
         i--)
        text->length -= content.length;
}

static bool is(const cJSON *step, const char *type)
{
    return !strcmp(qbc_token_type_of(step), type);
}

static void run_step(struct builder *b, const cJSON *step, struct piece *piece)
{
    struct text bytes;
    if (is(step, "ByteFallback"))
        to_byte(b, piece);
    else if (is(step, "Metaspace"))
        from_metaspace(b, step, piece);
    else if (is(step, "WordPiece"))
        from_wordpiece(b, step, piece);
    else if (is(step, "Strip"))
        strip(b, step, piece);
    else if (is(step, "Replace"))
        piece->text = replace(b, piece->text, member(b, qbc_json_member(step, "pattern"), "String"),
                              member(b, step, "content"));
    else if (is(step, "ByteLevel") && qbc_token_vocab_bytes(b, piece->text, &bytes))
        piece->text = bytes;
}

/* --- the list of steps */
static bool collect(struct builder *b, const cJSON *decoder, struct decoder *all, int depth)
{
    if (strcmp(qbc_token_type_of(decoder), "Sequence")) {
        if (all->n == MOST_STEPS)
            return qbc_token_fail(b, "decoder: more than %d steps", MOST_STEPS);
        all->step[all->n++] = decoder;
        return true;
    }
    const cJSON *list = qbc_json_member(decoder, "decoders");
    if (depth > 8)
        return qbc_token_fail(b, "decoder: sequences are nested too deep");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (!collect(b, item, all, depth + 1))
            return false;
    return true;
}

/* A step behind the one that fused the tokens. */
static bool whole_step(struct builder *b, const cJSON *step)
{
    struct text content = member(b, step, "content");
    utf8proc_int32_t c = 0;
    if (is(step, "Fuse"))
        return true;
    if (!is(step, "Strip") || count_of(step, "stop") || b->header.strip_count)
        return qbc_token_fail(b, "decoder: %s behind the fusing of tokens is not supported",
                              qbc_token_type_of(step));
    utf8proc_iterate((const utf8proc_uint8_t *)content.data, (utf8proc_ssize_t)content.length, &c);
    if (count_of(step, "start") > 255 || c <= 0)
        return qbc_token_fail(b, "decoder: this Strip is not supported");
    b->header.strip_character = (uint32_t)c;
    b->header.strip_count = (uint32_t)count_of(step, "start");
    return true;
}

static bool single_step(struct builder *b, const cJSON *step)
{
    static const char *const known[] = {"ByteFallback", "Metaspace", "WordPiece", "Strip",
                                        "Replace",      "ByteLevel", "Fuse"};
    bool supported = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        supported = supported || is(step, known[i]);
    if (!supported)
        return qbc_token_fail(b, "decoder: %s is not supported", qbc_token_type_of(step));
    if (is(step, "Replace") && !qbc_json_string(qbc_json_member(step, "pattern"), "String"))
        return qbc_token_fail(b, "decoder: Replace with an expression is not supported");
    return true;
}

static bool read_steps(struct builder *b, struct decoder *all)
{
    const cJSON *decoder = qbc_json_member(b->root, "decoder");
    bool fused = false;
    if (!decoder)
        b->header.flags |= QBRT_TOKENIZER_SPACED;
    else if (!collect(b, decoder, all, 0))
        return false;
    for (size_t i = 0; i < all->n; i++) {
        if (!(fused ? whole_step(b, all->step[i]) : single_step(b, all->step[i])))
            return false;
        all->n_single += !fused;
        if (!fused && is(all->step[i], "ByteLevel"))
            b->header.flags |= QBRT_TOKENIZER_LOSSY;
        fused = fused || is(all->step[i], "ByteLevel") || is(all->step[i], "Fuse");
    }
    return true;
}

/* --- tables */
static uint32_t decode(struct builder *b, const struct decoder *all, int32_t id, bool first,
                       struct text *text)
{
    struct piece piece = {.text = b->id_text[id], .first = first};
    if (!piece.text.data) {
        *text = (struct text){"", 0};
        return (uint32_t)QBRT_TEXT_ABSENT;
    }
    bool special = b->id_added[id] && qbc_token_added_is_special(b, piece.text);
    uint32_t flags = special ? (uint32_t)QBRT_TEXT_SPECIAL : 0;
    for (size_t i = 0; i < all->n_single && !piece.is_byte; i++)
        run_step(b, all->step[i], &piece);
    if (piece.text.length > b->header.longest)
        b->header.longest = (uint32_t)piece.text.length;
    *text = piece.text;
    return flags | (piece.is_byte ? (uint32_t)QBRT_TEXT_BYTE : 0);
}

bool qbc_token_decoder_write(struct builder *b)
{
    struct decoder all = {.n = 0};
    size_t n = b->header.vocab;
    struct text *text[2] = {qbc_alloc(b->q, n * sizeof **text), qbc_alloc(b->q, n * sizeof **text)};
    uint32_t *flags[2] = {qbc_alloc(b->q, n * sizeof **flags), qbc_alloc(b->q, n * sizeof **flags)};
    bool differ = false;
    if (!read_steps(b, &all))
        return false;
    for (size_t id = 0; id < n; id++) {
        for (int first = 0; first < 2; first++)
            flags[first][id] = decode(b, &all, (int32_t)id, first, &text[first][id]);
        differ = differ || !qbc_token_text_equal(text[0][id], text[1][id]);
    }
    return qbc_token_strings_write(b, QBRT_TABLE_texts, text[0], flags[0], n) &&
           (!differ || qbc_token_strings_write(b, QBRT_TABLE_firsts, text[1], flags[1], n)) &&
           qbc_token_keys_write(b, text[0]);
}
