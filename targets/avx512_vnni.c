/* avx512_vnni: AVX-512 with VNNI: vpdpbusd adds four unsigned by signed byte products to each lane.
 * From Ice Lake on with VBMI and GFNI; GFNI shifts bytes in one instruction, which unpacks codes. Sapphire Rapids has AMX
 * besides, for prompts: the same products, from memory, in eight registers of 16 x 64 bytes.
 */
#include "target.h"

#define DOT .dot = "llvm.x86.avx512.vpdpbusd.512"

static const struct qbc_tile tiles[] = {
    /* act code  m   n  kind */
    {32, 32, 1, 64, QBC_KIND_FMA}, /* the reference */
    {32, 32, 8, 32, QBC_KIND_FMA},
    {8, 8, 1, 32, QBC_KIND_DOT4, DOT}, /* one token: bound by memory */
    {8, 8, 8, 16, QBC_KIND_DOT4, DOT},
    {8, 8, 8, 32, QBC_KIND_DOT4, DOT, .many = true}, /* a prompt: bound by arithmetic */
    {0},
};

/* Two by two registers of sums, and two of each side. */
static const struct qbc_tile tiles_amx[] = {
    {32, 32, 1, 64, QBC_KIND_FMA},
    {32, 32, 8, 32, QBC_KIND_FMA},
    {8, 8, 1, 32, QBC_KIND_DOT4, DOT},
    {8, 8, 8, 16, QBC_KIND_DOT4, DOT},
    {8, 8, 32, 32, QBC_KIND_TILE, .dot = "llvm.x86.tdpbssd", .dot_unsigned = "llvm.x86.tdpbsud", .dot_signed = true, .many = true},
    {0},
};

#define BASE \
    .triple = "x86_64-linux-gnu", .cpu = "x86-64-v4", \
    .features = "+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+avx512vnni,+bmi,+bmi2,+f16c," \
                "+fma,+lzcnt,+movbe", \
    .machine = 62, .vector_bits = 512, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b", "llvm.x86.avx512.pshuf.b.512"}

#define BASE_GFNI \
    .triple = "x86_64-linux-gnu", .cpu = "x86-64-v4", \
    .features = "+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vbmi,+avx512vl,+avx512vnni,+bmi," \
                "+bmi2,+f16c,+fma,+gfni,+lzcnt,+movbe", \
    .machine = 62, .vector_bits = 512, .vector_regs = 32, .tiles = tiles, \
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b", "llvm.x86.avx512.pshuf.b.512"}, \
    .lookup_64 = "llvm.x86.avx512.permvar.qi.512"

/* GFNI's shift of bytes takes a place that a dot could have on Zen; a shift of words and a mask take others. */
#define SHIFTS "-gfni"

const struct qbc_target qbc_target_cascadelake = {
    BASE,
    .name = "cascadelake",
    .about = "AVX-512 with VNNI: Cascade Lake",
    .tune = "cascadelake",
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1024 << 10,
};

const struct qbc_target qbc_target_icelake_server = {
    BASE_GFNI,
    .name = "icelake-server",
    .about = "AVX-512 with VNNI, VBMI, GFNI: Ice Lake",
    .tune = "icelake-server",
    .vector_issue = 2,
    .l1_bytes = 48 << 10,
    .l2_bytes = 1280 << 10,
};

const struct qbc_target qbc_target_znver4 = {
    BASE_GFNI,
    .name = "znver4",
    .about = "AVX-512 with VNNI, VBMI, GFNI: Zen 4",
    .tune = "znver4",
    .avoid = SHIFTS,
    .vector_issue = 2,
    .l1_bytes = 32 << 10,
    .l2_bytes = 1024 << 10,
};

const struct qbc_target qbc_target_znver5 = {
    BASE_GFNI,
    .name = "znver5",
    .about = "AVX-512 with VNNI, VBMI, GFNI: Zen 5",
    .tune = "znver5",
    .avoid = SHIFTS,
    .vector_issue = 4,
    .l1_bytes = 48 << 10,
    .l2_bytes = 1024 << 10,
};

const struct qbc_target qbc_target_sapphirerapids = {
    .name = "sapphirerapids",
    .about = "AVX-512 with VNNI, VBMI, GFNI, and AMX: Sapphire Rapids",
    .triple = "x86_64-linux-gnu",
    .cpu = "x86-64-v4",
    .tune = "sapphirerapids",
    .features = "+amx-int8,+amx-tile,+avx2,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vbmi,+avx512vl,+avx512vnni,+bmi,"
                "+bmi2,+f16c,+fma,+gfni,+lzcnt,+movbe",
    .machine = 62,
    .vector_bits = 512,
    .vector_regs = 32,
    .tiles = tiles_amx,
    .lookup = {"llvm.x86.ssse3.pshuf.b.128", "llvm.x86.avx2.pshuf.b", "llvm.x86.avx512.pshuf.b.512"},
    .lookup_64 = "llvm.x86.avx512.permvar.qi.512",
    .vector_issue = 2,
    .l1_bytes = 48 << 10,
    .l2_bytes = 2048 << 10,
};
