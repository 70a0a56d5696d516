/* control: If, Loop and Scan become scf.if and scf.while.
 *
 * A value that a loop carries, or that an If gives, lies in memory of its own before the loop or the If begins: what a turn
 * computes is copied there, by way of a second copy, since one value may be another's of the turn before. So a turn's
 * memory is used again by the next. Sizes of such values must be known, and the same in all turns; an axis that grows by a
 * value each turn is collected into room for as many turns as there may be.
 */
#include "general.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

/* --- running a region's operations here */

MlirBlock g_body(struct g_op *o, const char *name)
{
    MlirAttribute names = mlirOperationGetAttributeByName(o->op, qbc_str("graphs"));
    for (intptr_t i = 0; !mlirAttributeIsNull(names) && i < mlirArrayAttrGetNumElements(names); ++i)
        if (mlirStringRefEqual(mlirStringAttrGetValue(mlirArrayAttrGetElement(names, i)), qbc_str(name)))
            return mlirRegionGetFirstBlock(mlirOperationGetRegion(o->op, i));
    return (MlirBlock){NULL};
}

static MlirBlock body_of(struct g_op *o, const char *name)
{
    MlirBlock body = g_body(o, name);
    if (mlirBlockIsNull(body))
        g_refuse(o, "it has no subgraph '%s'", name);
    return body;
}

/* The last operation of a body; there is no terminator that MLIR would know. */
static MlirOperation yield_of(MlirBlock body)
{
    MlirOperation op = mlirBlockGetFirstOperation(body), next;
    while (!mlirOperationIsNull(next = mlirOperationGetNextInBlock(op)))
        op = next;
    return op;
}

struct g_tensor *g_body_result(struct general *g, MlirBlock body, size_t i)
{
    struct g_tensor *t = g_value(g, mlirOperationGetOperand(yield_of(body), (intptr_t)i));
    return t ? g_solid(g, t) : NULL;
}

static size_t results_of(MlirBlock body)
{
    return (size_t)mlirOperationGetNumOperands(yield_of(body));
}

static void copy_to(struct general *g, struct g_tensor *from, MlirValue data)
{
    g_write_to(g, from, data);
}

/* What a body's results look like is known when it was written, but their room is needed before the loop. So it is written
 * twice: once into a block that is thrown away. */
struct trial {
    struct qbc_build outer;
    MlirBlock block;
    int64_t arena_bytes;
};

static struct trial begin_trial(struct general *g)
{
    struct trial t = {g->k.b, {NULL}, g->arena_bytes};
    MlirOperation before = qbc_make_regions(&g->k.b, "scf.execute_region", 0, NULL, NULL, 0, NULL, 1, &(struct qbc_region){.no_block = true});
    t.block = mlirBlockCreate(0, NULL, NULL);
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(before, 0), t.block);
    g->k.b = qbc_at_end(g->q, t.block, t.outer.loc);
    return t;
}

static void end_trial(struct general *g, struct trial *t)
{
    MlirOperation op = mlirBlockGetParentOperation(t->block);
    g->k.b = t->outer;
    mlirOperationDestroy(op);
    g->arena_bytes = t->arena_bytes;
}

/* --- If */

static bool same_sizes(const struct g_tensor *a, const struct g_tensor *b)
{
    bool same = a->rank == b->rank && a->element == b->element;
    for (size_t i = 0; same && i < a->rank; ++i)
        same = g_same(a->size[i], b->size[i]);
    return same;
}

static void lower_known_if(struct g_op *o, bool holds)
{
    MlirBlock body = body_of(o, holds ? "then_branch" : "else_branch");
    if (mlirBlockIsNull(body))
        return;
    g_lower_block(o->g, body);
    for (size_t i = 0; i < o->n_out && !o->g->q->errors; ++i)
        o->out[i] = g_body_result(o->g, body, i);
}

/* Data and sizes of a branch's results are what the scf.if gives. */
static void yield_branch(struct general *g, size_t n, struct g_tensor *const *t)
{
    MlirValue values[16 * (1 + QBC_MAX_RANK)];
    size_t k = 0;
    for (size_t i = 0; i < n; ++i) {
        MlirValue data = t[i]->data;
        if (t[i]->known)
            data = g_constant_data(g, t[i]->known, (size_t)g_known_count(t[i]) * qbc_element_bytes(t[i]->element));
        values[k++] = data;
        for (size_t d = 0; d < t[i]->rank; ++d)
            values[k++] = g_i64(g, t[i]->size[d]);
    }
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, k, values);
}

static void branch(struct g_op *o, MlirOperation op, size_t region, const char *name, struct g_tensor **t)
{
    struct general *g = o->g;
    MlirBlock body = body_of(o, name);
    struct qbc_build outer = g->k.b;
    if (mlirBlockIsNull(body))
        return;
    g->k.b = qbc_at_end(g->q, qbc_region_block(op, region), outer.loc);
    g_lower_block(g, body);
    for (size_t i = 0; i < o->n_out && !g->q->errors; ++i)
        t[i] = g_body_result(g, body, i);
    if (!g->q->errors)
        yield_branch(g, o->n_out, t);
    g->k.b = outer;
}

/* By writing a branch that is thrown away. */
static bool rank_of_branch(struct g_op *o, size_t i, size_t *rank)
{
    struct general *g = o->g;
    MlirBlock body = body_of(o, "then_branch");
    if (mlirBlockIsNull(body))
        return false;
    struct trial trial = begin_trial(g);
    g_lower_block(g, body);
    struct g_tensor *t = g->q->errors ? NULL : g_body_result(g, body, i);
    end_trial(g, &trial);
    *rank = t ? t->rank : 0;
    return t;
}

/* How many values an If gives has to be known before its branches are; so ranks are taken from the declared types. */
void g_lower_if(struct g_op *o)
{
    struct general *g = o->g;
    int64_t known, dims[QBC_MAX_RANK];
    if (g_known_int(o->in[0], 0, &known)) {
        lower_known_if(o, known != 0);
        return;
    }
    enum { MOST = 16 };
    MlirType types[MOST * (1 + QBC_MAX_RANK)];
    size_t n = 0, rank[MOST];
    if (o->n_out > MOST) {
        g_refuse(o, "it has more than %d results", MOST);
        return;
    }
    for (size_t i = 0; i < o->n_out; ++i) {
        if (!g_declared(o, i, &rank[i], dims) && !rank_of_branch(o, i, &rank[i]))
            return;
        types[n++] = g->k.ptr;
        for (size_t d = 0; d < rank[i]; ++d)
            types[n++] = g->k.i64;
    }
    struct qbc_region none = {0, NULL}, regions[] = {none, none};
    struct g_tensor *yes[MOST], *no[MOST];
    MlirValue condition = g_truth(g, g_at_flat(g, g_solid(g, o->in[0]), k_i64(&g->k, 0)));
    MlirOperation op = qbc_make_regions(&g->k.b, "scf.if", n, types, NULL, 1, &condition, 2, regions);
    branch(o, op, 0, "then_branch", yes);
    if (!g->q->errors)
        branch(o, op, 1, "else_branch", no);
    if (g->q->errors)
        return;
    for (size_t i = 0, k = 0; i < o->n_out; ++i) {
        if (yes[i]->rank != rank[i] || no[i]->rank != rank[i] || yes[i]->element != no[i]->element) {
            g_refuse(o, "its branches give result %zu different ranks or elements", i);
            return;
        }
        struct g_tensor *y = g_new(g, yes[i]->element, rank[i], yes[i]->size);
        y->data = mlirOperationGetResult(op, (intptr_t)k++);
        for (size_t d = 0; d < rank[i]; ++d, ++k)
            y->size[d] = g_same(yes[i]->size[d], no[i]->size[d]) && g_is_known(yes[i]->size[d])
                             ? yes[i]->size[d]
                             : g_size_of(mlirOperationGetResult(op, (intptr_t)k));
        o->out[i] = y;
    }
}

/* --- what a loop carries */

/* A value that changes from turn to turn, in memory of its own. */
static struct g_tensor *own_copy(struct general *g, struct g_tensor *from)
{
    struct g_tensor *t = g_new_like(g, from->element, from);
    copy_to(g, from, t->data);
    return t;
}

/* The new values, all computed before any is overwritten. */
static bool update(struct g_op *o, size_t n, struct g_tensor *const *old, struct g_tensor *const *next)
{
    struct general *g = o->g;
    struct g_tensor *kept[64];
    for (size_t i = 0; i < n && i < 64; ++i) {
        if (!same_sizes(old[i], next[i])) {
            g_refuse(o, "the sizes of the value number %zu that it carries change from turn to turn", i);
            return false;
        }
        kept[i] = own_copy(g, next[i]);
    }
    for (size_t i = 0; i < n && i < 64; ++i)
        copy_to(g, kept[i], old[i]->data);
    return true;
}

static struct g_tensor *scalar(struct general *g, enum qbc_element element, struct g_num value)
{
    struct g_tensor *t = g_new(g, element, 0, NULL);
    g_allocate(g, t);
    g_put_flat(g, t, k_i64(&g->k, 0), value);
    return t;
}

/* Room for a value of each turn; its first axis is the turn. */
static struct g_tensor *collected(struct general *g, const struct g_tensor *one, struct g_size turns)
{
    struct g_size size[QBC_MAX_RANK];
    size[0] = turns;
    memcpy(size + 1, one->size, one->rank * sizeof *size);
    struct g_tensor *t = g_new(g, one->element, one->rank + 1, size);
    return t;
}

static void put_turn(struct general *g, struct g_tensor *all, struct g_tensor *one, MlirValue turn)
{
    struct g_size bytes = g_times(g, g_count(g, one), g_size((int64_t)qbc_element_bytes(one->element)));
    copy_to(g, one, k_at(&g->k, all->data, k_mul(&g->k, turn, g_i64(g, bytes))));
}

/* --- Loop: (M, condition, carried...) -> (carried..., collected...) */

struct turns {
    MlirOperation op;
    MlirValue turn;
    struct qbc_build outer;
};

/* while (turn < most && condition), with `condition` in memory */
static struct turns begin_turns(struct general *g, MlirValue most, struct g_tensor *condition)
{
    MlirValue zero = k_i64(&g->k, 0);
    struct qbc_region one = {1, &g->k.i64}, regions[] = {one, one};
    struct turns t = {.outer = g->k.b};
    t.op = qbc_make_regions(&g->k.b, "scf.while", 1, &g->k.i64, NULL, 1, &zero, 2, regions);
    MlirBlock test = qbc_region_block(t.op, 0), body = qbc_region_block(t.op, 1);
    g->k.b = qbc_at_end(g->q, test, t.outer.loc);
    MlirValue turn = mlirBlockGetArgument(test, 0), go = k_cmp(&g->k, QBC_LT, turn, most);
    if (condition)
        go = k_op2(&g->k, "arith.andi", go, g_truth(g, g_at_flat(g, condition, zero)));
    qbc_make(&g->k.b, "scf.condition", (MlirType){NULL}, NULL, 2, (MlirValue[]){go, turn});
    g->k.b = qbc_at_end(g->q, body, t.outer.loc);
    t.turn = mlirBlockGetArgument(body, 0);
    return t;
}

static MlirValue end_turns(struct general *g, struct turns *t)
{
    MlirValue next = k_add_i(&g->k, t->turn, 1);
    qbc_make(&g->k.b, "scf.yield", (MlirType){NULL}, NULL, 1, &next);
    g->k.b = t->outer;
    return mlirOperationGetResult(t->op, 0);
}

static void bind_loop(struct general *g, MlirBlock body, struct g_tensor *turn, struct g_tensor *condition, size_t n,
                      struct g_tensor *const *carried)
{
    g_bind(g, mlirBlockGetArgument(body, 0), turn);
    g_bind(g, mlirBlockGetArgument(body, 1), condition);
    for (size_t i = 0; i < n; ++i)
        g_bind(g, mlirBlockGetArgument(body, (intptr_t)(2 + i)), carried[i]);
}

static bool write_body(struct g_op *o, MlirBlock body, size_t n, struct g_tensor **results)
{
    g_lower_block(o->g, body);
    for (size_t i = 0; i < n && !o->g->q->errors; ++i)
        results[i] = g_body_result(o->g, body, i);
    return !o->g->q->errors;
}

void g_lower_loop(struct g_op *o)
{
    struct general *g = o->g;
    enum { MOST = 64 };
    struct g_tensor *carried[MOST], *results[MOST], *all[MOST];
    MlirBlock body = body_of(o, "body");
    size_t n = o->n_in < 2 ? 0 : o->n_in - 2;
    if (mlirBlockIsNull(body))
        return;
    for (size_t i = 0; i < n; ++i)
        if (!o->in[2 + i]) {
            g_refuse(o, "its operand %zu is missing", 2 + i);
            return;
        }
    size_t n_results = results_of(body), n_collected = n_results - 1 - n;
    if (o->n_in < 2 || n_results > MOST || n_results < 1 + n || (size_t)mlirBlockGetNumArguments(body) != o->n_in) {
        g_refuse(o, "its body does not fit its operands");
        return;
    }
    struct g_size most = g_has(o, 0) ? g_element(g, g_solid(g, o->in[0]), 0) : g_size(INT64_MAX);
    struct g_num begin = g_has(o, 1) ? g_at_flat(g, g_solid(g, o->in[1]), k_i64(&g->k, 0)) : g_int(g, QBC_BOOL, 1);
    struct g_tensor *condition = scalar(g, QBC_BOOL, begin);
    for (size_t i = 0; i < n; ++i)
        carried[i] = own_copy(g, g_solid(g, o->in[2 + i]));
    struct trial trial = begin_trial(g);
    bind_loop(g, body, scalar(g, QBC_I64, g_int(g, QBC_I64, 0)), condition, n, carried);
    bool good = write_body(o, body, n_results, results);
    end_trial(g, &trial);
    if (good && n_collected && !g_has(o, 0)) {
        g_refuse(o, "it collects values of a number of turns that nothing bounds");
        good = false;
    }
    for (size_t i = 0; good && i < n_collected; ++i) {
        if (!g_known_sizes(results[1 + n + i])) {
            g_refuse(o, "the sizes of what it collects are not known before it runs");
            return;
        }
        g_allocate(g, all[i] = collected(g, results[1 + n + i], most));
    }
    if (!good)
        return;
    struct turns t = begin_turns(g, g_i64(g, most), condition);
    bind_loop(g, body, scalar(g, QBC_I64, g_index(g, t.turn)), condition, n, carried);
    if (!write_body(o, body, n_results, results))
        return;
    for (size_t i = 0; i < n_collected; ++i)
        put_turn(g, all[i], results[1 + n + i], t.turn);
    struct g_num go = g_at_flat(g, results[0], k_i64(&g->k, 0));
    if (!update(o, n, carried, results + 1))
        return;
    g_put_flat(g, condition, k_i64(&g->k, 0), go);
    struct g_size turns = g_size_of(end_turns(g, &t));
    for (size_t i = 0; i < n; ++i)
        o->out[i] = carried[i];
    for (size_t i = 0; i < n_collected; ++i) {
        all[i]->size[0] = turns;
        o->out[n + i] = all[i];
    }
}

/* --- Scan: (states..., sequences...) -> (states..., collected...); before opset 9 with a batch, which is not supported */

struct element {
    struct g_tensor *x;
    size_t axis;
    MlirValue at;
};

static struct g_num turn_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct element *e = t->user;
    MlirValue own[QBC_MAX_RANK];
    for (size_t i = 0, k = 0; i < e->x->rank; ++i)
        own[i] = i == e->axis ? e->at : index[k++];
    return g_at(g, e->x, own);
}

static struct g_tensor *element_of(struct general *g, struct g_tensor *x, size_t axis, MlirValue at)
{
    struct element *e = qbc_alloc(g->q, sizeof *e);
    struct g_size size[QBC_MAX_RANK];
    size_t rank = 0;
    *e = (struct element){x, axis, at};
    for (size_t i = 0; i < x->rank; ++i)
        if (i != axis)
            size[rank++] = x->size[i];
    return g_solid(g, g_function(g, x->element, rank, size, turn_at, e, 1));
}

static int64_t listed(struct g_op *o, const char *name, size_t i)
{
    const int64_t *list = NULL;
    return i < g_attr_ints(o, name, &list) ? list[i] : 0;
}

struct scan {
    MlirBlock body;
    size_t n_states, n_sequences, n_collected, axis[64];
    struct g_tensor *states[64];
    struct g_size turns;
};

static void bind_turn(struct g_op *o, struct scan *s, MlirValue turn)
{
    struct general *g = o->g;
    for (size_t i = 0; i < s->n_states; ++i)
        g_bind(g, mlirBlockGetArgument(s->body, (intptr_t)i), s->states[i]);
    for (size_t i = 0; i < s->n_sequences; ++i) {
        MlirValue at = turn;
        if (listed(o, "scan_input_directions", i))
            at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, s->turns), -1), turn);
        g_bind(g, mlirBlockGetArgument(s->body, (intptr_t)(s->n_states + i)),
               element_of(g, o->in[s->n_states + i], s->axis[i], at));
    }
}

static bool describe_scan(struct g_op *o, struct scan *s)
{
    struct general *g = o->g;
    *s = (struct scan){.body = body_of(o, "body"), .n_sequences = (size_t)g_attr_int(o, "num_scan_inputs", 0)};
    if (mlirBlockIsNull(s->body))
        return false;
    size_t n_results = results_of(s->body);
    if (g->opset < 9) {
        g_refuse(o, "Scan of opset 8, with a batch, is not supported; convert the model to a newer opset");
        return false;
    }
    if (s->n_sequences < 1 || s->n_sequences > o->n_in || n_results > 64 || o->n_in > 64 ||
        (size_t)mlirBlockGetNumArguments(s->body) != o->n_in || n_results < o->n_in - s->n_sequences) {
        g_refuse(o, "its body does not fit its operands");
        return false;
    }
    s->n_states = o->n_in - s->n_sequences;
    s->n_collected = n_results - s->n_states;
    for (size_t i = 0; i < s->n_sequences; ++i) {
        int64_t axis = listed(o, "scan_input_axes", i);
        struct g_tensor *x = g_solid(g, o->in[s->n_states + i]);
        if (!g_axis(o, &axis, x->rank))
            return false;
        s->axis[i] = (size_t)axis;
        s->turns = i ? s->turns : x->size[axis];
    }
    for (size_t i = 0; i < s->n_states; ++i)
        s->states[i] = own_copy(g, g_solid(g, o->in[i]));
    return true;
}

/* The collected values as the operation gives them: backwards, or along another axis. */
static struct g_tensor *arranged(struct g_op *o, size_t i, struct g_tensor *all)
{
    int64_t axis = listed(o, "scan_output_axes", i), order[QBC_MAX_RANK];
    if (!g_axis(o, &axis, all->rank))
        return NULL;
    for (size_t d = 0, k = 1; d < all->rank; ++d)
        order[d] = (int64_t)d == axis ? 0 : (int64_t)k++;
    return axis ? g_transposed(o->g, all, order) : all;
}

void g_lower_scan(struct g_op *o)
{
    struct general *g = o->g;
    struct scan s;
    struct g_tensor *results[64], *all[64];
    if (!describe_scan(o, &s))
        return;
    size_t n_results = s.n_states + s.n_collected;
    struct trial trial = begin_trial(g);
    bind_turn(o, &s, k_i64(&g->k, 0));
    bool good = write_body(o, s.body, n_results, results);
    end_trial(g, &trial);
    for (size_t i = 0; good && i < s.n_collected; ++i) {
        if (!g_known_sizes(results[s.n_states + i])) {
            g_refuse(o, "the sizes of what it collects are not known before it runs");
            return;
        }
        g_allocate(g, all[i] = collected(g, results[s.n_states + i], s.turns));
    }
    if (!good)
        return;
    struct turns t = begin_turns(g, g_i64(g, s.turns), NULL);
    bind_turn(o, &s, t.turn);
    if (!write_body(o, s.body, n_results, results))
        return;
    for (size_t i = 0; i < s.n_collected; ++i) {
        MlirValue at = t.turn;
        if (listed(o, "scan_output_directions", i))
            at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, s.turns), -1), t.turn);
        put_turn(g, all[i], results[s.n_states + i], at);
    }
    if (!update(o, s.n_states, s.states, results))
        return;
    end_turns(g, &t);
    for (size_t i = 0; i < s.n_states; ++i)
        o->out[i] = s.states[i];
    for (size_t i = 0; i < s.n_collected; ++i)
        o->out[s.n_states + i] = arranged(o, i, all[i]);
}
