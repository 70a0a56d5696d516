/* tokenizer_regex_class.c: the characters of expressions: escapes, properties, classes in brackets.
 * All of them are sets of characters.
 */
#include "tokenizer_regex.h"

#include <string.h>
#include <utf8proc.h>

/* --- the text of the expression */
struct node *qbc_regex_give_up(struct parser *p, const char *what)
{
    if (!p->failed)
        qbc_token_fail(p->b, "expression \"%s\": at %zu: %s", p->pattern.data, p->at, what);
    p->failed = true;
    return NULL;
}

bool qbc_regex_looking_at(const struct parser *p, const char *text)
{
    size_t n = strlen(text);
    return p->pattern.length - p->at >= n && !memcmp(p->pattern.data + p->at, text, n);
}

bool qbc_regex_skip(struct parser *p, const char *text)
{
    bool there = qbc_regex_looking_at(p, text);
    p->at += there ? strlen(text) : 0;
    return there;
}

bool qbc_regex_at_end(const struct parser *p)
{
    return p->at >= p->pattern.length;
}

int qbc_regex_peek(const struct parser *p)
{
    return qbc_regex_at_end(p) ? -1 : (unsigned char)p->pattern.data[p->at];
}

/* The character at the place, which is passed. */
uint32_t qbc_regex_next_character(struct parser *p)
{
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p->pattern.data + p->at,
                                          (utf8proc_ssize_t)(p->pattern.length - p->at), &c);
    if (n <= 0 || c < 0) {
        qbc_regex_give_up(p, "no character");
        p->at = p->pattern.length;
        return 0;
    }
    p->at += (size_t)n;
    return (uint32_t)c;
}

struct charset qbc_regex_cased(struct parser *p, struct charset set)
{
    return p->any_case ? qbc_token_charset_any_case(p->b, set) : set;
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
    for (; n < most && hex_digit(qbc_regex_peek(p)) >= 0; n++)
        value = value << 4 | (uint32_t)hex_digit((unsigned char)p->pattern.data[p->at++]);
    if (n == 0 || value >= CODE_POINTS)
        qbc_regex_give_up(p, "no character of this number");
    return value;
}

/* \p{name}, behind the p */
static struct charset property(struct parser *p, bool negative)
{
    struct charset set = {NULL, 0};
    if (!qbc_regex_skip(p, "{")) {
        qbc_regex_give_up(p, "a property must be in braces, as in \\p{L}");
        return set;
    }
    negative ^= qbc_regex_skip(p, "^");
    const char *start = p->pattern.data + p->at;
    const char *end = memchr(start, '}', p->pattern.length - p->at);
    struct text name = {start, end ? (size_t)(end - start) : 0};
    if (!qbc_token_charset_property(p->b, name, &set))
        qbc_regex_give_up(p, "this property of characters is not supported");
    p->at += name.length + 1;
    return negative ? qbc_token_charset_not(p->b, set) : set;
}

/* A set that a letter stands for: \s, \D, ...; false when the letter stands for none. */
bool qbc_regex_class_escape(struct parser *p, char letter, bool in_brackets, struct charset *set)
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
uint32_t qbc_regex_character_escape(struct parser *p)
{
    static const char letters[] = "ntrfvae", codes[] = "\n\t\r\f\v\a\x1b";
    int c = qbc_regex_peek(p);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    bool word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (letter) {
        p->at++;
        return (uint32_t)codes[letter - letters];
    }
    if (c == 'x' || c == 'u') {
        p->at++;
        bool braced = c == 'x' && qbc_regex_skip(p, "{");
        uint32_t value = hex_number(p, braced ? 8 : c == 'x' ? 2 : 4);
        if (braced && !qbc_regex_skip(p, "}"))
            qbc_regex_give_up(p, "a brace is missing");
        return value;
    }
    if (word && c < 0x80) {
        qbc_regex_give_up(p, "this escape is not supported");
        return 0;
    }
    return qbc_regex_next_character(p);
}

/* --- classes in brackets */

static bool posix_class(struct parser *p, struct charset *set)
{
    size_t start = p->at;
    bool negative;
    const char *name;
    if (!qbc_regex_skip(p, "[:"))
        return false;
    negative = qbc_regex_skip(p, "^");
    name = p->pattern.data + p->at;
    while (!qbc_regex_at_end(p) && qbc_regex_peek(p) >= 'a' && qbc_regex_peek(p) <= 'z')
        p->at++;
    struct text text = {name, (size_t)(p->pattern.data + p->at - name)};
    if (!qbc_regex_skip(p, ":]")) {
        p->at = start;
        return false;
    }
    if (!qbc_token_charset_property(p->b, text, set))
        qbc_regex_give_up(p, "this class is not supported");
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
    if (qbc_regex_skip(p, "["))
        return qbc_regex_parse_class(p);
    if (qbc_regex_skip(p, "\\")) {
        size_t escape = p->at++;
        if (escape < p->pattern.length &&
            qbc_regex_class_escape(p, p->pattern.data[escape], true, &set))
            return set;
        p->at = escape;
        *character = qbc_regex_skip(p, "b") ? '\b' : qbc_regex_character_escape(p);
    } else {
        *character = qbc_regex_next_character(p);
    }
    *single = true;
    return set;
}

static struct charset class_range(struct parser *p, uint32_t first)
{
    uint32_t last = first;
    bool single = true;
    size_t before = p->at;
    if (!qbc_regex_looking_at(p, "-]") && qbc_regex_skip(p, "-")) {
        class_item(p, &single, &last);
        if (!single) { /* as in [a-\s]: the hyphen is a character */
            p->at = before;
            last = first;
        }
    }
    if (last < first)
        qbc_regex_give_up(p, "this range of characters is empty");
    return p->failed ? (struct charset){NULL, 0} : qbc_token_charset_range(p->b, first, last);
}

/* Behind the opening bracket. */
struct charset qbc_regex_parse_class(struct parser *p)
{
    struct charset set = {NULL, 0}, other;
    bool negative = qbc_regex_skip(p, "^"), single, begun = false;
    uint32_t character = 0;
    if (++p->depth > QBC_REGEX_DEPTH)
        qbc_regex_give_up(p, "too deep");
    while (!p->failed && (!qbc_regex_looking_at(p, "]") || !begun)) {
        begun = true;
        if (qbc_regex_at_end(p)) {
            qbc_regex_give_up(p, "a bracket is missing");
            break;
        }
        if (qbc_regex_skip(
                p, "&&")) { /* the rest of the class, up to its bracket, is the other operand */
            other = qbc_regex_parse_class(p);
            p->at -= !p->failed; /* its bracket is ours */
            set = qbc_token_charset_and(p->b, qbc_regex_cased(p, set), other);
            continue;
        }
        other = class_item(p, &single, &character);
        set = qbc_token_charset_union(p->b, set, single ? class_range(p, character) : other);
    }
    qbc_regex_skip(p, "]");
    p->depth--;
    set = qbc_regex_cased(p, set);
    return negative ? qbc_token_charset_not(p->b, set) : set;
}
