/* tokenizer_decode.c: ids to text, at once or one by one.
 *
 * The compiler ran the decoder over each token, so an id is a string (another one in front of a
 * text), or one byte of a character that its neighbours complete. What is left for here: make valid
 * UTF-8 of bytes, and strip the front of the text.
 */
#include "tokenizer_inside.h"

/* Where text goes. */
struct sink {
    char *text;
    size_t capacity;
    size_t length; /* may exceed the capacity */
};

static const uint8_t replacement[] = {0xef, 0xbf, 0xbd}; /* U+FFFD */

static void write(struct sink *sink, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++, sink->length++)
        if (sink->length < sink->capacity)
            sink->text[sink->length] = (char)data[i];
}

/* Write whole characters, less those that are stripped from the front of the text. */
static void emit(struct qbrt_tokenizer_stream *s, struct sink *sink, const uint8_t *data, size_t n)
{
    uint8_t stripped[4];
    if (n == 0)
        return;
    if (s->strip > 0) {
        uint32_t c = QBRT_HEADER(s->tokenizer, strip_character);
        size_t length = qbrt_utf8_encode(c < 0x110000 ? c : 0, stripped);
        while (s->strip > 0 && n >= length && memcmp(data, stripped, length) == 0) {
            s->strip--;
            data += length;
            n -= length;
        }
        if (n > 0)
            s->strip = 0;
    }
    write(sink, data, n);
}

/* Give up on the bytes that are held. */
static void drop_held(struct qbrt_tokenizer_stream *s, struct sink *sink)
{
    unsigned times = s->byte_run ? s->n_held : s->n_held > 0;
    s->n_held = 0;
    for (unsigned i = 0; i < times; i++)
        emit(s, sink, replacement, sizeof replacement);
}

/* One byte of a text that may be no UTF-8. */
static void add_byte(struct qbrt_tokenizer_stream *s, struct sink *sink, uint8_t byte)
{
    bool valid;
    s->held[s->n_held++] = byte;
    for (;;) {
        uint8_t low, high;
        size_t n = qbrt_utf8_step(s->held, s->n_held, &valid);
        unsigned need = qbrt_utf8_lead(s->held[0], &low, &high);
        if (valid) {
            emit(s, sink, s->held, n);
            s->n_held = 0;
            return;
        }
        if (n == s->n_held && n < need)
            return; /* may still be completed */
        /* The byte does not go on what was held: that is lost, the byte begins anew. */
        bool alone = s->n_held == 1;
        s->n_held -= !alone;
        drop_held(s, sink);
        if (alone)
            return;
        s->held[0] = byte;
        s->n_held = 1;
    }
}

static void add_token(struct qbrt_tokenizer_stream *s, struct sink *sink, struct qbrt_text text,
                      bool is_byte)
{
    bool lossy = QBRT_HEADER(s->tokenizer, flags) & QBRT_TOKENIZER_LOSSY;
    if (!lossy && !is_byte) {
        drop_held(s, sink);
        emit(s, sink, text.data, text.length);
        return;
    }
    s->byte_run = !lossy;
    for (size_t i = 0; i < text.length; i++)
        add_byte(s, sink, text.data[i]);
}

/* The text of an id; false when it has none, or is special and not wanted. */
static bool text_of(const struct qbrt_tokenizer_stream *s, int32_t id, struct qbrt_text *text,
                    bool *is_byte)
{
    const struct qbrt_tokenizer *t = s->tokenizer;
    bool first = !s->begun && t->table[QBRT_TABLE_firsts].count > 0;
    if (id < 0 || (uint32_t)id >= QBRT_HEADER(t, vocab))
        return false;
    int table = first ? QBRT_TABLE_firsts : QBRT_TABLE_texts;
    uint32_t flags = qbrt_word(t, table, (size_t)id);
    if ((flags & QBRT_TEXT_ABSENT) ||
        ((flags & QBRT_TEXT_SPECIAL) && !(s->flags & QBRT_TOKENIZER_SPECIAL)))
        return false;
    *text = qbrt_string(t, table, (size_t)id);
    *is_byte = flags & QBRT_TEXT_BYTE;
    return true;
}

void qbrt_tokenizer_stream_begin(struct qbrt_tokenizer_stream *s, const struct qbrt_tokenizer *t,
                                 int flags)
{
    uint32_t strip = QBRT_HEADER(t, strip_count);
    *s = (struct qbrt_tokenizer_stream){
        .tokenizer = t, .flags = flags, .strip = (uint8_t)(strip < 255 ? strip : 255)};
}

size_t qbrt_tokenizer_stream_room(const struct qbrt_tokenizer *t)
{
    uint32_t longest = QBRT_HEADER(t, longest);
    return (size_t)longest * sizeof replacement + 16;
}

static void next(struct qbrt_tokenizer_stream *s, struct sink *sink, int32_t id)
{
    static const uint8_t space[] = " ";
    struct qbrt_text text;
    bool is_byte;
    if (!text_of(s, id, &text, &is_byte))
        return;
    if (s->begun && (QBRT_HEADER(s->tokenizer, flags) & QBRT_TOKENIZER_SPACED))
        emit(s, sink, space, 1);
    s->begun = true;
    add_token(s, sink, text, is_byte);
}

size_t qbrt_tokenizer_stream_next(struct qbrt_tokenizer_stream *s, int32_t id, char *text,
                                  size_t capacity)
{
    struct sink sink = {text, text ? capacity : 0, 0};
    next(s, &sink, id);
    return sink.length < sink.capacity ? sink.length : sink.capacity;
}

size_t qbrt_tokenizer_stream_end(struct qbrt_tokenizer_stream *s, char *text, size_t capacity)
{
    struct sink sink = {text, text ? capacity : 0, 0};
    drop_held(s, &sink);
    return sink.length < sink.capacity ? sink.length : sink.capacity;
}

/* A run of byte tokens begins at ids[i]: how many ids it spans (skipped ones in between count),
 * how many bytes it has, and whether they are UTF-8. All of a broken run is lost, as in
 * `tokenizers`. */
static size_t byte_run(const struct qbrt_tokenizer_stream *s, const int32_t *ids, size_t n,
                       size_t *bytes, bool *valid)
{
    struct qbrt_tokenizer_stream probe = *s;
    struct sink nothing = {NULL, 0, 0};
    struct qbrt_text text;
    bool is_byte;
    size_t i = 0, given = 0;
    *bytes = 0;
    probe.strip = 0;
    for (; i < n; i++) {
        if (!text_of(s, ids[i], &text, &is_byte))
            continue;
        if (!is_byte)
            break;
        add_token(&probe, &nothing, text, true);
        given = i + 1;
        *bytes += text.length;
    }
    *valid = probe.n_held == 0 && nothing.length == *bytes;
    return given;
}

static size_t decode_run(struct qbrt_tokenizer_stream *s, struct sink *sink, const int32_t *ids,
                         size_t n)
{
    size_t bytes;
    bool valid;
    size_t given = byte_run(s, ids, n, &bytes, &valid);
    for (size_t i = 0; valid && i < given; i++)
        next(s, sink, ids[i]);
    for (size_t i = 0; !valid && i < bytes; i++)
        emit(s, sink, replacement, sizeof replacement);
    s->begun = true;
    return given;
}

size_t qbrt_tokenizer_decode(const struct qbrt_tokenizer *t, const int32_t *ids, size_t n,
                             int flags, char *text, size_t capacity)
{
    struct sink sink = {text, text ? capacity : 0, 0};
    struct qbrt_tokenizer_stream s;
    bool lossy = QBRT_HEADER(t, flags) & QBRT_TOKENIZER_LOSSY;
    qbrt_tokenizer_stream_begin(&s, t, flags);
    for (size_t i = 0; i < n; i++) {
        struct qbrt_text token;
        bool is_byte = false;
        if (!lossy && text_of(&s, ids[i], &token, &is_byte) && is_byte)
            i += decode_run(&s, &sink, ids + i, n - i) - 1;
        else
            next(&s, &sink, ids[i]);
    }
    drop_held(&s, &sink);
    return sink.length;
}
