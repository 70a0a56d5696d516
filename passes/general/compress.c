/* compress: NonZero, Compress: as many results as the numbers say.
 *
 * Room is taken for as many as there can be; how many there are is a size of the program.
 */
#include "cell.h"

#include <string.h>

void g_lower_non_zero(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]);
    struct g_size all = g_count(g, x), size[] = {g_size((int64_t)x->rank), all};
    struct g_tensor *places = g_new(g, QBC_I64, 2, size); /* [rank, most], then moved together */
    struct g_cell n = g_cell(g, QBC_I64, g_int(g, QBC_I64, 0));
    struct g_nest nest;
    g_allocate(g, places);
    g_begin(g, &nest, x->rank, x->size);
    struct k_loop found = g_if(g, g_truth(g, g_at(g, x, nest.index)));
    MlirValue at = g_get(g, n).v;
    for (size_t i = 0; i < x->rank; ++i)
        g_put(g, places, (MlirValue[]){k_i64(&g->k, (int64_t)i), at}, g_index(g, nest.index[i]));
    g_count_up(g, n);
    g_end_if(g, &found);
    g_end(g, &nest);
    size[1] = g_size_of(g_get(g, n).v);
    struct g_tensor *y = g_new(g, QBC_I64, 2, size);
    g_allocate(g, y);
    g_begin(g, &nest, 2, size);
    g_put(g, y, nest.index, g_at(g, places, nest.index));
    g_end(g, &nest);
    o->out[0] = y;
}

void g_lower_compress(struct g_op *o)
{
    struct general *g = o->g;
    struct g_tensor *x = g_solid(g, o->in[0]), *keep = g_solid(g, o->in[1]);
    int64_t axis = g_attr_int(o, "axis", 0);
    struct g_size flat = g_count(g, x);
    struct g_nest nest;
    if (!g_has_attr(o, "axis"))
        x = g_reshaped(g, x, 1, &flat);
    if (!g_axis(o, &axis, x->rank))
        return;
    struct g_size most = g_min_size(g, x->size[axis], keep->size[0]);
    struct g_tensor *places = g_new(g, QBC_I64, 1, &most);
    struct g_cell n = g_cell(g, QBC_I64, g_int(g, QBC_I64, 0));
    g_allocate(g, places);
    g_begin(g, &nest, 1, &most);
    struct k_loop found = g_if(g, g_truth(g, g_at(g, keep, nest.index)));
    g_put_flat(g, places, g_get(g, n).v, g_index(g, nest.index[0]));
    g_count_up(g, n);
    g_end_if(g, &found);
    g_end(g, &nest);
    struct g_tensor *y = g_new(g, x->element, x->rank, x->size);
    y->size[axis] = g_size_of(g_get(g, n).v);
    g_allocate(g, y);
    g_begin(g, &nest, y->rank, y->size);
    MlirValue own[QBC_MAX_RANK];
    memcpy(own, nest.index, y->rank * sizeof *own);
    own[axis] = g_at_flat(g, places, nest.index[axis]).v;
    g_put(g, y, nest.index, g_at(g, x, own));
    g_end(g, &nest);
    o->out[0] = y;
}
