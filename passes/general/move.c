/* move: elements at other places. All are functions of the index; nothing is moved until somebody reads. */
#include "general.h"

#include <string.h>

static struct g_size offset(struct general *g, struct g_size a, struct g_size b)
{
    return g_plus(g, a, b);
}

/* --- Transpose, Expand, Tile, Slice, ReverseSequence */

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

struct sliced {
    struct g_tensor *x;
    struct g_size start[QBC_MAX_RANK], step[QBC_MAX_RANK];
};

static struct g_num sliced_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct sliced *s = t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0; i < t->rank; ++i)
        own[i] = g_i64(g, g_plus(g, g_times(g, g_size_of(index[i]), s->step[i]), s->start[i]));
    return g_at(g, s->x, own);
}

static struct g_size choose(struct general *g, enum qbc_compare how, struct g_size a, struct g_size b, struct g_size yes,
                            struct g_size no)
{
    if (g_is_known(a) && g_is_known(b)) {
        bool holds = how == QBC_LT ? a.n < b.n : how == QBC_GT ? a.n > b.n : a.n == b.n;
        return holds ? yes : no;
    }
    return g_size_of(k_select(&g->k, k_cmp(&g->k, how, g_i64(g, a), g_i64(g, b)), g_i64(g, yes), g_i64(g, no)));
}

/* One axis: NumPy's rule for ends outside, and for steps backwards. */
static void slice_axis(struct general *g, struct sliced *s, size_t axis, struct g_size start, struct g_size end, struct g_size step,
                       struct g_size *size)
{
    struct g_size n = s->x->size[axis], zero = g_size(0), one = g_size(1), last = g_minus(g, n, one), minus = g_size(-1);
    start = choose(g, QBC_LT, start, zero, g_plus(g, start, n), start);
    end = choose(g, QBC_LT, end, zero, g_plus(g, end, n), end);
    struct g_size up_start = g_min_size(g, g_max_size(g, start, zero), n), up_end = g_min_size(g, g_max_size(g, end, zero), n);
    struct g_size down_start = g_min_size(g, g_max_size(g, start, zero), last);
    struct g_size down_end = g_min_size(g, g_max_size(g, end, minus), last);
    start = choose(g, QBC_GT, step, zero, up_start, down_start);
    end = choose(g, QBC_GT, step, zero, up_end, down_end);
    struct g_size towards = choose(g, QBC_GT, step, zero, minus, one); /* round the quotient up */
    struct g_size count = g_over(g, g_plus(g, g_minus(g, end, start), g_plus(g, step, towards)), step);
    if (g_is_known(step) && step.n < 0 && g_is_known(start) && g_is_known(end))
        count = g_size((start.n - end.n - step.n - 1) / -step.n);
    *size = g_max_size(g, count, zero);
    s->start[axis] = start;
    s->step[axis] = step;
}

/* The number of operand `i` that belongs to an axis, where the program says which axes there are. */
static struct g_size for_axis(struct g_op *o, size_t i, size_t axes, int64_t from, int64_t n, size_t axis, struct g_size otherwise)
{
    struct general *g = o->g;
    for (int64_t k = 0; k < n && g_has(o, i); ++k) {
        struct g_num a = g_index(g, g_i64(g, g_element(g, o->in[axes], k)));
        struct g_num front = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis));
        struct g_num back = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis - (int64_t)o->in[0]->rank));
        MlirValue hit = g_do(g, G_OR, front, back).v, value = g_i64(g, g_element(g, o->in[i], from + k));
        otherwise = g_size_of(k_select(&g->k, hit, value, g_i64(g, otherwise)));
    }
    return otherwise;
}

static void slice_chosen(struct g_op *o, struct sliced *s, size_t axis, int64_t n, int64_t declared, struct g_size *size)
{
    struct general *g = o->g;
    struct g_size start = for_axis(o, 1, 3, 0, n, axis, g_size(0)), end = for_axis(o, 2, 3, 0, n, axis, s->x->size[axis]);
    slice_axis(g, s, axis, start, end, for_axis(o, 4, 3, 0, n, axis, g_size(1)), size);
    if (declared != QBC_ANY)
        *size = g_size(declared);
}

static struct g_size list_element(struct g_op *o, size_t operand, const int64_t *list, size_t i)
{
    return list ? g_size(list[i]) : g_element(o->g, o->in[operand], (int64_t)i);
}

void g_lower_slice(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = o->in[0];
    struct sliced *s = qbc_alloc(g->q, sizeof *s);
    const int64_t *starts = NULL, *ends = NULL, *given = NULL;
    int64_t axes[QBC_MAX_RANK], declared[QBC_MAX_RANK];
    struct g_size size[QBC_MAX_RANK];
    size_t rank, n = g_has(o, 1) ? (size_t)g_known_count(o->in[1]) : g_attr_ints(o, "starts", &starts);
    bool is_declared = g_declared(o, 0, &rank, declared) && rank == x->rank;
    if (!g_has(o, 1) && g_attr_ints(o, "ends", &ends) != n)
        n = SIZE_MAX;
    if (n > QBC_MAX_RANK || g_has(o, 1) != g_has(o, 2)) {
        g_refuse(o, "how many axes it has is not known before it runs");
        return;
    }
    bool chosen = g_has(o, 3) && g_list(o, 3, NULL, axes, QBC_MAX_RANK) != n;
    size_t n_given = g_has(o, 1) ? 0 : g_attr_ints(o, "axes", &given);
    n_given = n_given == n ? n : 0;
    *s = (struct sliced){.x = x};
    for (size_t i = 0; i < x->rank; ++i) {
        size[i] = x->size[i];
        s->start[i] = g_size(0);
        s->step[i] = g_size(1);
    }
    for (size_t i = 0; chosen && i < x->rank; ++i)
        slice_chosen(o, s, i, (int64_t)n, is_declared ? declared[i] : QBC_ANY, &size[i]);
    for (size_t i = 0; !chosen && i < n; ++i) {
        int64_t axis = g_has(o, 3) ? axes[i] : n_given ? given[i] : (int64_t)i;
        if (!g_axis(o, &axis, x->rank))
            return;
        struct g_size step = g_has(o, 4) ? g_element(g, o->in[4], (int64_t)i) : g_size(1);
        slice_axis(g, s, (size_t)axis, list_element(o, 1, starts, i), list_element(o, 2, ends, i), step, &size[axis]);
        if (!g_is_known(size[axis]) && is_declared && declared[axis] != QBC_ANY)
            size[axis] = g_size(declared[axis]);
    }
    o->out[0] = g_function(g, x->element, x->rank, size, sliced_at, s, x->depth + 1);
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

/* --- Concat, Split */

struct part {
    struct g_tensor *x;
    struct g_size from;
    size_t axis;
};

/* All alike but along the axis. */
static bool join_up(struct g_op *o, size_t axis)
{
    const struct g_tensor *a = o->in[0];
    for (size_t i = 1; i < o->n_in; ++i) {
        const struct g_tensor *b = o->in[i];
        bool alike = a->rank == b->rank && a->element == b->element;
        for (size_t d = 0; alike && d < a->rank; ++d)
            alike = d == axis || !g_is_known(a->size[d]) || !g_is_known(b->size[d]) || g_same(a->size[d], b->size[d]);
        if (!alike) {
            g_refuse(o, "operand %zu has another shape or other elements than the first", i);
            return false;
        }
    }
    return true;
}

void g_lower_concat(struct g_op *o)
{
    struct general *g = o->g;
    int64_t axis = g_attr_int(o, "axis", 1);
    if (!g_axis(o, &axis, o->in[0]->rank) || !join_up(o, (size_t)axis))
        return;
    struct g_tensor *y = g_new(g, o->in[0]->element, o->in[0]->rank, o->in[0]->size);
    for (size_t i = 1; i < o->n_in; ++i)
        y->size[axis] = g_plus(g, y->size[axis], o->in[i]->size[axis]);
    for (size_t i = 0; i < o->n_in; ++i)
        for (size_t d = 0; d < y->rank; ++d)
            if ((int64_t)d != axis && !g_is_known(y->size[d]) && g_is_known(o->in[i]->size[d]))
                y->size[d] = o->in[i]->size[d];
    g_allocate(g, y);
    struct g_size from = g_size(0);
    for (size_t i = 0; i < o->n_in; ++i) {
        struct g_nest nest;
        MlirValue index[QBC_MAX_RANK];
        g_begin(g, &nest, y->rank, o->in[i]->size);
        memcpy(index, nest.index, sizeof index);
        struct g_num x = g_at(g, o->in[i], nest.index);
        index[axis] = g_i64(g, g_plus(g, g_size_of(index[axis]), from));
        g_put(g, y, index, x);
        g_end(g, &nest);
        from = g_plus(g, from, o->in[i]->size[axis]);
    }
    o->out[0] = y;
}

static struct g_num part_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct part *p = t->user;
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, index, t->rank * sizeof *own);
    own[p->axis] = g_i64(g, offset(g, g_size_of(index[p->axis]), p->from));
    return g_at(g, p->x, own);
}

struct g_tensor *g_part(struct general *g, struct g_tensor *x, size_t axis, struct g_size from, struct g_size n)
{
    struct part *p = qbc_alloc(g->q, sizeof *p);
    struct g_size size[QBC_MAX_RANK];
    *p = (struct part){x, from, axis};
    memcpy(size, x->size, sizeof size);
    size[axis] = n;
    return g_function(g, x->element, x->rank, size, part_at, p, x->depth + 1);
}

void g_lower_split(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    int64_t axis = g_attr_int(o, "axis", 0), sizes[QBC_MAX_RANK * 8], declared[QBC_MAX_RANK];
    size_t n = g_list(o, 1, "split", sizes, QBC_MAX_RANK * 8), rank;
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size from = g_size(0), parts = g_size((int64_t)o->n_out);
    struct g_size even = g_over(g, g_plus(g, x->size[axis], g_size((int64_t)o->n_out - 1)), parts);
    for (size_t i = 0; i < o->n_out; ++i) {
        struct g_size size = g_min_size(g, even, g_minus(g, x->size[axis], from));
        if (n != SIZE_MAX && i < n)
            size = g_size(sizes[i]);
        else if (g_has(o, 1))
            size = g_declared(o, i, &rank, declared) && declared[axis] != QBC_ANY ? g_size(declared[axis])
                                                                                  : g_element(g, o->in[1], (int64_t)i);
        o->out[i] = g_part(g, x, (size_t)axis, from, size);
        from = g_plus(g, from, size);
    }
}

/* --- Trilu, Pad, DepthToSpace, SpaceToDepth */

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
        p->before[i] = chosen ? for_axis(o, 1, 3, 0, chosen, i, g_size(0)) : g_size(0);
        size[i] = chosen ? g_plus(g, g_plus(g, x->size[i], p->before[i]), for_axis(o, 1, 3, chosen, chosen, i, g_size(0))) : x->size[i];
        if (chosen && is_declared && declared[i] != QBC_ANY)
            size[i] = g_size(declared[i]);
    }
    for (size_t i = 0; i < n; ++i) {
        if (!g_axis(o, &axes[i], x->rank))
            return;
        struct g_size before = list_element(o, 1, given, i), after = list_element(o, 1, given, n + i);
        p->before[axes[i]] = before;
        size[axes[i]] = g_plus(g, g_plus(g, x->size[axes[i]], before), after);
        if (!g_is_known(size[axes[i]]) && is_declared && declared[axes[i]] != QBC_ANY)
            size[axes[i]] = g_size(declared[axes[i]]);
    }
    o->out[0] = g_function(g, x->element, x->rank, size, padded_at, p, 1);
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
