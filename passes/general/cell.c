/* cell: a number in memory that a loop changes. */
#include "cell.h"

struct g_cell g_cell(struct general *g, enum qbc_element element, struct g_num begin)
{
    struct g_cell c = {g_new(g, element, 0, NULL)};
    g_allocate(g, c.t);
    g_put_flat(g, c.t, k_i64(&g->k, 0), begin);
    return c;
}

struct g_num g_get(struct general *g, struct g_cell c)
{
    return g_at_flat(g, c.t, k_i64(&g->k, 0));
}

void g_set(struct general *g, struct g_cell c, struct g_num value)
{
    g_put_flat(g, c.t, k_i64(&g->k, 0), value);
}

void g_count_up(struct general *g, struct g_cell c)
{
    g_set(g, c, g_do(g, G_ADD, g_get(g, c), g_int(g, QBC_I64, 1)));
}
