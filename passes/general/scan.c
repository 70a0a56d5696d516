/* scan: (states..., sequences...) -> (states..., collected...) */
#include "control.h"

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
    *s = (struct scan){.body = g_body_of(o, "body"), .n_sequences = (size_t)g_attr_int(o, "num_scan_inputs", 0)};
    if (mlirBlockIsNull(s->body))
        return false;
    size_t n_results = g_results_of(s->body);
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
        s->states[i] = g_own_copy(g, g_solid(g, o->in[i]));
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
    struct g_trial trial = g_begin_trial(g);
    bind_turn(o, &s, k_i64(&g->k, 0));
    bool good = g_write_body(o, s.body, n_results, results);
    g_end_trial(g, &trial);
    for (size_t i = 0; good && i < s.n_collected; ++i) {
        if (!g_known_sizes(results[s.n_states + i])) {
            g_refuse(o, "the sizes of what it collects are not known before it runs");
            return;
        }
        g_allocate(g, all[i] = g_collected(g, results[s.n_states + i], s.turns));
    }
    if (!good)
        return;
    struct g_turns t = g_begin_turns(g, g_i64(g, s.turns), NULL);
    bind_turn(o, &s, t.turn);
    if (!g_write_body(o, s.body, n_results, results))
        return;
    for (size_t i = 0; i < s.n_collected; ++i) {
        MlirValue at = t.turn;
        if (listed(o, "scan_output_directions", i))
            at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, s.turns), -1), t.turn);
        g_put_turn(g, all[i], results[s.n_states + i], at);
    }
    if (!g_update(o, s.n_states, s.states, results))
        return;
    g_end_turns(g, &t);
    for (size_t i = 0; i < s.n_states; ++i)
        o->out[i] = s.states[i];
    for (size_t i = 0; i < s.n_collected; ++i)
        o->out[s.n_states + i] = arranged(o, i, all[i]);
}
