/* cell.h: a number in memory that a loop changes. */
#ifndef QBC_GENERAL_CELL_H
#define QBC_GENERAL_CELL_H

#include "general.h"

struct g_cell {
    struct g_tensor *t;
};

struct g_cell g_cell(struct general *g, enum qbc_element element, struct g_num begin);
struct g_num g_get(struct general *g, struct g_cell c);
void g_set(struct general *g, struct g_cell c, struct g_num value);
void g_count_up(struct general *g, struct g_cell c);

#endif
