/* move: elements at other places. All are functions of the index; nothing is moved until somebody reads. */
#include "general.h"

#include <string.h>

/* --- Transpose, Expand, Tile, ReverseSequence */

struct permuted {
    struct g_tensor *x;
    int64_t order[QBC_MAX_RANK];
};

static struct g_num permuted_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct permuted *p = t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0; i < t->rank; ++i)
        own[p->order[i]] = index[i];
    return g_at(g, p->x, own);
}

struct g_tensor *g_transposed(struct general *g, struct g_tensor *x, const int64_t *order)
{
    struct permuted *p = qbc_alloc(g->q, sizeof *p);
    struct g_size size[QBC_MAX_RANK];
    p->x = x;
    for (size_t i = 0; i < x->rank; ++i) {
        p->order[i] = order[i];
        size[i] = x->size[order[i]];
    }
    return g_function(g, x->element, x->rank, size, permuted_at, p, x->depth + 1);
}

void g_lower_transpose(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    const int64_t *given;
    int64_t order[QBC_MAX_RANK];
    size_t n = g_attr_ints(o, "perm", &given);
    if (n && n != x->rank) {
        g_refuse(o, "perm has %zu numbers for a tensor of rank %zu", n, x->rank);
        return;
    }
    for (size_t i = 0; i < x->rank; ++i) {
        order[i] = n ? given[i] : (int64_t)(x->rank - 1 - i);
        if (!g_axis(o, &order[i], x->rank))
            return;
        for (size_t k = 0; k < i; ++k)
            if (order[k] == order[i]) {
                g_refuse(o, "perm has %lld twice", (long long)order[i]);
                return;
            }
    }
    o->out[0] = g_transposed(o->g, x, order);
}

static struct g_num expanded_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    struct g_tensor *x = (struct g_tensor *)t->user;
    MlirValue own[QBC_MAX_RANK];
    g_broadcast_index(g, x, t->rank, index, own);
    return g_at(g, x, own);
}

void g_lower_expand(struct g_op *o)
{
    struct g_size size[QBC_MAX_RANK];
    struct g_tensor *x = o->in[0], want = {.element = x->element};
    int64_t declared[QBC_MAX_RANK];
    size_t rank;
    if (!g_shape_operand(o, 1, &want.rank, want.size) ||
        !g_broadcast(o, 2, (struct g_tensor *[]){x, &want}, &rank, size))
        return;
    size_t declared_rank;
    if (!o->in[1]->known && g_declared(o, 0, &declared_rank, declared) && declared_rank == rank)
        for (size_t i = 0; i < rank; ++i)
            size[i] = declared[i] == QBC_ANY ? size[i] : g_size(declared[i]);
    o->out[0] = g_function(o->g, x->element, rank, size, expanded_at, x, x->depth + 1);
}

static struct g_num tiled_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    struct g_tensor *x = (struct g_tensor *)t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0; i < t->rank; ++i)
        own[i] = k_op2(&g->k, "arith.remui", index[i], g_i64(g, x->size[i]));
    return g_at(g, x, own);
}

void g_lower_tile(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    struct g_size size[QBC_MAX_RANK];
    size_t rank;
    int64_t declared[QBC_MAX_RANK];
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == x->rank;
    for (size_t i = 0; i < x->rank; ++i)
        size[i] = !o->in[1]->known && is_declared && declared[i] != QBC_ANY
                      ? g_size(declared[i])
                      : g_times(o->g, x->size[i], g_element(o->g, o->in[1], (int64_t)i));
    o->out[0] = g_function(o->g, x->element, x->rank, size, tiled_at, x, x->depth + 1);
}

struct reversed {
    struct g_tensor *x, *lengths;
    size_t time, batch;
};

static struct g_num reversed_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct reversed *r = t->user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, index, sizeof own);
    struct g_num length = g_convert(g, g_at(g, r->lengths, &index[r->batch]), QBC_I64), at = g_index(g, index[r->time]);
    struct g_num back = g_do(g, G_SUB, g_do(g, G_SUB, length, g_int(g, QBC_I64, 1)), at);
    own[r->time] = g_select(g, g_compare(g, G_LT, at, length), back, at).v;
    return g_at(g, r->x, own);
}

void g_lower_reverse_sequence(struct g_op *o)
{
    struct reversed *r = qbc_alloc(o->g->q, sizeof *r);
    *r = (struct reversed){o->in[0], g_solid(o->g, o->in[1]), (size_t)g_attr_int(o, "time_axis", 0),
                           (size_t)g_attr_int(o, "batch_axis", 1)};
    o->out[0] = g_function(o->g, o->in[0]->element, o->in[0]->rank, o->in[0]->size, reversed_at, r, o->in[0]->depth + 1);
}

/* --- Trilu, DepthToSpace, SpaceToDepth */

struct triangle {
    struct g_tensor *x;
    MlirValue k;
    bool upper;
};

static struct g_num triangle_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct triangle *u = t->user;
    struct g_num row = g_index(g, k_add(&g->k, index[t->rank - 2], u->k)), column = g_index(g, index[t->rank - 1]);
    struct g_num in = g_compare(g, u->upper ? G_GE : G_LE, column, row), x = g_at(g, u->x, index);
    return g_select(g, in, x, g_int(g, t->element, 0));
}

void g_lower_trilu(struct g_op *o)
{
    struct triangle *u = qbc_alloc(o->g->q, sizeof *u);
    struct g_tensor *x = o->in[0];
    *u = (struct triangle){x, g_i64(o->g, g_has(o, 1) ? g_element(o->g, o->in[1], 0) : g_size(0)), g_attr_int(o, "upper", 1) != 0};
    o->out[0] = g_function(o->g, x->element, x->rank, x->size, triangle_at, u, x->depth + 1);
}

/* Both are a shape of six axes, reordered. */
static void blocks(struct g_op *o, const struct g_size *six, const int64_t *order, const struct g_size *four)
{
    struct general *g = o->g;
    struct g_tensor *x = g_reshaped(g, o->in[0], 6, six);
    o->out[0] = g_reshaped(g, g_transposed(g, x, order), 4, four);
}

void g_lower_depth_to_space(struct g_op *o)
{
    struct general *g = o->g;
    struct g_size *s = o->in[0]->size, b = g_size(g_attr_int(o, "blocksize", 1)), c = g_over(g, s[1], g_times(g, b, b));
    bool crd = !strcmp(g_attr_text(o, "mode", "DCR"), "CRD");
    struct g_size dcr_six[] = {s[0], b, b, c, s[2], s[3]}, crd_six[] = {s[0], c, b, b, s[2], s[3]};
    static const int64_t dcr[] = {0, 3, 4, 1, 5, 2}, crd_order[] = {0, 1, 4, 2, 5, 3};
    struct g_size four[] = {s[0], c, g_times(g, s[2], b), g_times(g, s[3], b)};
    blocks(o, crd ? crd_six : dcr_six, crd ? crd_order : dcr, four);
}

void g_lower_space_to_depth(struct g_op *o)
{
    struct general *g = o->g;
    struct g_size *s = o->in[0]->size, b = g_size(g_attr_int(o, "blocksize", 1));
    struct g_size h = g_over(g, s[2], b), w = g_over(g, s[3], b), six[] = {s[0], s[1], h, b, w, b};
    struct g_size four[] = {s[0], g_times(g, s[1], g_times(g, b, b)), h, w};
    static const int64_t order[] = {0, 3, 5, 1, 2, 4};
    blocks(o, six, order, four);
}
