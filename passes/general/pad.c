/* pad: what stands around a tensor: a number, its edge, its mirror image, or itself again. */
#include "slice.h"

#include <string.h>

struct padded {
    struct g_tensor *x, *value;
    struct g_size before[QBC_MAX_RANK];
    char mode; /* of its name: 'c'onstant, 'r'eflect, 'e'dge, 'w'rap */
    MlirValue own[QBC_MAX_RANK];
};

static struct g_num inside_at(struct general *g, void *user)
{
    const struct padded *p = user;
    return g_at(g, p->x, p->own);
}

/* An index outside comes back in. */
static struct g_num brought_in(struct general *g, char mode, struct g_num at, struct g_num n)
{
    struct g_num zero = g_int(g, QBC_I64, 0), one = g_int(g, QBC_I64, 1), last = g_do(g, G_SUB, n, one);
    if (mode == 'e')
        return g_do(g, G_MIN, g_do(g, G_MAX, at, zero), last);
    struct g_num period = mode == 'w' ? n : g_do(g, G_MAX, g_do(g, G_ADD, last, last), one);
    struct g_num rest = g_do(g, G_REM, at, period);
    rest = g_select(g, g_compare(g, G_LT, rest, zero), g_do(g, G_ADD, rest, period), rest);
    return mode == 'w' ? rest : g_select(g, g_compare(g, G_GT, rest, last), g_do(g, G_SUB, period, rest), rest);
}

static struct g_num padded_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    struct padded p = *(const struct padded *)t->user;
    struct g_num inside = {k_int_of(&g->k, g->k.i1, -1), QBC_BOOL};
    for (size_t i = 0; i < t->rank; ++i) {
        struct g_num at = g_index(g, g_i64(g, g_minus(g, g_size_of(index[i]), p.before[i])));
        struct g_num n = g_index(g, g_i64(g, p.x->size[i]));
        struct g_num in = g_do(g, G_AND, g_compare(g, G_GE, at, g_int(g, QBC_I64, 0)), g_compare(g, G_LT, at, n));
        inside = g_do(g, G_AND, inside, in);
        p.own[i] = p.mode == 'c' ? at.v : brought_in(g, p.mode, at, n).v;
    }
    if (p.mode != 'c')
        return g_at(g, p.x, p.own);
    struct g_num otherwise = p.value ? g_at_flat(g, p.value, k_i64(&g->k, 0)) : g_int(g, t->element, 0);
    return g_guarded(g, inside.v, inside_at, &p, otherwise);
}

void g_lower_pad(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    struct padded *p = qbc_alloc(g->q, sizeof *p);
    int64_t axes[QBC_MAX_RANK], declared[QBC_MAX_RANK];
    const int64_t *given = NULL;
    struct g_size size[QBC_MAX_RANK];
    size_t n = x->rank, rank;
    int64_t chosen = 0;
    for (size_t i = 0; i < n; ++i)
        axes[i] = (int64_t)i;
    if (g_has(o, 3) && (n = g_list(o, 3, NULL, axes, QBC_MAX_RANK)) == SIZE_MAX) {
        chosen = g_known_count(o->in[3]);
        if (chosen < 0) {
            g_refuse(o, "how many axes it has is not known before it runs");
            return;
        }
        n = 0;
    }
    *p = (struct padded){.x = x, .value = g_has(o, 2) ? g_solid(g, o->in[2]) : NULL, .mode = *g_attr_text(o, "mode", "constant")};
    if (!g_has(o, 1)) {
        if (g_attr_ints(o, "pads", &given) != 2 * n) {
            g_refuse(o, "its pads are missing, or as many as do not fit");
            return;
        }
        float value = (float)g_attr_float(o, "value", 0);
        p->value = g_known(g, QBC_F32, 0, NULL, &value);
    }
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == x->rank;
    for (size_t i = 0; i < x->rank; ++i) {
        p->before[i] = chosen ? g_for_axis(o, 1, 3, 0, chosen, i, g_size(0)) : g_size(0);
        size[i] = chosen ? g_plus(g, g_plus(g, x->size[i], p->before[i]), g_for_axis(o, 1, 3, chosen, chosen, i, g_size(0))) : x->size[i];
        if (chosen && is_declared && declared[i] != QBC_ANY)
            size[i] = g_size(declared[i]);
    }
    for (size_t i = 0; i < n; ++i) {
        if (!g_axis(o, &axes[i], x->rank))
            return;
        struct g_size before = g_list_element(o, 1, given, i), after = g_list_element(o, 1, given, n + i);
        p->before[axes[i]] = before;
        size[axes[i]] = g_plus(g, g_plus(g, x->size[axes[i]], before), after);
        if (!g_is_known(size[axes[i]]) && is_declared && declared[axes[i]] != QBC_ANY)
            size[axes[i]] = g_size(declared[axes[i]]);
    }
    o->out[0] = g_function(g, x->element, x->rank, size, padded_at, p, 1);
}
