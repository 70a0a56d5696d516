/* tokenizer_split.c: cut a text into words, step by step, and hand each word to the model.
 *
 * Each splitter cuts the pieces that the one before made. The pieces are not stored: every piece
 * goes through all further splitters before the next one is looked for.
 */
#include "tokenizer_inside.h"

/* One splitter at work on one piece. */
struct cutter {
    struct qbrt_encoder *e;
    struct qbrt_text text;
    uint32_t next;     /* the splitter that gets the pieces */
    uint32_t behavior; /* enum qbrt_tokenizer_behavior */
    bool front;        /* the text is at the very start */
    bool held;         /* a part waits to be merged with others */
    bool matched;      /* what kind of part came last */
    size_t start, end; /* of the part that waits */
};

static void split_from(struct qbrt_encoder *e, uint32_t index, struct qbrt_text text, bool front);

static void give(struct cutter *c, size_t start, size_t end)
{
    struct qbrt_text piece = {c->text.data + start, end - start};
    if (piece.length > 0)
        split_from(c->e, c->next, piece, c->front && start == 0);
}

static void give_held(struct cutter *c)
{
    if (c->held)
        give(c, c->start, c->end);
    c->held = false;
}

/* Parts cover the text in order; `match` tells whether the expression matched there. What waits
 * can still grow to the right. */
static void part(struct cutter *c, size_t start, size_t end, bool match)
{
    bool joins = false;
    switch (c->behavior) {
    case QBRT_REMOVED:
        if (!match)
            give(c, start, end);
        return;
    case QBRT_CONTIGUOUS:
        joins = c->held && match == c->matched;
        break;
    case QBRT_MERGED_WITH_PREVIOUS:
        joins = c->held && match && !c->matched;
        break;
    case QBRT_MERGED_WITH_NEXT:
        joins = c->held && c->matched && !match;
        break;
    default:
        give(c, start, end);
        return;
    }
    if (!joins) {
        give_held(c);
        c->start = start;
    }
    c->end = end;
    c->held = true;
    c->matched = match;
}

static void cut(struct qbrt_encoder *e, const struct qbrt_tokenizer_operation *op, uint32_t next,
                struct qbrt_text text, bool front)
{
    struct cutter c = {.e = e, .text = text, .next = next, .behavior = op->b, .front = front};
    struct qbrt_matcher m;
    bool invert = op->flags & QBRT_INVERT;
    size_t last = 0, start, end;
    qbrt_match_begin(&m, e, op->a, op->flags & QBRT_BYTES, text);
    while (!e->small && qbrt_match_next(&m, &start, &end)) {
        if (start > last)
            part(&c, last, start, invert);
        part(&c, start, end, !invert);
        last = end;
    }
    if (last < text.length)
        part(&c, last, text.length, invert);
    give_held(&c);
    e->small = e->small || m.overflow;
}

static void split_from(struct qbrt_encoder *e, uint32_t index, struct qbrt_text text, bool front)
{
    struct qbrt_tokenizer_operation op;
    size_t used = e->used;
    for (; index < e->t->table[QBRT_TABLE_splitters].count && !e->small; index++) {
        if (index >= QBRT_TOKENIZER_OPERATIONS)
            return;
        qbrt_entry(e->t, QBRT_TABLE_splitters, index, &op, sizeof op);
        if (op.kind == QBRT_SPLIT) {
            cut(e, &op, index + 1, text, front);
            e->used = used;
            return;
        }
        text = qbrt_text_change(e, &op, text, &front);
    }
    if (!e->small && text.length > 0)
        qbrt_text_bpe(e, text);
    e->used = used;
}

void qbrt_text_split(struct qbrt_encoder *e, struct qbrt_text text, bool front)
{
    split_from(e, 0, text, front);
}
