/* optional: what may be left out, of tensors: whether it is there is known when the model is compiled. */
#include "general.h"

void g_lower_has_element(struct g_op *o)
{
    const bool has = g_has(o, 0);
    o->out[0] = g_known(o->g, QBC_BOOL, 0, NULL, &has);
}
