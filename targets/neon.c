/* neon: every Armv8.0 core. It has no dot of bytes, but products of bytes added up in 16 bits
 * (smlal), which is four times what float arithmetic does. */
#include "target.h"

#define MULL                                                                                       \
    .dot = "llvm.aarch64.neon.smull.v8i16", .widen = "llvm.aarch64.neon.saddlp.v4i32.v8i16",       \
    .fold = "llvm.aarch64.neon.addp.v8i16"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 16, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_MULL, MULL}, /* one token: bound by memory */
    {8, 8, 4, 4, QBC_KIND_MULL, MULL}, /* a prompt: bound by arithmetic */
    {0},
};

#define BASE \
    .triple = "aarch64-linux-gnu", .cpu = "generic", \
    .features = "+neon", \
    .machine = 183, .vector_bits = 128, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.aarch64.neon.tbl1.v16i8"}, .lookup_ends = true, .compares_to_bytes = true, .multiplies_bytes = true, \
    .lookup_more = {"llvm.aarch64.neon.tbl2.v16i8", "llvm.aarch64.neon.tbl4.v16i8"}

const struct qbc_target qbc_target_armv8 = {
    BASE,
    .name = "armv8",
    .about = "NEON: every Armv8.0-A core",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};

const struct qbc_target qbc_target_cortex_a53 = {
    BASE,
    .name = "cortex-a53",
    .about = "NEON, scheduled for Cortex-A53",
    .tune = "cortex-a53",
    .in_order = true,
    .vector_issue = 1,
    .l1_bytes = 32 << 10,
    .l2_bytes = 512 << 10,
};

const struct qbc_target qbc_target_cortex_a72 = {
    BASE,
    .name = "cortex-a72",
    .about = "NEON, scheduled for Cortex-A72",
    .tune = "cortex-a72",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1024 << 10,
};
