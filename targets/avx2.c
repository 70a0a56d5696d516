/* avx2: x86-64-v3 and its CPUs.
 *
 * 16 vector registers of 8 floats. Integer products go through vpmaddubsw: unsigned by signed
 * bytes, summed in pairs into saturating 16 bits; vpmaddwd with ones widens.
 */
#include "target.h"

#define DOT                                                                                        \
    .dot = "llvm.x86.avx2.pmadd.ub.sw", .widen = "llvm.x86.avx2.pmadd.wd",                         \
    .sign = "llvm.x86.avx2.psign.b"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA}, /* the reference */
    {32, 32, 4, 16, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_DOT4, DOT}, /* one token: bound by memory */
    {8, 8, 4, 8, QBC_KIND_DOT4, DOT},
    {8, 8, 4, 8, QBC_KIND_DOT4, DOT, .many = true}, /* a prompt: bound by arithmetic */
    {0},
};

#define BASE \
    .triple = "x86_64-linux-gnu", .cpu = "x86-64-v3", \
    .features = "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", \
    .machine = 62, .vector_bits = 256, .vector_regs = 16, .tiles = tiles, \
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b"}

const struct qbc_target qbc_target_x86_64_v3 = {
    BASE,
    .name = "x86-64-v3",
    .about = "AVX2 and FMA: Haswell, Zen 1 and later",
    .vector_issue = 3,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};

const struct qbc_target qbc_target_haswell = {
    BASE,
    .name = "haswell",
    .about = "AVX2 and FMA, scheduled for Haswell",
    .tune = "haswell",
    .vector_issue = 3,
    .l1_bytes = 32 << 10,
    .l2_bytes = 256 << 10,
};
