/* slice.h: numbers that belong to axes, of operations where the program may say which axes there are (Slice, Pad). */
#ifndef QBC_GENERAL_SLICE_H
#define QBC_GENERAL_SLICE_H

#include "general.h"

/* The number of operand `i` that belongs to an axis of operand 0, where operand `axes` lists n axes; numbers begin at
 * `from`. `otherwise` where the axis is not among them, or there is no operand i. */
struct g_size g_for_axis(struct g_op *o, size_t i, size_t axes, int64_t from, int64_t n, size_t axis, struct g_size otherwise);
/* Number i of a list that is an attribute, or an operand where `list` is NULL. */
struct g_size g_list_element(struct g_op *o, size_t operand, const int64_t *list, size_t i);

#endif
