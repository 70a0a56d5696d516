/* scan: (states..., sequences...) -> (states..., collected...); in opset 8 of each of a batch. */
#include "control.h"

enum { MOST = 64 }; /* operands, results */

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
    size_t first; /* operand: opset 8 has lengths before the states */
    size_t n_states, n_sequences, n_collected, axis[MOST];
    struct g_tensor *states[MOST], *sequences[MOST], *all[MOST]; /* all: what is collected */
    struct g_size turns;
    const char *directions;
};

static void bind_turn(struct g_op *o, struct scan *s, MlirValue turn)
{
    struct general *g = o->g;
    for (size_t i = 0; i < s->n_states; ++i)
        g_bind(g, mlirBlockGetArgument(s->body, (intptr_t)i), s->states[i]);
    for (size_t i = 0; i < s->n_sequences; ++i) {
        MlirValue at = turn;
        if (listed(o, s->directions, i))
            at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, s->turns), -1), turn);
        g_bind(g, mlirBlockGetArgument(s->body, (intptr_t)(s->n_states + i)), element_of(g, s->sequences[i], s->axis[i], at));
    }
}

static bool describe_scan(struct g_op *o, struct scan *s)
{
    bool batch = o->g->opset < 9;
    *s = (struct scan){.body = g_body_of(o, "body"), .first = batch, .n_sequences = (size_t)g_attr_int(o, "num_scan_inputs", 0)};
    s->directions = batch ? "directions" : "scan_input_directions";
    if (mlirBlockIsNull(s->body))
        return false;
    size_t n_results = g_results_of(s->body), n = o->n_in < s->first ? 0 : o->n_in - s->first;
    if (s->n_sequences < 1 || s->n_sequences > n || n_results > MOST || n > MOST ||
        (size_t)mlirBlockGetNumArguments(s->body) != n || n_results < n - s->n_sequences) {
        g_refuse(o, "its body does not fit its operands");
        return false;
    }
    s->n_states = n - s->n_sequences;
    s->n_collected = n_results - s->n_states;
    for (size_t i = s->first; i < o->n_in; ++i)
        if (!o->in[i]) {
            g_refuse(o, "its operand %zu is missing", i);
            return false;
        }
    return true;
}

/* States as they begin, and where the sequences go on. */
static bool begin_scan(struct g_op *o, struct scan *s)
{
    for (size_t i = 0; i < s->n_sequences; ++i) {
        struct g_tensor *x = s->sequences[i];
        int64_t axis = listed(o, "scan_input_axes", i);
        if (!g_axis(o, &axis, x->rank))
            return false;
        s->axis[i] = (size_t)axis;
        s->turns = i ? s->turns : x->size[axis];
    }
    for (size_t i = 0; i < s->n_states; ++i)
        s->states[i] = g_own_copy(o->g, s->states[i]);
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

/* Room for what is collected, as large as a turn that is thrown away says. */
static bool make_room(struct g_op *o, struct scan *s)
{
    struct general *g = o->g;
    struct g_tensor *results[MOST];
    struct g_trial trial = g_begin_trial(g);
    bind_turn(o, s, k_i64(&g->k, 0));
    bool good = g_write_body(o, s->body, s->n_states + s->n_collected, results);
    g_end_trial(g, &trial);
    for (size_t i = 0; good && i < s->n_collected; ++i) {
        if (!g_known_sizes(results[s->n_states + i])) {
            g_refuse(o, "the sizes of what it collects are not known before it runs");
            return false;
        }
        g_allocate(g, s->all[i] = g_collected(g, results[s->n_states + i], s->turns));
    }
    return good;
}

/* All turns; then `states` are as they are in the end, and `all` what was collected. */
static bool run_scan(struct g_op *o, struct scan *s)
{
    struct general *g = o->g;
    struct g_tensor *results[MOST];
    if (!begin_scan(o, s) || !make_room(o, s))
        return false;
    struct g_turns t = g_begin_turns(g, g_i64(g, s->turns), NULL);
    bind_turn(o, s, t.turn);
    if (!g_write_body(o, s->body, s->n_states + s->n_collected, results))
        return false;
    for (size_t i = 0; i < s->n_collected; ++i) {
        MlirValue at = t.turn;
        if (listed(o, "scan_output_directions", i))
            at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, s->turns), -1), t.turn);
        g_put_turn(g, s->all[i], results[s->n_states + i], at);
    }
    if (!g_update(o, s->n_states, s->states, results))
        return false;
    g_end_turns(g, &t);
    return true;
}

/* --- opset 8: all operands and results have a batch before everything else; each of it is a scan of its own */

static struct g_tensor *each_of(struct general *g, const struct g_tensor *one, struct g_size batch)
{
    struct g_tensor *t = g_collected(g, one, batch);
    g_allocate(g, t);
    return t;
}

/* Results are as large as those of the first of the batch. */
static bool find_results(struct g_op *o, struct scan *s, struct g_size batch)
{
    struct general *g = o->g;
    struct g_trial trial = g_begin_trial(g);
    struct scan one = *s;
    for (size_t i = 0; i < s->n_states; ++i)
        one.states[i] = element_of(g, o->in[s->first + i], 0, k_i64(&g->k, 0));
    for (size_t i = 0; i < s->n_sequences; ++i)
        one.sequences[i] = element_of(g, o->in[s->first + s->n_states + i], 0, k_i64(&g->k, 0));
    bool good = run_scan(o, &one);
    g_end_trial(g, &trial);
    for (size_t i = 0; i < o->n_out && good; ++i)
        o->out[i] = each_of(g, i < s->n_states ? one.states[i] : one.all[i - s->n_states], batch);
    return good;
}

static void scan_batch(struct g_op *o, struct scan *s)
{
    struct general *g = o->g;
    struct g_nest nest;
    if (o->in[0]) {
        g_refuse(o, "lengths of the sequences of a batch are not supported");
        return;
    }
    for (size_t i = s->first; i < o->n_in; ++i)
        if (!g_solid(g, o->in[i])->rank || !g_known_sizes(o->in[i])) {
            g_refuse(o, "operand %zu has no batch, or sizes that are not known before it runs", i);
            return;
        }
    struct g_size batch = o->in[s->first]->size[0];
    if (!find_results(o, s, batch))
        return;
    g_begin(g, &nest, 1, &batch);
    for (size_t i = 0; i < s->n_states; ++i)
        s->states[i] = element_of(g, o->in[s->first + i], 0, nest.index[0]);
    for (size_t i = 0; i < s->n_sequences; ++i)
        s->sequences[i] = element_of(g, o->in[s->first + s->n_states + i], 0, nest.index[0]);
    bool good = run_scan(o, s);
    for (size_t i = 0; i < o->n_out && good; ++i)
        g_put_turn(g, o->out[i], i < s->n_states ? s->states[i] : s->all[i - s->n_states], nest.index[0]);
    g_end(g, &nest);
}

void g_lower_scan(struct g_op *o)
{
    struct scan s;
    if (!describe_scan(o, &s))
        return;
    if (s.first) {
        scan_batch(o, &s);
        return;
    }
    for (size_t i = 0; i < o->n_in; ++i)
        *(i < s.n_states ? &s.states[i] : &s.sequences[i - s.n_states]) = g_solid(o->g, o->in[i]);
    if (!run_scan(o, &s))
        return;
    for (size_t i = 0; i < s.n_states + s.n_collected; ++i)
        o->out[i] = i < s.n_states ? s.states[i] : arranged(o, i - s.n_states, s.all[i - s.n_states]);
}
