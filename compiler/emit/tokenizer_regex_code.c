/* tokenizer_regex_code.c: from the tree of an expression to instructions (tokenizer_blob.h). */
#include "tokenizer_build.h"

enum { MOST_INSTRUCTIONS = 1 << 16, LONGEST = 1 << 20 };

/* Shortest and longest match of a node, in characters. */
struct lengths {
    uint32_t least, most; /* most: UINT32_MAX when there is no bound */
};

static uint32_t times(uint32_t a, uint32_t n)
{
    uint64_t product = (uint64_t)a * n;
    if (a == 0 || n == 0)
        return 0;
    return a == UINT32_MAX || n == UINT32_MAX || product > LONGEST ? UINT32_MAX : (uint32_t)product;
}

static uint32_t plus(uint32_t a, uint32_t c)
{
    uint64_t sum = (uint64_t)a + c;
    return sum > LONGEST ? UINT32_MAX : (uint32_t)sum;
}

static struct lengths lengths_of(const struct node *n)
{
    struct lengths a, c;
    switch (n->kind) {
    case NODE_SET:
        return (struct lengths){1, 1};
    case NODE_JOIN:
        a = lengths_of(n->left);
        c = lengths_of(n->right);
        return (struct lengths){plus(a.least, c.least), plus(a.most, c.most)};
    case NODE_CHOICE:
        a = lengths_of(n->left);
        c = lengths_of(n->right);
        return (struct lengths){a.least < c.least ? a.least : c.least,
                                a.most > c.most ? a.most : c.most};
    case NODE_REPEAT:
        a = lengths_of(n->left);
        return (struct lengths){times(a.least, n->min), times(a.most, n->max)};
    case NODE_LOOK:
        return n->what == QBRT_LOOK_ATOMIC ? lengths_of(n->left) : (struct lengths){0, 0};
    default:
        return (struct lengths){0, 0};
    }
}

/* --- instructions */
static uint32_t here(const struct builder *b)
{
    return (uint32_t)qbc_token_table_count(b, QBRT_TABLE_program);
}

static void word(struct builder *b, uint32_t value)
{
    qbc_token_table_word(b, QBRT_TABLE_program, value);
}

static void patch(struct builder *b, uint32_t at)
{
    ((uint32_t *)(void *)b->table[QBRT_TABLE_program].data)[at] = here(b);
}

/* FORK with one target that is right behind it and one to be patched; gives the place of that. */
static uint32_t fork_over(struct builder *b, bool lazy)
{
    uint32_t at = here(b);
    b->header.stack_extra++;
    word(b, QBRT_CODE_FORK);
    word(b, at + 3);
    word(b, at + 3);
    return lazy ? at + 1 : at + 2;
}

static bool write(struct builder *b, const struct node *n);

static bool write_choice(struct builder *b, const struct node *n)
{
    uint32_t other = fork_over(b, false), end;
    if (!write(b, n->left))
        return false;
    end = here(b);
    word(b, QBRT_CODE_JUMP);
    patch(b, other);
    if (!write(b, n->right))
        return false;
    ((uint32_t *)(void *)b->table[QBRT_TABLE_program].data)[end] = QBRT_CODE_JUMP | here(b) << 8;
    return true;
}

/* Any number of something that is more than one character. */
static bool write_loop(struct builder *b, const struct node *n)
{
    uint32_t start = here(b);
    bool lazy = n->mode == QBRT_LAZY;
    if (lengths_of(n->left).least == 0)
        return qbc_token_fail(
            b, "expressions that repeat something that can be empty are not supported");
    uint32_t forks = b->header.stack_extra;
    uint32_t end = fork_over(b, lazy);
    if (!write(b, n->left))
        return false;
    b->header.stack_growth += b->header.stack_extra - forks;
    word(b, QBRT_CODE_JUMP | start << 8);
    patch(b, end);
    return true;
}

/* The optional rest of {n,m}: (x(x(x)?)?)? */
static bool write_options(struct builder *b, const struct node *n)
{
    uint32_t count = n->max - n->min;
    uint32_t *end = qbc_alloc(b->q, (count + 1) * sizeof *end);
    for (uint32_t i = 0; i < count; i++) {
        end[i] = fork_over(b, n->mode == QBRT_LAZY);
        if (!write(b, n->left))
            return false;
    }
    for (uint32_t i = 0; i < count; i++)
        patch(b, end[i]);
    return true;
}

static bool write_look(struct builder *b, const struct node *n, uint32_t what);

static bool write_repeat(struct builder *b, const struct node *n)
{
    if (n->left->kind == NODE_SET) {
        b->header.stack_extra++;
        word(b, QBRT_CODE_REPEAT | qbc_token_class_add(b, n->left->set) << 8);
        word(b, n->min);
        word(b, n->max);
        word(b, n->mode);
        return true;
    }
    if (n->mode == QBRT_POSSESSIVE) {
        struct node greedy = *n;
        struct node atomic = {.kind = NODE_LOOK, .left = &greedy};
        greedy.mode = QBRT_GREEDY;
        return write_look(b, &atomic, QBRT_LOOK_ATOMIC);
    }
    for (uint32_t i = 0; i < n->min; i++)
        if (!write(b, n->left))
            return false;
    return n->max == UINT32_MAX ? write_loop(b, n) : write_options(b, n);
}

static bool write_look(struct builder *b, const struct node *n, uint32_t what)
{
    struct lengths lengths = lengths_of(n->left);
    bool behind = what == QBRT_LOOK_BEHIND || what == QBRT_LOOK_NOT_BEHIND;
    uint32_t at = here(b);
    if (behind && lengths.least != lengths.most && n->left->kind == NODE_CHOICE) {
        struct node left = {.kind = NODE_LOOK, .what = what, .left = n->left->left};
        struct node right = {.kind = NODE_LOOK, .what = what, .left = n->left->right};
        struct node both = {.kind = what == QBRT_LOOK_BEHIND ? NODE_CHOICE : NODE_JOIN,
                            .left = &left,
                            .right = &right};
        return write(b, &both);
    }
    if (behind && lengths.least != lengths.most)
        return qbc_token_fail(b,
                              "expressions that look behind by a varying length are not supported");
    word(b, QBRT_CODE_LOOK | what << 8);
    word(b, 0);
    word(b, behind ? lengths.least : 0);
    if (!write(b, n->left))
        return false;
    word(b, QBRT_CODE_MATCH);
    patch(b, at + 1);
    return true;
}

static bool write(struct builder *b, const struct node *n)
{
    if (here(b) > MOST_INSTRUCTIONS)
        return qbc_token_fail(b, "its expressions are too long");
    switch (n->kind) {
    case NODE_SET:
        word(b, QBRT_CODE_CLASS | qbc_token_class_add(b, n->set) << 8);
        return true;
    case NODE_JOIN:
        return write(b, n->left) && write(b, n->right);
    case NODE_CHOICE:
        return write_choice(b, n);
    case NODE_REPEAT:
        return write_repeat(b, n);
    case NODE_LOOK:
        return write_look(b, n, n->what);
    case NODE_ASSERT:
        word(b, QBRT_CODE_ASSERT | n->what << 8);
        word(b, n->set.n ? qbc_token_class_add(b, n->set) : 0);
        return true;
    default:
        return true;
    }
}

bool qbc_token_regex_write(struct builder *b, struct node *node, uint32_t *entry, uint32_t *least)
{
    *entry = here(b);
    *least = lengths_of(node).least;
    if (!write(b, node))
        return false;
    word(b, QBRT_CODE_MATCH);
    return true;
}
