/* tokenizer_build.h: what the files share that compile a tokenizer. They fill the tables of
 * runtime/tokenizer_tables.def one after the other; tokenizer_blob.c puts them together.
 */
#ifndef QBC_TOKENIZER_BUILD_H
#define QBC_TOKENIZER_BUILD_H

#include "json.h"
#include "base.h"
#include "tokenizer.h"
#include "tokenizer_blob.h"

enum { CODE_POINTS = 0x110000 };

struct text {
    const char *data;
    size_t length;
};

/* Bytes that grow; in the arena. */
struct bytes {
    uint8_t *data;
    size_t n, room;
};

/* A set of characters: sorted ranges first .. last, none touching the next. */
struct range {
    uint32_t first, last;
};

struct charset {
    struct range *range;
    size_t n;
};

struct token {
    struct text text;
    int32_t id;
};

/* Bounds for the bytes of a text on its way: of one valid byte become at most `valid`, of one that
 * is no UTF-8 (and so becomes U+FFFD) at most `broken`; `extra` come once. */
struct growth {
    uint64_t valid, broken, extra;
};

struct builder {
    struct qbc *q;
    const char *path;
    const cJSON *root;
    struct bytes table[QBRT_TABLE_COUNT];
    struct qbrt_tokenizer_header header;

    /* tokenizer_vocab.c */
    struct token *token; /* of the model */
    size_t n_tokens;
    uint32_t *token_slot; /* hash table: index + 1 */
    size_t token_mask;
    struct text *id_text; /* [n_ids] what decoding starts from; data NULL: no such token */
    struct text *key;     /* [header.vocab] what the model looks up; empty: nothing leads there */
    bool *id_added;       /* [n_ids] */
    int32_t n_ids;

    /* tokenizer_added.c */
    struct added *added;
    size_t n_added;

    bool byte_level; /* characters of the vocabulary stand for bytes */
    int32_t char_to_byte[512];
    uint16_t byte_to_char[256];

    /* tokenizer_class.c */
    uint8_t *category; /* [CODE_POINTS] utf8proc_category_t */
    uint32_t *fold;    /* [CODE_POINTS] */
    struct charset *class;
    size_t n_classes, room_classes;

    /* tokenizer_trie.c */
    struct trie_index *trie_index;

    struct growth growth; /* of the text up to here */
    uint64_t text_growth, text_extra;
};

struct added {
    struct text content, spelling; /* spelling: as it is looked for */
    int32_t id;
    uint32_t flags; /* enum qbrt_tokenizer_added_flags */
    bool normalized;
};

/* --- tokenizer_blob.c */
void qbc_token_bytes_add(struct builder *b, struct bytes *bytes, const void *data, size_t n);
void qbc_token_table_add(struct builder *b, int table, const void *entry, size_t bytes);
void qbc_token_table_word(struct builder *b, int table, uint32_t word);
size_t qbc_token_table_count(const struct builder *b, int table);
/* Offset of a string in the pool; appended. */
uint32_t qbc_token_pool_add(struct builder *b, struct text text);
bool qbc_token_blob_finish(struct builder *b, uint8_t **blob, size_t *size);
bool qbc_token_fail(struct builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct text qbc_token_text_of(struct builder *b, const char *json_string);
bool qbc_token_text_equal(struct text a, struct text b);
bool qbc_token_text_is(struct text a, const char *b);
/* Name of a component, for messages: its "type", or "?". */
const char *qbc_token_type_of(const cJSON *component);

/* --- tokenizer_vocab.c */
bool qbc_token_vocab_read(struct builder *b);                            /* model.vocab */
int32_t qbc_token_vocab_find(const struct builder *b, struct text text); /* id or -1 */
void qbc_token_vocab_set_id(struct builder *b, int32_t id, struct text text, bool added);
void qbc_token_vocab_write(struct builder *b); /* bytes; sets b->key */
/* slots, if the model needs them, and keys, if they are not what ids are decoded to */
bool qbc_token_keys_write(struct builder *b, const struct text *texts);
/* A text with each byte spelled as a character, as ByteLevel does. */
struct text qbc_token_vocab_spell(struct builder *b, struct text text);
/* The bytes that a token's characters stand for; false when some stand for none. */
bool qbc_token_vocab_bytes(struct builder *b, struct text text, struct text *out);

/* --- tokenizer_bpe.c */
bool qbc_token_bpe_write(struct builder *b);

/* --- tokenizer_added.c */
bool qbc_token_added_read(struct builder *b);
bool qbc_token_added_write(struct builder *b);
bool qbc_token_added_is_special(const struct builder *b, struct text content);
int32_t qbc_token_added_find(const struct builder *b, struct text content); /* id or -1 */

/* --- tokenizer_normalizer.c, tokenizer_splitter.c, tokenizer_decoder.c, tokenizer_post.c */
bool qbc_token_normalizer_write(struct builder *b);
bool qbc_token_splitter_write(struct builder *b);
bool qbc_token_decoder_write(struct builder *b); /* texts, firsts, slots, keys */
/* Strings one after the other in the pool, and their places; flags may be NULL. */
bool qbc_token_strings_write(struct builder *b, int table, const struct text *text,
                             const uint32_t *flags, size_t n);
bool qbc_token_post_write(struct builder *b);
/* Operation "put a string in front", into `table`. */
void qbc_token_prepend_write(struct builder *b, int table, uint32_t flags, struct text with);
/* Operation "replace matches": `pattern` is {"String": ...} or {"Regex": ...}. */
bool qbc_token_replace_write(struct builder *b, int table, uint32_t flags, const cJSON *pattern,
                             struct text with);

/* --- tokenizer_unicode.c: operations MAP */
enum unicode_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };
void qbc_token_unicode_form_write(struct builder *b, enum unicode_form form);
void qbc_token_lowercase_write(struct builder *b);
/* Remove the characters of `removed`, write a space for those of `space`. */
void qbc_token_filter_write(struct builder *b, struct charset removed, struct charset space);

/* --- tokenizer_trie.c */
uint32_t qbc_token_trie_write(struct builder *b, const uint16_t *value);  /* [CODE_POINTS] */
uint32_t qbc_token_kinds_write(struct builder *b, const uint16_t *value); /* numbers below 256 */

/* --- tokenizer_charset.c */
struct charset qbc_token_charset_range(struct builder *b, uint32_t first, uint32_t last);
struct charset qbc_token_charset_union(struct builder *b, struct charset a, struct charset c);
struct charset qbc_token_charset_not(struct builder *b, struct charset a);
struct charset qbc_token_charset_and(struct builder *b, struct charset a, struct charset c);
bool qbc_token_charset_has(struct charset a, uint32_t c);
/* A property, as in \p{...} or [:...:]; n = 0 with NULL ranges when unknown. */
bool qbc_token_charset_property(struct builder *b, struct text name, struct charset *out);
struct charset qbc_token_charset_space(struct builder *b);
struct charset qbc_token_charset_word(struct builder *b); /* \w of Rust */
/* \w of Oniguruma, which is not quite the same inside of brackets. */
struct charset qbc_token_charset_onig_word(struct builder *b, bool in_brackets);
struct charset qbc_token_charset_any_case(struct builder *b, struct charset a);

/* --- tokenizer_class.c */
uint32_t qbc_token_class_add(struct builder *b, struct charset set); /* number of the class */
bool qbc_token_classes_write(struct builder *b);

/* --- tokenizer_regex.c, tokenizer_regex_code.c */
enum node_kind {
    NODE_EMPTY,
    NODE_SET,
    NODE_JOIN,
    NODE_CHOICE,
    NODE_REPEAT,
    NODE_LOOK,
    NODE_ASSERT
};

struct node {
    enum node_kind kind;
    struct charset set;        /* SET */
    struct node *left, *right; /* JOIN, CHOICE; REPEAT and LOOK: left */
    uint32_t min, max;         /* REPEAT; UINT32_MAX: any number */
    uint32_t mode;             /* REPEAT: enum qbrt_tokenizer_mode */
    uint32_t what;             /* LOOK, ASSERT: enum of tokenizer_blob.h */
};

/* Parse an expression; NULL after an error. */
struct node *qbc_token_regex_parse(struct builder *b, struct text pattern);
struct node *qbc_token_regex_set(struct builder *b, struct charset set);
struct node *qbc_token_regex_literal(struct builder *b, struct text text);
/* Translate to instructions; false after an error. `least` becomes the smallest number of
 * characters of a match. */
bool qbc_token_regex_write(struct builder *b, struct node *node, uint32_t *entry, uint32_t *least);

#endif
