/* linear_many: many tokens with weights that are decoded once for all of them.
 *
 *     for each block of tokens                       as many as keep their activations in the second-level cache
 *         for each panel of this thread
 *             for each slab of units                 as many as stay in the first-level cache when decoded
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
    struct qbc_linear *l;
    struct qbc_normal form;
    int m;                        /* tokens of a tile */
    int64_t slab;                 /* units */
    bool has_unit;                /* for products of matrices */
    MlirValue products;           /* where it puts them */
    MlirValue weights, sums;      /* decoded units; f32 [tile][m][rows] */
    MlirValue from, count, tiles; /* of the block of tokens */
};

/* One packing serves both. */
static bool is_alike(const struct qbc_tile *tile, const struct qbc_tile *one)
{
    return tile->kind == one->kind || (tile->kind == QBC_KIND_TILE && one->kind == QBC_KIND_DOT4);
}

/* The widest tile for many tokens. */
static const struct qbc_tile *tile_for_many(const struct qbc_linear *l)
{
    const struct qbc_target *t = l->k->q->target;
    const struct qbc_tile *one = qbc_tile_for(t, l->format, 1), *many = NULL;
    for (const struct qbc_tile *tile = t->tiles; tile->act_bits; ++tile)
        if (tile->many && is_alike(tile, one) && l->format->bits <= tile->code_bits)
            many = tile;
    return many;
}

int qbc_linear_least_many(const struct qbc_linear *l)
{
    struct qbc_normal form;
    const struct qbc_tile *tile = tile_for_many(l);
    int tiles = tile && tile->kind == QBC_KIND_TILE ? 1 : LEAST;
    return tile && qbc_normal_form(l, tile, &form) ? tiles * tile->m : 0;
}

/* --- a tile: m tokens, all rows of a panel, one slab */

struct tile {
    MlirValue x[QBC_MOST_TOKENS]; /* records of the slab's first columns */
    MlirValue sums;
    MlirValue blocks; /* of 32 columns in the slab, i64 */
    MlirValue ahead;  /* what to ask for with each of these */
};

static MlirValue load_floats(struct many *b, MlirValue at)
{
    struct qbc_kernel *k = b->l->k;
    const struct qbc_linear *levels = &b->form.levels;
    return k_load(k, k_vec(k, levels->rows, k->f32), k_at(k, at, k_mul_i(k, levels->row, 4)), 4);
}

/* Run `r` of the 32 columns at `block`. */
static void add_run(struct many *b, MlirValue block, int r, const MlirValue *act, MlirValue *sums)
{
    struct qbc_kernel *k = b->l->k;
    struct qbc_linear *levels = &b->form.levels;
    int64_t row = (int64_t)b->l->packing.rows * 4, length = QBC_ACT_GROUP / b->form.runs;
    struct qbc_run run = {.chunks = levels->layout.chunks, .column = (int)length * r};
    for (int j = 0; j < b->m; ++j)
        run.act[j] = act[j];
    for (; run.operand < b->form.operands; ++run.operand) {
        int i = r * b->form.operands + run.operand;
        run.codes = k_at_i(k, block, (int64_t)i * b->form.run_bytes);
        run.codes = k_at(k, run.codes, k_mul_i(k, levels->row, levels->packing.depth));
        MlirValue scales = load_floats(b, k_at_i(k, block, b->form.scales_offset + i * row));
        qbc_linear_add_products(levels, b->m, &run, scales, sums);
    }
    if (b->l->format->offset == QBC_OFFSET_MIN)
        qbc_linear_add_mins(levels, b->m, &run, load_floats(b, k_at_i(k, block, b->form.mins_offset + r * row)), sums);
}

/* Lines of the next slab that a tile asks for with each 32 columns, so that the fewest tiles ask for all of it. */
static int64_t lines_ahead(const struct many *b)
{
    int64_t bytes = b->l->layout.unit_bytes, turns = LEAST * LINE * (b->l->layout.unit / QBC_ACT_GROUP);
    return (bytes + turns - 1) / turns;
}

/* Rows levels.row .. + levels.rows. */
static void some_rows(struct many *b, const struct tile *t)
{
    struct qbc_kernel *k = b->l->k;
    MlirValue sums[QBC_MOST_TOKENS], act[QBC_MOST_TOKENS], row = b->form.levels.row;
    int64_t row_bytes = (int64_t)b->l->packing.rows * 4;
    for (int j = 0; j < b->m; ++j)
        sums[j] = load_floats(b, k_at_i(k, t->sums, j * row_bytes));
    struct k_loop blocks = k_for(k, k_i64(k, 0), t->blocks, 1, (size_t)b->m, sums);
    k_not_unrolled(k, &blocks);
    MlirValue block = k_at(k, b->weights, k_mul_i(k, blocks.i, b->form.bytes));
    for (int64_t i = 0; i < lines_ahead(b); ++i)
        k_prefetch(k, k_at_i(k, k_at(k, t->ahead, k_mul_i(k, blocks.i, lines_ahead(b) * LINE)), i * LINE), false);
    for (int j = 0; j < b->m; ++j) {
        sums[j] = blocks.carried[j];
        act[j] = k_at(k, t->x[j], k_mul_i(k, blocks.i, QBC_ACT_RECORD));
    }
    for (int r = 0; r < b->form.runs; ++r)
        add_run(b, block, r, act, sums);
    k_end(k, &blocks, sums);
    for (int j = 0; j < b->m; ++j)
        k_store(k, blocks.carried[j], k_at(k, k_at_i(k, t->sums, j * row_bytes), k_mul_i(k, row, 4)), 4);
}

/* --- a slab */

static MlirValue min(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.minsi", a, b);
}

/* Which units of a panel, and what comes after them. */
struct slab {
    MlirValue panel, first, units;
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
    struct k_loop rows = k_for(k, k_i64(k, 0), k_i64(k, b->l->packing.rows), b->form.levels.rows, 0, NULL);
    b->form.levels.row = rows.i;
    some_rows(b, t);
    k_end(k, &rows, NULL);
}

static void by_unit(struct many *b, const struct tile *t)
{
    struct qbc_tile_work w = {.x = t->x[0], .weights = b->weights, .sums = t->sums, .blocks = t->blocks};
    qbc_linear_tile_add(b->l, &b->form, b->products, &w);
}

static void one_tile(struct many *b, const struct slab *s, MlirValue index)
{
    struct qbc_kernel *k = b->l->k;
    enum { X = 1 };
    int64_t blocks = b->l->layout.unit / QBC_ACT_GROUP;
    struct tile t = {.blocks = k_mul_i(k, s->units, blocks)};
    MlirValue record = k_mul_i(k, s->first, blocks * QBC_ACT_RECORD);
    MlirValue wanted = k_mul_i(k, index, b->m), possible = min(k, wanted, k_add_i(k, b->count, -b->m));
    MlirValue token = k_add(k, b->from, possible);
    for (int j = 0; j < (b->has_unit ? 1 : b->m); ++j)
        t.x[j] = k_at(k, k_row(k, X, k_add_i(k, token, j)), record);
    t.ahead = k_at(k, s->next, k_mul_i(k, k_mul(k, index, t.blocks), lines_ahead(b) * LINE));
    t.sums = k_at(k, b->sums, k_mul_i(k, wanted, (int64_t)b->l->packing.rows * 4));
    struct k_loop before = k_if(k, s->is_last);
    expect_results(b, s->panel, token);
    k_end(k, &before, NULL);
    if (b->has_unit)
        by_unit(b, &t);
    else
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
    const struct qbc_layout *layout = &b->l->layout;
    int64_t decoded = (int64_t)(layout->unit / QBC_ACT_GROUP) * b->form.bytes;
    struct slab s = {.panel = panel, .first = first};
    MlirValue w = k_at(k, b->l->panel, k_mul_i(k, first, layout->unit_bytes)), left;
    left = k_sub(k, k_i64(k, layout->units), first);
    s.units = min(k, k_i64(k, b->slab), left);
    s.is_last = k_cmp(k, QBC_LE, left, k_i64(k, b->slab));
    s.next = k_at(k, w, k_mul_i(k, s.units, layout->unit_bytes));
    struct k_loop units = k_for(k, k_i64(k, 0), s.units, 1, 0, NULL);
    k_not_unrolled(k, &units);
    MlirValue from = k_at(k, w, k_mul_i(k, units.i, layout->unit_bytes));
    qbc_normal_decode(b->l, &b->form, from, k_at(k, b->weights, k_mul_i(k, units.i, decoded)));
    k_end(k, &units, NULL);
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
    enum { W = 2 };
    b->l->panel = k_at(k, k->operand[W], k_mul_i(k, panel, b->l->layout.panel_bytes));
    clear(b);
    struct k_loop slabs = k_for(k, k_i64(k, 0), k_i64(k, b->l->layout.units), b->slab, 0, NULL);
    one_slab(b, panel, slabs.i);
    k_end(k, &slabs, NULL);
}

static int64_t unit_bytes(const struct many *b)
{
    return (int64_t)(b->l->layout.unit / QBC_ACT_GROUP) * b->form.bytes;
}

static struct many begin(struct qbc_linear *l, const struct qbc_tile *tile)
{
    struct many b = {.l = l, .m = tile->m, .has_unit = tile->kind == QBC_KIND_TILE};
    qbc_normal_form(l, tile, &b.form);
    int64_t half = l->k->q->target->l1_bytes / 2, bytes = half < MOST_SLAB ? half : MOST_SLAB;
    b.slab = bytes < unit_bytes(&b) ? 1 : bytes / unit_bytes(&b);
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
    b.form.levels.format = &b.form.format;
    int64_t most = most_tokens(&b);
    b.weights = k_scratch(k, b.slab * unit_bytes(&b));
    b.sums = k_scratch(k, (most + 2 * b.m) * l->packing.rows * 4);
    if (b.has_unit)
        b.products = qbc_linear_tile_begin(l, &b.form);
    MlirValue blocks = k_op2(k, "arith.divui", k_add_i(k, k->rows, most - 1), k_i64(k, most));
    struct k_loop loop = k_for(k, k_i64(k, 0), blocks, 1, 0, NULL);
    b.from = block_start(&b, loop.i, blocks);
    b.count = k_sub(k, block_start(&b, k_add_i(k, loop.i, 1), blocks), b.from);
    b.tiles = k_op2(k, "arith.divui", k_add_i(k, b.count, b.m - 1), k_i64(k, b.m));
    struct k_loop each = k_for(k, panels.from, panels.to, 1, 0, NULL);
    one_panel(&b, each.i);
    k_end(k, &each, NULL);
    k_end(k, &loop, NULL);
    if (b.has_unit)
        qbc_linear_tile_end(l);
}
