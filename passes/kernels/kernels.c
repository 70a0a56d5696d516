/* kernels: the table of generators, and which tile and packing serve a format. */
#include "linear.h"

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

int qbc_tile_depth(const struct qbc_tile *tile)
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
    return qbc_tile_depth(tile) > 1;
}

/* Can unsigned bytes up to `most` be an operand of `dot`? */
static bool takes_unsigned(const struct qbc_tile *tile, int most)
{
    bool is_signed = tile->dot_signed || tile->kind == QBC_KIND_MULL, saturates = tile->widen && 2 * most * 127 > INT16_MAX;
    return is_signed ? most <= 127 : !saturates;
}

static bool all_unsigned(const struct qbc_tile *tile, const struct qbc_format *f)
{
    for (int i = 0; i < qbc_operands(f); ++i)
        if (!takes_unsigned(tile, qbc_levels(f, i, false).most))
            return false;
    return true;
}

/* Codes of 8 bits without zero point are stored as signed bytes, levels looked up as such. */
static bool has_signed(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_TABLE ||
           (f->codebook == QBC_CODE_AFFINE && f->bits == 8 && f->offset == QBC_OFFSET_NONE && !f->digits);
}

bool qbc_takes_signed(const struct qbc_tile *tile, const struct qbc_format *f)
{
    bool any_length = tile->kind == QBC_KIND_AXPY && f->codebook == QBC_CODE_TABLE;
    return any_length || (is_integer(tile) && !all_unsigned(tile, f));
}

bool qbc_multiplies_integers(const struct qbc_target *t, const struct qbc_format *f)
{
    const struct qbc_tile *tile = qbc_target_tile(t, 8, f->bits, 1);
    bool takes = is_integer(tile) && f->group % qbc_tile_depth(tile) == 0 && (all_unsigned(tile, f) || has_signed(f));
    return t->scalable || takes;
}

const struct qbc_tile *qbc_tile_for(const struct qbc_target *t, const struct qbc_format *f, int tokens)
{
    if (f->codebook == QBC_CODE_FLOAT)
        return qbc_target_tile(t, 32, f->bits, tokens);
    const struct qbc_tile *tile = qbc_target_tile(t, 8, f->bits, tokens), *floats = qbc_target_tile(t, 32, 32, tokens);
    if (t->scalable)
        return tile;
    switch (qbc_strategy_for(t, f)) {
    case QBC_STRATEGY_INTEGERS:
        return tile;
    case QBC_STRATEGY_AS_FLOATS:
        return is_integer(tile) ? floats : tile;
    default:
        return floats;
    }
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
    if (!t->scalable || rows < 1)
        return tile->n;
    int span = f->codebook == QBC_CODE_FLOAT ? 1 : qbc_layout(f, (struct qbc_packing){QBC_PIECE, 1, false}, rows, 1).span;
    int64_t room = QBC_MAX_PANEL_SPAN / span / QBC_PIECE * QBC_PIECE, most = tile->n < room ? tile->n : room;
    if (f->group_rows > 1) /* as many share scales */
        return (int)qbc_common_divisor(f->group_rows, most);
    int64_t panels = ceil_div(rows, most);
    return (int)(ceil_div(ceil_div(rows, panels), QBC_PIECE) * QBC_PIECE);
}

const char *qbc_format_lacks_kernel(const struct qbc_format *f)
{
    enum { ROWS = 64 }; /* of the highest panel that is not of any height */
    if (f->codebook == QBC_CODE_FLOAT)
        return f->brain ? "bf16" : NULL;
    if (f->codebook >= QBC_CODE_SUM)
        return qbc_parts_lack_kernel(f);
    if (f->group_rows > 1 && f->group_rows % ROWS)
        return "groups of rows that are no multiple of 64";
    if (f->vector_rows > 1 && ROWS / 8 % f->vector_rows)
        return "vectors of other than 2, 4 or 8 rows";
    return NULL;
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
    if (!qbc_has_runs(f))
        return "weights decoded, products of floats";
    return floats ? qbc_text(q, "products of integers; of codes as floats: %s", slow) : "products of integers";
}

int qbc_linear_shift(const struct qbc_target *t, const struct qbc_format *f)
{
    const struct qbc_tile *tile = qbc_tile_for(t, f, 1);
    if (!qbc_has_runs(f) || f->offset != QBC_OFFSET_NONE || qbc_operands(f) > 1)
        return 1;
    int shift = qbc_levels(f, 0, qbc_takes_signed(tile, f)).shift;
    return shift > 0 ? shift : 1;
}

/* Codes are signed bytes only where the dot cannot take unsigned ones. */
struct qbc_packing qbc_packing_for(const struct qbc_target *t, const struct qbc_format *f, int64_t rows)
{
    const struct qbc_tile *tile = qbc_tile_for(t, f, 1);
    struct qbc_packing p = {.rows = panel_rows(t, tile, f, rows), .depth = qbc_tile_depth(tile)};
    p.is_signed = f->codebook == QBC_CODE_AFFINE && qbc_takes_signed(tile, f);
    return p;
}
