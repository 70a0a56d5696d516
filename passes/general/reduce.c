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
