/* kernel_formats.h: the formats that kernels are tried with, made from the grammar: all examples, every kind and width
 * plain, and so much of kinds x spans x offsets x scales that each codebook meets each of the others, and offsets scales. */
#ifndef KERNEL_FORMATS_H
#define KERNEL_FORMATS_H

#include "base.h"
#include "format.h"

#include <string.h>

enum { FORMATS_MOST = 512 };

struct formats {
    const struct qbc_format *list[FORMATS_MOST];
    size_t n, examples; /* the first so many are examples */
};

static const char *const formats_spans[] = {"g32", "g64", "g128", "g16", "g96", "row", "tensor", "c128"};
static const char *const formats_offsets[] = {"", "z", "m"};
static const char *const formats_scales[] = {"",       ".bf16",  ".f32",  ".e8m0",  ".e4m3",  ".u4x16", ".u6x8",
                                             ".u8x16", ".u8x4o", ".i6x8", ".i8x16", ".u8row", ".i8tensor"};
enum {
    FORMATS_SPANS = sizeof formats_spans / sizeof *formats_spans,
    FORMATS_OFFSETS = sizeof formats_offsets / sizeof *formats_offsets,
    FORMATS_SCALES = sizeof formats_scales / sizeof *formats_scales,
    FORMATS_CODEBOOKS = QBC_CODE_SUM, /* of leaves */
};

/* Which two have met. */
struct formats_pairs {
    bool book_span[FORMATS_CODEBOOKS][FORMATS_SPANS], book_offset[FORMATS_CODEBOOKS][FORMATS_OFFSETS];
    bool book_scale[FORMATS_CODEBOOKS][FORMATS_SCALES], offset_scale[FORMATS_OFFSETS][FORMATS_SCALES];
};

/* Marks the pairs of a format; how many are new? */
static inline int formats_meet(struct formats_pairs *p, enum qbc_codebook book, size_t span, size_t offset,
                               size_t scale)
{
    bool *pairs[] = {&p->book_span[book][span], &p->book_offset[book][offset], &p->book_scale[book][scale],
                     &p->offset_scale[offset][scale]};
    int new = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; ++i) {
        new += !*pairs[i];
        *pairs[i] = true;
    }
    return new;
}

/* A name that the grammar refuses, or that is there already, adds nothing. */
static inline bool formats_add(struct qbc *q, struct formats *all, const char *name)
{
    struct qbc_format f;
    if (!qbc_format_parse(name, &f, NULL))
        return false;
    for (size_t i = 0; i < all->n; ++i)
        if (!strcmp(all->list[i]->name, f.name))
            return false;
    if (all->n == FORMATS_MOST)
        abort();
    all->list[all->n++] = qbc_find_format(q, name);
    return true;
}

/* All of one kind that brings a new pair. `turn` is where the walk begins, so that kinds differ. */
static inline void formats_add_pairs(struct qbc *q, struct formats *all, const char *kind, size_t turn,
                                     struct formats_pairs *pairs)
{
    enum { ALL = FORMATS_SPANS * FORMATS_OFFSETS * FORMATS_SCALES, STRIDE = 101 /* divides nothing of it */ };
    for (size_t step = 0; step < ALL; ++step) {
        size_t at = (turn * 37 + step * STRIDE) % ALL, span = at % FORMATS_SPANS;
        size_t offset = at / FORMATS_SPANS % FORMATS_OFFSETS, scale = at / FORMATS_SPANS / FORMATS_OFFSETS;
        const char *name = qbc_text(q, "%s%s%s%s", kind, formats_spans[span], formats_offsets[offset],
                                    formats_scales[scale]);
        struct qbc_format f;
        if (!qbc_format_parse(name, &f, NULL))
            continue;
        if (formats_meet(pairs, f.codebook, span, offset, scale))
            formats_add(q, all, name);
    }
}

static inline void formats_make(struct qbc *q, struct formats *all)
{
    static const char *const composites[] = {"i4g32+b1g64", "(i4g32@25%|i2g32)+sparse0.5%", "i4g32@25%r|i2g64",
                                             "nf4g64*uv"};
    struct formats_pairs pairs = {0};
    *all = (struct formats){.n = 0};
    for (size_t i = 0; qbc_format_example(i); ++i)
        formats_add(q, all, qbc_format_example(i));
    all->examples = all->n;
    for (size_t i = 0; qbc_format_kind(i); ++i)
        formats_add(q, all, qbc_text(q, "%sg32", qbc_format_kind(i)));
    for (size_t i = 0; qbc_format_kind(i); ++i)
        formats_add_pairs(q, all, qbc_format_kind(i), i, &pairs);
    for (size_t i = 0; i < sizeof composites / sizeof *composites; ++i)
        formats_add(q, all, composites[i]);
}

#endif
