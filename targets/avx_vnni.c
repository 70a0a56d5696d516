/* avx_vnni: AVX2 with an exact dot of four bytes in 256 bits. */
#include "target.h"

#define DOT .dot = "llvm.x86.avx512.vpdpbusd.256"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA},
    {32, 32, 4, 16, QBC_KIND_FMA},
    {8, 8, 1, 8, QBC_KIND_DOT4, DOT},
    {8, 8, 4, 8, QBC_KIND_DOT4, DOT},
    {8, 8, 4, 8, QBC_KIND_DOT4, DOT, .many = true},
    {0},
};

#define BASE \
    .triple = "x86_64-linux-gnu", .cpu = "x86-64-v3", \
    .features = "+avx2,+avxvnni,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe", \
    .machine = 62, .vector_bits = 256, .vector_regs = 16, .tiles = tiles, \
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b"}

const struct qbc_target qbc_target_alderlake = {
    BASE,
    .name = "alderlake",
    .about = "AVX2 with AVX-VNNI: Alder Lake and later without AVX-512",
    .tune = "alderlake",
    .vector_issue = 3,
    .l1_bytes = 48 << 10,
    .l2_bytes = 1280 << 10,
};
