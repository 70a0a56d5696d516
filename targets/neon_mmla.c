/* neon_mmla: NEON with smmla (i8mm, part of Armv8.6): 2 x 8 by 8 x 2 signed bytes, the results of two rows and two
 * tokens in one register. For one token, sdot reads the same packing.
 */
#include "target.h"

#define MMLA                                                                                       \
    .mmla = "llvm.aarch64.neon.smmla.v4i32.v16i8", .dot = "llvm.aarch64.neon.sdot.v4i32.v16i8",    \
    .fold = "llvm.aarch64.neon.addp.v4i32", .dot_signed = true

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 16, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_MMLA, MMLA}, /* one token: bound by memory */
    {8, 8, 4, 8, QBC_KIND_MMLA, MMLA},
    {8, 8, 8, 8, QBC_KIND_MMLA, MMLA, .many = true}, /* a prompt: bound by arithmetic */
    {0},
};

#define BASE \
    .triple = "aarch64-linux-gnu", .cpu = "generic", \
    .features = "+neon,+dotprod,+i8mm", \
    .machine = 183, .vector_bits = 128, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.aarch64.neon.tbl1.v16i8"}, .lookup_ends = true, .compares_to_bytes = true, .multiplies_bytes = true, \
    .lookup_more = {"llvm.aarch64.neon.tbl2.v16i8", "llvm.aarch64.neon.tbl4.v16i8"}

const struct qbc_target qbc_target_armv8_6 = {
    BASE,
    .name = "armv8.6",
    .about = "NEON with products of matrices: Armv8.6-A and later",
    .vector_issue = 2,
    .l1_bytes = 64 << 10,
    .l2_bytes = 512 << 10,
};

const struct qbc_target qbc_target_neoverse_v1 = {
    BASE,
    .name = "neoverse-v1",
    .about = "NEON with products of matrices, scheduled for Neoverse V1",
    .tune = "neoverse-v1",
    .vector_issue = 4,
    .l1_bytes = 64 << 10,
    .l2_bytes = 1024 << 10,
};
