/* quantize: codes to numbers and back, per tensor, axis or block; products of codes. */
#include "general.h"

#include <string.h>

struct coding {
    struct g_tensor *x, *scale, *zero; /* zero NULL: 0 */
    size_t axis;
    int64_t block;   /* elements that share a scale along the axis; 0: one scale for each of the axis, or for all */
    bool saturate;
};

/* The scale (or zero point) of an element: the only one, its axis', or its block's. */
static struct g_num scale_at(struct general *g, const struct coding *c, const struct g_tensor *scale, const MlirValue *index)
{
    size_t rank = scale->rank;
    MlirValue out[QBC_MAX_RANK];
    for (size_t i = 0; i < rank; ++i)
        out[i] = rank == 1 ? (g_is(scale->size[0], 1) ? k_i64(&g->k, 0) : index[c->axis]) : index[i];
    if (c->block && rank > 1)
        out[c->axis] = k_op2(&g->k, "arith.divui", index[c->axis], k_i64(&g->k, c->block));
    return g_at(g, scale, out);
}

static struct g_num dequantized_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct coding *c = t->user;
    struct g_num x = g_at(g, c->x, index);
    if (!g_is_float(x.element))
        x = g_convert(g, x, QBC_I32);
    if (c->zero)
        x = g_do(g, G_SUB, x, g_convert(g, scale_at(g, c, c->zero, index), x.element));
    return g_do(g, G_MUL, g_convert(g, x, QBC_F32), g_convert(g, scale_at(g, c, c->scale, index), QBC_F32));
}

static struct coding *coding_of(struct g_op *o)
{
    struct general *g = o->g;
    struct coding *c = qbc_alloc(g->q, sizeof *c);
    int64_t axis = g_attr_int(o, "axis", 1);
    *c = (struct coding){.x = g_solid(g, o->in[0]), .scale = g_solid(g, o->in[1]), .zero = g_has(o, 2) ? g_solid(g, o->in[2]) : NULL,
                         .block = g_attr_int(o, "block_size", 0), .saturate = g_attr_int(o, "saturate", 1) != 0};
    bool one = c->scale->rank == 0 || g_is(c->scale->size[0], 1);
    if (c->scale->rank == 1 && one && c->x->rank < 2)
        axis = 0;
    if (!one || c->scale->rank > 1) {
        if (!g_axis(o, &axis, c->x->rank))
            return NULL;
        c->axis = (size_t)axis;
    }
    return c;
}

void g_lower_dequantize(struct g_op *o)
{
    struct coding *c = coding_of(o);
    enum qbc_element element = (enum qbc_element)g_attr_int(o, "output_dtype", 0);
    if (c)
        o->out[0] = g_function(o->g, element ? element : o->in[1]->element, c->x->rank, c->x->size, dequantized_at, c, 1);
}

/* The least and the largest code of an element of whole numbers. */
static struct g_num limit(struct general *g, enum qbc_element e, bool largest)
{
    int bits = qbc_element_bits(e);
    int64_t top = g_is_unsigned(e) ? (INT64_C(1) << bits) - 1 : (INT64_C(1) << (bits - 1)) - 1;
    return g_const(g, QBC_F32, (double)(largest ? top : g_is_unsigned(e) ? 0 : -top - 1));
}

static struct g_num to_code(struct general *g, enum qbc_element e, struct g_num x, struct g_num scale, const struct g_num *zero)
{
    struct g_num y = g_do(g, G_DIV, x, scale);
    if (g_is_float(e))
        return zero ? g_do(g, G_ADD, y, *zero) : y;
    y = g_call(g, "round", y);
    if (zero)
        y = g_do(g, G_ADD, y, *zero);
    y = g_do(g, G_MAX, g_do(g, G_MIN, y, limit(g, e, true)), limit(g, e, false));
    return g_convert(g, g_convert(g, y, QBC_I32), g_number_element(e));
}

static struct g_num quantized_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct coding *c = t->user;
    struct g_num x = g_convert(g, g_at(g, c->x, index), QBC_F32), scale = g_convert(g, scale_at(g, c, c->scale, index), QBC_F32), zero;
    if (c->zero)
        zero = g_convert(g, scale_at(g, c, c->zero, index), QBC_F32);
    return to_code(g, t->element, x, scale, c->zero ? &zero : NULL);
}

void g_lower_quantize(struct g_op *o)
{
    struct coding *c = coding_of(o);
    enum qbc_element element = (enum qbc_element)g_attr_int(o, "output_dtype", 0);
    element = g_has(o, 2) ? o->in[2]->element : element ? element : QBC_U8;
    if (!c)
        return;
    o->out[0] = g_function(o->g, element, c->x->rank, c->x->size, quantized_at, c, 1);
    if (!c->saturate && g_is_float(element) && qbc_element_bits(element) == 8)
        o->out[0] = g_unsaturated(o, o->out[0]);
}

/* y_scale = (max(x, 0) - min(x, 0)) / 255, y_zero_point = round(-min / y_scale) */
void g_lower_dynamic_quantize(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    bool all[QBC_MAX_RANK];
    memset(all, true, sizeof all);
    struct g_tensor *in[] = {g_reduce(o, "ReduceMax", x, all, false), g_reduce(o, "ReduceMin", x, all, false), NULL};
    struct g_tensor *scale = g_solid(g, g_map_tensors(o, "(max(x, 0) - min(y, 0)) / 255", QBC_F32, 2, in));
    in[2] = scale;
    struct g_tensor *zero = g_solid(g, g_map_tensors(o, "max(0, min(255, round(-min(y, 0) / z)))", QBC_U8, 3, in));
    struct coding *c = qbc_alloc(g->q, sizeof *c);
    *c = (struct coding){.x = x, .scale = scale, .zero = zero};
    o->out[0] = g_function(g, QBC_U8, x->rank, x->size, quantized_at, c, 1);
    o->out[1] = scale;
    o->out[2] = zero;
}

/* --- products */

static void solid_operands(struct g_op *o)
{
    for (size_t i = 0; i < o->n_in; ++i)
        if (o->in[i])
            g_solid(o->g, o->in[i]);
}

void g_lower_matmul_integer(struct g_op *o)
{
    solid_operands(o);
    o->out[0] = g_product(o, o->in[0], o->in[1], false, false, QBC_I32, g_has(o, 2) ? o->in[2] : NULL, g_has(o, 3) ? o->in[3] : NULL);
}

struct rescaled {
    struct g_tensor *sum, *a_scale, *b_scale, *y_scale, *y_zero;
};

static struct g_num first_or(struct general *g, const struct g_tensor *t, MlirValue at)
{
    bool one = g_known_count(t) == 1;
    return g_convert(g, g_at_flat(g, t, one ? k_i64(&g->k, 0) : at), QBC_F32);
}

static struct g_num rescaled_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct rescaled *r = t->user;
    MlirValue row = t->rank > 1 ? index[t->rank - 2] : index[0], column = index[t->rank - 1];
    struct g_num scale = g_do(g, G_MUL, first_or(g, r->a_scale, row), first_or(g, r->b_scale, column));
    struct g_num x = g_do(g, G_MUL, g_convert(g, g_at(g, r->sum, index), QBC_F32), scale), zero = first_or(g, r->y_zero, column);
    return to_code(g, t->element, x, first_or(g, r->y_scale, column), &zero);
}

void g_lower_qlinear_matmul(struct g_op *o)
{
    struct rescaled *r = qbc_alloc(o->g->q, sizeof *r);
    solid_operands(o);
    struct g_tensor *sum = g_product(o, o->in[0], o->in[3], false, false, QBC_I32, o->in[2], o->in[5]);
    if (!sum)
        return;
    *r = (struct rescaled){sum, o->in[1], o->in[4], o->in[6], o->in[7]};
    o->out[0] = g_function(o->g, o->in[7]->element, sum->rank, sum->size, rescaled_at, r, 1);
}
