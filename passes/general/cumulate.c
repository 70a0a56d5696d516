/* cumulate: running sums and products. */
#include "general.h"

#include <string.h>

struct g_num g_around_axis(struct general *g, const struct g_tensor *x, struct g_tensor *axis, size_t axes, struct g_size *three)
{
    struct g_num at = g_index(g, g_i64(g, g_element(g, axis, 0))), zero = g_int(g, QBC_I64, 0);
    at = g_select(g, g_compare(g, G_LT, at, zero), g_do(g, G_ADD, at, g_int(g, QBC_I64, (int64_t)x->rank)), at);
    for (int k = 0; k < 3; ++k)
        three[k] = g_size(1);
    for (size_t i = 0; i < axes; ++i) {
        struct g_num here = g_int(g, QBC_I64, (int64_t)i);
        static const enum g_compare where[] = {G_LT, G_EQ, G_GT};
        for (int k = 0; k < 3; ++k) {
            MlirValue in = g_compare(g, where[k], here, at).v;
            three[k] = g_times(g, three[k], g_size_of(k_select(&g->k, in, g_i64(g, x->size[i]), k_i64(&g->k, 1))));
        }
    }
    return at;
}

void g_lower_cumulate(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *y = g_new_like(g, x->element, x);
    int64_t axis, reverse = g_attr_int(o, "reverse", 0), exclusive = g_attr_int(o, "exclusive", 0);
    bool product = !strcmp(o->row->name, "CumProd");
    struct g_tensor *whole = y;
    if (!g_known_int(o->in[1], 0, &axis)) {
        struct g_size three[3];
        g_around_axis(g, x, o->in[1], x->rank, three);
        x = g_reshaped(g, x, 3, three);
        y = g_reshaped(g, y, 3, three);
        axis = 1;
    }
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size size[QBC_MAX_RANK];
    struct g_nest nest;
    memcpy(size, x->size, sizeof size);
    size[axis] = g_size(1);
    g_begin(g, &nest, x->rank, size);
    enum qbc_element e = g_is_float(x->element) ? QBC_F64 : g_number_element(x->element);
    MlirValue begin = g_int(g, e, product).v;
    struct k_loop loop = k_for(&g->k, k_i64(&g->k, 0), g_i64(g, x->size[axis]), 1, 1, &begin);
    MlirValue at = loop.i;
    if (reverse)
        at = k_sub(&g->k, k_add_i(&g->k, g_i64(g, x->size[axis]), -1), at);
    nest.index[axis] = at;
    struct g_num before = {loop.carried[0], e};
    struct g_num after = g_do(g, product ? G_MUL : G_ADD, before, g_convert(g, g_at(g, x, nest.index), e));
    g_put(g, y, nest.index, exclusive ? before : after);
    k_end(&g->k, &loop, &after.v);
    g_end(g, &nest);
    o->out[0] = whole;
}
