/* expression: what an elementwise operation computes, as text, becomes operations.
 *
 *     x / (1 + exp(-x))        x < 0 ? alpha{0.01} * x : x        x && y
 *
 * x, y, z, w are the operation's operands, all of one element; numbers take the element of what they meet. NAME{V} is the
 * attribute NAME, V where it is absent. Operators are C's: ?: || && == != < <= > >= | ^ & << >> + - * / % and unary - ! ~; %
 * has the sign of the dividend. Both sides of ?: are computed. Functions: those of functions.c, and min, max, pow, abs,
 * sign, isnan, isinf, f32 (its argument as an f32).
 */
#include "general.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct value {
    struct g_num n;
    bool literal;
    double number; /* of a literal */
};

struct parser {
    struct g_op *o;
    struct general *g;
    const char *at;
    const struct g_num *arguments;
    size_t n;
};

static struct value choice(struct parser *p);

static bool take(struct parser *p, const char *word)
{
    while (*p->at == ' ')
        ++p->at;
    size_t n = strlen(word);
    if (strncmp(p->at, word, n))
        return false;
    p->at += n;
    return true;
}

static struct value literal(double number)
{
    return (struct value){.literal = true, .number = number};
}

static struct value made(struct g_num n)
{
    return (struct value){.n = n};
}

/* A literal alone is of the first argument's element. */
static struct g_num solid(struct parser *p, struct value v, enum qbc_element like)
{
    return v.literal ? g_const(p->g, like, v.number) : v.n;
}

static enum qbc_element first_element(const struct parser *p)
{
    return p->n ? p->arguments[0].element : QBC_F32;
}

static void unify(struct parser *p, struct value *a, struct value *b)
{
    enum qbc_element like = !a->literal ? a->n.element : !b->literal ? b->n.element : first_element(p);
    a->n = solid(p, *a, like);
    b->n = solid(p, *b, like);
}

/* --- atoms */

static struct value attribute(struct parser *p, const char *name)
{
    double fallback = strtod(p->at, (char **)&p->at);
    take(p, "}");
    return literal(g_attr_float(p->o, name, (double)g_attr_int(p->o, name, 0) + (g_has_attr(p->o, name) ? 0 : fallback)));
}

static struct g_num absolute(struct parser *p, struct g_num x)
{
    if (g_is_float(x.element))
        return (struct g_num){k_op1(&p->g->k, "math.absf", x.v), x.element};
    if (g_is_unsigned(x.element))
        return x;
    return g_select(p->g, g_compare(p->g, G_LT, x, g_int(p->g, x.element, 0)), g_neg(p->g, x), x);
}

static struct g_num sign(struct parser *p, struct g_num x)
{
    struct general *g = p->g;
    struct g_num zero = g_int(g, x.element, 0), one = g_int(g, x.element, 1), minus = g_int(g, x.element, -1);
    struct g_num y = g_select(g, g_compare(g, G_GT, x, zero), one, zero);
    return g_is_unsigned(x.element) ? y : g_select(g, g_compare(g, G_LT, x, zero), minus, y);
}

static struct g_num infinite(struct parser *p, struct g_num x)
{
    return g_compare(p->g, G_EQ, absolute(p, x), g_const(p->g, x.element, INFINITY));
}

static struct value call_two(struct parser *p, const char *name, struct value a, struct value b)
{
    if (!strcmp(name, "pow")) {
        struct g_num x = solid(p, a, first_element(p));
        return made(g_power(p->g, x, b.literal ? g_const(p->g, x.element, b.number) : b.n));
    }
    unify(p, &a, &b);
    return made(g_do(p->g, !strcmp(name, "min") ? G_MIN : G_MAX, a.n, b.n));
}

static struct value call(struct parser *p, const char *name)
{
    struct value a = choice(p);
    if (take(p, ",")) {
        struct value b = choice(p);
        take(p, ")");
        return call_two(p, name, a, b);
    }
    take(p, ")");
    if (a.literal && !strcmp(name, "exp"))
        return literal(exp(a.number));
    if (a.literal && !strcmp(name, "sqrt"))
        return literal(sqrt(a.number));
    struct g_num x = solid(p, a, first_element(p));
    if (!strcmp(name, "abs"))
        return made(absolute(p, x));
    if (!strcmp(name, "sign"))
        return made(sign(p, x));
    if (!strcmp(name, "isnan"))
        return made(g_compare(p->g, G_NE, x, x));
    if (!strcmp(name, "isinf"))
        return made(infinite(p, x));
    if (!strcmp(name, "f32"))
        return made(g_convert(p->g, x, QBC_F32));
    return made(g_call(p->g, name, x));
}

static struct value atom(struct parser *p)
{
    static const char letters[] = "xyzw";
    char name[32];
    size_t n = 0;
    if (take(p, "(")) {
        struct value v = choice(p);
        take(p, ")");
        return v;
    }
    while (*p->at == ' ')
        ++p->at;
    if (isdigit((unsigned char)*p->at) || *p->at == '.')
        return literal(strtod(p->at, (char **)&p->at));
    while ((isalnum((unsigned char)*p->at) || *p->at == '_') && n + 1 < sizeof name)
        name[n++] = *p->at++;
    name[n] = 0;
    if (take(p, "("))
        return call(p, name);
    if (take(p, "{"))
        return attribute(p, name);
    if (!strcmp(name, "inf"))
        return literal(INFINITY);
    const char *letter = n == 1 ? strchr(letters, *name) : NULL;
    return made(p->arguments[letter ? letter - letters : 0]);
}

static struct value unary(struct parser *p)
{
    if (take(p, "-")) {
        struct value v = unary(p);
        return v.literal ? literal(-v.number) : made(g_neg(p->g, v.n));
    }
    if (take(p, "!") || take(p, "~"))
        return made(g_not(p->g, solid(p, unary(p), QBC_BOOL)));
    return atom(p);
}

/* --- operators, loosest first */

static const struct level {
    const char *names[6];
    int code[6];
} levels[] = {
    {{"||"}, {G_OR}},
    {{"&&"}, {G_AND}},
    {{"==", "!="}, {100 + G_EQ, 100 + G_NE}},
    {{"<=", ">=", "<", ">"}, {100 + G_LE, 100 + G_GE, 100 + G_LT, 100 + G_GT}},
    {{"|"}, {G_OR}},
    {{"^"}, {G_XOR}},
    {{"&"}, {G_AND}},
    {{"<<", ">>"}, {G_SHL, G_SHR}},
    {{"+", "-"}, {G_ADD, G_SUB}},
    {{"*", "/", "%"}, {G_MUL, G_DIV, G_REM}},
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

/* Index of the operator of this level that comes next; -1. One that begins a longer one is not meant. */
static int next_operator(struct parser *p, const struct level *l)
{
    for (int i = 0; i < 6 && l->names[i]; ++i) {
        const char *back = p->at;
        if (!take(p, l->names[i]))
            continue;
        bool single = !l->names[i][1];
        if (!single || !*p->at || !strchr("=|&<>", *p->at) || !strchr("|&<>", l->names[i][0]))
            return i;
        p->at = back;
    }
    return -1;
}

static double fold(int code, double a, double b)
{
    switch (code) {
    case G_ADD:
        return a + b;
    case G_SUB:
        return a - b;
    case G_MUL:
        return a * b;
    case G_DIV:
        return a / b;
    case 100 + G_EQ:
        return a == b;
    case 100 + G_NE:
        return a != b;
    case 100 + G_LT:
        return a < b;
    default:
        return a > b;
    }
}

static struct value binary(struct parser *p, size_t level)
{
    if (level == N_LEVELS)
        return unary(p);
    struct value a = binary(p, level + 1);
    for (int i; (i = next_operator(p, &levels[level])) >= 0;) {
        struct value b = binary(p, level + 1);
        int code = levels[level].code[i];
        if (a.literal && b.literal) {
            a = literal(fold(code, a.number, b.number));
            continue;
        }
        unify(p, &a, &b);
        a = made(code >= 100 ? g_compare(p->g, (enum g_compare)(code - 100), a.n, b.n)
                             : g_do(p->g, (enum g_binary)code, a.n, b.n));
    }
    return a;
}

static struct value choice(struct parser *p)
{
    struct value which = binary(p, 0);
    if (!take(p, "?"))
        return which;
    struct value a = choice(p);
    take(p, ":");
    struct value b = choice(p);
    if (which.literal)
        return which.number != 0 ? a : b;
    unify(p, &a, &b);
    return made(g_select(p->g, which.n, a.n, b.n));
}

struct g_num g_expression(struct g_op *o, const char *text, size_t n, const struct g_num *arguments)
{
    struct parser p = {o, o->g, text, arguments, n};
    struct value v = choice(&p);
    return solid(&p, v, first_element(&p));
}

/* --- of tensors */

struct mapped {
    struct g_op o;
    const char *text;
    size_t n;
    struct g_tensor *in[4];
};

static struct g_num mapped_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct mapped *m = t->user;
    struct g_num arguments[4];
    struct g_op o = m->o;
    for (size_t i = 0; i < m->n; ++i) {
        MlirValue own[QBC_MAX_RANK];
        g_broadcast_index(g, m->in[i], t->rank, index, own);
        arguments[i] = g_at(g, m->in[i], own);
    }
    return g_expression(&o, m->text, m->n, arguments);
}

struct g_tensor *g_map_tensors(struct g_op *o, const char *text, enum qbc_element element, size_t n,
                               struct g_tensor *const *in)
{
    struct mapped *m = qbc_alloc(o->g->q, sizeof *m);
    struct g_size size[QBC_MAX_RANK];
    size_t rank, depth = 0;
    *m = (struct mapped){.o = *o, .text = text, .n = n};
    for (size_t i = 0; i < n; ++i) {
        m->in[i] = in[i];
        depth = in[i]->depth > depth ? in[i]->depth : depth;
    }
    if (!g_broadcast(o, n, in, &rank, size))
        return NULL;
    return g_function(o->g, element, rank, size, mapped_at, m, depth + 1);
}
