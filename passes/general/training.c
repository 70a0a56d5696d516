/* training: one step of an optimizer: Adagrad, Adam, Momentum.
 *
 *     (R, T, X1 .. Xn, G1 .. Gn, states of X1 .. Xn, ...) -> (new X1 .. Xn, new states ...)
 *
 * R is the rate, T the number of steps before, G the gradients. Expressions are those of ONNX's documents.
 */
#include "control.h"

#include <string.h>

/* R and T, converted to f64, make a number of the tensors' element. */
static struct g_tensor *number_of(struct g_op *o, const char *text, enum qbc_element element)
{
    struct general *g = o->g;
    MlirValue zero = k_i64(&g->k, 0);
    struct g_num args[2];
    for (size_t i = 0; i < 2; ++i)
        args[i] = g_convert(g, g_at_flat(g, g_solid(g, o->in[i]), zero), QBC_F64);
    return g_scalar(g, element, g_convert(g, g_expression(o, text, 2, args), element));
}

/* How many tensors are trained, with `states` each; 0: refused. */
static size_t trained(struct g_op *o, size_t states)
{
    size_t each = 2 + states, n = o->n_in < 2 + each ? 0 : (o->n_in - 2) / each;
    if (!n || o->n_in != 2 + n * each || o->n_out > n * (1 + states)) {
        g_refuse(o, "%zu operands are no rate, step, and %zu for each tensor", o->n_in, each);
        return 0;
    }
    return n;
}

static struct g_tensor *solid_map(struct g_op *o, const char *text, size_t n, struct g_tensor *const *in)
{
    struct g_tensor *t = g_map_tensors(o, text, in[0]->element, n, in);
    return t ? g_solid(o->g, t) : NULL;
}

/* Only what somebody reads has a place among the results. */
static void give(struct g_op *o, size_t i, struct g_tensor *t)
{
    if (i < o->n_out)
        o->out[i] = t;
}

static struct g_tensor *gradient(struct g_op *o, struct g_tensor *x, struct g_tensor *gradient)
{
    return solid_map(o, "norm_coefficient{0} * x + y", 2, (struct g_tensor *[]){x, gradient});
}

void g_lower_adagrad(struct g_op *o)
{
    size_t n = trained(o, 1);
    for (size_t i = 0; i < n; ++i) {
        struct g_tensor *x = o->in[2 + i], *change = gradient(o, x, o->in[2 + n + i]);
        struct g_tensor *rate = number_of(o, "x / (1 + y * decay_factor{0})", x->element);
        struct g_tensor *sum = change ? solid_map(o, "x + y * y", 2, (struct g_tensor *[]){o->in[2 + 2 * n + i], change}) : NULL;
        if (!sum)
            return;
        give(o, i, solid_map(o, "x - w * y / (sqrt(z) + epsilon{0})", 4, (struct g_tensor *[]){x, change, sum, rate}));
        give(o, n + i, sum);
    }
}

void g_lower_adam(struct g_op *o)
{
    size_t n = trained(o, 2);
    for (size_t i = 0; i < n; ++i) {
        struct g_tensor *x = o->in[2 + i], *change = gradient(o, x, o->in[2 + n + i]);
        struct g_tensor *rate = number_of(o, "y > 0 ? x * sqrt(1 - pow(beta{0.999}, y)) / (1 - pow(alpha{0.9}, y)) : x", x->element);
        if (!change)
            return;
        struct g_tensor *first[] = {o->in[2 + 2 * n + i], change}, *second[] = {o->in[2 + 3 * n + i], change};
        struct g_tensor *v = solid_map(o, "alpha{0.9} * x + (1 - alpha{0.9}) * y", 2, first);
        struct g_tensor *h = solid_map(o, "beta{0.999} * x + (1 - beta{0.999}) * y * y", 2, second);
        if (!v || !h)
            return;
        give(o, i, solid_map(o, "(1 - norm_coefficient_post{0}) * (x - w * y / (sqrt(z) + epsilon{0}))", 4, (struct g_tensor *[]){x, v, h, rate}));
        give(o, n + i, v);
        give(o, 2 * n + i, h);
    }
}

void g_lower_momentum(struct g_op *o)
{
    size_t n = trained(o, 1);
    bool nesterov = !strcmp(g_attr_text(o, "mode", "standard"), "nesterov");
    for (size_t i = 0; i < n; ++i) {
        struct g_tensor *x = o->in[2 + i], *change = gradient(o, x, o->in[2 + n + i]);
        struct g_tensor *fresh = number_of(o, "y > 0 ? beta{1} : 1", x->element), *rate = number_of(o, "x", x->element);
        if (!change)
            return;
        struct g_tensor *v = solid_map(o, "alpha{0} * x + z * y", 3, (struct g_tensor *[]){o->in[2 + 2 * n + i], change, fresh});
        if (!v)
            return;
        struct g_tensor *next[] = {x, v, rate, change};
        give(o, i, nesterov ? solid_map(o, "x - z * (w + alpha{0} * y)", 4, next) : solid_map(o, "x - z * y", 3, next));
        give(o, n + i, v);
    }
}
