/* ssse3: x86-64-v2, what every x86 CPU since 2008 or so has, and what small ones have still.
 *
 * 16 vector registers of 4 floats. Integer products as in avx2.c, half as wide. No fused multiply-add, and f16
 * numbers are converted by integer arithmetic.
 */
#include "target.h"

#define DOT                                                                                        \
    .dot = "llvm.x86.ssse3.pmadd.ub.sw.128", .widen = "llvm.x86.sse2.pmadd.wd",                    \
    .sign = "llvm.x86.ssse3.psign.b.128"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 16, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 8, QBC_KIND_FMA},
    {32, 16, 1, 8, QBC_KIND_FMA}, /* f16: registers to convert with */
    {32, 16, 4, 8, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_DOT4, DOT}, /* one token: bound by memory */
    {8, 8, 4, 4, QBC_KIND_DOT4, DOT},
    {0},
};

const struct qbc_target qbc_target_x86_64_v2 = {
    .name = "x86-64-v2",
    .about = "SSE4.2: Nehalem, Bulldozer, Silvermont and later",
    .triple = "x86_64-linux-gnu",
    .cpu = "x86-64-v2",
    .features = "+cx16,+popcnt,+sahf,+sse3,+sse4.1,+sse4.2,+ssse3",
    .machine = 62,
    .vector_bits = 128,
    .vector_regs = 16,
    .no_fma = true,
    .no_half = true,
    .lookup = {"llvm.x86.ssse3.pshuf.b.128"},
    .tiles = tiles,
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};
