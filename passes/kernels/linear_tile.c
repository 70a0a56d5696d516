/* linear_tile: many tokens by a matrix unit (AMX), which multiplies tiles that lie in memory.
 *
 *     registers   0 .. 3   products, i32 [16 tokens][16 rows], two by two
 *                 4, 5     activations, 16 tokens x a run's columns, as the records have them
 *                 6, 7     weights, 4 columns of 16 rows in 64 bytes, as linear_normal.c leaves them
 *
 * So nothing is rearranged for it. What comes out must be scaled before other columns may be added to it, for activations have
 * a scale for each 32 columns: a turn multiplies a few runs and leaves their products in memory, then adds them up, scaled, in
 * vector registers, with the same operations in the same order as linear_groups.c. Results are those of other tiles, bit for
 * bit.
 *
 *     for each turn                                  columns with two products or more
 *         products[run] = activations * weights      in the unit
 *         for each 8 tokens: sums += scales * products[run], for each run
 *
 * Counted for groups of 32 on Sapphire Rapids, for 32 columns of a tile: 96 cycles of vector operations (3 for 16 results, 2 a
 * cycle), 64 of the unit (16 for each of its products, whatever the columns), 80 of loads. The products of the next turn can
 * be made while these are added up. vpdpbusd takes 256 and the same 96.
 */
#include "linear_many.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

enum {
    SIDE = 16,              /* tokens, and rows, of a register */
    TOKENS = 2 * SIDE,      /* of a tile: target_test */
    ROW_BYTES = 64,         /* of a register */
    PRODUCTS = 0, ACTIVATIONS = 4, WEIGHTS = 6, REGISTERS = 8,
    TOGETHER = 8,           /* tokens that are added up at once */
};

/* Products that a block of 32 columns makes. */
static int steps_of(const struct qbc_normal *form)
{
    return form->runs * form->operands;
}

/* Blocks of a turn. */
static int most_blocks(const struct qbc_normal *form)
{
    return steps_of(form) > 1 ? 1 : 2;
}

static int64_t step_bytes(const struct qbc_linear *l)
{
    return (int64_t)TOKENS * l->packing.rows * 4;
}

/* --- the unit */

static MlirValue number(struct qbc_kernel *k, int r)
{
    return k_int_of(k, k->i8, r);
}

static void move(struct qbc_kernel *k, const char *name, int r, MlirValue at, int64_t stride)
{
    MlirValue operands[] = {number(k, r), at, k_i64(k, stride)};
    k_intrinsic(k, name, (MlirType){NULL}, 3, operands);
}

static void clear(struct qbc_kernel *k, int r)
{
    MlirValue operand = number(k, r);
    k_intrinsic(k, "llvm.x86.tilezero", (MlirType){NULL}, 1, &operand);
}

static void multiply(struct qbc_kernel *k, const char *name, int r, int activations, int weights)
{
    MlirValue operands[] = {number(k, r), number(k, activations), number(k, weights)};
    k_intrinsic(k, name, (MlirType){NULL}, 3, operands);
}

/* The 64 bytes of palette 1: bytes of a row at 16, rows at 48. Source: Intel SDM volume 2, LDTILECFG. */
static MlirValue configuration(struct qbc_kernel *k, int columns)
{
    enum { BYTES = 64, OF_A_ROW = 16, ROWS = 48, COLUMNS_OF_LANE = 4 };
    uint8_t text[BYTES] = {1};
    MlirAttribute values[BYTES];
    for (int r = 0; r < REGISTERS; ++r) {
        bool is_activations = r >= ACTIVATIONS && r < WEIGHTS;
        text[OF_A_ROW + 2 * r] = (uint8_t)(is_activations ? columns : ROW_BYTES);
        text[ROWS + r] = (uint8_t)(r < WEIGHTS ? SIDE : columns / COLUMNS_OF_LANE);
    }
    for (int i = 0; i < BYTES; ++i)
        values[i] = mlirIntegerAttrGet(k->i8, text[i]);
    MlirType type = k_vec(k, BYTES, k->i8);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrGet(type, BYTES, values)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

MlirValue qbc_linear_tile_begin(struct qbc_linear *l, const struct qbc_normal *form)
{
    struct qbc_kernel *k = l->k;
    MlirValue at = k_scratch(k, ROW_BYTES);
    k_store(k, configuration(k, QBC_ACT_GROUP / form->runs), at, ROW_BYTES);
    k_intrinsic(k, "llvm.x86.ldtilecfg", (MlirType){NULL}, 1, &at);
    return k_scratch(k, step_bytes(l) * steps_of(form) * most_blocks(form));
}

void qbc_linear_tile_end(struct qbc_linear *l)
{
    k_intrinsic(l->k, "llvm.x86.tilerelease", (MlirType){NULL}, 0, NULL);
}

/* --- a turn */

struct turn {
    struct qbc_linear *l;
    const struct qbc_normal *form;
    const struct qbc_tile_work *w;
    MlirValue products;
    MlirValue from; /* block of the slab, i64 */
    int blocks;
};

static int64_t x_stride(const struct turn *t)
{
    enum { X = 1 };
    return t->l->k->row_bytes[X];
}

static MlirValue weights_of(const struct turn *t, int block)
{
    struct qbc_kernel *k = t->l->k;
    MlirValue at = k_at(k, t->w->weights, k_mul_i(k, t->from, t->form->bytes));
    return k_at_i(k, at, (int64_t)block * t->form->bytes);
}

/* The record of that block, of the tile's first token. */
static MlirValue record_of(const struct turn *t, int block)
{
    struct qbc_kernel *k = t->l->k;
    return k_at_i(k, k_at(k, t->w->x, k_mul_i(k, t->from, QBC_ACT_RECORD)), (int64_t)block * QBC_ACT_RECORD);
}

static MlirValue products_of(const struct turn *t, int block, int step)
{
    return k_at_i(t->l->k, t->products, step_bytes(t->l) * (block * steps_of(t->form) + step));
}

/* All tokens by all rows, of one operand of one run. */
static void multiply_step(const struct turn *t, int block, int step)
{
    struct qbc_kernel *k = t->l->k;
    const struct qbc_tile *tile = t->form->levels.tile;
    int64_t row = (int64_t)t->l->packing.rows * 4; /* bytes of 4 columns of weights, and of a token's products */
    bool is_signed = t->form->levels.levels[step % t->form->operands].is_signed;
    MlirValue weights = k_at_i(k, weights_of(t, block), (int64_t)step * t->form->run_bytes), to = products_of(t, block, step);
    for (int j = 0; j < 2; ++j)
        move(k, "llvm.x86.tileloadd64", WEIGHTS + j, k_at_i(k, weights, (int64_t)j * ROW_BYTES), row);
    for (int r = 0; r < 4; ++r)
        clear(k, PRODUCTS + r);
    for (int r = 0; r < 4; ++r)
        multiply(k, is_signed ? tile->dot : tile->dot_unsigned, PRODUCTS + r, ACTIVATIONS + r / 2, WEIGHTS + r % 2);
    for (int r = 0; r < 4; ++r)
        move(k, "llvm.x86.tilestored64", PRODUCTS + r, k_at_i(k, to, r / 2 * SIDE * row + r % 2 * ROW_BYTES), row);
}

/* The activations of a run; all operands share them. */
static void load_activations(const struct turn *t, int block, int run)
{
    struct qbc_kernel *k = t->l->k;
    int length = QBC_ACT_GROUP / t->form->runs;
    MlirValue codes = k_at_i(k, record_of(t, block), QBC_ACT_CODES + (int64_t)run * length);
    for (int j = 0; j < 2; ++j)
        move(k, "llvm.x86.tileloadd64", ACTIVATIONS + j, k_at_i(k, codes, j * SIDE * x_stride(t)), x_stride(t));
}

static void multiply_turn(const struct turn *t)
{
    for (int block = 0; block < t->blocks; ++block)
        for (int step = 0; step < steps_of(t->form); ++step) {
            if (step % t->form->operands == 0)
                load_activations(t, block, step / t->form->operands);
            multiply_step(t, block, step);
        }
}

/* --- what it made, added up */

static MlirValue floats_at(const struct turn *t, MlirValue at)
{
    struct qbc_kernel *k = t->l->k;
    return k_load(k, k_vec(k, t->l->packing.rows, k->f32), at, 4);
}

/* Of tokens `token` .. + TOGETHER - 1. */
static void add_block(const struct turn *t, MlirValue token, int block, MlirValue *sums)
{
    struct qbc_kernel *k = t->l->k;
    struct qbc_linear levels = t->form->levels;
    int64_t row = (int64_t)t->l->packing.rows * 4;
    MlirValue record = k_at(k, record_of(t, block), k_mul_i(k, token, x_stride(t))), decoded = weights_of(t, block);
    struct qbc_run run = {.chunks = levels.layout.chunks};
    for (int j = 0; j < TOGETHER; ++j)
        run.act[j] = k_at_i(k, record, j * x_stride(t));
    for (int step = 0; step < steps_of(t->form); ++step) {
        MlirValue products[TOGETHER], from = k_at(k, products_of(t, block, step), k_mul_i(k, token, row));
        run.operand = step % t->form->operands;
        run.column = step / t->form->operands * (QBC_ACT_GROUP / t->form->runs);
        for (int j = 0; j < TOGETHER; ++j)
            products[j] = k_load(k, k_vec(k, t->l->packing.rows, k->i32), k_at_i(k, from, j * row), 4);
        MlirValue scales = floats_at(t, k_at_i(k, decoded, t->form->scales_offset + step * row));
        qbc_linear_add_scaled(&levels, TOGETHER, &run, products, scales, sums);
        bool is_last = run.operand + 1 == t->form->operands;
        int64_t mins = t->form->mins_offset + step / t->form->operands * row;
        if (is_last && t->l->format->offset == QBC_OFFSET_MIN)
            qbc_linear_add_mins(&levels, TOGETHER, &run, floats_at(t, k_at_i(k, decoded, mins)), sums);
    }
}

static void add_turn(const struct turn *t)
{
    struct qbc_kernel *k = t->l->k;
    int64_t row = (int64_t)t->l->packing.rows * 4;
    struct k_loop tokens = k_for(k, k_i64(k, 0), k_i64(k, TOKENS), TOGETHER, 0, NULL);
    k_not_unrolled(k, &tokens);
    MlirValue sums[TOGETHER], at = k_at(k, t->w->sums, k_mul_i(k, tokens.i, row));
    for (int j = 0; j < TOGETHER; ++j)
        sums[j] = floats_at(t, k_at_i(k, at, j * row));
    for (int block = 0; block < t->blocks; ++block)
        add_block(t, tokens.i, block, sums);
    for (int j = 0; j < TOGETHER; ++j)
        k_store(k, sums[j], k_at_i(k, at, j * row), 4);
    k_end(k, &tokens, NULL);
}

/* Blocks from .. to - 1 of the slab, `blocks` a turn. */
static void turns(struct turn t, MlirValue from, MlirValue to, int blocks)
{
    struct qbc_kernel *k = t.l->k;
    struct k_loop loop = k_for(k, from, to, blocks, 0, NULL);
    k_not_unrolled(k, &loop);
    t.from = loop.i;
    t.blocks = blocks;
    multiply_turn(&t);
    add_turn(&t);
    k_end(k, &loop, NULL);
}

void qbc_linear_tile_add(struct qbc_linear *l, const struct qbc_normal *form, MlirValue products, const struct qbc_tile_work *w)
{
    struct qbc_kernel *k = l->k;
    struct turn t = {.l = l, .form = form, .w = w, .products = products};
    int most = most_blocks(form);
    MlirValue whole = k_mul_i(k, k_op2(k, "arith.divui", w->blocks, k_i64(k, most)), most);
    turns(t, k_i64(k, 0), whole, most);
    if (most > 1)
        turns(t, whole, w->blocks, 1);
}
