/* tokenizer_regex.h: the state of reading an expression, shared by tokenizer_regex.c (its
 * structure) and tokenizer_regex_class.c (its characters).
 */
#ifndef QBC_TOKENIZER_REGEX_H
#define QBC_TOKENIZER_REGEX_H

#include "tokenizer_build.h"

enum { QBC_REGEX_DEPTH = 100 };

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

/* Report what is wrong at the place, once. */
struct node *qbc_regex_give_up(struct parser *p, const char *what);
bool qbc_regex_looking_at(const struct parser *p, const char *text);
bool qbc_regex_skip(struct parser *p, const char *text); /* if it is there */
bool qbc_regex_at_end(const struct parser *p);
int qbc_regex_peek(const struct parser *p);          /* the byte at the place, -1 at the end */
uint32_t qbc_regex_next_character(struct parser *p); /* at the place, which is passed */
struct charset qbc_regex_cased(struct parser *p, struct charset set); /* other cases under (?i) */

/* A set that a letter behind a backslash stands for: s, D, p{...}; false when it stands for none.
 */
bool qbc_regex_class_escape(struct parser *p, char letter, bool in_brackets, struct charset *set);
/* A character that an escape stands for; behind the backslash. */
uint32_t qbc_regex_character_escape(struct parser *p);
/* Behind the opening bracket. */
struct charset qbc_regex_parse_class(struct parser *p);

#endif
