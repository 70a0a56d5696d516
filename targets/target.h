/* target.h: what a machine is. Data only: no MLIR, no format names.
 *
 * A tile is one way to multiply: M tokens x N rows of weights x K columns in one step of the inner
 * loop. In a table the plainest comes first and the last row that fits wins; row 0 is f32 `fma`
 * and works everywhere. All tiles that serve the same codes have the same kind (but for QBC_KIND_TILE), and their N divides that
 * of the tile for one token, which is the height of the panels: one packing serves every number of tokens.
 */
#ifndef QBC_TARGET_H
#define QBC_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of arithmetic; each is one lowering in passes/kernels/. */
enum qbc_kind {
    QBC_KIND_FMA,  /* float multiply-add, codes converted in registers; packing depth 1 */
    QBC_KIND_DOT4, /* integer dot of 4 bytes into each 32-bit lane; packing depth 4 */
    QBC_KIND_MULL, /* products of 8 bytes in 16 bits, added up there; packing depth 16: a register has 1 row x 16 k */
    QBC_KIND_MMLA, /* 2 x 8 by 8 x 2 bytes into 4 lanes; packing depth 8: a register has 2 rows x 8 k */
    QBC_KIND_AXPY, /* scalar times vector of any length: one k of a panel's rows; packing depth 1 */
    QBC_KIND_TILE, /* AMX: 16 tokens x 4 n bytes by n x 64 bytes into 16 x 16 lanes, in registers of their own; for many tokens
                      of a target whose other tiles are QBC_KIND_DOT4, by whose packing it goes */
};

/* Rows of buffers have room for a multiple of so many columns: what a tile writes beyond the last one. */
enum { QBC_PADDED_ROW = 128 };

struct qbc_tile {
    int act_bits;  /* activations: 32 float, 8 int8 with a scale per 32 */
    int code_bits; /* widest weight code that this row takes */
    int m, n;      /* tokens and rows of weights held in registers; n divides QBC_PADDED_ROW, but where `scalable` */
    enum qbc_kind kind;
    /* Names of LLVM's intrinsics. QBC_KIND_DOT4, one of
     *   dot          adds products of 4 unsigned by 4 signed bytes to each lane exactly (`dot_signed`: signed by signed)
     *   dot, widen   `dot` gives saturating 16-bit sums of 2 products, which `widen` (with ones) adds
     *                pairwise into 32 bits. `sign` copies the sign of the weights to the activations where
     *                unsigned codes would saturate; `abs` is the generic one.
     * QBC_KIND_MULL: `dot` multiplies 8 signed bytes, `fold` adds neighbours of two registers, `widen` those of one
     * into twice the bits.
     * QBC_KIND_MMLA: `mmla`, `dot` (as above, signed) where there is one token, `fold` as above.
     * QBC_KIND_TILE: `dot`, signed by signed; `dot_unsigned`, by unsigned weights. */
    const char *dot;
    const char *widen;
    const char *sign;
    const char *fold;
    const char *mmla;
    const char *dot_unsigned;
    bool dot_signed;  /* `dot` takes both operands signed */
    bool many;        /* of many tokens, for which weights are decoded to bytes first (passes/kernels/linear_many.c) */
    bool dot_by_lane; /* `dot` multiplies by one lane of a register at no cost: activations come 16 bytes at a time */
};

struct qbc_target {
    const char *name;
    const char *about;  /* one line for --list-targets */
    const char *triple;
    const char *cpu;      /* LLVM's -mcpu: what code may use, beside `features` */
    const char *tune;     /* LLVM's -mtune: whose pipeline code is scheduled for; NULL: cpu's */
    const char *features; /* LLVM's -mattr: "+avx2,+fma"; also what the artifact requires */
    const char *avoid;    /* those of them that code had better not use here, "-gfni"; NULL: none */
    int machine;          /* e_machine of the ELF image */
    int vector_bits; /* of a register; the least, where `scalable` */
    bool scalable;   /* vectors may be longer than that, and code finds out how long */
    int vector_regs;
    int vector_issue; /* instructions on vectors that it starts in a cycle: what strategies are compared by */
    bool compares_to_bytes; /* of bytes, to bytes of ones or zeros; else to registers of another kind */
    bool multiplies_bytes;  /* lane by lane, and to 16 bits; else pairs of them as 16 bits */
    bool no_fma;  /* no fused multiply-add: a product is rounded before it is added */
    bool in_order; /* instructions wait for those before them: work must be put where it waits for nothing */
    bool no_half; /* no instruction for f16: converted by integer arithmetic */
    int l1_bytes, l2_bytes;
    /* Intrinsics that look bytes up in a table of 16, which each 16 bytes of the table operand hold: for vectors of 16, 32
     * and 64 bytes, or NULL. (table, index); of an index beyond 15, but not beyond 127, the low four bits count, or
     * the result is 0 where `lookup_ends`. `lookup_64` has a table of 64 in a vector of 64; `lookup_more` tables of 32 and
     * 64 in two and four operands of 16. */
    const char *lookup[3];
    const char *lookup_64;
    const char *lookup_more[2];
    bool lookup_ends;
    const char *insert_left; /* intrinsic: of 16 bytes, (a, b, n) has the low n bits of a's, and b's above them; or NULL */
    const struct qbc_tile *tiles; /* ends with {0} */
};

/* Rows of targets.def, plainest first within a triple. */
#define TARGET(symbol) extern const struct qbc_target qbc_target_##symbol;
#include "targets.def"
#undef TARGET

const struct qbc_target *qbc_target_find(const char *name);
const struct qbc_target *qbc_target_at(size_t i); /* NULL: past the end */
/* The last target of this triple's architecture whose features are all in `features` (the host's:
 * "+avx2,+fma,..."), scheduled for `cpu` (LLVM's name) where there is one; NULL when none fits. */
const struct qbc_target *qbc_target_native(const char *triple, const char *features, const char *cpu);
/* The last tile that takes these bits and at most `tokens` tokens; never NULL for act_bits 32. */
const struct qbc_tile *qbc_target_tile(const struct qbc_target *t, int act_bits, int code_bits,
                                       int tokens);

#endif
