/* describe_target: what --list-targets says of a row. */
#include "pipeline.h"
#include "target.h"

enum { MANY_TOKENS = 1 << 10, MOST_CODE_BITS = 8 };

static const char *words_of(const struct qbc_tile *tile)
{
    switch (tile->kind) {
    case QBC_KIND_FMA:
        return "converted to float and multiplied";
    case QBC_KIND_DOT4:
        return tile->widen ? "sums of two products of bytes, added up in 16 bits"
                           : "dot products of four bytes, exact in 32 bits";
    case QBC_KIND_MULL:
        return "products of bytes, added up in 16 bits";
    case QBC_KIND_MMLA:
        return "matrix products of 2 x 8 by 8 x 2 bytes, exact in 32 bits";
    case QBC_KIND_AXPY:
        return "vectors of codes times a number, exact in 32 bits";
    case QBC_KIND_TILE:
        return "products of tiles of 16 x 32 by 32 x 16 bytes, exact in 32 bits";
    }
    return "";
}

static bool same_arithmetic(const struct qbc_tile *a, const struct qbc_tile *b)
{
    return a && b && a->kind == b->kind && a->dot == b->dot;
}

static const char *intrinsic_of(const struct qbc_tile *tile)
{
    return tile->mmla ? tile->mmla : tile->dot;
}

/* What prompts have that fewer tokens do not. */
static const char *of_many(struct qbc *q, const struct qbc_target *t)
{
    for (const struct qbc_tile *tile = t->tiles; tile->act_bits; ++tile)
        if (tile->kind == QBC_KIND_TILE)
            return qbc_text(q, "%-18s%d tokens or more: %s: %s\n", "", tile->m, words_of(tile), intrinsic_of(tile));
    return "";
}

/* Widths of codes that are multiplied alike share a line. */
static const char *arithmetic_of(struct qbc *q, const struct qbc_target *t)
{
    const char *lines = "";
    for (int bits = 1, last; bits <= MOST_CODE_BITS; bits = last + 1) {
        const struct qbc_tile *tile = qbc_target_tile(t, 8, bits, MANY_TOKENS);
        for (last = bits; last < MOST_CODE_BITS; ++last)
            if (!same_arithmetic(tile, qbc_target_tile(t, 8, last + 1, MANY_TOKENS)))
                break;
        if (tile)
            lines = qbc_text(q, "%s%-18scodes of %d to %d bits: %s%s%s\n", lines, "", bits, last, words_of(tile),
                             intrinsic_of(tile) ? ": " : "", intrinsic_of(tile) ? intrinsic_of(tile) : "");
    }
    return lines;
}

const char *qbc_describe_target(struct qbc *q, const struct qbc_target *t)
{
    return qbc_text(q, "%-18s%s; %d vectors of %d bits%s; %s\n%-18sfloats: %s\n%s%s", "", t->triple, t->vector_regs,
                    t->vector_bits, t->scalable ? " or more" : "", t->features, "",
                    t->no_fma ? "multiplied, then added" : "fused multiply-add", arithmetic_of(q, t), of_many(q, t));
}
