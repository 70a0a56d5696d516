/* units.h: what gets a format of its own: tensors, blocks, or segments of columns, as the allocators' items, and back. */
#ifndef QBC_UNITS_H
#define QBC_UNITS_H

#include "allocator.h"
#include "measure.h"

struct qbc_unit {
    size_t item; /* the first of its tensors */
    int segment; /* -1: all columns */
};

struct qbc_units {
    struct qbc_items *items;
    struct qbc_unit *unit; /* [problem.n] */
    struct qbc_problem problem;
    size_t *item_of; /* [options] for `together` */
};

/* The problem that `allocator` is to solve, but for its budget. In the arena. */
struct qbc_units *qbc_units_create(struct qbc *q, struct qbc_items *items, const struct qbc_allocator *allocator);
/* A solver's choice to the items' format, bytes and loss. False after an error. */
bool qbc_units_choose(struct qbc *q, const struct qbc_units *units, const size_t *choice);
/* Can the allocator go through all of it in reasonable time? False after an error that says what can be done. */
bool qbc_units_can_be_solved(struct qbc *q, const struct qbc_units *units, const struct qbc_allocator *allocator);

/* --- items.c: the weights of the graph that get formats; `parameters` of the whole model, bytes of all others as far as they are
 * known. False after an error. */
bool qbc_items_find(struct qbc *q, MlirOperation graph, struct qbc_items *items, int64_t *parameters, int64_t *others);

/* Bytes of rows x cols weights in the sections of all targets; those that pack them alike share one. */
int64_t qbc_packed_bytes(struct qbc *q, const struct qbc_format *f, int64_t rows, int64_t cols);

#endif
