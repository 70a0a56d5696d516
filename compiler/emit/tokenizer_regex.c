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
#include "tokenizer_build.h"

#include <string.h>
#include <utf8proc.h>

enum { MAX_DEPTH = 100, MAX_REPEAT = 100000 };

struct parser {
    struct builder *b;
    struct text pattern;
    size_t at;
    bool any_case; /* (?i) */
    bool dot_all;  /* (?m), as Ruby calls it */
    bool extended; /* (?x) */
    bool failed;
    int depth;
};

static struct node *parse_choice(struct parser *p);

static struct node *give_up(struct parser *p, const char *what)
{
    if (!p->failed)
        qbc_token_fail(p->b, "expression \"%s\": at %zu: %s", p->pattern.data, p->at, what);
    p->failed = true;
    return NULL;
}

static bool looking_at(const struct parser *p, const char *text)
{
    size_t n = strlen(text);
    return p->pattern.length - p->at >= n && !memcmp(p->pattern.data + p->at, text, n);
}

static bool skip(struct parser *p, const char *text)
{
    bool there = looking_at(p, text);
    p->at += there ? strlen(text) : 0;
    return there;
}

static bool at_end(const struct parser *p)
{
    return p->at >= p->pattern.length;
}

static int peek(const struct parser *p)
{
    return at_end(p) ? -1 : (unsigned char)p->pattern.data[p->at];
}

/* The character at the place, which is passed. */
static uint32_t next_character(struct parser *p)
{
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)p->pattern.data + p->at,
                         (utf8proc_ssize_t)(p->pattern.length - p->at), &c);
    if (n <= 0 || c < 0) {
        give_up(p, "no character");
        p->at = p->pattern.length;
        return 0;
    }
    p->at += (size_t)n;
    return (uint32_t)c;
}

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
    while (!at_end(&p) && !p.failed) {
        uint32_t c = next_character(&p);
        struct node *one = qbc_token_regex_set(b, qbc_token_charset_range(b, c, c));
        all = all->kind == NODE_EMPTY
                  ? one
                  : node(&p, (struct node){.kind = NODE_JOIN, .left = all, .right = one});
    }
    return p.failed ? NULL : all;
}

static struct charset cased(struct parser *p, struct charset set)
{
    return p->any_case ? qbc_token_charset_any_case(p->b, set) : set;
}

static struct charset line_break(struct parser *p)
{
    return qbc_token_charset_range(p->b, '\n', '\n');
}

/* --- escapes */
static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* At most `most` hexadecimal digits. */
static uint32_t hex_number(struct parser *p, int most)
{
    uint32_t value = 0;
    int n = 0;
    for (; n < most && hex_digit(peek(p)) >= 0; n++)
        value = value << 4 | (uint32_t)hex_digit((unsigned char)p->pattern.data[p->at++]);
    if (n == 0 || value >= CODE_POINTS)
        give_up(p, "no character of this number");
    return value;
}

/* \p{name}, behind the p */
static struct charset property(struct parser *p, bool negative)
{
    struct charset set = {NULL, 0};
    if (!skip(p, "{")) {
        give_up(p, "a property must be in braces, as in \\p{L}");
        return set;
    }
    negative ^= skip(p, "^");
    const char *start = p->pattern.data + p->at;
    const char *end = memchr(start, '}', p->pattern.length - p->at);
    struct text name = {start, end ? (size_t)(end - start) : 0};
    if (!qbc_token_charset_property(p->b, name, &set))
        give_up(p, "this property of characters is not supported");
    p->at += name.length + 1;
    return negative ? qbc_token_charset_not(p->b, set) : set;
}

/* A set that a letter stands for: \s, \D, ...; false when the letter stands for none. */
static bool class_escape(struct parser *p, char letter, bool in_brackets, struct charset *set)
{
    bool negative = letter >= 'A' && letter <= 'Z';
    switch (letter | 32) {
    case 's':
        *set = qbc_token_charset_space(p->b);
        break;
    case 'd':
        qbc_token_charset_property(p->b, (struct text){"Nd", 2}, set);
        break;
    case 'w':
        *set = qbc_token_charset_onig_word(p->b, in_brackets);
        break;
    case 'h':
        qbc_token_charset_property(p->b, (struct text){"xdigit", 6}, set);
        break;
    case 'p':
        *set = property(p, negative);
        return true;
    default:
        return false;
    }
    if (negative)
        *set = qbc_token_charset_not(p->b, *set);
    return true;
}

/* A character that an escape stands for; behind the backslash. */
static uint32_t character_escape(struct parser *p)
{
    static const char letters[] = "ntrfvae", codes[] = "\n\t\r\f\v\a\x1b";
    int c = peek(p);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    bool word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (letter) {
        p->at++;
        return (uint32_t)codes[letter - letters];
    }
    if (c == 'x' || c == 'u') {
        p->at++;
        bool braced = c == 'x' && skip(p, "{");
        uint32_t value = hex_number(p, braced ? 8 : c == 'x' ? 2 : 4);
        if (braced && !skip(p, "}"))
            give_up(p, "a brace is missing");
        return value;
    }
    if (word && c < 0x80) {
        give_up(p, "this escape is not supported");
        return 0;
    }
    return next_character(p);
}

/* --- classes in brackets */
static struct charset parse_class(struct parser *p);

static bool posix_class(struct parser *p, struct charset *set)
{
    size_t start = p->at;
    bool negative;
    const char *name;
    if (!skip(p, "[:"))
        return false;
    negative = skip(p, "^");
    name = p->pattern.data + p->at;
    while (!at_end(p) && peek(p) >= 'a' && peek(p) <= 'z')
        p->at++;
    struct text text = {name, (size_t)(p->pattern.data + p->at - name)};
    if (!skip(p, ":]")) {
        p->at = start;
        return false;
    }
    if (!qbc_token_charset_property(p->b, text, set))
        give_up(p, "this class is not supported");
    if (text.length == 5 && !memcmp(text.data, "punct", 5)) { /* unlike \p{Punct} */
        struct charset symbols;
        qbc_token_charset_property(p->b, (struct text){"S", 1}, &symbols);
        *set = qbc_token_charset_union(p->b, *set, symbols);
    }
    if (negative)
        *set = qbc_token_charset_not(p->b, *set);
    return true;
}

/* One item: a set, or, with *single, a character that may begin a range. */
static struct charset class_item(struct parser *p, bool *single, uint32_t *character)
{
    struct charset set = {NULL, 0};
    *single = false;
    if (posix_class(p, &set))
        return set;
    if (skip(p, "["))
        return parse_class(p);
    if (skip(p, "\\")) {
        size_t escape = p->at++;
        if (escape < p->pattern.length && class_escape(p, p->pattern.data[escape], true, &set))
            return set;
        p->at = escape;
        *character = skip(p, "b") ? '\b' : character_escape(p);
    } else {
        *character = next_character(p);
    }
    *single = true;
    return set;
}

static struct charset class_range(struct parser *p, uint32_t first)
{
    uint32_t last = first;
    bool single = true;
    size_t before = p->at;
    if (!looking_at(p, "-]") && skip(p, "-")) {
        class_item(p, &single, &last);
        if (!single) { /* as in [a-\s]: the hyphen is a character */
            p->at = before;
            last = first;
        }
    }
    if (last < first)
        give_up(p, "this range of characters is empty");
    return p->failed ? (struct charset){NULL, 0} : qbc_token_charset_range(p->b, first, last);
}

/* Behind the opening bracket. */
static struct charset parse_class(struct parser *p)
{
    struct charset set = {NULL, 0}, other;
    bool negative = skip(p, "^"), single, begun = false;
    uint32_t character = 0;
    if (++p->depth > MAX_DEPTH)
        give_up(p, "too deep");
    while (!p->failed && (!looking_at(p, "]") || !begun)) {
        begun = true;
        if (at_end(p)) {
            give_up(p, "a bracket is missing");
            break;
        }
        if (skip(p, "&&")) { /* the rest of the class, up to its bracket, is the other operand */
            other = parse_class(p);
            p->at -= !p->failed; /* its bracket is ours */
            set = qbc_token_charset_and(p->b, cased(p, set), other);
            continue;
        }
        other = class_item(p, &single, &character);
        set = qbc_token_charset_union(p->b, set, single ? class_range(p, character) : other);
    }
    skip(p, "]");
    p->depth--;
    set = cased(p, set);
    return negative ? qbc_token_charset_not(p->b, set) : set;
}

/* --- groups */
static struct node *look(struct parser *p, uint32_t what)
{
    struct node *inside = parse_choice(p);
    if (!inside || !skip(p, ")"))
        return give_up(p, "a parenthesis is missing");
    return node(p, (struct node){.kind = NODE_LOOK, .what = what, .left = inside});
}

/* (?imx-imx) and (?imx-imx:...), behind the question mark */
static struct node *options(struct parser *p)
{
    bool on = true;
    for (; !at_end(p) && peek(p) != ')' && peek(p) != ':'; p->at++) {
        switch (peek(p)) {
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
            return give_up(p, "this kind of group is not supported");
        }
    }
    bool alone = skip(p, ")"), colon = !alone && skip(p, ":"); /* (?i): up to the end of the group around */
    struct node *inside = parse_choice(p);
    if (!inside || (colon && !skip(p, ")")))
        return give_up(p, "a parenthesis is missing");
    return inside;
}

/* Behind the opening parenthesis. */
static struct node *open_group(struct parser *p)
{
    static const struct {
        const char *open;
        uint32_t what;
    } looks[] = {{"?=", QBRT_LOOK_AHEAD},         {"?!", QBRT_LOOK_NOT_AHEAD},
                 {"?<=", QBRT_LOOK_BEHIND},       {"?<!", QBRT_LOOK_NOT_BEHIND},
                 {"?>", QBRT_LOOK_ATOMIC}};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (skip(p, looks[i].open))
            return look(p, looks[i].what);
    if (looking_at(p, "?<") || looking_at(p, "?'")) { /* a name: groups are all alike here */
        char close = p->pattern.data[p->at + 1] == '<' ? '>' : '\'';
        const char *end =
            memchr(p->pattern.data + p->at + 2, close, p->pattern.length - p->at - 2);
        if (!end)
            return give_up(p, "the name of a group does not end");
        p->at = (size_t)(end + 1 - p->pattern.data);
    } else if (!looking_at(p, "?:") && skip(p, "?")) {
        return options(p);
    } else {
        skip(p, "?:");
    }
    struct node *inside = parse_choice(p);
    if (!inside || !skip(p, ")"))
        return give_up(p, "a parenthesis is missing");
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
    int c = peek(p);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (c < 0)
        return give_up(p, "nothing follows the backslash");
    if (letter) {
        p->at++;
        return assertion(p, what[letter - letters]);
    }
    size_t start = p->at++;
    if (class_escape(p, (char)c, false, &set))
        return qbc_token_regex_set(p->b, set);
    p->at = start;
    uint32_t character = character_escape(p);
    return qbc_token_regex_set(p->b, cased(p, qbc_token_charset_range(p->b, character, character)));
}

static struct node *atom(struct parser *p)
{
    if (skip(p, "("))
        return group(p);
    if (skip(p, "["))
        return qbc_token_regex_set(p->b, parse_class(p));
    if (skip(p, "\\"))
        return escape(p);
    if (skip(p, "^"))
        return assertion(p, QBRT_LINE_START);
    if (skip(p, "$"))
        return assertion(p, QBRT_LINE_END);
    if (skip(p, "."))
        return qbc_token_regex_set(p->b, p->dot_all ? qbc_token_charset_range(p->b, 0, CODE_POINTS - 1)
                                          : qbc_token_charset_not(p->b, line_break(p)));
    if (strchr("*+?", peek(p)))
        return give_up(p, "nothing to repeat");
    uint32_t c = next_character(p);
    return qbc_token_regex_set(p->b, cased(p, qbc_token_charset_range(p->b, c, c)));
}

/* --- repetition */
static bool number(struct parser *p, uint32_t *value)
{
    size_t start = p->at;
    for (*value = 0; peek(p) >= '0' && peek(p) <= '9' && *value < MAX_REPEAT; p->at++)
        *value = *value * 10 + (uint32_t)(peek(p) - '0');
    return p->at > start;
}

/* {n}, {n,}, {,m}, {n,m}; anything else is no interval and stays where it is. */
static bool interval(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    bool ok = skip(p, "{");
    *min = *max = 0;
    bool low = ok && number(p, min), comma = ok && skip(p, ","), high = ok && number(p, max);
    if (ok && !comma)
        *max = *min;
    if (ok && comma && !high)
        *max = UINT32_MAX;
    *min = low ? *min : 0;
    ok = ok && (low || high) && skip(p, "}");
    if (!ok)
        p->at = start;
    return ok;
}

static bool quantifier(struct parser *p, uint32_t *min, uint32_t *max, uint32_t *mode)
{
    bool star = skip(p, "*"), plus = !star && skip(p, "+"), maybe = !star && !plus && skip(p, "?");
    bool braces = !star && !plus && !maybe && interval(p, min, max);
    *mode = QBRT_GREEDY;
    if (!braces) {
        *min = plus;
        *max = maybe ? 1 : UINT32_MAX;
    }
    if (braces && *min == *max)
        return true; /* in this syntax {n}? and {n}+ repeat the repetition */
    if (star || plus || maybe || braces) {
        if (skip(p, "?"))
            *mode = QBRT_LAZY;
        else if (!braces && skip(p, "+"))
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
            return give_up(p, "this repetition is not supported");
        inside = node(p, (struct node){
                             .kind = NODE_REPEAT, .left = inside, .min = min, .max = max,
                             .mode = mode});
    }
    return p->failed ? NULL : inside;
}

static struct node *parse_join(struct parser *p)
{
    struct node *all = node(p, (struct node){.kind = NODE_EMPTY});
    while (!p->failed && !at_end(p) && !looking_at(p, "|") && !looking_at(p, ")")) {
        if (p->extended && strchr(" \t\r\n\f\v#", peek(p))) {
            bool comment = peek(p) == '#';
            while (comment && !at_end(p) && peek(p) != '\n')
                p->at++;
            p->at += !at_end(p);
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
    if (++p->depth > MAX_DEPTH)
        return give_up(p, "too deep");
    struct node *first = parse_join(p);
    if (first && skip(p, "|")) {
        struct node *rest = parse_choice(p);
        p->depth--; /* alternatives are no nesting */
        first = rest ? node(p, (struct node){.kind = NODE_CHOICE, .left = first, .right = rest})
                     : NULL;
        p->depth++;
    }
    p->depth--;
    return first;
}

struct node *qbc_token_regex_parse(struct builder *b, struct text pattern)
{
    struct parser p = {.b = b, .pattern = pattern};
    struct node *root = parse_choice(&p);
    if (root && !p.failed && !at_end(&p))
        return give_up(&p, "a parenthesis too many");
    return p.failed ? NULL : root;
}
