/* house-first-block: the first block's down projection in the house format, whatever -quant says.
 *
 *   before   %b = "qb.weight"() {name = "0.ffn_down", format = "i4g32", ...} : () -> tensor<NxKx!qb.block<"i4g32">>
 *   after    %b = "qb.weight"() {name = "0.ffn_down", format = "house5", ...} : () -> tensor<NxKx!qb.block<"house5">>
 *
 * needs    formats assigned
 * keeps    all other weights, and this one where it is stored as floats
 */
#include "house.h"

#include <string.h>

static void change(struct qbc *q, MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    if (strcmp(qbc_string(q, weight, "name", ""), "0.ffn_down") || !qbc_block_format(q, w))
        return;
    qbc_set_string(q, weight, "format", house_format.name);
    mlirValueSetType(w, qbc_tensor2(q, qbc_block_type(q, house_format.name), qbc_dim(w, 0), qbc_dim(w, 1)));
    qbc_note(q, weight, "the house format for %s", qbc_string(q, weight, "name", ""));
}

void house_pass(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.weight", change);
}
