/* learned: operations of ai.onnx.ml that are arithmetic on tensors of numbers: what prepares features, and a linear model. */
#include "general.h"

#include <string.h>

/* An attribute that is a list of floats, [1, n]; NULL: absent. */
static struct g_tensor *floats_of(struct g_op *o, const char *name)
{
    const float *list = NULL;
    size_t n = g_has_attr(o, name) ? qbc_floats(o->g->q, o->op, name, &list) : 0;
    return n ? g_known(o->g, QBC_F32, 2, (int64_t[]){1, (int64_t)n}, list) : NULL;
}

/* --- ArrayFeatureExtractor: chosen places of the last axis */

struct chosen {
    struct g_tensor *x, *places;
};

static struct g_num chosen_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct chosen *c = t->user;
    MlirValue own[QBC_MAX_RANK];
    size_t last = c->x->rank - 1;
    memcpy(own, index + (t->rank - c->x->rank), c->x->rank * sizeof *own);
    struct g_num place = g_convert(g, g_at_flat(g, c->places, index[t->rank - 1]), QBC_I64);
    own[last] = g_checked_index(g, place, c->x->size[last]);
    return g_at(g, c->x, own);
}

void g_lower_extract_features(struct g_op *o)
{
    struct general *g = o->g;
    struct chosen *c = qbc_alloc(g->q, sizeof *c);
    struct g_tensor *x = g_solid(g, o->in[0]);
    struct g_size size[QBC_MAX_RANK] = {g_size(1)};
    size_t rank = x->rank < 2 ? 2 : x->rank;
    *c = (struct chosen){x, g_solid(g, o->in[1])};
    for (size_t i = 0; i + 1 < x->rank; ++i)
        size[i] = x->size[i];
    size[rank - 1] = g_count(g, c->places);
    o->out[0] = g_function(g, x->element, rank, size, chosen_at, c, 1);
}

/* --- Scaler, Imputer, Normalizer */

void g_lower_scaler(struct g_op *o)
{
    struct g_tensor *in[] = {o->in[0], floats_of(o, "offset"), floats_of(o, "scale")};
    if (in[1] && in[2])
        o->out[0] = g_map_tensors(o, "(f32(x) - y) * z", QBC_F32, 3, in);
    else
        g_refuse(o, "its offset or its scale is missing");
}

void g_lower_imputer(struct g_op *o)
{
    struct g_tensor *in[] = {o->in[0], NULL};
    const int64_t *ints;
    size_t n = g_attr_ints(o, "imputed_value_int64s", &ints);
    bool is_float = g_is_float(in[0]->element);
    in[1] = is_float ? floats_of(o, "imputed_value_floats") : n ? g_known(o->g, QBC_I64, 2, (int64_t[]){1, (int64_t)n}, ints) : NULL;
    if (!in[1] || (in[0]->element != QBC_F32 && in[0]->element != QBC_I64)) {
        g_refuse(o, "values of its operand's type to put in are missing");
        return;
    }
    double replaced = g_attr_float(o, "replaced_value_float", 0);
    const char *text = !is_float ? "x == replaced_value_int64{0} ? y : x" : "x == replaced_value_float{0} ? y : x";
    o->out[0] = g_map_tensors(o, is_float && replaced != replaced ? "isnan(x) ? y : x" : text, in[0]->element, 2, in);
}

void g_lower_normalizer(struct g_op *o)
{
    const char *norm = g_attr_text(o, "norm", "MAX");
    bool axis[QBC_MAX_RANK] = {false};
    if (!o->in[0]->rank) {
        g_refuse(o, "its operand is a single number");
        return;
    }
    struct g_tensor *x = g_map_tensors(o, "f32(x)", QBC_F32, 1, o->in);
    axis[x->rank - 1] = true;
    g_solid(o->g, x);
    const char *fold = !strcmp(norm, "L1") ? "ReduceL1" : !strcmp(norm, "L2") ? "ReduceL2" : "ReduceMax";
    struct g_tensor *in[] = {x, g_reduce(o, fold, x, axis, true)};
    o->out[0] = g_map_tensors(o, "y == 0 ? x : x / y", QBC_F32, 2, in);
}

/* --- LinearRegressor: [n, features] -> [n, targets] */

void g_lower_linear_regressor(struct g_op *o)
{
    struct general *g = o->g;
    int64_t targets = g_attr_int(o, "targets", 1), features = g_is_known(o->in[0]->size[1]) ? o->in[0]->size[1].n : -1;
    const float *list = NULL;
    size_t n = g_has_attr(o, "coefficients") ? qbc_floats(g->q, o->op, "coefficients", &list) : 0;
    if (strcmp(g_attr_text(o, "post_transform", "NONE"), "NONE")) {
        g_refuse(o, "post_transform %s is not supported", g_attr_text(o, "post_transform", ""));
        return;
    }
    if (targets < 1 || features < 1 || (int64_t)n / targets != features || (int64_t)n % targets) {
        g_refuse(o, "%zu coefficients are not %lld for each of %lld targets", n, (long long)features, (long long)targets);
        return;
    }
    struct g_tensor *weight = g_known(g, QBC_F32, 2, (int64_t[]){targets, features}, list);
    struct g_tensor *x = g_solid(g, g_map_tensors(o, "f32(x)", QBC_F32, 1, o->in));
    struct g_tensor *in[] = {g_product(o, x, weight, false, true, QBC_F32, NULL, NULL), floats_of(o, "intercepts")};
    o->out[0] = in[0] && in[1] ? g_map_tensors(o, "x + y", QBC_F32, 2, in) : in[0];
}
