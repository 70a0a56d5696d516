/* tokenizer_normalize.c: the operations that change a text before or while it is cut into words. */
#include "tokenizer_inside.h"

static bool begins_with(struct qbrt_text text, struct qbrt_text with)
{
    return text.length >= with.length && memcmp(text.data, with.data, with.length) == 0;
}

static struct qbrt_text prepend(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                                struct qbrt_text text, bool front)
{
    struct qbrt_text with = qbrt_pool_text(e->t, op->b, op->c);
    if (text.length == 0 || ((op->flags & QBRT_UNLESS) && begins_with(text, with)) ||
        ((op->flags & QBRT_FIRST) && !front))
        return text;
    uint8_t *out = qbrt_encoder_alloc(e, with.length + text.length);
    if (!out)
        return (struct qbrt_text){text.data, 0};
    memcpy(out, with.data, with.length);
    memcpy(out + with.length, text.data, text.length);
    return (struct qbrt_text){out, with.length + text.length};
}

/* Write the text with all matches replaced to `out`, or, if that is NULL, only count. */
static size_t replace_into(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                           struct qbrt_text text, uint8_t *out, bool *front)
{
    struct qbrt_text with = qbrt_pool_text(e->t, op->b, op->c);
    struct qbrt_matcher m;
    size_t length = 0, last = 0, start, end, after;
    qbrt_match_begin(&m, e, op->a, op->flags & QBRT_BYTES, text);
    while (qbrt_match_next(&m, &start, &end)) {
        if (out && start > last)
            memcpy(out + length, text.data + last, start - last);
        length += start - last;
        if (out && with.length)
            memcpy(out + length, with.data, with.length);
        length += with.length;
        if (start == 0 && end > 0) { /* a new first character stems from the last one replaced */
            qbrt_match_kind(&m, 0, &after);
            *front = *front && after == end && with.length;
        }
        last = end;
    }
    e->small = e->small || m.overflow;
    if (out && text.length > last)
        memcpy(out + length, text.data + last, text.length - last);
    return length + text.length - last;
}

static struct qbrt_text replace(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                                struct qbrt_text text, bool *front)
{
    bool ignored = true;
    size_t length = text.length ? replace_into(e, op, text, NULL, &ignored) : 0;
    uint8_t *out = qbrt_encoder_alloc(e, length);
    if (!out)
        return (struct qbrt_text){text.data, 0};
    if (length > 0 && replace_into(e, op, text, out, front) != length)
        length = 0; /* less scratch for the matcher this time: e->small is set */
    return (struct qbrt_text){out, length};
}

static struct qbrt_text strip(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                              struct qbrt_text text, bool *front)
{
    struct qbrt_matcher m;
    size_t start = 0, end = text.length, at;
    qbrt_match_begin(&m, e, 0, false, text);
    while ((op->flags & QBRT_LEFT) && start < end &&
           qbrt_in_class(e->t, op->a, qbrt_match_kind(&m, start, &at)))
        start = at < end ? at : end;
    while ((op->flags & QBRT_RIGHT) && end > start) {
        size_t before = qbrt_match_before(&m, end);
        if (before < start || !qbrt_in_class(e->t, op->a, qbrt_match_kind(&m, before, &at)))
            break;
        end = before;
    }
    *front = *front && start == 0;
    return (struct qbrt_text){text.data + start, end - start};
}

struct qbrt_text qbrt_text_change(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op,
                                  struct qbrt_text text, bool *front)
{
    switch (op->kind) {
    case QBRT_PREPEND:
        return prepend(e, op, text, *front);
    case QBRT_REPLACE:
        return replace(e, op, text, front);
    case QBRT_MAP:
        return qbrt_text_map(e, op, text, front);
    case QBRT_STRIP:
        return strip(e, op, text, front);
    default:
        return text;
    }
}

struct qbrt_text qbrt_text_normalize(struct qbrt_encoder *e, struct qbrt_text text, bool *front)
{
    size_t base = e->used;
    uint32_t n = e->t->table[QBRT_TABLE_normalizers].count;
    for (uint32_t i = 0; i < n && i < QBRT_TOKENIZER_OPERATIONS && !e->small; i++) {
        struct qbrt_tokenizer_operation op;
        qbrt_entry(e->t, QBRT_TABLE_normalizers, i, &op, sizeof op);
        struct qbrt_text out = qbrt_text_change(e, &op, text, front);
        if (out.length > 0 && out.data >= e->scratch + base && out.data < e->scratch + e->used &&
            e->used > base) { /* keep one text only: move it down over the one it came from */
            memmove(e->scratch + base, out.data, out.length);
            out.data = e->scratch + base;
            e->used = base + ((out.length + 7) & ~(size_t)7);
        }
        text = out;
    }
    return text;
}
