/* trees: TreeEnsemble of ai.onnx.ml 5: decision trees, whose leaves add to targets.
 *
 * Nodes become tables. A walk through a tree takes as many steps as its deepest leaf needs; who is at a leaf stays there.
 * A place is the number of a node, or ~n for leaf n.
 */
#include "general.h"

#include <math.h>
#include <string.h>

enum mode { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, MODES };

struct forest {
    size_t n_nodes, n_leaves, n_trees;
    int64_t targets, depth;
    const int64_t *roots;
    int64_t *yes, *no; /* places behind each node */
    struct g_tensor *feature, *mode, *split, *missing, *next; /* of nodes; next: [nodes, 2], places behind no and yes */
    struct g_tensor *from, *to, *members;                     /* members of a node's set: [from, to) */
    struct g_tensor *target, *weight;                         /* of leaves */
    bool has_sets;
};

static struct g_tensor *ints_of(struct g_op *o, const char *name, size_t n, int64_t below)
{
    const int64_t *list;
    size_t have = g_attr_ints(o, name, &list);
    for (size_t i = 0; i < have && i < n; ++i)
        if (list[i] < 0 || list[i] >= below) {
            g_refuse(o, "%s has %lld, which is none of %lld", name, (long long)list[i], (long long)below);
            return NULL;
        }
    if (have != n)
        g_refuse(o, "%s has %zu numbers, not %zu", name, have, n);
    return have == n ? g_known_ints(o->g, n, list) : NULL;
}

/* Steps to the deepest leaf; -1: there is no end. */
static int64_t depth_of(const struct forest *f, int64_t place, size_t steps)
{
    if (place < 0)
        return (int64_t)steps;
    if (steps > f->n_nodes || steps > 256)
        return -1;
    int64_t a = depth_of(f, f->yes[place], steps + 1), b = a < 0 ? -1 : depth_of(f, f->no[place], steps + 1);
    return b < 0 ? -1 : a > b ? a : b;
}

static bool read_branches(struct g_op *o, struct forest *f, const char *ids, const char *leaves, int64_t *out)
{
    const int64_t *id, *leaf;
    if (g_attr_ints(o, ids, &id) != f->n_nodes || g_attr_ints(o, leaves, &leaf) != f->n_nodes) {
        g_refuse(o, "%s or %s are not one for each of %zu nodes", ids, leaves, f->n_nodes);
        return false;
    }
    for (size_t i = 0; i < f->n_nodes; ++i) {
        if (id[i] < 0 || id[i] >= (int64_t)(leaf[i] ? f->n_leaves : f->n_nodes)) {
            g_refuse(o, "%s has %lld, which is no %s", ids, (long long)id[i], leaf[i] ? "leaf" : "node");
            return false;
        }
        out[i] = leaf[i] ? ~id[i] : id[i];
    }
    return true;
}

/* A tree whose root leads to one leaf either way is that leaf. */
static bool read_structure(struct g_op *o, struct forest *f)
{
    struct general *g = o->g;
    int64_t *next = qbc_alloc(g->q, (2 * f->n_nodes + 1) * sizeof *next);
    f->yes = qbc_alloc(g->q, (f->n_nodes + 1) * sizeof *f->yes);
    f->no = qbc_alloc(g->q, (f->n_nodes + 1) * sizeof *f->no);
    if (!read_branches(o, f, "nodes_truenodeids", "nodes_trueleafs", f->yes) ||
        !read_branches(o, f, "nodes_falsenodeids", "nodes_falseleafs", f->no))
        return false;
    for (size_t i = 0; i < f->n_nodes; ++i) {
        next[2 * i] = f->no[i];
        next[2 * i + 1] = f->yes[i];
    }
    f->next = g_known(g, QBC_I64, 2, (int64_t[]){(int64_t)f->n_nodes, 2}, next);
    for (size_t i = 0; i < f->n_trees; ++i) {
        bool inside = f->roots[i] >= 0 && f->roots[i] < (int64_t)f->n_nodes;
        int64_t depth = inside ? depth_of(f, f->roots[i], 0) : -1;
        if (depth < 0) {
            g_refuse(o, "tree %zu has no root, no end, or more than 256 steps", i);
            return false;
        }
        f->depth = depth > f->depth ? depth : f->depth;
    }
    return true;
}

/* The sets of nodes of mode MEMBER, one behind the other, each closed by a NaN. */
static bool read_sets(struct g_op *o, struct forest *f)
{
    struct general *g = o->g;
    int64_t *from = qbc_alloc(g->q, (f->n_nodes + 1) * sizeof *from), *to = qbc_alloc(g->q, (f->n_nodes + 1) * sizeof *to), at = 0;
    f->members = g_attr_tensor(o, "membership_values");
    for (size_t i = 0; i < f->n_nodes; ++i) {
        int64_t mode = 0;
        double value = 0;
        from[i] = to[i] = at;
        if (!g_known_int(f->mode, (int64_t)i, &mode) || mode >= MODES) {
            g_refuse(o, "node %zu has no mode", i);
            return false;
        }
        if (mode != MEMBER)
            continue;
        f->has_sets = true;
        while (f->members && g_known_number(f->members, at, &value) && !isnan(value))
            ++at;
        to[i] = at++;
        if (!isnan(value)) {
            g_refuse(o, "the set of node %zu does not end", i);
            return false;
        }
    }
    f->from = g_known_ints(g, f->n_nodes, from);
    f->to = g_known_ints(g, f->n_nodes, to);
    return true;
}

static bool read_forest(struct g_op *o, struct forest *f)
{
    const int64_t *list;
    *f = (struct forest){.n_leaves = g_attr_ints(o, "leaf_targetids", &list), .n_nodes = g_attr_ints(o, "nodes_featureids", &list)};
    f->targets = g_attr_int(o, "n_targets", 1);
    f->n_trees = g_attr_ints(o, "tree_roots", &f->roots);
    f->mode = g_attr_tensor(o, "nodes_modes");
    f->split = g_attr_tensor(o, "nodes_splits");
    f->weight = g_attr_tensor(o, "leaf_weights");
    bool whole = f->mode && f->split && f->weight && f->n_nodes && f->n_leaves;
    if (!whole || g_known_count(f->split) != (int64_t)f->n_nodes || g_known_count(f->weight) != (int64_t)f->n_leaves ||
        g_known_count(f->mode) != (int64_t)f->n_nodes || !g_is_known(o->in[0]->size[1])) {
        g_refuse(o, "its tables of nodes and leaves are not of one length, or empty");
        return false;
    }
    f->feature = ints_of(o, "nodes_featureids", f->n_nodes, o->in[0]->size[1].n);
    f->target = ints_of(o, "leaf_targetids", f->n_leaves, f->targets);
    if (g_has_attr(o, "nodes_missing_value_tracks_true"))
        f->missing = ints_of(o, "nodes_missing_value_tracks_true", f->n_nodes, 2);
    return f->feature && f->target && !o->g->q->errors && read_structure(o, f) && read_sets(o, f);
}

/* --- the walk */

struct member {
    const struct forest *f;
    struct g_num x;
    MlirValue from;
};

static void is_member(struct general *g, void *user, const MlirValue *at, struct g_num *found)
{
    const struct member *m = user;
    struct g_num value = g_convert(g, g_at_flat(g, m->f->members, k_add(&g->k, m->from, at[0])), QBC_F64);
    *found = g_do(g, G_OR, *found, g_compare(g, G_EQ, value, m->x));
}

/* Does number x go to the yes side of a node? */
static struct g_num goes(struct general *g, const struct forest *f, MlirValue node, struct g_num x)
{
    static const enum g_compare how[] = {[LEQ] = G_LE, [LT] = G_LT, [GTE] = G_GE, [GT] = G_GT, [EQ] = G_EQ, [NEQ] = G_NE};
    struct g_num mode = g_convert(g, g_at_flat(g, f->mode, node), QBC_I64), no = {k_int_of(&g->k, g->k.i1, 0), QBC_BOOL}, yes = no;
    struct g_num split = g_convert(g, g_at_flat(g, f->split, node), QBC_F64);
    for (int i = 0; i < MEMBER; ++i)
        yes = g_select(g, g_compare(g, G_EQ, mode, g_int(g, QBC_I64, i)), g_compare(g, how[i], x, split), yes);
    if (f->has_sets) {
        struct member m = {f, x, g_at_flat(g, f->from, node).v};
        struct g_size n = g_size_of(k_sub(&g->k, g_at_flat(g, f->to, node).v, m.from));
        struct g_num in = no;
        g_fold(g, 1, &n, 1, &in, is_member, &m);
        yes = g_select(g, g_compare(g, G_EQ, mode, g_int(g, QBC_I64, MEMBER)), in, yes);
    }
    if (!f->missing)
        return yes;
    struct g_num tracks = g_compare(g, G_NE, g_at_flat(g, f->missing, node), g_int(g, QBC_I64, 0));
    return g_do(g, G_OR, yes, g_do(g, G_AND, tracks, g_compare(g, G_NE, x, x)));
}

/* The leaf of a tree where a row comes to. */
static MlirValue leaf_of(struct general *g, const struct forest *f, struct g_tensor *x, MlirValue row, MlirValue root)
{
    struct k_loop walk = k_for(&g->k, k_i64(&g->k, 0), k_i64(&g->k, f->depth), 1, 1, &root);
    MlirValue place = walk.carried[0], zero = k_i64(&g->k, 0), at_leaf = k_cmp(&g->k, QBC_LT, place, zero);
    MlirValue node = k_select(&g->k, at_leaf, zero, place);
    struct g_num number = g_convert(g, g_at_n(g, x, 2, row, g_at_flat(g, f->feature, node).v), QBC_F64);
    MlirValue side = k_select(&g->k, goes(g, f, node, number).v, k_i64(&g->k, 1), zero);
    MlirValue next = k_select(&g->k, at_leaf, place, g_at_n(g, f->next, 2, node, side).v);
    k_end(&g->k, &walk, &next);
    return k_sub(&g->k, k_i64(&g->k, -1), walk.carried[0]);
}

/* Leaves come together: AVERAGE, SUM, MIN, MAX by ONNX's numbers. */
static struct g_num joined(struct general *g, int64_t how, struct g_num have, struct g_num leaf, size_t trees)
{
    if (how >= 2)
        return g_do(g, how == 2 ? G_MIN : G_MAX, have, leaf);
    if (how == 0)
        leaf = g_do(g, G_DIV, leaf, g_const(g, QBC_F64, (double)trees));
    return g_do(g, G_ADD, have, leaf);
}

static struct g_tensor *sums_of(struct g_op *o, const struct forest *f, struct g_tensor *x, int64_t how)
{
    static const double begin[] = {0, 0, INFINITY, -INFINITY};
    struct general *g = o->g;
    struct g_size size[] = {x->size[0], g_size(f->targets)}, trees = g_size((int64_t)f->n_trees);
    struct g_tensor *y = g_new(g, QBC_F64, 2, size), *roots = g_known_ints(g, f->n_trees, f->roots);
    struct g_nest nest, each;
    g_allocate(g, y);
    g_begin(g, &nest, 2, size);
    g_put(g, y, nest.index, g_const(g, QBC_F64, begin[how]));
    g_end(g, &nest);
    g_begin(g, &nest, 1, size);
    g_begin(g, &each, 1, &trees);
    MlirValue leaf = leaf_of(g, f, x, nest.index[0], g_at_flat(g, roots, each.index[0]).v);
    MlirValue to[] = {nest.index[0], g_at_flat(g, f->target, leaf).v};
    struct g_num weight = g_convert(g, g_at_flat(g, f->weight, leaf), QBC_F64);
    g_put(g, y, to, joined(g, how, g_at(g, y, to), weight, f->n_trees));
    g_end(g, &each);
    g_end(g, &nest);
    return y;
}

void g_lower_trees(struct g_op *o)
{
    struct forest f;
    struct g_tensor *x = g_solid(o->g, o->in[0]);
    int64_t how = g_attr_int(o, "aggregate_function", 1), after = g_attr_int(o, "post_transform", 0);
    const bool last[QBC_MAX_RANK] = {false, true};
    if (how < 0 || how > 3 || after < 0 || after > 2) {
        g_refuse(o, "aggregate_function %lld or post_transform %lld is not supported", (long long)how, (long long)after);
        return;
    }
    if (!read_forest(o, &f))
        return;
    struct g_tensor *y = sums_of(o, &f, x, how);
    if (after == 1)
        y = g_softmax(o, y, last, false);
    static const char *const texts[] = {"x", "x", "1 / (1 + exp(-x))"};
    y = g_solid(o->g, g_map_tensors(o, texts[after], QBC_F64, 1, &y));
    o->out[0] = x->element == QBC_F64 ? y : g_map_tensors(o, "f32(x)", QBC_F32, 1, &y);
}
