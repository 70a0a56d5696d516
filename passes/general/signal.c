/* signal: windows for short pieces of sound, and the weights that gather frequencies as ears do. */
#include "general.h"

#include <string.h>

/* --- HannWindow, HammingWindow, BlackmanWindow: cosines of the place */

static const struct shape {
    const char *name, *text; /* x: the angle, once around over the window */
} shapes[] = {
    {"HannWindow", "0.5 - 0.5 * cos(x)"},
    {"HammingWindow", "0.54347826086956521 - 0.45652173913043479 * cos(x)"},
    {"BlackmanWindow", "0.42 - 0.5 * cos(x) + 0.08 * cos(2 * x)"},
};

struct window {
    struct g_op o;
    const char *text;
    struct g_num last; /* places around, f64 */
};

static struct g_num window_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct window *w = t->user;
    struct g_op o = w->o;
    struct g_num at = g_convert(g, g_index(g, index[0]), QBC_F64);
    struct g_num angle = g_do(g, G_DIV, g_do(g, G_MUL, at, g_const(g, QBC_F64, 6.283185307179586)), w->last);
    return g_convert(g, g_expression(&o, w->text, 1, &angle), t->element);
}

static enum qbc_element output_element(struct g_op *o)
{
    return (enum qbc_element)g_attr_int(o, "output_datatype", QBC_F32);
}

static struct g_num whole(struct g_op *o, size_t i)
{
    return g_index(o->g, g_i64(o->g, g_element(o->g, g_solid(o->g, o->in[i]), 0)));
}

void g_lower_window(struct g_op *o)
{
    struct general *g = o->g;
    struct window *w = qbc_alloc(g->q, sizeof *w);
    struct g_size n = g_element(g, g_solid(g, o->in[0]), 0), one = g_size(1);
    struct g_size around = g_attr_int(o, "periodic", 1) ? n : g_minus(g, n, one);
    *w = (struct window){.o = *o, .last = g_convert(g, g_index(g, g_i64(g, around)), QBC_F64)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        if (!strcmp(shapes[i].name, o->row->name))
            w->text = shapes[i].text;
    o->out[0] = g_function(g, output_element(o), 1, &n, window_at, w, 1);
}

/* --- MelWeightMatrix: [frequencies, bins], triangles between places that lie evenly on the mel scale */

struct mel {
    struct g_op o;
    struct g_num low, step, length, rate; /* f64; length: of the transform, and one */
};

/* Where the triangle number i begins, as a whole frequency; it has its top where the next begins. */
static struct g_num corner(struct general *g, const struct mel *m, struct g_num i)
{
    struct g_op o = m->o;
    struct g_num mel = g_do(g, G_ADD, g_do(g, G_MUL, g_convert(g, i, QBC_F64), m->step), m->low);
    struct g_num place[] = {mel, m->length, m->rate};
    return g_expression(&o, "floor(y * 700 * (pow(10, x / 2595) - 1) / z)", 3, place);
}

static struct g_num mel_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct mel *m = t->user;
    struct g_op o = m->o;
    struct g_num i = g_index(g, index[1]), one = g_int(g, QBC_I64, 1), next = g_do(g, G_ADD, i, one);
    struct g_num low = corner(g, m, i), top = corner(g, m, next), high = corner(g, m, g_do(g, G_ADD, next, one));
    struct g_num args[] = {g_convert(g, g_index(g, index[0]), QBC_F64), low, top, high};
    struct g_num rising = g_expression(&o, "(x >= y) & (x <= z) ? (y == z ? 1 : (x - y) / max(z - y, 1)) : 0", 3, args);
    struct g_num falling = g_expression(&o, "(w - x) / max(w - z, 1)", 4, args);
    struct g_num falls = g_do(g, G_AND, g_compare(g, G_GE, args[0], top), g_compare(g, G_LT, args[0], high));
    return g_convert(g, g_select(g, falls, falling, rising), t->element);
}

static struct g_num mel_of(struct g_op *o, size_t i)
{
    struct general *g = o->g;
    struct g_num hertz = g_convert(g, g_at_flat(g, g_solid(g, o->in[i]), k_i64(&g->k, 0)), QBC_F64);
    return g_expression(o, "2595 * log(1 + x / 700) / 2.302585092994046", 1, &hertz);
}

void g_lower_mel_weights(struct g_op *o)
{
    struct general *g = o->g;
    struct mel *m = qbc_alloc(g->q, sizeof *m);
    struct g_size bins = g_element(g, g_solid(g, o->in[0]), 0), length = g_element(g, g_solid(g, o->in[1]), 0);
    struct g_size one = g_size(1), two = g_size(2), size[] = {g_plus(g, g_over(g, length, two), one), bins};
    struct g_num low = mel_of(o, 3), high = mel_of(o, 4), places = g_index(g, g_i64(g, g_plus(g, bins, two)));
    *m = (struct mel){.o = *o, .low = low, .rate = g_convert(g, whole(o, 2), QBC_F64)};
    m->step = g_do(g, G_DIV, g_do(g, G_SUB, high, low), g_convert(g, places, QBC_F64));
    m->length = g_convert(g, g_index(g, g_i64(g, g_plus(g, length, one))), QBC_F64);
    o->out[0] = g_function(g, output_element(o), 2, size, mel_at, m, 1);
}
