/* tokenizer_regex.c: read an expression in Oniguruma's syntax (the one `tokenizers` uses, "Ruby").
 *
 * Everything that consumes a character becomes a set of characters at once: literals, classes,
 * properties, with their other cases under (?i). What the matcher cannot do (back references,
 * conditions, \K, \X) is an error that shows the place.
 *
 *   choice  := join ('|' join)*
 *   join    := repeat*
 *   repeat  := atom ('*' | '+' | '?' | '{n,m}')('?' | '+')? ...
 *   atom    := '(' choice ')' | '[' class ']' | '\' escape | '.' | '^' | '$' | character
 */
#include "tokenizer_regex.h"

#include <string.h>

enum { MAX_REPEAT = 100000 };

static struct node *parse_choice(struct parser *p);

static struct node *node(struct parser *p, struct node model)
{
    struct node *made = qbc_alloc(p->b->q, sizeof *made);
    *made = model;
    return made;
}

struct node *qbc_token_regex_set(struct builder *b, struct charset set)
{
    struct node *made = qbc_alloc(b->q, sizeof *made);
    *made = (struct node){.kind = NODE_SET, .set = set};
    return made;
}

struct node *qbc_token_regex_literal(struct builder *b, struct text text)
{
    struct parser p = {.b = b, .pattern = text};
    struct node *all = node(&p, (struct node){.kind = NODE_EMPTY});
    while (!qbc_regex_at_end(&p) && !p.failed) {
        uint32_t c = qbc_regex_next_character(&p);
        struct node *one = qbc_token_regex_set(b, qbc_token_charset_range(b, c, c));
        all = all->kind == NODE_EMPTY
                  ? one
                  : node(&p, (struct node){.kind = NODE_JOIN, .left = all, .right = one});
    }
    return p.failed ? NULL : all;
}

static struct charset line_break(struct parser *p)
{
    return qbc_token_charset_range(p->b, '\n', '\n');
}

/* --- groups */
static struct node *look(struct parser *p, uint32_t what)
{
    struct node *inside = parse_choice(p);
    if (!inside || !qbc_regex_skip(p, ")"))
        return qbc_regex_give_up(p, "a parenthesis is missing");
    return node(p, (struct node){.kind = NODE_LOOK, .what = what, .left = inside});
}

/* (?imx-imx) and (?imx-imx:...), behind the question mark */
static struct node *options(struct parser *p)
{
    bool on = true;
    for (; !qbc_regex_at_end(p) && qbc_regex_peek(p) != ')' && qbc_regex_peek(p) != ':'; p->at++) {
        switch (qbc_regex_peek(p)) {
        case '-':
            on = false;
            break;
        case 'i':
            p->any_case = on;
            break;
        case 'm':
            p->dot_all = on;
            break;
        case 'x':
            p->extended = on;
            break;
        default:
            return qbc_regex_give_up(p, "this kind of group is not supported");
        }
    }
    bool alone = qbc_regex_skip(p, ")"),
         colon = !alone && qbc_regex_skip(p, ":"); /* (?i): up to the end of the group around */
    struct node *inside = parse_choice(p);
    if (!inside || (colon && !qbc_regex_skip(p, ")")))
        return qbc_regex_give_up(p, "a parenthesis is missing");
    return inside;
}

/* Behind the opening parenthesis. */
static struct node *open_group(struct parser *p)
{
    static const struct {
        const char *open;
        uint32_t what;
    } looks[] = {{"?=", QBRT_LOOK_AHEAD},
                 {"?!", QBRT_LOOK_NOT_AHEAD},
                 {"?<=", QBRT_LOOK_BEHIND},
                 {"?<!", QBRT_LOOK_NOT_BEHIND},
                 {"?>", QBRT_LOOK_ATOMIC}};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (qbc_regex_skip(p, looks[i].open))
            return look(p, looks[i].what);
    if (qbc_regex_looking_at(p, "?<") ||
        qbc_regex_looking_at(p, "?'")) { /* a name: groups are all alike here */
        char close = p->pattern.data[p->at + 1] == '<' ? '>' : '\'';
        const char *end = memchr(p->pattern.data + p->at + 2, close, p->pattern.length - p->at - 2);
        if (!end)
            return qbc_regex_give_up(p, "the name of a group does not end");
        p->at = (size_t)(end + 1 - p->pattern.data);
    } else if (!qbc_regex_looking_at(p, "?:") && qbc_regex_skip(p, "?")) {
        return options(p);
    } else {
        qbc_regex_skip(p, "?:");
    }
    struct node *inside = parse_choice(p);
    if (!inside || !qbc_regex_skip(p, ")"))
        return qbc_regex_give_up(p, "a parenthesis is missing");
    return inside;
}

/* Options that are set inside of a group end with it. */
static struct node *group(struct parser *p)
{
    struct parser before = *p;
    struct node *inside = open_group(p);
    p->any_case = before.any_case;
    p->dot_all = before.dot_all;
    p->extended = before.extended;
    return inside;
}

/* --- atoms */
static struct node *assertion(struct parser *p, uint32_t what)
{
    struct charset set = {NULL, 0};
    if (what == QBRT_LINE_START || what == QBRT_LINE_END || what == QBRT_LAST_LINE_END)
        set = line_break(p);
    if (what == QBRT_BOUNDARY || what == QBRT_NOT_BOUNDARY)
        set = qbc_token_charset_onig_word(p->b, false);
    return node(p, (struct node){.kind = NODE_ASSERT, .what = what, .set = set});
}

/* Behind the backslash. */
static struct node *escape(struct parser *p)
{
    static const char letters[] = "AzZbB";
    static const uint32_t what[] = {QBRT_TEXT_START, QBRT_TEXT_END, QBRT_LAST_LINE_END,
                                    QBRT_BOUNDARY, QBRT_NOT_BOUNDARY};
    struct charset set = {NULL, 0};
    int c = qbc_regex_peek(p);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (c < 0)
        return qbc_regex_give_up(p, "nothing follows the backslash");
    if (letter) {
        p->at++;
        return assertion(p, what[letter - letters]);
    }
    size_t start = p->at++;
    if (qbc_regex_class_escape(p, (char)c, false, &set))
        return qbc_token_regex_set(p->b, set);
    p->at = start;
    uint32_t character = qbc_regex_character_escape(p);
    return qbc_token_regex_set(
        p->b, qbc_regex_cased(p, qbc_token_charset_range(p->b, character, character)));
}

static struct node *atom(struct parser *p)
{
    if (qbc_regex_skip(p, "("))
        return group(p);
    if (qbc_regex_skip(p, "["))
        return qbc_token_regex_set(p->b, qbc_regex_parse_class(p));
    if (qbc_regex_skip(p, "\\"))
        return escape(p);
    if (qbc_regex_skip(p, "^"))
        return assertion(p, QBRT_LINE_START);
    if (qbc_regex_skip(p, "$"))
        return assertion(p, QBRT_LINE_END);
    if (qbc_regex_skip(p, "."))
        return qbc_token_regex_set(p->b, p->dot_all
                                             ? qbc_token_charset_range(p->b, 0, CODE_POINTS - 1)
                                             : qbc_token_charset_not(p->b, line_break(p)));
    if (strchr("*+?", qbc_regex_peek(p)))
        return qbc_regex_give_up(p, "nothing to repeat");
    uint32_t c = qbc_regex_next_character(p);
    return qbc_token_regex_set(p->b, qbc_regex_cased(p, qbc_token_charset_range(p->b, c, c)));
}

/* --- repetition */
static bool number(struct parser *p, uint32_t *value)
{
    size_t start = p->at;
    for (*value = 0; qbc_regex_peek(p) >= '0' && qbc_regex_peek(p) <= '9' && *value < MAX_REPEAT;
         p->at++)
        *value = *value * 10 + (uint32_t)(qbc_regex_peek(p) - '0');
    return p->at > start;
}

/* {n}, {n,}, {,m}, {n,m}; anything else is no interval and stays where it is. */
static bool interval(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    bool ok = qbc_regex_skip(p, "{");
    *min = *max = 0;
    bool low = ok && number(p, min), comma = ok && qbc_regex_skip(p, ","),
         high = ok && number(p, max);
    if (ok && !comma)
        *max = *min;
    if (ok && comma && !high)
        *max = UINT32_MAX;
    *min = low ? *min : 0;
    ok = ok && (low || high) && qbc_regex_skip(p, "}");
    if (!ok)
        p->at = start;
    return ok;
}

static bool quantifier(struct parser *p, uint32_t *min, uint32_t *max, uint32_t *mode)
{
    bool star = qbc_regex_skip(p, "*"), plus = !star && qbc_regex_skip(p, "+"),
         maybe = !star && !plus && qbc_regex_skip(p, "?");
    bool braces = !star && !plus && !maybe && interval(p, min, max);
    *mode = QBRT_GREEDY;
    if (!braces) {
        *min = plus;
        *max = maybe ? 1 : UINT32_MAX;
    }
    if (braces && *min == *max)
        return true; /* in this syntax {n}? and {n}+ repeat the repetition */
    if (star || plus || maybe || braces) {
        if (qbc_regex_skip(p, "?"))
            *mode = QBRT_LAZY;
        else if (!braces && qbc_regex_skip(p, "+"))
            *mode = QBRT_POSSESSIVE;
    }
    return star || plus || maybe || braces;
}

static struct node *parse_repeat(struct parser *p)
{
    struct node *inside = atom(p);
    uint32_t min, max, mode;
    while (inside && !p->failed && quantifier(p, &min, &max, &mode)) {
        if (max < min || (max != UINT32_MAX && max > MAX_REPEAT) || min > MAX_REPEAT)
            return qbc_regex_give_up(p, "this repetition is not supported");
        inside =
            node(p, (struct node){
                        .kind = NODE_REPEAT, .left = inside, .min = min, .max = max, .mode = mode});
    }
    return p->failed ? NULL : inside;
}

static struct node *parse_join(struct parser *p)
{
    struct node *all = node(p, (struct node){.kind = NODE_EMPTY});
    while (!p->failed && !qbc_regex_at_end(p) && !qbc_regex_looking_at(p, "|") &&
           !qbc_regex_looking_at(p, ")")) {
        if (p->extended && strchr(" \t\r\n\f\v#", qbc_regex_peek(p))) {
            bool comment = qbc_regex_peek(p) == '#';
            while (comment && !qbc_regex_at_end(p) && qbc_regex_peek(p) != '\n')
                p->at++;
            p->at += !qbc_regex_at_end(p);
            continue;
        }
        struct node *one = parse_repeat(p);
        if (!one)
            return NULL;
        all = all->kind == NODE_EMPTY
                  ? one
                  : node(p, (struct node){.kind = NODE_JOIN, .left = all, .right = one});
    }
    return all;
}

static struct node *parse_choice(struct parser *p)
{
    if (++p->depth > QBC_REGEX_DEPTH)
        return qbc_regex_give_up(p, "too deep");
    struct node *first = parse_join(p);
    if (first && qbc_regex_skip(p, "|")) {
        struct node *rest = parse_choice(p);
        p->depth--; /* alternatives are no nesting */
        first =
            rest ? node(p, (struct node){.kind = NODE_CHOICE, .left = first, .right = rest}) : NULL;
        p->depth++;
    }
    p->depth--;
    return first;
}

struct node *qbc_token_regex_parse(struct builder *b, struct text pattern)
{
    struct parser p = {.b = b, .pattern = pattern};
    struct node *root = parse_choice(&p);
    if (root && !p.failed && !qbc_regex_at_end(&p))
        return qbc_regex_give_up(&p, "a parenthesis too many");
    return p.failed ? NULL : root;
}
