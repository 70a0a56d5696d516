/* reduce: folds along axes. Sums are kept in f64, or in i64 of whole numbers.
 *
 * A row of `kinds` says where a fold begins, what it makes of an element x and what it has so far, y, and what of the end.
 */
#include "general.h"

#include <math.h>
#include <string.h>

static const struct kind {
    const char *name;
    double begin;
    const char *next, *last; /* last: y is the number of elements */
} kinds[] = {
    {"ReduceL1", 0, "y + abs(x)", "x"},          {"ReduceL2", 0, "y + x * x", "sqrt(x)"},
    {"ReduceLogSum", 0, "y + x", "log(x)"},      {"ReduceLogSumExp", 0, "y + exp(x)", "log(x)"},
    {"ReduceMax", -INFINITY, "max(y, x)", "x"},  {"ReduceMean", 0, "y + x", "x / y"},
    {"ReduceMin", INFINITY, "min(y, x)", "x"},   {"ReduceProd", 1, "y * x", "x"},
    {"ReduceSum", 0, "y + x", "x"},              {"ReduceSumSquare", 0, "y + x * x", "x"},
};

struct reduction {
    struct g_op o;
    const struct kind *kind;
    struct g_tensor *x;
    bool axis[QBC_MAX_RANK]; /* of x: folded */
    bool keep;
    enum qbc_element sum;
    struct g_num begin;
    const struct g_size *folded; /* how far each axis is folded, where the program says which are; NULL: by `axis` */
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    return &kinds[0];
}

/* x's index from the result's, and the folded ones. */
static void full_index(const struct reduction *r, const MlirValue *kept, const MlirValue *folded, MlirValue *out)
{
    size_t k = 0, f = 0;
    for (size_t i = 0; i < r->x->rank; ++i) {
        out[i] = r->axis[i] ? folded[f++] : kept[k];
        k += !r->axis[i] || r->keep;
    }
}

/* An axis is either kept or folded; the other index is 0. */
static void both_indices(struct general *g, const struct reduction *r, const MlirValue *kept, const MlirValue *folded, MlirValue *out)
{
    for (size_t i = 0; i < r->x->rank; ++i)
        out[i] = k_add(&g->k, kept[i], folded[i]);
}

struct walk {
    const struct reduction *r;
    const MlirValue *kept;
    const char *text;
    struct g_num shift;
};

static void fold_one(struct general *g, void *user, const MlirValue *index, struct g_num *carried)
{
    struct walk *w = user;
    MlirValue full[QBC_MAX_RANK];
    struct g_op o = w->r->o;
    if (w->r->folded)
        both_indices(g, w->r, w->kept, index, full);
    else
        full_index(w->r, w->kept, index, full);
    struct g_num x = g_convert(g, g_at(g, w->r->x, full), carried->element);
    if (w->shift.v.ptr)
        x = g_do(g, G_SUB, x, w->shift);
    *carried = g_expression(&o, w->text, 2, (struct g_num[]){x, *carried});
}

static struct g_num fold(struct general *g, const struct reduction *r, const MlirValue *kept, const char *text, struct g_num begin,
                         struct g_num shift)
{
    struct walk w = {r, kept, text, shift};
    struct g_size size[QBC_MAX_RANK];
    size_t n = 0;
    for (size_t i = 0; i < r->x->rank; ++i)
        if (r->axis[i])
            size[n++] = r->folded ? r->folded[i] : r->x->size[i];
    g_fold(g, n, size, 1, &begin, fold_one, &w);
    return begin;
}

static struct g_num reduced_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct reduction *r = t->user;
    struct g_op o = r->o;
    struct g_num none = {.v = {NULL}}, shift = none;
    bool shifted = !strcmp(r->kind->name, "ReduceLogSumExp");
    if (shifted) {
        shift = fold(g, r, index, "max(y, x)", g_const(g, r->sum, -INFINITY), none);
        struct g_num finite = g_compare(g, G_LT, g_expression(&o, "abs(x)", 1, &shift), g_const(g, r->sum, INFINITY));
        shift = g_select(g, finite, shift, g_const(g, r->sum, 0));
    }
    struct g_num begin = r->begin.v.ptr ? r->begin : g_const(g, r->sum, r->kind->begin);
    struct g_num y = fold(g, r, index, r->kind->next, begin, shift);
    struct g_size n = g_size(1);
    for (size_t i = 0; i < r->x->rank; ++i)
        n = r->axis[i] ? g_times(g, n, r->folded ? r->folded[i] : r->x->size[i]) : n;
    struct g_num count = g_convert(g, g_index(g, g_i64(g, n)), r->sum);
    y = g_expression(&o, r->kind->last, 2, (struct g_num[]){y, count});
    return g_convert(g, shifted ? g_do(g, G_ADD, y, shift) : y, t->element);
}

/* The ends of whole numbers, where there is no infinity. */
static struct g_num least(struct general *g, enum qbc_element e, bool largest)
{
    int bits = g_bits(e);
    if (e == QBC_BOOL)
        return g_int(g, e, largest ? -1 : 0);
    if (g_is_unsigned(e))
        return g_int(g, e, largest ? -1 : 0);
    int64_t low = INT64_MIN >> (64 - bits);
    return g_int(g, e, largest ? ~low : low);
}

static struct g_tensor *reduce_as(struct g_op *o, const char *name, struct g_tensor *x, const bool *axis, bool keep)
{
    struct reduction *r = qbc_alloc(o->g->q, sizeof *r);
    struct g_size size[QBC_MAX_RANK];
    size_t rank = 0;
    *r = (struct reduction){.o = *o, .kind = kind_of(name), .x = x, .keep = keep};
    bool extreme = isinf(r->kind->begin);
    memcpy(r->axis, axis, sizeof r->axis);
    r->sum = extreme ? g_number_element(x->element) : g_is_float(x->element) ? QBC_F64 : QBC_I64;
    if (extreme && !g_is_float(x->element)) {
        r->sum = g_number_element(x->element);
        r->begin = least(o->g, r->sum, r->kind->begin > 0);
    }
    if (!g_is_float(x->element) && (strstr(name, "Log") || !strcmp(name, "ReduceL2")))
        r->sum = QBC_F64;
    for (size_t i = 0; i < x->rank; ++i)
        if (!axis[i])
            size[rank++] = x->size[i];
        else if (keep)
            size[rank++] = g_size(1);
    return g_function(o->g, x->element, rank, size, reduced_at, r, x->depth + 1);
}

struct g_tensor *g_reduce(struct g_op *o, const char *name, struct g_tensor *x, const bool *axis, bool keep)
{
    return g_solid(o->g, reduce_as(o, name, x, axis, keep));
}

/* --- axes that are numbers of the program: each axis is folded or kept, which a choice of sizes says */

MlirValue g_has_axis(struct general *g, struct g_tensor *axes, int64_t n, size_t axis, size_t rank)
{
    MlirValue hit = k_int_of(&g->k, g->k.i1, 0);
    for (int64_t i = 0; i < n; ++i) {
        struct g_num a = g_index(g, g_i64(g, g_element(g, axes, i)));
        struct g_num front = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis));
        struct g_num back = g_compare(g, G_EQ, a, g_int(g, QBC_I64, (int64_t)axis - (int64_t)rank));
        hit = k_op2(&g->k, "arith.ori", hit, g_do(g, G_OR, front, back).v);
    }
    return hit;
}

/* The sizes of the axes that are kept, without those that are folded. */
static void kept_sizes(struct general *g, const struct g_tensor *x, const MlirValue *folds, size_t rank, struct g_size *out)
{
    struct qbc_kernel *k = &g->k;
    MlirValue one = k_i64(k, 1), zero = k_i64(k, 0);
    for (size_t j = 0; j < rank; ++j) {
        MlirValue size = one, before = zero;
        for (size_t i = 0; i < x->rank; ++i) {
            MlirValue here = k_cmp(k, QBC_EQ, before, k_i64(k, (int64_t)j)), no = k_int_of(k, k->i1, 0);
            MlirValue hit = k_select(k, folds[i], no, here);
            size = k_select(k, hit, g_i64(g, x->size[i]), size);
            before = k_add(k, before, k_select(k, folds[i], zero, one));
        }
        out[j] = g_size_of(size);
    }
}

static void reduce_chosen(struct g_op *o, int64_t n_axes, bool keep)
{
    struct general *g = o->g;
    struct g_size *folded = qbc_alloc(g->q, QBC_MAX_RANK * sizeof *folded);
    struct g_tensor *x = g_solid(g, o->in[0]);
    MlirValue which[QBC_MAX_RANK];
    bool all[QBC_MAX_RANK];
    int64_t declared[QBC_MAX_RANK];
    size_t rank;
    memset(all, true, sizeof all);
    struct g_tensor *y = reduce_as(o, o->row->name, x, all, true);
    ((struct reduction *)y->user)->folded = folded;
    for (size_t i = 0; i < x->rank; ++i) {
        MlirValue folds = g_has_axis(g, o->in[1], n_axes, i, x->rank), one = k_i64(&g->k, 1), own = g_i64(g, x->size[i]);
        which[i] = folds;
        y->size[i] = g_size_of(k_select(&g->k, folds, one, own));
        folded[i] = g_size_of(k_select(&g->k, folds, own, one));
    }
    g_solid(g, y);
    bool fixed = g_declared(o, 0, &rank, declared);
    for (size_t i = 0; fixed && i < rank; ++i)
        fixed = declared[i] != QBC_ANY;
    struct g_size known[QBC_MAX_RANK] = {{0}};
    for (size_t i = 0; fixed && i < rank; ++i)
        known[i] = g_size(declared[i]);
    if (!fixed && !keep) {
        rank = x->rank - (size_t)n_axes;
        kept_sizes(g, x, which, rank, known);
        fixed = true;
    }
    o->out[0] = fixed ? g_reshaped(g, y, rank, known) : y;
}

void g_lower_reduce(struct g_op *o)
{
    struct g_tensor *x = o->in[0];
    int64_t axes[QBC_MAX_RANK];
    bool axis[QBC_MAX_RANK] = {false};
    size_t n = g_list(o, 1, "axes", axes, QBC_MAX_RANK);
    if (n == SIZE_MAX && g_has(o, 1)) {
        int64_t count = g_known_count(o->in[1]);
        if (count < 0)
            g_refuse(o, "how many axes it has is not known before it runs");
        else if (count)
            reduce_chosen(o, count, g_attr_int(o, "keepdims", 1) != 0);
        if (count)
            return;
    }
    bool none = n == SIZE_MAX || n == 0;
    if (none && g_attr_int(o, "noop_with_empty_axes", 0)) {
        bool no[QBC_MAX_RANK] = {false};
        o->out[0] = g_solid(o->g, reduce_as(o, o->row->name, x, no, false));
        return;
    }
    for (size_t i = 0; i < x->rank; ++i)
        axis[i] = none;
    for (size_t i = 0; !none && i < n; ++i) {
        if (!g_axis(o, &axes[i], x->rank))
            return;
        axis[axes[i]] = true;
    }
    /* Folds are nothing to be written into other loops twice. */
    o->out[0] = g_solid(o->g, reduce_as(o, o->row->name, x, axis, g_attr_int(o, "keepdims", 1) != 0));
}

/* --- softmax and its kind: along one axis (before opset 13: all axes from one on) */

static bool softmax_axes(struct g_op *o, bool *axis)
{
    struct g_tensor *x = o->in[0];
    bool flat = o->g->opset < 13;
    int64_t at = g_attr_int(o, "axis", flat ? 1 : -1);
    if (flat && at == (int64_t)x->rank)
        return true;
    if (!g_axis(o, &at, x->rank))
        return false;
    for (size_t i = (size_t)at; i < x->rank; ++i)
        axis[i] = flat || i == (size_t)at;
    return true;
}

struct g_tensor *g_softmax(struct g_op *o, struct g_tensor *x, const bool *axis, bool logarithm)
{
    struct g_tensor *largest = g_reduce(o, "ReduceMax", x, axis, true);
    struct g_tensor *in[] = {x, largest, NULL};
    enum qbc_element wide = x->element == QBC_F64 ? QBC_F64 : QBC_F32;
    struct g_tensor *sum = g_reduce(o, "ReduceSum", g_map_tensors(o, "exp(x - y)", wide, 2, in), axis, true);
    in[2] = sum;
    return g_map_tensors(o, logarithm ? "x - y - log(z)" : "exp(x - y) / z", x->element, 3, in);
}

void g_lower_softmax(struct g_op *o)
{
    bool axis[QBC_MAX_RANK] = {false};
    g_solid(o->g, o->in[0]);
    if (softmax_axes(o, axis))
        o->out[0] = g_softmax(o, o->in[0], axis, !strcmp(o->row->name, "LogSoftmax"));
}

void g_lower_lp_normalization(struct g_op *o)
{
    bool axis[QBC_MAX_RANK] = {false};
    int64_t at = g_attr_int(o, "axis", -1);
    if (!g_axis(o, &at, o->in[0]->rank))
        return;
    axis[at] = true;
    g_solid(o->g, o->in[0]);
    const char *norm = g_attr_int(o, "p", 2) == 1 ? "ReduceL1" : "ReduceL2";
    struct g_tensor *in[] = {o->in[0], g_reduce(o, norm, o->in[0], axis, true)};
    o->out[0] = g_map_tensors(o, "y == 0 ? 0 : x / y", in[0]->element, 2, in);
}

/* --- where the largest is */

struct search {
    struct g_tensor *x;
    size_t axis;
    bool keep, last, largest;
};

struct search_walk {
    const struct search *s;
    const MlirValue *index;
};

static void search_one(struct general *g, void *user, const MlirValue *at, struct g_num *carried)
{
    struct search_walk *w = user;
    const struct search *s = w->s;
    MlirValue full[QBC_MAX_RANK];
    for (size_t i = 0, k = 0; i < s->x->rank; ++i) {
        full[i] = i == s->axis ? at[0] : w->index[k];
        k += i != s->axis || s->keep;
    }
    struct g_num x = g_at(g, s->x, full), here = g_index(g, at[0]);
    enum g_compare how = s->largest ? (s->last ? G_GE : G_GT) : (s->last ? G_LE : G_LT);
    struct g_num first = g_compare(g, G_EQ, here, g_int(g, QBC_I64, 0));
    struct g_num better = g_do(g, G_OR, first, g_compare(g, how, x, carried[0]));
    carried[0] = g_select(g, better, x, carried[0]);
    carried[1] = g_select(g, better, here, carried[1]);
}

static struct g_num found_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct search *s = t->user;
    struct search_walk w = {s, index};
    struct g_num carried[] = {g_int(g, s->x->element, 0), g_int(g, QBC_I64, 0)};
    g_fold(g, 1, &s->x->size[s->axis], 2, carried, search_one, &w);
    return carried[1];
}

static struct g_tensor *find(struct g_op *o, size_t axis, bool keep)
{
    struct search *s = qbc_alloc(o->g->q, sizeof *s);
    struct g_size size[QBC_MAX_RANK];
    size_t rank = 0;
    *s = (struct search){g_solid(o->g, o->in[0]), axis, keep, g_attr_int(o, "select_last_index", 0) != 0,
                         strcmp(o->row->name, "ArgMin") != 0};
    for (size_t i = 0; i < s->x->rank; ++i)
        if (i != axis || keep)
            size[rank++] = i == axis ? g_size(1) : s->x->size[i];
    return g_solid(o->g, g_function(o->g, QBC_I64, rank, size, found_at, s, 1));
}

void g_lower_arg_extreme(struct g_op *o)
{
    int64_t axis = g_attr_int(o, "axis", 0);
    if (g_axis(o, &axis, o->in[0]->rank))
        o->out[0] = find(o, (size_t)axis, g_attr_int(o, "keepdims", 1) != 0);
}

struct hard {
    struct g_tensor *where;
    size_t axis;
};

static struct g_num hard_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct hard *h = t->user;
    MlirValue own[QBC_MAX_RANK];
    g_broadcast_index(g, h->where, t->rank, index, own);
    struct g_num hit = g_compare(g, G_EQ, g_at(g, h->where, own), g_index(g, index[h->axis]));
    return g_select(g, hit, g_int(g, t->element, 1), g_int(g, t->element, 0));
}

void g_lower_hardmax(struct g_op *o)
{
    struct hard *h = qbc_alloc(o->g->q, sizeof *h);
    int64_t axis = g_attr_int(o, "axis", o->g->opset < 13 ? 1 : -1);
    if (!g_axis(o, &axis, o->in[0]->rank))
        return;
    *h = (struct hard){find(o, (size_t)axis, true), (size_t)axis};
    o->out[0] = g_function(o->g, o->in[0]->element, o->in[0]->rank, o->in[0]->size, hard_at, h, 1);
}

/* --- running sums and products */

/* As [what is before the axis, the axis, what is behind it], where the program says which axis. */
static void around_axis(struct general *g, struct g_tensor *axis, struct g_tensor **x, struct g_tensor **y)
{
    struct g_size three[] = {g_size(1), g_size(1), g_size(1)};
    size_t rank = (*x)->rank;
    struct g_num at = g_index(g, g_i64(g, g_element(g, axis, 0))), zero = g_int(g, QBC_I64, 0);
    at = g_select(g, g_compare(g, G_LT, at, zero), g_do(g, G_ADD, at, g_int(g, QBC_I64, (int64_t)rank)), at);
    for (size_t i = 0; i < rank; ++i) {
        struct g_num here = g_int(g, QBC_I64, (int64_t)i);
        static const enum g_compare where[] = {G_LT, G_EQ, G_GT};
        for (int k = 0; k < 3; ++k) {
            MlirValue in = g_compare(g, where[k], here, at).v;
            three[k] = g_times(g, three[k], g_size_of(k_select(&g->k, in, g_i64(g, (*x)->size[i]), k_i64(&g->k, 1))));
        }
    }
    *x = g_reshaped(g, *x, 3, three);
    *y = g_reshaped(g, *y, 3, three);
}

void g_lower_cumulate(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *y = g_new_like(g, x->element, x);
    int64_t axis, reverse = g_attr_int(o, "reverse", 0), exclusive = g_attr_int(o, "exclusive", 0);
    bool product = !strcmp(o->row->name, "CumProd");
    struct g_tensor *whole = y;
    if (!g_known_int(o->in[1], 0, &axis)) {
        around_axis(g, o->in[1], &x, &y);
        axis = 1;
    }
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size size[QBC_MAX_RANK];
    struct g_nest nest;
    memcpy(size, x->size, sizeof size);
    size[axis] = g_size(1);
    g_begin(g, &nest, x->rank, size);
    enum qbc_element e = g_is_float(x->element) ? QBC_F64 : g_number_element(x->element);
    MlirValue begin = g_int(g, e, product).v;
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, x->size[axis]), 1, 1, &begin);
    MlirValue at = loop.i;
    if (reverse)
        at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, x->size[axis]), -1), at);
    nest.index[axis] = at;
    struct g_num before = {loop.carried[0], e};
    struct g_num after = g_do(g, product ? G_MUL : G_ADD, before, g_convert(g, g_at(g, x, nest.index), e));
    g_put(g, y, nest.index, exclusive ? before : after);
    k_end(&g->k, &loop, &after.v);
    g_end(g, &nest);
    o->out[0] = whole;
}
