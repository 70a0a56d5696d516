/* icelake-server: AVX-512 with VNNI, VBMI and GFNI (Ice Lake, Sapphire Rapids, Zen 4 and 5). GFNI shifts bytes in
 * one instruction, which unpacks codes. */
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

const struct qbc_target qbc_target_icelake_server = {
    .name = "icelake-server",
    .about = "AVX-512 with VNNI, VBMI, GFNI: Ice Lake, Sapphire Rapids, Zen 4 and later",
    .triple = "x86_64-linux-gnu",
    .cpu = "x86-64-v4",
    .features = "+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vbmi,+avx512vl,+avx512vnni,+bmi,+bmi2,+f16c,+fma,"
                "+gfni,+lzcnt,+movbe",
    .machine = 62,
    .vector_bits = 512,
    .vector_regs = 32,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1 << 20,
    .tiles = tiles,
};
