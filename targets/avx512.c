/* avx512: AVX-512 without VNNI. vpmaddubsw as in avx2.c, twice as wide. */
#include "target.h"

#define DOT .dot = "llvm.x86.avx512.pmaddubs.w.512", .widen = "llvm.x86.avx512.pmaddw.d.512"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 64, QBC_KIND_FMA}, /* the reference */
    {32, 32, 8, 32, QBC_KIND_FMA},
    {8, 8, 1, 16, QBC_KIND_DOT4, DOT}, /* one token: bound by memory */
    {8, 8, 8, 16, QBC_KIND_DOT4, DOT},
    {8, 8, 8, 16, QBC_KIND_DOT4, DOT, .many = true}, /* a prompt: bound by arithmetic */
    {0},
};

#define BASE \
    .triple = "x86_64-linux-gnu", .cpu = "x86-64-v4", \
    .features = "+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", \
    .machine = 62, .vector_bits = 512, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b", "llvm.x86.avx512.pshuf.b.512"}

const struct qbc_target qbc_target_x86_64_v4 = {
    BASE,
    .name = "x86-64-v4",
    .about = "AVX-512 F, BW, CD, DQ, VL: Skylake-X and later",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1024 << 10,
};

const struct qbc_target qbc_target_skylake_avx512 = {
    BASE,
    .name = "skylake-avx512",
    .about = "AVX-512, scheduled for Skylake-X",
    .tune = "skylake-avx512",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1024 << 10,
};
