/* kernels: the table of generators, and which tile and packing serve a format. */
#include "kernel.h"

#include <string.h>

/* --- how work is split: two launches with the same words split alike */

static const char *split_panels(struct qbc *q, MlirOperation launch, intptr_t operand)
{
    enum { X = 1 }; /* every panel is multiplied by whole rows */
    if (operand == X)
        return NULL;
    return qbc_text(q, "panels %ld %ld", (long)qbc_int(launch, "n", 0), (long)qbc_int(launch, "panel", 0));
}

static const char *split_rows(struct qbc *q, MlirOperation launch, intptr_t operand)
{
    (void)operand;
    return qbc_text(q, "rows %s", qbc_string(q, launch, "rows", "all"));
}

static const char *split_mixed(struct qbc *q, MlirOperation launch, intptr_t operand)
{
    (void)q, (void)launch, (void)operand;
    return NULL;
}

static const struct qbc_generator generators[] = {
#define KERNEL(name, split) {#name, qbc_kernel_##name, split_##split},
#include "kernels.def"
#undef KERNEL
};

const struct qbc_generator *qbc_generator_find(const char *name)
{
    for (size_t i = 0; i < sizeof generators / sizeof *generators; ++i)
        if (!strcmp(generators[i].name, name))
            return &generators[i];
    return NULL;
}

static int depth_of(const struct qbc_tile *tile)
{
    switch (tile->kind) {
    case QBC_KIND_DOT4:
        return 4;
    case QBC_KIND_MMLA:
        return 8;
    case QBC_KIND_MULL:
        return 16;
    default:
        return 1;
    }
}

static bool is_integer(const struct qbc_tile *tile)
{
    return depth_of(tile) > 1;
}

/* Can the unsigned codes as they are be an operand of `dot`? */
static bool takes_unsigned(const struct qbc_tile *tile, const struct qbc_format *f)
{
    bool is_signed = tile->dot_signed || tile->kind == QBC_KIND_MULL, saturates = tile->widen && 2 * f->high * 127 > INT16_MAX;
    return is_signed ? f->high <= 127 : !saturates;
}

/* Row 0 of the target, float arithmetic, where the tile cannot multiply such groups or such codes. */
const struct qbc_tile *qbc_tile_for(const struct qbc_target *t, const struct qbc_format *f, int tokens)
{
    int act_bits = f->codebook == QBC_CODE_FLOAT ? 32 : 8;
    const struct qbc_tile *tile = qbc_target_tile(t, act_bits, f->bits, tokens);
    if (!is_integer(tile))
        return tile;
    bool as_signed = f->bits == 8 && f->offset == QBC_OFFSET_NONE;
    return f->group % depth_of(tile) == 0 && (takes_unsigned(tile, f) || as_signed) ? tile : t->tiles;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A tile's height; where vectors are of any length, panels of equal height, at most the tile's: so a small matrix
 * has little padding, and the longest vectors are filled. */
static int panel_rows(const struct qbc_target *t, const struct qbc_tile *tile, const struct qbc_format *f,
                      int64_t rows)
{
    int64_t room = QBC_MAX_PANEL_GROUP / f->group / QBC_PIECE * QBC_PIECE, most = tile->n < room ? tile->n : room;
    if (!t->scalable || rows < 1)
        return tile->n;
    int64_t panels = ceil_div(rows, most);
    return (int)(ceil_div(ceil_div(rows, panels), QBC_PIECE) * QBC_PIECE);
}

const char *qbc_format_lacks_kernel(const struct qbc_format *f)
{
    if (f->codebook == QBC_CODE_FLOAT)
        return f->brain ? "bf16" : NULL;
    if (f->codebook >= QBC_CODE_SUM)
        return qbc_parts_lack_kernel(f);
    if (f->codebook != QBC_CODE_AFFINE)
        return "tables, planes and vectors";
    if (f->digits)
        return "codes that share bytes as digits";
    if (f->scale != QBC_SCALE_F16 || f->outer != QBC_SCALE_NONE || f->group_rows > 1)
        return "scales other than one f16 a group";
    if (f->offset == QBC_OFFSET_MIN)
        return "minima";
    return f->group % QBC_ACT_GROUP ? "groups that are no multiple of 32 columns" : NULL;
}

/* Most targets do the same; those that must do with float arithmetic are named. */
const char *qbc_describe_kernels(struct qbc *q, const struct qbc_format *f)
{
    const char *lacking = qbc_format_lacks_kernel(f), *slow = "";
    if (f->codebook == QBC_CODE_FLOAT && !lacking)
        return "products of floats";
    if (lacking)
        return qbc_text(q, "no kernels yet for %s", lacking);
    if (f->codebook >= QBC_CODE_SUM)
        return qbc_describe_parts(q, f);
    size_t all = 0, floats = 0;
    for (const struct qbc_target *t; (t = qbc_listed_target(q, all)); ++all)
        if (qbc_tile_for(t, f, 1)->kind == QBC_KIND_FMA)
            slow = qbc_text(q, "%s%s%s", slow, floats++ ? ", " : "", t->name);
    return floats == all ? "products of codes as floats"
           : floats      ? qbc_text(q, "products of integers; of codes as floats: %s", slow)
                         : "products of integers";
}

/* Codes are signed bytes only where the dot cannot take unsigned ones. */
struct qbc_packing qbc_packing_for(const struct qbc_target *t, const struct qbc_format *f, int64_t rows)
{
    const struct qbc_tile *tile = qbc_tile_for(t, f, 1);
    struct qbc_packing p = {.rows = panel_rows(t, tile, f, rows), .depth = depth_of(tile)};
    p.is_signed = is_integer(tile) && !takes_unsigned(tile, f);
    return p;
}

int64_t qbc_head_bytes(bool keys, int64_t context, int64_t head_dim)
{
    int64_t positions = (context + QBC_POSITIONS - 1) / QBC_POSITIONS * QBC_POSITIONS;
    int64_t channels = keys ? head_dim : (head_dim + QBC_POSITIONS - 1) / QBC_POSITIONS * QBC_POSITIONS;
    return positions * channels * 4;
}

int64_t qbc_state_bytes(bool keys, int64_t context, int64_t kv_heads, int64_t head_dim)
{
    return kv_heads * qbc_head_bytes(keys, context, head_dim);
}
