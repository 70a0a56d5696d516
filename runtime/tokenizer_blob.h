/* tokenizer_blob.h: the layout of a tokenizer blob, shared by its writer (compiler/emit) and its
 * reader. All numbers are little-endian; offsets count from the start of the blob; tables begin at
 * multiples of 8. docs/tokenizer.md tells it in prose.
 */
#ifndef QBRT_TOKENIZER_BLOB_H
#define QBRT_TOKENIZER_BLOB_H

#include <stddef.h>
#include <stdint.h>

enum {
    QBRT_TOKENIZER_MAGIC = 0x4b544251, /* "QBTK" */
    QBRT_TOKENIZER_VERSION = 1,
    QBRT_TOKENIZER_KINDS = 256,     /* kinds of characters that expressions can tell apart */
    QBRT_TOKENIZER_PROBES = 64,     /* the longest walk in the hash table */
    QBRT_TOKENIZER_OPERATIONS = 32, /* most operations in a list */
    QBRT_TOKENIZER_NONE = -1
};

enum qbrt_tokenizer_model {
    QBRT_TOKENIZER_BPE = 1,
    QBRT_TOKENIZER_WORDPIECE = 2,
    QBRT_TOKENIZER_UNIGRAM = 3
};

enum qbrt_tokenizer_header_flags {
    QBRT_TOKENIZER_BYTE_LEVEL = 1,    /* a symbol is a byte, not a character */
    QBRT_TOKENIZER_IGNORE_MERGES = 2, /* a word that is a token is that token */
    QBRT_TOKENIZER_BYTE_FALLBACK = 4, /* an unknown character is its bytes' tokens */
    QBRT_TOKENIZER_FUSE_UNKNOWN = 8,  /* unknown characters in a row are one token */
    QBRT_TOKENIZER_LOSSY = 16,        /* decoded bytes may be no UTF-8 */
    QBRT_TOKENIZER_SPACED = 32,       /* no decoder: a space between tokens */
    QBRT_TOKENIZER_EARLY_BYTES = 64   /* late tokens look at bytes, as ByteLevel spells them */
};

enum qbrt_tokenizer_table_id {
#define TABLE(name, bytes) QBRT_TABLE_##name,
#include "tokenizer_tables.def"
#undef TABLE
    QBRT_TABLE_COUNT
};

struct qbrt_tokenizer_place {
    uint32_t offset; /* of the first entry */
    uint32_t count;  /* entries */
};

struct qbrt_tokenizer_header {
    uint32_t magic, version, size, model;
    uint32_t flags, vocab;
    int32_t unknown;                       /* id or -1 */
    uint32_t longest;                      /* bytes of the longest entry of texts */
    uint32_t text_growth, text_extra;      /* bytes of buffers for a text: growth * bytes + extra */
    uint32_t word_growth, word_extra;      /* bytes of the longest word, likewise */
    uint32_t stack_growth, stack_extra;    /* frames of the matcher, likewise */
    uint32_t strip_character, strip_count; /* what decoding takes from the front of a text */
    uint32_t space_class, word_class;      /* of added tokens that look at their neighbours */
    uint32_t kind_trie;                    /* from a character to its kind */
    uint32_t reserved[5];
    struct qbrt_tokenizer_place table[32];
};

/* Entry i of texts, firsts and keys: the string from its place up to the place of entry i + 1. */
enum qbrt_tokenizer_text_flags {
    QBRT_TEXT_BYTE = (int)0x80000000, /* a byte token: its only byte is part of a character */
    QBRT_TEXT_SPECIAL = 0x40000000,   /* decode leaves it out */
    QBRT_TEXT_ABSENT = 0x20000000,    /* no token has this id */
    QBRT_TEXT_PLACE = 0x1fffffff      /* offset in the pool */
};

struct qbrt_tokenizer_merge {
    uint32_t right, rank, id;
};

/* An operation of a normalizer or a splitter.
 *
 * kind     flags              a         b         c
 * PREPEND  UNLESS, FIRST      -         offset    length     put a string in front
 * REPLACE  BYTES              program   offset    length     a string for each match
 * MAP      HANGUL, ORDER,     trie      -         -          characters to strings: decompose,
 *          COMPOSE                                           lower case, remove
 * STRIP    LEFT, RIGHT        class     -         -          remove at the ends
 * SPLIT    INVERT, BYTES      program   behavior  -          cut at matches
 */
struct qbrt_tokenizer_operation {
    uint32_t kind, flags, a, b, c, d;
};

enum qbrt_tokenizer_operation_kind {
    QBRT_PREPEND = 1,
    QBRT_REPLACE = 2,
    QBRT_MAP = 3,
    QBRT_STRIP = 4,
    QBRT_SPLIT = 5
};

enum qbrt_tokenizer_operation_flags {
    QBRT_UNLESS = 1,  /* ... the text begins with the string */
    QBRT_FIRST = 2,   /* only at the very start of what encode was given */
    QBRT_BYTES = 4,   /* a character is a byte, as ByteLevel spells it */
    QBRT_INVERT = 8,  /* what does not match is the match */
    QBRT_HANGUL = 16, /* take syllables apart */
    QBRT_ORDER = 32,  /* sort combining marks */
    QBRT_COMPOSE = 64,
    QBRT_LEFT = 128,
    QBRT_RIGHT = 256
};

enum qbrt_tokenizer_behavior {
    QBRT_ISOLATED = 0,
    QBRT_REMOVED = 1,
    QBRT_CONTIGUOUS = 2,
    QBRT_MERGED_WITH_PREVIOUS = 3,
    QBRT_MERGED_WITH_NEXT = 4
};

/* What becomes of a character: record 0 is "nothing". */
struct qbrt_tokenizer_record {
    uint32_t offset; /* of a string in the pool */
    uint16_t length; /* bytes, or one of the two below */
    uint8_t class;   /* canonical combining class */
    uint8_t flags;
};

enum qbrt_tokenizer_record_length {
    QBRT_RECORD_KEEP = 0xffff,  /* stays as it is */
    QBRT_RECORD_SPACED = 0xfffe /* stays, with a space on each side */
};

enum qbrt_tokenizer_record_flags {
    QBRT_RECORD_MOVES = 1,   /* a text with it may not be in normal form */
    QBRT_RECORD_COMPOSES = 2 /* it may be the second of a composition */
};

struct qbrt_tokenizer_composition {
    uint32_t first, second, composed;
};

struct qbrt_tokenizer_added {
    uint32_t offset, length; /* spelling, in the pool */
    uint32_t id;
    uint32_t flags;
};

enum qbrt_tokenizer_added_flags {
    QBRT_ADDED_SINGLE_WORD = 1,
    QBRT_ADDED_LSTRIP = 2,
    QBRT_ADDED_RSTRIP = 4,
    QBRT_ADDED_SPECIAL = 8
};

/* Instructions of the matcher. A word is code | operand << 8; more words may follow.
 *
 * MATCH                           done
 * CLASS   class                   one character of the class
 * REPEAT  class, min, max, mode   many of them
 * FORK    -, target, target       try the first, then the second
 * JUMP    target
 * LOOK    look, target, back      run what follows up to its MATCH, then go to target
 * ASSERT  assertion, class
 */
enum qbrt_tokenizer_code {
    QBRT_CODE_MATCH = 0,
    QBRT_CODE_CLASS = 1,
    QBRT_CODE_REPEAT = 2,
    QBRT_CODE_FORK = 3,
    QBRT_CODE_JUMP = 4,
    QBRT_CODE_LOOK = 5,
    QBRT_CODE_ASSERT = 6
};

enum qbrt_tokenizer_mode { QBRT_GREEDY = 0, QBRT_LAZY = 1, QBRT_POSSESSIVE = 2 };

enum qbrt_tokenizer_look {
    QBRT_LOOK_ATOMIC = 0, /* go on where it ended, never back into it */
    QBRT_LOOK_AHEAD = 1,
    QBRT_LOOK_NOT_AHEAD = 2,
    QBRT_LOOK_BEHIND = 3, /* `back` characters before */
    QBRT_LOOK_NOT_BEHIND = 4
};

enum qbrt_tokenizer_assertion {
    QBRT_TEXT_START = 0,
    QBRT_TEXT_END = 1,
    QBRT_LINE_START = 2,    /* class: line breaks */
    QBRT_LINE_END = 3,      /* class: line breaks */
    QBRT_LAST_LINE_END = 4, /* class: line breaks */
    QBRT_BOUNDARY = 5,      /* class: word characters */
    QBRT_NOT_BOUNDARY = 6   /* class: word characters */
};

/* A character c leads to leaf[32 * middle[32 * top[trie + (c >> 10)] + (c >> 5 & 31)] + (c & 31)].
 * Leaves are in trie_leaf, those of the kinds of characters in kind_leaf. */
enum { QBRT_TRIE_TOP = 0x110000 >> 10, QBRT_TRIE_MIDDLE = 32, QBRT_TRIE_LEAF = 32 };

/* Where a key begins its walk in the table `slots` (FNV-1a, with its high bits mixed in). */
static inline uint32_t qbrt_tokenizer_hash(const uint8_t *key, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return hash ^ hash >> 15;
}

_Static_assert(QBRT_TABLE_COUNT <= 32, "the header has room for 32 tables");
_Static_assert(sizeof(struct qbrt_tokenizer_header) == 24 * 4 + 32 * 8, "the layout on disk");
_Static_assert(sizeof(struct qbrt_tokenizer_operation) == 24, "the layout on disk");
_Static_assert(sizeof(struct qbrt_tokenizer_record) == 8, "the layout on disk");
_Static_assert(sizeof(struct qbrt_tokenizer_added) == 16, "the layout on disk");

#endif
