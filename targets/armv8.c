/* armv8: every Armv8.0 core. Float arithmetic; codes are converted in registers. */
#include "target.h"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 8, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 8, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_FMA},
    {8, 8, 4, 8, QBC_KIND_FMA},
    {0},
};

const struct qbc_target qbc_target_armv8 = {
    .name = "armv8",
    .about = "NEON: every Armv8.0-A core",
    .triple = "aarch64-linux-gnu",
    .cpu = "generic",
    .features = "+neon",
    .machine = 183,
    .vector_bits = 128,
    .vector_regs = 32,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
    .tiles = tiles,
};
