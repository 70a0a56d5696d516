/* rvv: the RISC-V vector extension 1.0, for vectors of 128 bits or any more.
 *
 * A panel has up to as many rows as a group of eight registers has floats where registers have 1024 bits. Products of a
 * scalar and bytes are added up in 16 bits; f16 numbers are converted by integer arithmetic, as instructions for
 * them are another extension.
 */
#include "target.h"

static const struct qbc_tile any_length[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 256, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 256, QBC_KIND_FMA},
    {8, 8, 1, 256, QBC_KIND_AXPY},
    {8, 8, 4, 256, QBC_KIND_AXPY},
    {0},
};

/* Correct for any length too, but a panel's column is what one instruction reads where registers have 256 bits. */
static const struct qbc_tile length_256[] = {
    {32, 32, 1, 64, QBC_KIND_FMA},
    {32, 32, 4, 64, QBC_KIND_FMA},
    {8, 8, 1, 64, QBC_KIND_AXPY},
    {8, 8, 4, 64, QBC_KIND_AXPY},
    {0},
};

#define BASE \
    .triple = "riscv64-linux-gnu", .cpu = "generic-rv64", \
    .features = "+m,+a,+f,+d,+c,+v", \
    .machine = 243, .vector_bits = 128, .scalable = true, .vector_regs = 32, .no_half = true

const struct qbc_target qbc_target_rv64gcv = {
    BASE,
    .name = "rv64gcv",
    .about = "RISC-V vector extension 1.0, registers of 128 bits or more",
    .tiles = any_length,
    .vector_issue = 1,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};

const struct qbc_target qbc_target_spacemit_x60 = {
    BASE,
    .name = "spacemit-x60",
    .about = "RISC-V vector extension 1.0, cut and scheduled for SpacemiT X60",
    .tune = "spacemit-x60",
    .tiles = length_256,
    .vector_issue = 1,
    .l1_bytes = 32 << 10,
    .l2_bytes = 512 << 10,
};
