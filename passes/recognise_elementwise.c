/* recognise-elementwise: what is left of arithmetic on the elements of rows.
 *
 *   before   Mul, Sub, Div, Tanh, ... of level-1 rows, numbers and stored vectors      gates, caps of logits
 *   after    arith.mulf, ..., "qb.act"(%x) {act}, "qb.plus"(%x) {by}: base/elementwise.c
 *
 * needs    the other recognising passes: operands are level 1 by now
 * leaves   an operation for each, which fuse-epilogue puts into products
 * keeps    arithmetic on anything else
 */
#include "pattern.h"

void qbc_pass_recognise_elementwise(struct qbc *q, MlirOperation module)
{
    qbc_elementwise(q, module, QBC_ALL_ARITHMETIC);
}
