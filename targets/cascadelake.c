/* cascadelake: AVX-512 with VNNI: vpdpbusd adds four unsigned by signed byte products to each lane. */
#include "target.h"

#define DOT .dot = "llvm.x86.avx512.vpdpbusd.512"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 32, QBC_KIND_FMA},
    {32, 32, 8, 32, QBC_KIND_FMA},
    {8, 8, 1, 16, QBC_KIND_DOT4, DOT},
    {8, 8, 8, 16, QBC_KIND_DOT4, DOT},
    {0},
};

const struct qbc_target qbc_target_cascadelake = {
    .name = "cascadelake",
    .about = "AVX-512 with VNNI: Cascade Lake",
    .triple = "x86_64-linux-gnu",
    .cpu = "x86-64-v4",
    .features = "+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+avx512vnni,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe",
    .machine = 62,
    .vector_bits = 512,
    .vector_regs = 32,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1 << 20,
    .tiles = tiles,
};
