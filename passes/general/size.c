/* size: whole numbers that the compiler may know. */
#include "general.h"

struct g_size g_size(int64_t n)
{
    return (struct g_size){.n = n};
}

/* Constants of the program count as known. */
struct g_size g_size_of(MlirValue v)
{
    return (struct g_size){.n = QBC_ANY, .v = v};
}

bool g_is_known(struct g_size s)
{
    return mlirValueIsNull(s.v);
}

bool g_is(struct g_size s, int64_t n)
{
    return g_is_known(s) && s.n == n;
}

bool g_same(struct g_size a, struct g_size b)
{
    return g_is_known(a) ? g_is(b, a.n) : mlirValueEqual(a.v, b.v);
}

MlirValue g_i64(struct general *g, struct g_size s)
{
    return g_is_known(s) ? k_i64(&g->k, s.n) : s.v;
}

static struct g_size binary(struct general *g, const char *name, struct g_size a, struct g_size b)
{
    return g_size_of(k_op2(&g->k, name, g_i64(g, a), g_i64(g, b)));
}

struct g_size g_plus(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return g_size((int64_t)((uint64_t)a.n + (uint64_t)b.n));
    return g_is(a, 0) ? b : g_is(b, 0) ? a : binary(g, "arith.addi", a, b);
}

struct g_size g_minus(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return g_size((int64_t)((uint64_t)a.n - (uint64_t)b.n));
    return g_is(b, 0) ? a : binary(g, "arith.subi", a, b);
}

struct g_size g_times(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return g_size((int64_t)((uint64_t)a.n * (uint64_t)b.n));
    return g_is(a, 1) ? b : g_is(b, 1) ? a : binary(g, "arith.muli", a, b);
}

/* A divisor of the program's that is 0 gives the dividend: the operation has no elements then. */
struct g_size g_over(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return g_size(b.n ? a.n / b.n : 0);
    if (!g_is_known(b))
        b = g_max_size(g, b, g_size(1));
    return g_is(b, 1) ? a : binary(g, "arith.divsi", a, b);
}

struct g_size g_min_size(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return a.n < b.n ? a : b;
    return binary(g, "arith.minsi", a, b);
}

struct g_size g_max_size(struct general *g, struct g_size a, struct g_size b)
{
    if (g_is_known(a) && g_is_known(b))
        return a.n > b.n ? a : b;
    return binary(g, "arith.maxsi", a, b);
}

struct g_size g_count(struct general *g, const struct g_tensor *t)
{
    struct g_size n = g_size(1);
    for (size_t i = 0; i < t->rank; ++i)
        n = g_times(g, n, t->size[i]);
    return n;
}

bool g_known_sizes(const struct g_tensor *t)
{
    for (size_t i = 0; i < t->rank; ++i)
        if (!g_is_known(t->size[i]))
            return false;
    return true;
}

int64_t g_known_count(const struct g_tensor *t)
{
    int64_t n = 1;
    for (size_t i = 0; i < t->rank; ++i) {
        if (!g_is_known(t->size[i]))
            return -1;
        n *= t->size[i].n;
    }
    return n;
}
