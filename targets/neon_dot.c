/* neon_dot: NEON with sdot (Armv8.2, optional before 8.4): four products of signed bytes added to each 32-bit lane; one
 * operand may be a lane of a register, so 16 bytes of activations serve four instructions.
 */
#include "target.h"

#define DOT .dot = "llvm.aarch64.neon.sdot.v4i32.v16i8", .dot_signed = true, .dot_by_lane = true

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 16, QBC_KIND_FMA},
    {8, 8, 1, 16, QBC_KIND_DOT4, DOT}, /* one token: bound by memory */
    {8, 8, 2, 8, QBC_KIND_DOT4, DOT},
    {8, 8, 4, 8, QBC_KIND_DOT4, DOT},
    {8, 8, 4, 16, QBC_KIND_DOT4, DOT, .many = true}, /* a prompt: bound by arithmetic */
    {0},
};

#define BASE \
    .triple = "aarch64-linux-gnu", .cpu = "generic", \
    .features = "+neon,+dotprod", \
    .machine = 183, .vector_bits = 128, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.aarch64.neon.tbl1.v16i8"}, .lookup_ends = true, .compares_to_bytes = true, .multiplies_bytes = true, \
    .insert_left = "llvm.aarch64.neon.vsli.v16i8", \
    .lookup_more = {"llvm.aarch64.neon.tbl2.v16i8", "llvm.aarch64.neon.tbl4.v16i8"}

const struct qbc_target qbc_target_armv8_2_dotprod = {
    BASE,
    .name = "armv8.2+dotprod",
    .about = "NEON with dot products: Armv8.2-A and later",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};

const struct qbc_target qbc_target_cortex_a76 = {
    BASE,
    .name = "cortex-a76",
    .about = "NEON with dot products, scheduled for Cortex-A76",
    .tune = "cortex-a76",
    .vector_issue = 2,
    .l1_bytes = 64 << 10,
    .l2_bytes = 512 << 10,
};

const struct qbc_target qbc_target_neoverse_n1 = {
    BASE,
    .name = "neoverse-n1",
    .about = "NEON with dot products, scheduled for Neoverse N1",
    .tune = "neoverse-n1",
    .vector_issue = 2,
    .l1_bytes = 64 << 10,
    .l2_bytes = 1024 << 10,
};

/* It has no i8mm; that came with M2. */
const struct qbc_target qbc_target_apple_m1 = {
    BASE,
    .name = "apple-m1",
    .about = "NEON with dot products, scheduled for Apple M1",
    .tune = "apple-m1",
    .vector_issue = 4,
    .l1_bytes = 128 << 10,
    .l2_bytes = 12 << 20,
};
