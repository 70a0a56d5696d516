/* kernel_graph.h: pieces of graphs that the kernel tests put together. Inputs come from tables: a token
 * picks its row. Each operation's location is its name, by which lab_row finds its result. */
#ifndef KERNEL_GRAPH_H
#define KERNEL_GRAPH_H

#include "kernel_blocks.h"
#include "kernel_lab.h"

/* f32 [rows][cols] of a table or float weight. */
static inline float *lab_values(struct lab *lab, const char *name)
{
    return lab_tensor(lab, name)->blocks.values;
}

/* Random values of variance 1, or any blocks. */
static inline void lab_fill(struct qbc_blocks *b, uint64_t *seed)
{
    if (b->format->codebook != QBC_CODE_FLOAT)
        blocks_fill(b, 0, seed);
    for (int64_t i = 0; b->values && i < b->rows * b->cols; ++i)
        if (b->format->bits == 16)
            ((uint16_t *)b->values)[i] = qbc_float_to_half(check_normal(seed));
        else
            ((float *)b->values)[i] = check_normal(seed);
}

/* %NAME = the tokens' rows of the weight %W [rows][cols]. */
static inline void lab_embed(struct lab *lab, const char *name, const char *w, int64_t rows, int64_t cols)
{
    lab_say(lab,
            "%%%s = \"qb.embed\"(%%tokens, %%%s) : (tensor<?xi32>, tensor<%ldx%ldxf32>) -> tensor<?x%ldxf32> "
            "loc(\"%s\")\n",
            name, w, (long)rows, (long)cols, (long)cols, name);
}

/* %NAME = the tokens' rows of the table tNAME, [rows][cols] in format f, to be filled. */
static inline struct qbc_blocks *lab_table(struct lab *lab, const char *name, const struct qbc_format *f,
                                           int64_t rows, int64_t cols)
{
    const char *table = qbc_text(lab->q, "t%s", name);
    struct qbc_blocks *b = lab_matrix(lab, table, f, rows, cols);
    lab_embed(lab, name, table, rows, cols);
    return b;
}

/* The same in f32: its values. */
static inline float *lab_input(struct lab *lab, const char *name, int64_t rows, int64_t cols)
{
    return lab_table(lab, name, qbc_find_format(lab->q, "f32"), rows, cols)->values;
}

/* %NAME = %X times the weight %W [n][k]. */
static inline void lab_linear(struct lab *lab, const char *name, const char *x, const char *w, int64_t n, int64_t k)
{
    lab_say(lab,
            "%%%s = \"qb.linear\"(%%%s, %%%s) : (tensor<?x%ldxf32>, tensor<%ldx%ldxf32>) -> tensor<?x%ldxf32> "
            "loc(\"%s\")\n",
            name, x, w, (long)k, (long)n, (long)k, (long)n, name);
}

/* %NAME = %A op %B, [?][n]. */
static inline void lab_binary(struct lab *lab, const char *op, const char *name, const char *a, const char *b,
                              int64_t n)
{
    lab_say(lab,
            "%%%s = \"%s\"(%%%s, %%%s) %s : (tensor<?x%ldxf32>, tensor<?x%ldxf32>) -> tensor<?x%ldxf32> "
            "loc(\"%s\")\n",
            name, op, a, b, strcmp(op, "qb.glu") ? "" : "{act = \"silu\"}", (long)n, (long)n, (long)n, name);
}

/* %NAME = the rows of %X, [?][n], whose logits are wanted. */
static inline void lab_tail(struct lab *lab, const char *name, const char *x, int64_t n)
{
    lab_say(lab, "%%%s = \"qb.tail\"(%%%s) : (tensor<?x%ldxf32>) -> tensor<?x%ldxf32> loc(\"%s\")\n", name, x,
            (long)n, (long)n, name);
}

/* %NAME = rms_norm of %X over runs of `length` columns, gain gNAME about 1. */
static inline void lab_norm(struct lab *lab, const char *name, const char *x, int64_t cols, int64_t length,
                            double eps, uint64_t *seed)
{
    float *gain = lab_vector(lab, qbc_text(lab->q, "g%s", name), length);
    for (int64_t i = 0; i < length; ++i)
        gain[i] = 1 + 0.5f * check_normal(seed);
    lab_say(lab,
            "%%%s = \"qb.rms_norm\"(%%%s, %%g%s) {eps = %.9e : f32} : (tensor<?x%ldxf32>, tensor<%ldxf32>) -> "
            "tensor<?x%ldxf32> loc(\"%s\")\n",
            name, x, name, eps, (long)cols, (long)length, (long)cols, name);
}

/* Runs of counts[i] tokens, the first as a decode step; the tokens are 0, 1, .. `tokens` - 1 in turn. */
static inline void lab_run_counts(struct lab *lab, size_t n, const int *counts, int tokens)
{
    int next = 0;
    for (size_t i = 0; i < n; ++i) {
        int32_t ids[LAB_MOST_TOKENS];
        for (int t = 0; t < counts[i]; ++t)
            ids[t] = (int32_t)(next++ % tokens);
        lab_run(lab, i == 0, counts[i], ids, 0, 0);
    }
}

#endif
