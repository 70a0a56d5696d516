/* house-avx2: an AVX2 machine, with tiles of our own: 32 rows of codes at once, by float arithmetic. Weights are
 * laid out once, for one token, so tiles for more of them take as many rows or a fraction. */
#include "house.h"

static const struct qbc_tile tiles[] = {
    {32, 32, 1, 8, QBC_KIND_FMA}, /* the reference: plain float */
    {32, 32, 2, 8, QBC_KIND_FMA},
    {8, 8, 1, 32, QBC_KIND_FMA},
    {8, 8, 2, 32, QBC_KIND_FMA},
    {0},
};

const struct qbc_target house_target = {
    .name = "house-avx2",
    .about = "our board",
    .triple = "x86_64-linux-gnu",
    .cpu = "haswell",
    .features = "+avx2,+fma,+f16c",
    .machine = 62, /* EM_X86_64 */
    .vector_bits = 256,
    .vector_regs = 16,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
    .tiles = tiles,
};
