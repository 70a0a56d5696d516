/* linear_many: many tokens with weights that are decoded once for all of them.
 *
 *     for each block of tokens                       as many as keep their activations in the second-level cache
 *         for each panel of this thread
 *             for each slab of groups                as many as stay in the first-level cache when decoded
 *                 decode it to normal form           linear_normal.c
 *                 for each tile of tokens
 *                     sums[tile] += its products     linear_dot.c and its like, and the scales here
 *                     with the last slab: results    the epilogue
 *
 * So what a format costs to unpack is shared by the tokens of a block, and all formats have the same inner loop. Sums are
 * added up in the order of linear_groups.c: a token's result does not depend on how many others came with it.
 *
 * What is far away is asked for a while before: the next slab, and where results go.
 *
 * Where tiles do not divide a block, its last tile begins earlier, and does some tokens again; their sums are its own.
 */
#include "linear_many.h"

enum {
    MOST_SLAB = 16 << 10, /* bytes; on the stack, as the sums of a block */
    MOST_BLOCK = 128,     /* tokens */
    LEAST_BLOCK = 4,      /* tiles */
    LEAST = 4,            /* tiles: with fewer, decoding takes longer than it saves */
    LINE = 64
};

struct many {
    struct qbc_linear *l, levels; /* as it is; of what is decoded */
    struct qbc_normal form;
    int m;                        /* tokens of a tile */
    int64_t slab;                 /* groups */
    MlirValue weights, sums;      /* decoded groups; f32 [tile][m][rows] */
    MlirValue from, count, tiles; /* of the block of tokens */
};

/* The widest tile for many tokens. */
static const struct qbc_tile *tile_for_many(const struct qbc_linear *l)
{
    const struct qbc_target *t = l->k->q->target;
    const struct qbc_tile *one = qbc_tile_for(t, l->format, 1), *many = NULL;
    for (const struct qbc_tile *tile = t->tiles; tile->act_bits; ++tile)
        if (tile->many && tile->kind == one->kind && l->format->bits <= tile->code_bits)
            many = tile;
    return many;
}

int qbc_linear_least_many(const struct qbc_linear *l)
{
    struct qbc_normal form;
    const struct qbc_tile *tile = tile_for_many(l);
    return tile && qbc_normal_form(l, tile, &form) ? LEAST * tile->m : 0;
}

/* --- a tile: m tokens, all rows of a panel, one slab */

struct tile {
    MlirValue x[QBC_MOST_TOKENS]; /* records of the slab's first columns */
    MlirValue sums;
    MlirValue groups; /* of the slab, i64 */
    MlirValue ahead;  /* what to ask for with each of these */
};

static MlirValue scale_of(struct many *b, MlirValue record)
{
    struct qbc_kernel *k = b->l->k;
    return k_splat(k, k_load(k, k->f32, k_at_i(k, record, QBC_ACT_SCALE), 4), b->levels.rows);
}

static MlirValue load_floats(struct many *b, MlirValue at)
{
    struct qbc_kernel *k = b->l->k;
    return k_load(k, k_vec(k, b->levels.rows, k->f32), k_at(k, at, k_mul_i(k, b->levels.row, 4)), 4);
}

/* Integers of one run for all tokens of the tile, as floats. */
static void integers(struct many *b, MlirValue codes, const MlirValue *act, MlirValue *out)
{
    struct qbc_kernel *k = b->l->k;
    struct qbc_runs run = {.n = 1, .chunks = b->form.layout.chunks};
    run.codes = k_at(k, codes, k_mul_i(k, b->levels.row, b->l->packing.depth));
    for (int j = 0; j < b->m; ++j)
        run.act[0][j] = act[j];
    switch (b->levels.tile->kind) {
    case QBC_KIND_MULL:
        qbc_linear_mull(&b->levels, b->m, &run, out);
        break;
    case QBC_KIND_MMLA:
        qbc_linear_mmla(&b->levels, b->m, &run, out);
        break;
    default:
        qbc_linear_dot4(&b->levels, b->m, &run, out);
    }
    for (int j = 0; j < b->m; ++j)
        out[j] = k_cast(k, "arith.sitofp", out[j], k->f32);
}

static void one_run(struct many *b, MlirValue group, const MlirValue *act, MlirValue *sums)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue products[QBC_MOST_TOKENS];
    integers(b, group, act, products);
    MlirValue scale = load_floats(b, k_at_i(k, group, b->form.scales_offset));
    for (int j = 0; j < b->m; ++j)
        sums[j] = k_fma(k, products[j], k_fmul(k, scale, scale_of(b, act[j])), sums[j]);
}

/* The column where run `i` begins, in records. */
static MlirValue record_of_run(struct many *b, MlirValue i)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue apart = k_i64(k, b->form.runs / b->form.turns);
    MlirValue nth = k_op2(k, "arith.remui", i, apart), turn = k_op2(k, "arith.divui", i, apart);
    return k_mul_i(k, k_add(k, k_mul_i(k, nth, b->form.turns), turn), QBC_ACT_RECORD);
}

static void several_runs(struct many *b, MlirValue group, const MlirValue *act, MlirValue *sums)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue partial[QBC_MOST_TOKENS], products[QBC_MOST_TOKENS], records[QBC_MOST_TOKENS];
    for (int j = 0; j < b->m; ++j)
        partial[j] = k_float_of(k, k_vec(k, b->levels.rows, k->f32), 0);
    struct k_loop runs = k_for(k, k_i64(k, 0), k_i64(k, b->form.runs), 1, (size_t)b->m, partial);
    k_not_unrolled(k, &runs);
    MlirValue skip = record_of_run(b, runs.i);
    for (int j = 0; j < b->m; ++j)
        records[j] = k_at(k, act[j], skip);
    integers(b, k_at(k, group, k_mul_i(k, runs.i, b->form.run_bytes)), records, products);
    for (int j = 0; j < b->m; ++j)
        partial[j] = k_fma(k, products[j], scale_of(b, records[j]), runs.carried[j]);
    k_end(k, &runs, partial);
    MlirValue scale = load_floats(b, k_at_i(k, group, b->form.scales_offset));
    for (int j = 0; j < b->m; ++j)
        sums[j] = k_fma(k, runs.carried[j], scale, sums[j]);
}

/* Lines of the next slab that a tile asks for with each group, so that the fewest tiles ask for all of it. */
static int64_t lines_ahead(const struct many *b)
{
    enum { TILES_LINE = LEAST * LINE };
    return (b->l->layout.group_bytes + TILES_LINE - 1) / TILES_LINE;
}

/* Rows levels.row .. + levels.rows. */
static void some_rows(struct many *b, const struct tile *t)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue sums[QBC_MOST_TOKENS], act[QBC_MOST_TOKENS];
    int64_t record = b->l->format->group / QBC_ACT_GROUP * QBC_ACT_RECORD, row_bytes = (int64_t)b->l->packing.rows * 4;
    for (int j = 0; j < b->m; ++j)
        sums[j] = load_floats(b, k_at_i(k, t->sums, j * row_bytes));
    struct k_loop groups = k_for(k, k_i64(k, 0), t->groups, 1, (size_t)b->m, sums);
    k_not_unrolled(k, &groups);
    MlirValue group = k_at(k, b->weights, k_mul_i(k, groups.i, b->form.group_bytes));
    for (int64_t i = 0; i < lines_ahead(b); ++i)
        k_prefetch(k, k_at_i(k, k_at(k, t->ahead, k_mul_i(k, groups.i, lines_ahead(b) * LINE)), i * LINE), false);
    for (int j = 0; j < b->m; ++j) {
        sums[j] = groups.carried[j];
        act[j] = k_at(k, t->x[j], k_mul_i(k, groups.i, record));
    }
    if (b->form.runs > 1)
        several_runs(b, group, act, sums);
    else
        one_run(b, group, act, sums);
    k_end(k, &groups, sums);
    for (int j = 0; j < b->m; ++j)
        k_store(k, groups.carried[j], k_at(k, k_at_i(k, t->sums, j * row_bytes), k_mul_i(k, b->levels.row, 4)), 4);
}

/* --- a slab */

static MlirValue min(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.minsi", a, b);
}

/* Which groups of a panel, and what comes after them. */
struct slab {
    MlirValue panel, first, groups;
    MlirValue next; /* the following slab's bytes */
    MlirValue is_last;
};

/* The lines where the results of a tile go. */
static void expect_results(struct many *b, MlirValue panel, MlirValue token)
{
    struct qbc_kernel *k = b->l->k;
    enum { Y = 0 };
    int64_t bytes = (int64_t)b->l->packing.rows * 4;
    for (int j = 0; j < b->m; ++j) {
        MlirValue at = k_at(k, k_row(k, Y, k_add_i(k, token, j)), k_mul_i(k, panel, bytes));
        for (int64_t line = 0; line < bytes; line += LINE)
            k_prefetch(k, k_at_i(k, at, line), true);
    }
}

/* Results of the tokens from `token` on whose sums are in the tile; the first `done` were there already. */
static void finish(struct many *b, MlirValue panel, MlirValue token, MlirValue sums, MlirValue done)
{
    struct qbc_kernel *k = b->l->k;
    struct k_loop tokens = k_for(k, done, k_i64(k, b->m), 1, 0, NULL);
    k_not_unrolled(k, &tokens);
    MlirValue at = k_at(k, sums, k_mul_i(k, tokens.i, (int64_t)b->l->packing.rows * 4));
    MlirValue of_token = k_load(k, k_vec(k, b->l->packing.rows, k->f32), at, 4);
    qbc_linear_finish(b->l, k_add(k, token, tokens.i), panel, of_token);
    k_end(k, &tokens, NULL);
}

static void all_rows(struct many *b, const struct tile *t)
{
    struct qbc_kernel *k = b->l->k;
    struct k_loop rows = k_for(k, k_i64(k, 0), k_i64(k, b->l->packing.rows), b->levels.rows, 0, NULL);
    b->levels.row = rows.i;
    some_rows(b, t);
    k_end(k, &rows, NULL);
}

static void one_tile(struct many *b, const struct slab *s, MlirValue index)
{
    struct qbc_kernel *k = b->l->k;
    enum { X = 1 };
    struct tile t = {.groups = s->groups};
    MlirValue record = k_mul_i(k, s->first, b->l->format->group / QBC_ACT_GROUP * QBC_ACT_RECORD);
    MlirValue wanted = k_mul_i(k, index, b->m), possible = min(k, wanted, k_add_i(k, b->count, -b->m));
    MlirValue token = k_add(k, b->from, possible);
    for (int j = 0; j < b->m; ++j)
        t.x[j] = k_at(k, k_row(k, X, k_add_i(k, token, j)), record);
    t.ahead = k_at(k, s->next, k_mul_i(k, k_mul(k, index, s->groups), lines_ahead(b) * LINE));
    t.sums = k_at(k, b->sums, k_mul_i(k, wanted, (int64_t)b->l->packing.rows * 4));
    struct k_loop before = k_if(k, s->is_last);
    expect_results(b, s->panel, token);
    k_end(k, &before, NULL);
    all_rows(b, &t);
    struct k_loop after = k_if(k, s->is_last);
    finish(b, s->panel, token, t.sums, k_sub(k, wanted, possible));
    k_end(k, &after, NULL);
}

static void multiply(struct many *b, const struct slab *s)
{
    struct qbc_kernel *k = b->l->k;
    struct k_loop tiles = k_for(k, k_i64(k, 0), b->tiles, 1, 0, NULL);
    one_tile(b, s, tiles.i);
    k_end(k, &tiles, NULL);
}

static void one_slab(struct many *b, MlirValue panel, MlirValue first)
{
    struct qbc_kernel *k = b->l->k;
    enum { W = 2 };
    struct slab s = {.panel = panel, .first = first};
    MlirValue w = k_at(k, k->operand[W], k_mul_i(k, panel, b->l->layout.panel_bytes)), left;
    w = k_at(k, w, k_mul_i(k, first, b->l->layout.group_bytes));
    left = k_sub(k, k_i64(k, b->l->layout.groups), first);
    s.groups = min(k, k_i64(k, b->slab), left);
    s.is_last = k_cmp(k, QBC_LE, left, k_i64(k, b->slab));
    s.next = k_at(k, w, k_mul_i(k, s.groups, b->l->layout.group_bytes));
    struct k_loop groups = k_for(k, k_i64(k, 0), s.groups, 1, 0, NULL);
    k_not_unrolled(k, &groups);
    MlirValue from = k_at(k, w, k_mul_i(k, groups.i, b->l->layout.group_bytes));
    qbc_normal_decode(b->l, &b->form, from, k_at(k, b->weights, k_mul_i(k, groups.i, b->form.group_bytes)));
    k_end(k, &groups, NULL);
    multiply(b, &s);
}

/* --- a block of tokens */

static void clear(struct many *b)
{
    struct qbc_kernel *k = b->l->k;
    int64_t bytes = (int64_t)b->m * b->l->packing.rows * 4;
    struct k_loop tiles = k_for(k, k_i64(k, 0), k_mul_i(k, b->tiles, bytes), bytes / b->m, 0, NULL);
    k_store(k, k_float_of(k, k_vec(k, b->l->packing.rows, k->f32), 0), k_at(k, b->sums, tiles.i), 4);
    k_end(k, &tiles, NULL);
}

static void one_panel(struct many *b, MlirValue panel)
{
    struct qbc_kernel *k = b->l->k;
    clear(b);
    struct k_loop slabs = k_for(k, k_i64(k, 0), k_i64(k, b->l->layout.groups), b->slab, 0, NULL);
    one_slab(b, panel, slabs.i);
    k_end(k, &slabs, NULL);
}

static struct many begin(struct qbc_linear *l, const struct qbc_tile *tile)
{
    struct many b = {.l = l, .levels = *l, .m = tile->m};
    qbc_normal_form(l, tile, &b.form);
    b.levels.tile = tile;
    b.levels.rows = tile->n;
    b.levels.packing.is_signed = b.form.is_signed;
    b.levels.layout = b.form.layout;
    int64_t half = l->k->q->target->l1_bytes / 2, bytes = half < MOST_SLAB ? half : MOST_SLAB;
    b.slab = bytes < b.form.group_bytes ? 1 : bytes / b.form.group_bytes;
    return b;
}

/* As many tokens as their activations are worth reading again for each panel: from the second-level cache if panels are
 * low, from further away if each of them takes long. Their sums lie on the stack. */
static int64_t most_tokens(const struct many *b)
{
    enum { X = 1, LOW = 8 /* rows */ };
    const struct qbc_kernel *k = b->l->k;
    int64_t bytes = (int64_t)k->q->target->l2_bytes / 2 * b->l->packing.rows / LOW;
    int64_t fit = bytes / k->row_bytes[X] / b->m * b->m;
    fit = fit > MOST_BLOCK ? MOST_BLOCK : fit;
    return fit > LEAST_BLOCK * b->m ? fit : LEAST_BLOCK * b->m;
}

/* Where block i of `blocks` begins: a multiple of the tile's tokens, the blocks about equal. */
static MlirValue block_start(struct many *b, MlirValue i, MlirValue blocks)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue token = k_op2(k, "arith.divui", k_mul(k, i, k->rows), blocks);
    MlirValue start = k_mul_i(k, k_op2(k, "arith.divui", token, k_i64(k, b->m)), b->m);
    return k_select(k, k_cmp(k, QBC_EQ, i, blocks), k->rows, start);
}

void qbc_linear_many(struct qbc_linear *l, struct k_range panels)
{
    struct qbc_kernel *k = l->k;
    struct many b = begin(l, tile_for_many(l));
    b.levels.format = &b.form.format;
    int64_t most = most_tokens(&b);
    b.weights = k_scratch(k, b.slab * b.form.group_bytes);
    b.sums = k_scratch(k, (most + 2 * b.m) * l->packing.rows * 4);
    MlirValue blocks = k_op2(k, "arith.divui", k_add_i(k, k->rows, most - 1), k_i64(k, most));
    struct k_loop loop = k_for(k, k_i64(k, 0), blocks, 1, 0, NULL);
    b.from = block_start(&b, loop.i, blocks);
    b.count = k_sub(k, block_start(&b, k_add_i(k, loop.i, 1), blocks), b.from);
    b.tiles = k_op2(k, "arith.divui", k_add_i(k, b.count, b.m - 1), k_i64(k, b.m));
    struct k_loop each = k_for(k, panels.from, panels.to, 1, 0, NULL);
    one_panel(&b, each.i);
    k_end(k, &each, NULL);
    k_end(k, &loop, NULL);
}
