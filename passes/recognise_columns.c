/* recognise-columns: some columns of an activation's rows are rows.
 *
 *   before   %a, %b = Split of %y's columns       %y = "qb.act"(%x), "qb.conv1d"(...)  [T, 96]
 *   after    %a = "qb.columns"(%y) {first = 0};  %b = "qb.columns"(%y) {first = 64}
 *
 * State space models convolve x, B and C at once, and recurrences take them apart again.
 *
 * needs    recognise-mlp, recognise-conv
 * leaves   qb.columns, which costs nothing
 * keeps    columns that do not lie side by side
 */
#include "pattern.h"

void qbc_pass_recognise_columns(struct qbc *q, MlirOperation module)
{
    static const char *const sources[] = {"qb.act", "qb.conv1d", "qb.glu", NULL};
    qbc_part_columns(q, module, sources);
}
