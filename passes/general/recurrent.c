/* recurrent: RNN, GRU and LSTM. Sums of all gates for a batch are made in memory, then the state moves on; a turn of the
 * loop is a step in time.
 *
 *   RNN    H' = f(g0)                                              gates: i
 *   GRU    z = f(g0), r = f(g1), h = g(g2 with r), H' = (1 - z) h + z H       z, r, h
 *   LSTM   i = f(g0), o = f(g1), F = f(g2), c = g(g3), C' = F C + i c, H' = o h(C')       i, o, f, c
 */
#include "general.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

enum kind { RNN, GRU, LSTM };
static const int gates_of[] = {1, 3, 4}, functions_of[] = {1, 2, 3};

struct cell {
    struct g_op o;
    enum kind kind;
    int64_t gates;
    struct g_tensor *x, *w, *r, *bias, *lengths, *peephole; /* x as [time, batch, input] */
    struct g_size time, batch, input, hidden;
    MlirValue direction;
    const char *function[3];
    struct g_tensor *h, *c, *next_h, *next_c, *input_sum, *state_sum; /* of one direction */
    double clip;
    bool before_reset;
};

/* A and B in a text become numbers. */
static const char *with_numbers(struct qbc *q, const char *text, double a, double b)
{
    const char *out = "";
    for (; *text; ++text)
        out = *text == 'A' || *text == 'B' ? qbc_text(q, "%s(%.9g)", out, *text == 'A' ? a : b) : qbc_text(q, "%s%c", out, *text);
    return out;
}

static const char *activation(struct g_op *o, size_t i, const char *fallback)
{
    static const struct {
        const char *name, *text;
        double alpha, beta;
    } known[] = {{"Sigmoid", "1 / (1 + exp(-x))", 0, 0},         {"Tanh", "tanh(x)", 0, 0},
                 {"Relu", "max(x, 0)", 0, 0},                    {"Affine", "A * x + B", 1, 0},
                 {"LeakyRelu", "x < 0 ? A * x : x", 0.01, 0}, {"ThresholdedRelu", "x > A ? x : 0", 1, 0},
                 {"ScaledTanh", "A * tanh(B * x)", 1, 1},  {"HardSigmoid", "max(0, min(1, A * x + B))", 0.2, 0.5},
                 {"Elu", "x < 0 ? A * (exp(x) - 1) : x", 1, 0}, {"Softsign", "x / (1 + abs(x))", 0, 0},
                 {"Softplus", "log(1 + exp(x))", 0, 0}};
    struct qbc *q = o->g->q;
    MlirAttribute list = mlirOperationGetAttributeByName(o->op, qbc_str("activations"));
    const char *name = fallback;
    const float *alphas = NULL, *betas = NULL;
    size_t n_alpha = g_has_attr(o, "activation_alpha") ? qbc_floats(q, o->op, "activation_alpha", &alphas) : 0;
    size_t n_beta = g_has_attr(o, "activation_beta") ? qbc_floats(q, o->op, "activation_beta", &betas) : 0;
    if (!mlirAttributeIsNull(list))
        name = g_attr_list_text(o, "activations", i, fallback);
    for (size_t k = 0; k < sizeof known / sizeof *known; ++k) {
        if (strcmp(known[k].name, name))
            continue;
        double alpha = i < n_alpha ? (double)alphas[i] : known[k].alpha, beta = i < n_beta ? (double)betas[i] : known[k].beta;
        return with_numbers(q, known[k].text, alpha, beta);
    }
    g_refuse(o, "activation '%s' is not known", name);
    return NULL;
}

static struct g_num f32(struct general *g, struct g_num x)
{
    return g_convert(g, x, QBC_F32);
}

static struct g_num at2(struct general *g, const struct g_tensor *t, MlirValue i, MlirValue j)
{
    return g_at_n(g, t, 2, i, j);
}

/* --- sums: [batch, gates * hidden] of the operand's side and of the state's, each with its bias */

struct dot {
    const struct cell *c;
    const struct g_tensor *x, *w;
    MlirValue time, batch, row; /* time null: x is the state */
};

static void add_product(struct general *g, void *user, const MlirValue *at, struct g_num *sum)
{
    struct dot *d = user;
    struct g_num x = mlirValueIsNull(d->time) ? at2(g, d->x, d->batch, at[0]) : g_at_n(g, d->x, 3, d->time, d->batch, at[0]);
    struct g_num w = g_at_n(g, d->w, 3, d->c->direction, d->row, at[0]);
    *sum = g_do(g, G_ADD, *sum, g_do(g, G_MUL, f32(g, x), f32(g, w)));
}

static void sum_gates(struct general *g, const struct cell *c, MlirValue time)
{
    struct g_size rows = g_times(g, c->hidden, g_size(c->gates)), size[] = {c->batch, rows};
    struct g_nest nest;
    g_begin(g, &nest, 2, size);
    struct dot from_x = {c, c->x, c->w, time, nest.index[0], nest.index[1]};
    struct dot from_h = {c, c->h, c->r, {NULL}, nest.index[0], nest.index[1]};
    struct g_num a = g_const(g, QBC_F32, 0), b = a;
    if (c->bias) {
        a = f32(g, at2(g, c->bias, c->direction, nest.index[1]));
        b = f32(g, at2(g, c->bias, c->direction, k_add(&g->k, nest.index[1], g_i64(g, rows))));
    }
    g_fold(g, 1, &c->input, 1, &a, add_product, &from_x);
    g_fold(g, 1, &c->hidden, 1, &b, add_product, &from_h);
    g_put(g, c->input_sum, nest.index, a);
    g_put(g, c->state_sum, nest.index, b);
    g_end(g, &nest);
}

/* --- one step for one element */

struct place {
    MlirValue batch, unit;
};

static MlirValue row_of(struct general *g, const struct cell *c, struct place p, int64_t gate)
{
    return k_add(&g->k, k_mul_i(&g->k, g_i64(g, c->hidden), gate), p.unit);
}

static struct g_num gate_sum(struct general *g, const struct cell *c, struct place p, int64_t gate)
{
    MlirValue row = row_of(g, c, p, gate);
    return g_do(g, G_ADD, at2(g, c->input_sum, p.batch, row), at2(g, c->state_sum, p.batch, row));
}

static struct g_num apply(struct general *g, const struct cell *c, int function, struct g_num x)
{
    struct g_op o = c->o;
    if (c->clip > 0)
        x = g_expression(&o, qbc_text(g->q, "max(-%.9g, min(%.9g, x))", c->clip, c->clip), 1, &x);
    return g_expression(&o, c->function[function], 1, &x);
}

static struct g_num gru(struct general *g, const struct cell *c, struct place p, struct g_num h)
{
    struct g_op o = c->o;
    MlirValue row = row_of(g, c, p, 2);
    struct g_num z = apply(g, c, 0, gate_sum(g, c, p, 0)), r = apply(g, c, 0, gate_sum(g, c, p, 1));
    struct g_num x = at2(g, c->input_sum, p.batch, row), s = at2(g, c->state_sum, p.batch, row);
    struct g_num inner = c->before_reset ? g_do(g, G_ADD, x, g_do(g, G_MUL, r, s)) : g_do(g, G_ADD, x, s);
    struct g_num all[] = {z, apply(g, c, 1, inner), h};
    return g_expression(&o, "(1 - x) * y + x * z", 3, all);
}

/* A gate of an LSTM may look at the cell: P is [i, o, f]. */
static struct g_num peeped(struct general *g, const struct cell *c, struct place p, int64_t which, struct g_num sum, struct g_num cell)
{
    if (!c->peephole)
        return sum;
    struct g_num weight = f32(g, at2(g, c->peephole, c->direction, row_of(g, c, p, which)));
    return g_do(g, G_ADD, sum, g_do(g, G_MUL, weight, cell));
}

static struct g_num lstm(struct general *g, const struct cell *c, struct place p, struct g_num *cell)
{
    struct g_op o = c->o;
    bool coupled = g_attr_int(&o, "input_forget", 0) != 0;
    struct g_num i = apply(g, c, 0, peeped(g, c, p, 0, gate_sum(g, c, p, 0), *cell));
    struct g_num f = coupled ? g_expression(&o, "1 - x", 1, &i) : apply(g, c, 0, peeped(g, c, p, 2, gate_sum(g, c, p, 2), *cell));
    struct g_num new[] = {f, *cell, i, apply(g, c, 1, gate_sum(g, c, p, 3))};
    *cell = g_expression(&o, "x * y + z * w", 4, new);
    struct g_num out = apply(g, c, 0, peeped(g, c, p, 1, gate_sum(g, c, p, 1), *cell));
    return g_do(g, G_MUL, out, g_expression(&o, c->function[2], 1, cell));
}

/* GRU that resets before the product: the sum of gate h is made of r * H. */
static void sum_reset(struct general *g, const struct cell *c)
{
    struct g_size size[] = {c->batch, c->hidden};
    struct g_nest nest;
    g_begin(g, &nest, 2, size);
    struct place p = {nest.index[0], nest.index[1]};
    struct g_num r = apply(g, c, 0, gate_sum(g, c, p, 1));
    g_put(g, c->next_h, nest.index, g_do(g, G_MUL, r, at2(g, c->h, p.batch, p.unit)));
    g_end(g, &nest);
    g_begin(g, &nest, 2, size);
    MlirValue row = row_of(g, c, (struct place){nest.index[0], nest.index[1]}, 2);
    struct dot d = {c, c->next_h, c->r, {NULL}, nest.index[0], row};
    struct g_num sum = g_const(g, QBC_F32, 0);
    if (c->bias)
        sum = f32(g, at2(g, c->bias, c->direction, k_add(&g->k, row, k_mul_i(&g->k, g_i64(g, c->hidden), c->gates))));
    g_fold(g, 1, &c->hidden, 1, &sum, add_product, &d);
    g_put(g, c->state_sum, (MlirValue[]){nest.index[0], row}, sum);
    g_end(g, &nest);
}

/* Batches that are over keep their state, and give zeros. */
static void step(struct general *g, const struct cell *c, MlirValue time, struct g_tensor *all)
{
    struct g_size size[] = {c->batch, c->hidden};
    struct g_nest nest;
    sum_gates(g, c, time);
    if (c->kind == GRU && !c->before_reset)
        sum_reset(g, c);
    g_begin(g, &nest, 2, size);
    struct place p = {nest.index[0], nest.index[1]};
    struct g_num h = at2(g, c->h, p.batch, p.unit), cell = c->c ? at2(g, c->c, p.batch, p.unit) : h, old = cell, y;
    y = c->kind == GRU ? gru(g, c, p, h) : c->kind == LSTM ? lstm(g, c, p, &cell) : apply(g, c, 0, gate_sum(g, c, p, 0));
    struct g_num out = y;
    if (c->lengths) {
        struct g_num length = g_convert(g, g_at_flat(g, c->lengths, p.batch), QBC_I64), runs = g_compare(g, G_LT, g_index(g, time), length);
        out = g_select(g, runs, y, g_const(g, QBC_F32, 0));
        y = g_select(g, runs, y, h);
        cell = g_select(g, runs, cell, old);
    }
    g_put(g, c->next_h, nest.index, y);
    if (c->c)
        g_put(g, c->next_c, nest.index, cell);
    g_put(g, all, (MlirValue[]){time, c->direction, p.batch, p.unit}, out);
    g_end(g, &nest);
    g_write_to(g, c->next_h, c->h->data);
    if (c->c)
        g_write_to(g, c->next_c, c->c->data);
}

/* --- all of it */

static struct g_tensor *state(struct general *g, const struct cell *c)
{
    struct g_size size[] = {c->batch, c->hidden};
    struct g_tensor *t = g_new(g, QBC_F32, 2, size);
    g_allocate(g, t);
    return t;
}

/* [directions, batch, hidden], or with the batch first (layout 1). */
static void begin_state(struct g_op *o, const struct cell *c, struct g_tensor *t, size_t operand, bool batch_first)
{
    struct general *g = o->g;
    struct g_nest nest;
    struct g_tensor *from = g_has(o, operand) ? g_solid(g, o->in[operand]) : NULL;
    g_begin(g, &nest, 2, t->size);
    MlirValue a = batch_first ? nest.index[0] : c->direction, b = batch_first ? c->direction : nest.index[0];
    g_put(g, t, nest.index, from ? g_at_n(g, from, 3, a, b, nest.index[1]) : g_const(g, QBC_F32, 0));
    g_end(g, &nest);
}

static void end_state(struct general *g, const struct cell *c, const struct g_tensor *t, struct g_tensor *to)
{
    struct g_nest nest;
    g_begin(g, &nest, 2, t->size);
    g_put(g, to, (MlirValue[]){c->direction, nest.index[0], nest.index[1]}, g_at(g, t, nest.index));
    g_end(g, &nest);
}

static void run_direction(struct g_op *o, struct cell *c, bool backwards, bool batch_first, struct g_tensor *all, struct g_tensor *last_h,
                          struct g_tensor *last_c)
{
    struct general *g = o->g;
    begin_state(o, c, c->h, 5, batch_first);
    if (c->c)
        begin_state(o, c, c->c, 6, batch_first);
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, c->time), 1, 0, NULL);
    MlirValue time = loop.i;
    if (backwards)
        time = k_sub(&g->k, k_add_i(&g->k, g_i64(g, c->time), -1), time);
    step(g, c, time, all);
    k_end(&g->k, &loop, NULL);
    end_state(g, c, c->h, last_h);
    if (c->c)
        end_state(g, c, c->c, last_c);
}

static struct g_tensor *first_two_swapped(struct general *g, struct g_tensor *t, bool fourth)
{
    static const int64_t three[] = {1, 0, 2}, four[] = {2, 0, 1, 3};
    return g_transposed(g, t, fourth ? four : three);
}

static bool describe(struct g_op *o, struct cell *c, enum kind kind, bool batch_first)
{
    static const char *const defaults[][3] = {{"Tanh", "", ""}, {"Sigmoid", "Tanh", ""}, {"Sigmoid", "Tanh", "Tanh"}};
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    *c = (struct cell){.o = *o, .kind = kind, .gates = gates_of[kind], .w = g_solid(g, o->in[1]), .r = g_solid(g, o->in[2]),
                       .bias = g_has(o, 3) ? g_solid(g, o->in[3]) : NULL, .lengths = g_has(o, 4) ? g_solid(g, o->in[4]) : NULL,
                       .peephole = g_has(o, 7) ? g_solid(g, o->in[7]) : NULL, .clip = g_attr_float(o, "clip", 0),
                       .before_reset = g_attr_int(o, "linear_before_reset", 0) != 0};
    c->x = batch_first ? first_two_swapped(g, x, false) : x;
    c->time = c->x->size[0], c->batch = c->x->size[1], c->input = c->x->size[2];
    c->hidden = c->r->size[2];
    struct g_size rows[] = {c->batch, g_times(g, c->hidden, g_size(c->gates))};
    g_allocate(g, c->input_sum = g_new(g, QBC_F32, 2, rows));
    g_allocate(g, c->state_sum = g_new(g, QBC_F32, 2, rows));
    c->h = state(g, c), c->next_h = state(g, c);
    if (kind == LSTM)
        c->c = state(g, c), c->next_c = state(g, c);
    for (int i = 0; i < functions_of[kind]; ++i)
        if (!(c->function[i] = activation(o, (size_t)i, defaults[kind][i])))
            return false;
    return true;
}

static void lower(struct g_op *o, enum kind kind)
{
    struct general *g = o->g;
    struct cell c;
    const char *direction = g_attr_text(o, "direction", "forward");
    bool both = !strcmp(direction, "bidirectional"), batch_first = g_attr_int(o, "layout", 0) != 0;
    if (!describe(o, &c, kind, batch_first))
        return;
    struct g_size directions = g_size(both ? 2 : 1), four[] = {c.time, directions, c.batch, c.hidden};
    struct g_tensor *all = g_new(g, QBC_F32, 4, four), *last[2];
    g_allocate(g, all);
    for (int i = 0; i < 2; ++i)
        g_allocate(g, last[i] = g_new(g, QBC_F32, 3, four + 1));
    for (int i = 0; i <= both; ++i) {
        c.direction = k_i64(&g->k, i);
        for (int k = 0; i && k < functions_of[kind]; ++k) { /* the other direction may have functions of its own */
            size_t n = (size_t)(functions_of[kind] + k);
            if (!(c.function[k] = activation(o, n, k ? "Tanh" : kind == RNN ? "Tanh" : "Sigmoid")))
                return;
        }
        run_direction(o, &c, i == 1 || !strcmp(direction, "reverse"), batch_first, all, last[0], last[1]);
    }
    enum qbc_element e = o->in[0]->element;
    struct g_tensor *results[] = {all, last[0], last[1]};
    for (size_t i = 0; i < o->n_out && i < (kind == LSTM ? 3 : 2); ++i) {
        struct g_tensor *t = batch_first ? first_two_swapped(g, results[i], i == 0) : results[i];
        o->out[i] = g_map_tensors(o, "x", e, 1, &t);
    }
}

void g_lower_rnn(struct g_op *o) { lower(o, RNN); }
void g_lower_gru(struct g_op *o) { lower(o, GRU); }
void g_lower_lstm(struct g_op *o) { lower(o, LSTM); }
