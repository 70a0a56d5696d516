/* tokenizer_match.c: a tiny backtracking matcher for the expressions that cut texts.
 *
 * The compiler translated the expression to a few instructions (tokenizer_blob.h) over *kinds* of
 * characters: the classes of all expressions of a tokenizer divide Unicode into some dozen kinds,
 * one trie tells the kind of a character, and a class is a set of kinds. Semantics are those of
 * Oniguruma: leftmost match, first alternative that leads to a match, greedy unless told otherwise.
 *
 * The frames of backtracking lie in scratch. Repeating a class takes one frame however long the
 * run is, so ordinary expressions need a handful of frames.
 */
#include "tokenizer_inside.h"

enum { NO_MATCH = -1, MAX_DEPTH = 16, RESUME = 0, SHRINK = 1, GROW = 2 };

/* Where to go on when what follows does not match. */
struct frame {
    uint32_t code; /* instruction */
    uint32_t pos;
    uint32_t limit; /* SHRINK: smallest pos; GROW: repetitions that are left */
    uint32_t what;
};

unsigned qbrt_match_kind(const struct qbrt_matcher *m, size_t pos, size_t *after)
{
    const struct qbrt_tokenizer_table *kinds = &m->t->table[QBRT_TABLE_kinds];
    uint8_t byte = m->text.data[pos];
    if (kinds->count < 2 * QBRT_TOKENIZER_KINDS) {
        *after = pos + 1;
        return 0;
    }
    if (m->bytes || byte < 0x80) {
        *after = pos + 1;
        return kinds->data[byte + (m->bytes ? 256 : 0)];
    }
    size_t bytes;
    const uint8_t *end = m->text.data + m->text.length;
    uint32_t c = qbrt_utf8_decode(m->text.data + pos, end, &bytes);
    *after = pos + bytes;
    return qbrt_kind(m->t, c);
}

size_t qbrt_match_before(const struct qbrt_matcher *m, size_t pos)
{
    size_t lowest = pos > 4 ? pos - 4 : 0;
    pos--;
    while (!m->bytes && pos > lowest && (m->text.data[pos] & 0xc0) == 0x80)
        pos--;
    return pos;
}

static uint32_t word(const struct qbrt_matcher *m, size_t at)
{
    return qbrt_word(m->t, QBRT_TABLE_program, at);
}

static bool step(const struct qbrt_matcher *m, uint32_t class, size_t *pos)
{
    size_t after;
    if (*pos >= m->text.length || !qbrt_in_class(m->t, class, qbrt_match_kind(m, *pos, &after)))
        return false;
    *pos = after;
    return true;
}

static void spend(struct qbrt_matcher *m, uint32_t steps)
{
    *m->steps -= steps < *m->steps ? steps : *m->steps;
}

static bool push(struct qbrt_matcher *m, size_t *top, struct frame frame)
{
    if (*top >= m->room) {
        m->overflow = true;
        return false;
    }
    memcpy(m->stack + (*top)++ * sizeof frame, &frame, sizeof frame);
    return true;
}

/* REPEAT: take characters, and leave a frame for taking fewer (or, lazily, more). */
static bool repeat(struct qbrt_matcher *m, size_t code, size_t *pos, size_t *top)
{
    uint32_t class = word(m, code) >> 8, min = word(m, code + 1), max = word(m, code + 2);
    uint32_t mode = word(m, code + 3), taken = 0;
    while (taken < min && step(m, class, pos))
        taken++;
    spend(m, taken);
    if (taken < min)
        return false;
    if (mode == QBRT_LAZY)
        return max == min || push(m, top,
                                  (struct frame){.code = (uint32_t)code,
                                                 .pos = (uint32_t)*pos,
                                                 .limit = max - min,
                                                 .what = GROW});
    size_t least = *pos;
    while (taken < max && step(m, class, pos))
        taken++;
    spend(m, taken);
    if (mode == QBRT_POSSESSIVE || *pos == least)
        return true;
    return push(m, top,
                (struct frame){.code = (uint32_t)code + 4,
                               .pos = (uint32_t)*pos,
                               .limit = (uint32_t)least,
                               .what = SHRINK});
}

/* Take the newest frame and go on there; false when there is none above `base`. */
static bool backtrack(struct qbrt_matcher *m, size_t base, size_t *top, size_t *code, size_t *pos)
{
    while (*top > base) {
        struct frame frame;
        memcpy(&frame, m->stack + (*top - 1) * sizeof frame, sizeof frame);
        (*top)--;
        *code = frame.code;
        *pos = frame.pos;
        if (frame.what == SHRINK) {
            size_t before = qbrt_match_before(m, frame.pos);
            frame.pos = (uint32_t)(before > frame.limit ? before : frame.limit);
            *pos = frame.pos;
            return frame.pos == frame.limit || push(m, top, frame);
        }
        if (frame.what == RESUME)
            return true;
        if (!step(m, word(m, frame.code) >> 8, pos))
            continue;
        *code = frame.code + 4;
        frame.pos = (uint32_t)*pos;
        frame.limit -= frame.limit != UINT32_MAX;
        return frame.limit == 0 || push(m, top, frame);
    }
    return false;
}

static bool class_at(const struct qbrt_matcher *m, uint32_t class, size_t pos)
{
    return pos < m->text.length && step(m, class, &pos);
}

static bool class_before(const struct qbrt_matcher *m, uint32_t class, size_t pos)
{
    return pos > 0 && class_at(m, class, qbrt_match_before(m, pos));
}

static bool holds(const struct qbrt_matcher *m, uint32_t assertion, uint32_t class, size_t pos)
{
    size_t end = m->text.length;
    switch (assertion) {
    case QBRT_TEXT_START:
        return pos == 0;
    case QBRT_TEXT_END:
        return pos == end;
    case QBRT_LINE_START: /* not behind the very last line break, as Oniguruma has it */
        return pos == 0 || (pos < end && class_before(m, class, pos));
    case QBRT_LINE_END:
        return pos == end || class_at(m, class, pos);
    case QBRT_LAST_LINE_END:
        return pos == end || (pos + 1 == end && class_at(m, class, pos));
    default:
        return (class_before(m, class, pos) != class_at(m, class, pos)) ==
               (assertion == QBRT_BOUNDARY);
    }
}

static int64_t run(struct qbrt_matcher *m, size_t code, size_t pos, size_t base, int depth);

/* LOOK: where to go on behind it, or NO_MATCH. */
static int64_t look(struct qbrt_matcher *m, size_t code, size_t pos, size_t top, int depth)
{
    uint32_t kind = word(m, code) >> 8, back = word(m, code + 2);
    bool negative = kind == QBRT_LOOK_NOT_AHEAD || kind == QBRT_LOOK_NOT_BEHIND;
    size_t start = pos;
    if (kind == QBRT_LOOK_BEHIND || kind == QBRT_LOOK_NOT_BEHIND) {
        for (; back > 0 && start > 0; back--) {
            start = qbrt_match_before(m, start);
            spend(m, 1);
        }
        if (back > 0)
            return negative ? (int64_t)pos : NO_MATCH;
    }
    int64_t end = run(m, code + 3, start, top, depth + 1);
    if (kind == QBRT_LOOK_ATOMIC)
        return end;
    return (end != NO_MATCH) != negative ? (int64_t)pos : NO_MATCH;
}

/* Run one instruction; false when it does not match here. */
static bool execute(struct qbrt_matcher *m, size_t *code, size_t *pos, size_t *top, int depth)
{
    size_t at = *code;
    uint32_t instruction = word(m, at), operand = instruction >> 8;
    switch (instruction & 0xff) {
    case QBRT_CODE_CLASS:
        *code = at + 1;
        return step(m, operand, pos);
    case QBRT_CODE_REPEAT:
        *code = at + 4;
        return repeat(m, at, pos, top);
    case QBRT_CODE_FORK:
        *code = word(m, at + 1);
        return push(m, top, (struct frame){.code = word(m, at + 2), .pos = (uint32_t)*pos});
    case QBRT_CODE_JUMP:
        *code = operand;
        return true;
    case QBRT_CODE_LOOK: {
        int64_t next = look(m, at, *pos, *top, depth);
        *code = word(m, at + 1);
        *pos = next == NO_MATCH ? *pos : (size_t)next;
        return next != NO_MATCH;
    }
    case QBRT_CODE_ASSERT:
        *code = at + 2;
        return holds(m, operand, word(m, at + 1), *pos);
    default:
        return false;
    }
}

/* Run the program from `code` at `pos`; the end of the match or NO_MATCH. */
static int64_t run(struct qbrt_matcher *m, size_t code, size_t pos, size_t base, int depth)
{
    size_t top = base;
    if (depth > MAX_DEPTH)
        return NO_MATCH;
    while (*m->steps > 0 && !m->overflow) {
        --*m->steps;
        if ((word(m, code) & 0xff) == QBRT_CODE_MATCH)
            return (int64_t)pos;
        if (!execute(m, &code, &pos, &top, depth) && !backtrack(m, base, &top, &code, &pos))
            return NO_MATCH;
    }
    return NO_MATCH;
}

void qbrt_match_begin(struct qbrt_matcher *m, struct qbrt_encoder *e, uint32_t entry, bool bytes,
                      struct qbrt_text text)
{
    size_t aligned = (e->used + 7) & ~(size_t)7;
    *m = (struct qbrt_matcher){
        .t = e->t,
        .text = text,
        .bytes = bytes,
        .entry = entry,
        .stack = e->scratch + aligned,
        .room = aligned < e->size ? (e->size - aligned) / sizeof(struct frame) : 0,
        .steps = &e->steps,
    };
}

/* The leftmost match at or behind `from`. */
static bool search(struct qbrt_matcher *m, size_t from, size_t *start, size_t *end)
{
    size_t pos = from, after;
    for (;;) {
        int64_t found = run(m, m->entry, pos, 0, 0);
        if (m->overflow || *m->steps == 0)
            return false;
        if (found != NO_MATCH) {
            *start = pos;
            *end = (size_t)found;
            return true;
        }
        if (pos >= m->text.length)
            return false;
        qbrt_match_kind(m, pos, &after);
        pos = after;
    }
}

bool qbrt_match_next(struct qbrt_matcher *m, size_t *start, size_t *end)
{
    while (m->from <= m->text.length && search(m, m->from, start, end)) {
        /* Like Rust's onig: no empty match right behind the last match. */
        if (*start == *end && m->matched && m->last == *end) {
            size_t after = m->from + 1;
            if (m->from < m->text.length)
                qbrt_match_kind(m, m->from, &after);
            m->from = after;
            continue;
        }
        m->from = *end;
        m->last = *end;
        m->matched = true;
        return true;
    }
    return false;
}
