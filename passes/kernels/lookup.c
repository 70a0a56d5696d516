/* lookup: bytes from a table of 16, 32 or 64, by the instruction that the target has for 16, or by choosing bit by bit; and
 * words from anywhere. */
#include "kernel.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>

enum { TABLE = 16, MOST_ENTRIES = 64, WIDEST = 64 };

static MlirValue constant_bytes(struct qbc_kernel *k, int64_t n, const uint8_t *table, int64_t period)
{
    int8_t *bytes = qbc_alloc(k->q, (size_t)n);
    for (int64_t i = 0; i < n; ++i)
        bytes[i] = (int8_t)table[i % period];
    MlirType type = k_vec(k, n, k->i8);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrInt8Get(type, (intptr_t)n, bytes)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

static MlirValue bit_is_clear(struct qbc_kernel *k, MlirValue index, int bit)
{
    MlirType type = mlirValueGetType(index);
    MlirValue v = k_op2(k, "arith.andi", index, k_int_of(k, type, (int64_t)1 << bit));
    return k_cmp(k, QBC_EQ, v, k_int_of(k, type, 0));
}

/* 2^n values become one: pairs that differ in the lowest bit of the index first. */
MlirValue k_choose(struct qbc_kernel *k, size_t n, MlirValue *values, MlirValue index)
{
    for (int bit = 0; n > 1; n /= 2, ++bit) {
        MlirValue clear = bit_is_clear(k, index, bit);
        for (size_t i = 0; i < n / 2; ++i)
            values[i] = k_select(k, clear, values[2 * i], values[2 * i + 1]);
    }
    return values[0];
}

static MlirValue by_choice(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index)
{
    MlirValue values[MOST_ENTRIES];
    for (int i = 0; i < n; ++i)
        values[i] = k_int_of(k, mlirValueGetType(index), (int8_t)table[i]);
    return k_choose(k, (size_t)n, values, index);
}

/* Sixteen entries, `width` = 16, 32 or 64 bytes. */
static MlirValue look_up_16(struct qbc_kernel *k, const char *name, const uint8_t *table, MlirValue index, int64_t width)
{
    MlirValue operands[] = {constant_bytes(k, width, table, TABLE), index};
    return k_intrinsic(k, name, mlirValueGetType(index), 2, operands);
}

/* Tables of 16 one after the other: beyond each the result is 0, so they are or'ed. */
static MlirValue one_after_the_other(struct qbc_kernel *k, const char *name, const uint8_t *table, int n, MlirValue index,
                                     int64_t width)
{
    MlirType type = mlirValueGetType(index);
    MlirValue all = {NULL};
    for (int first = 0; first < n; first += TABLE) {
        MlirValue at = first ? k_sub(k, index, k_int_of(k, type, first)) : index;
        MlirValue some = look_up_16(k, name, table + first, at, width);
        all = first ? k_op2(k, "arith.ori", all, some) : some;
    }
    return all;
}

/* All tables by the low four bits; the others choose. */
static MlirValue side_by_side(struct qbc_kernel *k, const char *name, const uint8_t *table, int n, MlirValue index,
                              int64_t width)
{
    MlirValue values[MOST_ENTRIES / TABLE];
    for (int i = 0; i < n / TABLE; ++i)
        values[i] = look_up_16(k, name, table + i * TABLE, index, width);
    if (n == TABLE)
        return values[0];
    MlirValue high = k_op2(k, "arith.shrui", index, k_int_of(k, mlirValueGetType(index), 4));
    return k_choose(k, (size_t)(n / TABLE), values, high);
}

/* Two or four registers hold the table. */
static MlirValue look_up_in_several(struct qbc_kernel *k, const char *name, const uint8_t *table, int n, MlirValue index)
{
    MlirValue operands[MOST_ENTRIES / TABLE + 1];
    size_t parts = (size_t)n / TABLE;
    for (size_t i = 0; i < parts; ++i)
        operands[i] = constant_bytes(k, TABLE, table + i * TABLE, TABLE);
    operands[parts] = index;
    return k_intrinsic(k, name, mlirValueGetType(index), parts + 1, operands);
}

static MlirValue of_width(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index, int64_t width)
{
    const struct qbc_target *t = k->q->target;
    const char *name = t->lookup[width / 32];
    if (n > TABLE && width == WIDEST && t->lookup_64) {
        MlirValue operands[] = {constant_bytes(k, width, table, n), index};
        return k_intrinsic(k, t->lookup_64, mlirValueGetType(index), 2, operands);
    }
    if (n > TABLE && width == TABLE && t->lookup_more[n / MOST_ENTRIES])
        return look_up_in_several(k, t->lookup_more[n / MOST_ENTRIES], table, n, index);
    return t->lookup_ends ? one_after_the_other(k, name, table, n, index, width)
                          : side_by_side(k, name, table, n, index, width);
}

/* The widest vector that the target looks up in, not wider than n bytes; 16 at least. */
static int64_t width_for(const struct qbc_target *t, int64_t n)
{
    int64_t width = TABLE;
    while (width < WIDEST && 2 * width <= n && t->lookup[2 * width / 32])
        width *= 2;
    return width;
}

static MlirValue of_any_length(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index)
{
    MlirType type = mlirValueGetType(index);
    MlirValue all = {NULL};
    for (int first = 0; first < n; first += TABLE) {
        int8_t entries[TABLE];
        for (int i = 0; i < TABLE; ++i)
            entries[i] = (int8_t)table[first + i];
        MlirValue some = k_rvv_look_up(k, TABLE, entries, first ? k_sub(k, index, k_int_of(k, type, first)) : index);
        all = first ? k_op2(k, "arith.ori", all, some) : some;
    }
    return all;
}

/* A few bytes as the first ones of a vector of any length. */
static MlirValue of_few(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index)
{
    enum { LANES = 8 };
    MlirType few = mlirValueGetType(index), type = k_scalable(k, LANES, k->i8);
    struct qbc_attr pos[] = {{"pos", qbc_attr_int(k->q, 0)}, {0}};
    MlirValue into[] = {index, k_int_of(k, type, 0)};
    MlirValue v = mlirOperationGetResult(qbc_make(&k->b, "vector.scalable.insert", type, pos, 2, into), 0);
    v = of_any_length(k, table, n, v);
    return mlirOperationGetResult(qbc_make(&k->b, "vector.scalable.extract", few, pos, 1, &v), 0);
}

MlirValue k_lookup(struct qbc_kernel *k, const uint8_t *table, int n, MlirValue index)
{
    int64_t bytes = mlirShapedTypeGetDimSize(mlirValueGetType(index), 0), lanes[TABLE];
    int64_t width = width_for(k->q->target, bytes);
    if (mlirVectorTypeIsDimScalable(mlirValueGetType(index), 0))
        return of_any_length(k, table, n, index);
    if (k->q->target->scalable && bytes <= TABLE)
        return of_few(k, table, n, index);
    if (!k->q->target->lookup[0])
        return by_choice(k, table, n, index);
    if (bytes < width) {
        for (int64_t i = 0; i < width; ++i)
            lanes[i] = i % bytes;
        return k_part(k, of_width(k, table, n, k_shuffle(k, index, index, width, lanes), width), 0, bytes);
    }
    MlirValue *parts = qbc_alloc(k->q, (size_t)(bytes / width) * sizeof *parts);
    for (int64_t i = 0; i < bytes / width; ++i)
        parts[i] = of_width(k, table, n, bytes == width ? index : k_part(k, index, i * width, width), width);
    return bytes == width ? parts[0] : k_join(k, (size_t)(bytes / width), parts);
}

MlirValue k_gather_from(struct qbc_kernel *k, MlirType element, MlirType step, MlirValue base, MlirValue index, int alignment)
{
    int32_t dynamic = INT32_MIN; /* LLVM::GEPOp::kDynamicIndex: the index is an operand */
    int64_t n = mlirShapedTypeGetDimSize(mlirValueGetType(index), 0);
    MlirType type = k_vec(k, n, element);
    struct qbc_attr gep[] = {{"elem_type", mlirTypeAttrGet(step)},
                             {"rawConstantIndices", mlirDenseI32ArrayGet(k->q->mlir, 1, &dynamic)},
                             {0}};
    MlirOperation at = qbc_make(&k->b, "llvm.getelementptr", k_vec(k, n, k->ptr), gep, 2, (MlirValue[]){base, index});
    struct qbc_attr load[] = {{"alignment", mlirIntegerAttrGet(k->i32, alignment)}, {0}};
    MlirValue none = mlirTypeIsAFloat(element) ? k_float_of(k, type, 0) : k_int_of(k, type, 0);
    MlirValue operands[] = {mlirOperationGetResult(at, 0), k_int_of(k, k_vec(k, n, k->i1), 1), none};
    return mlirOperationGetResult(qbc_make(&k->b, "llvm.intr.masked.gather", type, load, 3, operands), 0);
}
