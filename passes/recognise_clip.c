/* recognise-clip: rows whose elements are kept within bounds.
 *
 *   before   Clip, Max or Min of a product's rows and numbers        OLMo's and DBRX' clip_qkv
 *   after    %y = "qb.clip"(%x) {low = -8.0, high = 8.0}
 *
 * needs    recognise-bias
 * leaves   level-1 values where attention's operands are made of what was clipped
 * keeps    other elementwise operations: recognise-elementwise, when all the rest is known
 */
#include "pattern.h"

void qbc_pass_recognise_clip(struct qbc *q, MlirOperation module)
{
    qbc_elementwise(q, module, QBC_CLIPS);
}
