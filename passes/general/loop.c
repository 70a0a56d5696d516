/* loop: (M, condition, carried...) -> (carried..., collected...) */
#include "control.h"

static void bind_loop(struct general *g, MlirBlock body, struct g_tensor *turn, struct g_tensor *condition, size_t n,
                      struct g_tensor *const *carried)
{
    g_bind(g, mlirBlockGetArgument(body, 0), turn);
    g_bind(g, mlirBlockGetArgument(body, 1), condition);
    for (size_t i = 0; i < n; ++i)
        g_bind(g, mlirBlockGetArgument(body, (intptr_t)(2 + i)), carried[i]);
}

void g_lower_loop(struct g_op *o)
{
    struct general *g = o->g;
    enum { MOST = 64 };
    struct g_tensor *carried[MOST], *results[MOST], *all[MOST];
    MlirBlock body = g_body_of(o, "body");
    size_t n = o->n_in < 2 ? 0 : o->n_in - 2;
    if (mlirBlockIsNull(body))
        return;
    for (size_t i = 0; i < n; ++i)
        if (!o->in[2 + i]) {
            g_refuse(o, "its operand %zu is missing", 2 + i);
            return;
        }
    size_t n_results = g_results_of(body), n_collected = n_results - 1 - n;
    if (o->n_in < 2 || n_results > MOST || n_results < 1 + n || (size_t)mlirBlockGetNumArguments(body) != o->n_in) {
        g_refuse(o, "its body does not fit its operands");
        return;
    }
    struct g_size most = g_has(o, 0) ? g_element(g, g_solid(g, o->in[0]), 0) : g_size(INT64_MAX);
    struct g_num begin = g_has(o, 1) ? g_at_flat(g, g_solid(g, o->in[1]), k_i64(&g->k, 0)) : g_int(g, QBC_BOOL, 1);
    struct g_tensor *condition = g_scalar(g, QBC_BOOL, begin);
    for (size_t i = 0; i < n; ++i)
        carried[i] = g_own_copy(g, g_solid(g, o->in[2 + i]));
    struct g_trial trial = g_begin_trial(g);
    bind_loop(g, body, g_scalar(g, QBC_I64, g_int(g, QBC_I64, 0)), condition, n, carried);
    bool good = g_write_body(o, body, n_results, results);
    g_end_trial(g, &trial);
    if (good && n_collected && !g_has(o, 0)) {
        g_refuse(o, "it collects values of a number of turns that nothing bounds");
        good = false;
    }
    for (size_t i = 0; good && i < n_collected; ++i) {
        if (!g_known_sizes(results[1 + n + i])) {
            g_refuse(o, "the sizes of what it collects are not known before it runs");
            return;
        }
        g_allocate(g, all[i] = g_collected(g, results[1 + n + i], most));
    }
    if (!good)
        return;
    struct g_turns t = g_begin_turns(g, g_i64(g, most), condition);
    bind_loop(g, body, g_scalar(g, QBC_I64, g_index(g, t.turn)), condition, n, carried);
    if (!g_write_body(o, body, n_results, results))
        return;
    for (size_t i = 0; i < n_collected; ++i)
        g_put_turn(g, all[i], results[1 + n + i], t.turn);
    struct g_num go = g_at_flat(g, results[0], k_i64(&g->k, 0));
    if (!g_update(o, n, carried, results + 1))
        return;
    g_put_flat(g, condition, k_i64(&g->k, 0), go);
    struct g_size turns = g_size_of(g_end_turns(g, &t));
    for (size_t i = 0; i < n; ++i)
        o->out[i] = carried[i];
    for (size_t i = 0; i < n_collected; ++i) {
        all[i]->size[0] = turns;
        o->out[n + i] = all[i];
    }
}
