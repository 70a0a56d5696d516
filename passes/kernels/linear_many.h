/* linear_many.h: products of many tokens (linear_many.c), and the form that weights take for them (linear_normal.c). */
#ifndef QBC_LINEAR_MANY_H
#define QBC_LINEAR_MANY_H

#include "linear.h"

/* Decoded weights of a panel: for each 32 columns
 *
 *     bytes    [run][operand][chunk][rows][depth]       runs: 1, or 2 of 16 columns
 *     scales   f32 [run][operand][rows]
 *     mins     f32 [run][rows]                          where the format has minima
 */
struct qbc_normal {
    struct qbc_linear levels; /* bytes as they are: no tables, digits, zero points */
    struct qbc_format format; /* of these */
    struct qbc_levels from[QBC_MOST_PLANES]; /* of the packed codes, less `taken` */
    int taken[QBC_MOST_PLANES];
    int runs, operands;
    int run_bytes;            /* of an operand */
    int scales_offset, mins_offset, bytes;
};

/* False: the format's levels do not fit in bytes, or it has none. out->levels.format is the caller's to set. */
bool qbc_normal_form(const struct qbc_linear *l, const struct qbc_tile *tile, struct qbc_normal *out);
/* The unit at `unit` of l->panel, all rows, to `out`. */
void qbc_normal_decode(struct qbc_linear *l, const struct qbc_normal *form, MlirValue unit, MlirValue out);

/* How many tokens there must be; 0: the target has no tile for that. */
int qbc_linear_least_many(const struct qbc_linear *l);
/* Tokens of all rows with this thread's share of the panels; at least that many. */
void qbc_linear_many(struct qbc_linear *l, struct k_range panels);

/* linear_tile.c: a tile of tokens by a matrix unit (QBC_KIND_TILE), of one slab. */
struct qbc_tile_work {
    MlirValue x;       /* records of its first token, from the slab's first columns on */
    MlirValue weights; /* decoded */
    MlirValue sums;    /* f32 [tokens][rows] */
    MlirValue blocks;  /* of 32 columns in the slab, i64 */
};
/* The unit is set up for the form; returns room for products. */
MlirValue qbc_linear_tile_begin(struct qbc_linear *l, const struct qbc_normal *form);
void qbc_linear_tile_add(struct qbc_linear *l, const struct qbc_normal *form, MlirValue products, const struct qbc_tile_work *w);
void qbc_linear_tile_end(struct qbc_linear *l); /* and is given back */

/* linear.c: a token's results of one panel, f32 [rows], through the epilogue. */
void qbc_linear_finish(struct qbc_linear *l, MlirValue token, MlirValue panel, MlirValue sums);

#endif
