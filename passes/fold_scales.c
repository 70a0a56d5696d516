/* fold-scales: what rows are multiplied by goes into the weights before them.
 *
 *   before   %n = "qb.rms_norm"(%x, %g)        %s = "qb.scale"(%n, %map)
 *   after    %s = "qb.rms_norm"(%x, %g')       %g' = "qb.weight"() {..., changes = [{scale = array<f32: ...>}]}
 *
 * A product takes it as rows of its weight, a norm as its gain (and bias), an embedding as columns. It goes through what is
 * linear in one operand: the up side of a gated unit, one side of a product of rows, columns side by side, a cache, and
 * attention, where query heads that share a key and value head have equal maps.
 *
 * needs    maps that are numbers: "qb.weight"() {values = array<f32: ...>}
 * keeps    a scaling whose row something else reads too, or whose way back ends at something else, or at a weight that is
 *          used elsewhere or held as codes: it is done when the row is read (fuse-prologue)
 */
#include "changes.h"
#include "passes.h"

#include <string.h>

/* --- the way back. Each step is first asked whether it can be gone, then gone. */

static bool fold(struct qbc *q, MlirValue row, const float *map, int64_t n, bool really);

static MlirOperation weight_of(MlirOperation op, intptr_t i)
{
    MlirOperation weight = qbc_def(mlirOperationGetOperand(op, i), "qb.weight");
    bool own = !mlirOperationIsNull(weight) && qbc_uses(mlirOperationGetResult(weight, 0)) == 1 && !qbc_has(weight, "blocks");
    return own ? weight : (MlirOperation){NULL};
}

static bool scale_weight(struct qbc *q, MlirOperation op, intptr_t i, enum qbc_axis axis, const float *map, int64_t n,
                         bool really)
{
    MlirOperation weight = weight_of(op, i);
    if (mlirOperationIsNull(weight))
        return false;
    MlirValue w = mlirOperationGetResult(weight, 0);
    if (qbc_dim(w, axis == QBC_ALONG_ROWS ? 0 : qbc_rank(w) - 1) != n)
        return false;
    if (really)
        qbc_change_scale(q, weight, axis, map, n);
    return true;
}

static bool fold_norm(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    bool good = true;
    for (intptr_t i = 1; i < mlirOperationGetNumOperands(op) && good; ++i)
        good = scale_weight(q, op, i, QBC_ALONG_COLS, map, n, really);
    return good;
}

static bool fold_linear(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    return scale_weight(q, op, 1, QBC_ALONG_ROWS, map, n, really);
}

static bool fold_embed(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    return scale_weight(q, op, 1, QBC_ALONG_COLS, map, n, really);
}

static bool fold_bias(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    return scale_weight(q, op, 1, QBC_ALONG_COLS, map, n, really) && fold(q, mlirOperationGetOperand(op, 0), map, n, really);
}

static bool fold_first(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    return fold(q, mlirOperationGetOperand(op, 0), map, n, really);
}

static bool fold_second(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    return fold(q, mlirOperationGetOperand(op, 1), map, n, really);
}

static bool fold_either(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    intptr_t i = fold(q, mlirOperationGetOperand(op, 0), map, n, false) ? 0 : 1;
    return fold(q, mlirOperationGetOperand(op, i), map, n, really);
}

static bool fold_join(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    MlirValue left = mlirOperationGetOperand(op, 0), right = mlirOperationGetOperand(op, 1);
    int64_t first = qbc_dim(left, 1);
    return fold(q, left, map, first, really) && fold(q, right, map + first, n - first, really);
}

/* The values' map, where heads that share values agree on it. */
static bool fold_attention(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really)
{
    MlirValue v = mlirOperationGetOperand(op, 2);
    int64_t heads = qbc_int(op, "heads", 1), kv_heads = qbc_int(op, "kv_heads", heads), cols = qbc_dim(v, 1);
    int64_t dim = cols / kv_heads, shared = heads / kv_heads;
    if (n != heads * dim)
        return false;
    float *of_values = qbc_alloc(q, (size_t)cols * sizeof *of_values);
    for (int64_t h = 0; h < heads; ++h)
        for (int64_t d = 0; d < dim; ++d) {
            float *to = &of_values[h / shared * dim + d], s = map[h * dim + d];
            if (h % shared && *to != s)
                return false;
            *to = s;
        }
    return fold(q, v, of_values, cols, really);
}

static bool fold(struct qbc *q, MlirValue row, const float *map, int64_t n, bool really)
{
    static const struct {
        const char *op;
        bool (*fold)(struct qbc *q, MlirOperation op, const float *map, int64_t n, bool really);
    } steps[] = {
        {"qb.rms_norm", fold_norm},      {"qb.layer_norm", fold_norm}, {"qb.linear", fold_linear}, {"qb.embed", fold_embed},
        {"qb.bias", fold_bias},          {"qb.glu", fold_second},      {"qb.append", fold_second}, {"qb.times", fold_first},
        {"qb.attention", fold_attention}, {"arith.mulf", fold_either}, {"qb.join", fold_join},
    };
    MlirOperation op = qbc_def_any(row);
    if (mlirOperationIsNull(op) || qbc_uses(row) != 1 || qbc_dim(row, 1) != n)
        return false;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; ++i)
        if (qbc_is(op, steps[i].op))
            return steps[i].fold(q, op, map, n, really);
    return false;
}

static void visit(struct qbc *q, MlirOperation scale)
{
    MlirValue row = mlirOperationGetOperand(scale, 0);
    MlirOperation weight = qbc_def(mlirOperationGetOperand(scale, 1), "qb.weight");
    const float *map;
    if (mlirOperationIsNull(weight) || !qbc_has(weight, "values"))
        return;
    int64_t n = (int64_t)qbc_floats(q, weight, "values", &map);
    if (n != qbc_dim(row, 1))
        qbc_error(q, scale, "%ld numbers for rows of %ld columns", (long)n, (long)qbc_dim(row, 1));
    else if (fold(q, row, map, n, false) && fold(q, row, map, n, true)) {
        qbc_replace(scale, row);
        qbc_sweep(q, weight);
    }
}

void qbc_pass_fold_scales(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.scale", visit);
}
