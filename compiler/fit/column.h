/* column.h: what every sweep does with a column of a row. */
#ifndef QBC_COLUMN_H
#define QBC_COLUMN_H

#include "format.h"

/* Codes in a unit of weights where the values of codes rise or fall evenly, as those of whole numbers do; else 0. */
float qbc_codes_per(const struct qbc_format *f, const struct qbc_grid *grid);
/* The code whose value is nearest; the lowest in a tie. Where values rise evenly it is beside where a line says. */
int qbc_round_code(const struct qbc_format *f, const struct qbc_grid *grid, float per, float w);
/* w [n] -= error * u [n]: what is left of one column, out of those behind it. */
void qbc_move_error(int64_t n, float error, const float *restrict u, float *restrict w);
/* The first number that is none, or -1. */
int64_t qbc_first_bad(const float *w, int64_t n);

#endif
