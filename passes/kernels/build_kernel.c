/* build_kernel: operations in few words, for generators. */
#include "kernel.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

MlirType k_vec(struct qbc_kernel *k, int64_t n, MlirType element)
{
    (void)k;
    return mlirVectorTypeGet(1, &n, element);
}

static MlirType element_of(MlirType type)
{
    return mlirTypeIsAShaped(type) ? mlirShapedTypeGetElementType(type) : type;
}

MlirType k_with_element(MlirType like, MlirType element)
{
    if (!mlirTypeIsAShaped(like))
        return element;
    int64_t n = mlirShapedTypeGetDimSize(like, 0);
    bool scalable = mlirVectorTypeIsDimScalable(like, 0);
    return mlirVectorTypeGetScalable(1, &n, &scalable, element);
}

static MlirValue constant(struct qbc_kernel *k, MlirType type, MlirAttribute element)
{
    MlirAttribute value = mlirTypeIsAShaped(type) ? mlirDenseElementsAttrSplatGet(type, element) : element;
    struct qbc_attr attrs[] = {{"value", value}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

MlirValue k_int_of(struct qbc_kernel *k, MlirType type, int64_t value)
{
    return constant(k, type, mlirIntegerAttrGet(element_of(type), value));
}

MlirValue k_float_of(struct qbc_kernel *k, MlirType type, double value)
{
    return constant(k, type, mlirFloatAttrDoubleGet(k->q->mlir, element_of(type), value));
}

MlirValue k_i64(struct qbc_kernel *k, int64_t value)
{
    return k_int_of(k, k->i64, value);
}

MlirValue k_i32(struct qbc_kernel *k, int32_t value)
{
    return k_int_of(k, k->i32, value);
}

MlirValue k_f32(struct qbc_kernel *k, float value)
{
    return k_float_of(k, k->f32, (double)value);
}

MlirValue k_iota(struct qbc_kernel *k, int64_t n, MlirType element)
{
    MlirType type = k_vec(k, n, element);
    MlirAttribute *values = qbc_alloc(k->q, (size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; ++i)
        values[i] = mlirIntegerAttrGet(element, i);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrGet(type, n, values)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

MlirValue k_op1(struct qbc_kernel *k, const char *name, MlirValue a)
{
    return qbc_op(&k->b, name, mlirValueGetType(a), 1, a);
}

MlirValue k_op2(struct qbc_kernel *k, const char *name, MlirValue a, MlirValue b)
{
    return qbc_op(&k->b, name, mlirValueGetType(a), 2, a, b);
}

MlirValue k_add(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.addi", a, b);
}

MlirValue k_sub(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.subi", a, b);
}

MlirValue k_mul(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.muli", a, b);
}

MlirValue k_fadd(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.addf", a, b);
}

MlirValue k_fsub(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.subf", a, b);
}

MlirValue k_fmul(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.mulf", a, b);
}

MlirValue k_fdiv(struct qbc_kernel *k, MlirValue a, MlirValue b)
{
    return k_op2(k, "arith.divf", a, b);
}

MlirValue k_fma(struct qbc_kernel *k, MlirValue a, MlirValue b, MlirValue c)
{
    if (k->q->target->no_fma)
        return k_fadd(k, k_fmul(k, a, b), c); /* math.fma would call a library */
    return qbc_op(&k->b, "math.fma", mlirValueGetType(a), 3, a, b, c);
}

MlirValue k_mul_i(struct qbc_kernel *k, MlirValue a, int64_t b)
{
    return k_mul(k, a, k_int_of(k, mlirValueGetType(a), b));
}

MlirValue k_add_i(struct qbc_kernel *k, MlirValue a, int64_t b)
{
    return k_add(k, a, k_int_of(k, mlirValueGetType(a), b));
}

MlirValue k_cast(struct qbc_kernel *k, const char *name, MlirValue v, MlirType element)
{
    return qbc_op(&k->b, name, k_with_element(mlirValueGetType(v), element), 1, v);
}

MlirValue k_bitcast(struct qbc_kernel *k, MlirValue v, MlirType type)
{
    const char *name = mlirTypeIsAShaped(type) ? "vector.bitcast" : "arith.bitcast";
    return qbc_op(&k->b, name, type, 1, v);
}

MlirValue k_hidden(struct qbc_kernel *k, MlirValue vector)
{
    MlirType type = mlirValueGetType(vector);
    int64_t bits = mlirShapedTypeGetDimSize(type, 0) * mlirIntegerTypeGetWidth(element_of(type));
    MlirValue v = k_bitcast(k, vector, k_vec(k, bits / 32, k->f32));
    return k_bitcast(k, k_intrinsic(k, "llvm.arithmetic.fence", mlirValueGetType(v), 1, &v), type);
}

MlirValue k_splat(struct qbc_kernel *k, MlirValue scalar, int64_t n)
{
    return qbc_op(&k->b, "vector.broadcast", k_vec(k, n, mlirValueGetType(scalar)), 1, scalar);
}

MlirValue k_extract(struct qbc_kernel *k, MlirValue vector, int64_t i)
{
    struct qbc_attr attrs[] = {{"static_position", mlirDenseI64ArrayGet(k->q->mlir, 1, &i)}, {0}};
    MlirType type = element_of(mlirValueGetType(vector));
    return mlirOperationGetResult(qbc_make(&k->b, "vector.extract", type, attrs, 1, &vector), 0);
}

static MlirAttribute parse(struct qbc_kernel *k, const char *text)
{
    return mlirAttributeParseGet(k->q->mlir, qbc_str(text));
}

MlirValue k_shuffle(struct qbc_kernel *k, MlirValue a, MlirValue b, int64_t n, const int64_t *lanes)
{
    struct qbc_attr attrs[] = {{"mask", mlirDenseI64ArrayGet(k->q->mlir, (intptr_t)n, lanes)}, {0}};
    MlirType type = k_vec(k, n, element_of(mlirValueGetType(a)));
    MlirValue operands[] = {a, b};
    return mlirOperationGetResult(qbc_make(&k->b, "vector.shuffle", type, attrs, 2, operands), 0);
}

MlirValue k_repeat(struct qbc_kernel *k, MlirValue vector, int64_t first, int64_t n, int64_t times)
{
    int64_t *lanes = qbc_alloc(k->q, (size_t)(n * times) * sizeof *lanes);
    for (int64_t i = 0; i < n * times; ++i)
        lanes[i] = first + i / times;
    return k_shuffle(k, vector, vector, n * times, lanes);
}

MlirValue k_spread(struct qbc_kernel *k, MlirValue vector, int64_t lane)
{
    return k_repeat(k, vector, lane, 1, mlirShapedTypeGetDimSize(mlirValueGetType(vector), 0));
}

MlirValue k_part(struct qbc_kernel *k, MlirValue vector, int64_t from, int64_t n)
{
    struct qbc_attr attrs[] = {
        {"offsets", parse(k, qbc_text(k->q, "[%ld]", (long)from))},
        {"sizes", parse(k, qbc_text(k->q, "[%ld]", (long)n))},
        {"strides", parse(k, "[1]")},
        {0},
    };
    MlirType type = k_vec(k, n, element_of(mlirValueGetType(vector)));
    return mlirOperationGetResult(
        qbc_make(&k->b, "vector.extract_strided_slice", type, attrs, 1, &vector), 0);
}

MlirValue k_join(struct qbc_kernel *k, size_t n, const MlirValue *parts)
{
    int64_t lanes = mlirShapedTypeGetDimSize(mlirValueGetType(parts[0]), 0);
    MlirType type = k_vec(k, (int64_t)n * lanes, element_of(mlirValueGetType(parts[0])));
    MlirValue all = mlirTypeIsAFloat(element_of(type)) ? k_float_of(k, type, 0) : k_int_of(k, type, 0);
    for (size_t i = 0; i < n; ++i) {
        struct qbc_attr attrs[] = {
            {"offsets", parse(k, qbc_text(k->q, "[%ld]", (long)((int64_t)i * lanes)))},
            {"strides", parse(k, "[1]")},
            {0},
        };
        all = mlirOperationGetResult(qbc_make(&k->b, "vector.insert_strided_slice", type, attrs, 2,
                                              (MlirValue[]){parts[i], all}), 0);
    }
    return all;
}

/* Upstream's reductions of floats go lane by lane, to keep an order that nobody asked for. Halves are
 * combined instead, in an order that is the same for every machine. */
static MlirValue reduce_floats(struct qbc_kernel *k, const char *kind, MlirValue vector)
{
    int64_t n = mlirShapedTypeGetDimSize(mlirValueGetType(vector), 0);
    for (; n % 2 == 0; n /= 2) {
        MlirValue low = k_part(k, vector, 0, n / 2), high = k_part(k, vector, n / 2, n / 2);
        vector = strcmp(kind, "add") ? k_fmax(k, low, high) : k_fadd(k, low, high);
    }
    return k_extract(k, vector, 0);
}

MlirValue k_reduce(struct qbc_kernel *k, const char *kind, MlirValue vector)
{
    struct qbc_attr attrs[] = {{"kind", parse(k, qbc_text(k->q, "#vector.kind<%s>", kind))}, {0}};
    MlirType type = element_of(mlirValueGetType(vector));
    if (mlirTypeIsAFloat(type))
        return reduce_floats(k, kind, vector);
    return mlirOperationGetResult(qbc_make(&k->b, "vector.reduction", type, attrs, 1, &vector), 0);
}

MlirValue k_select(struct qbc_kernel *k, MlirValue which, MlirValue a, MlirValue b)
{
    return qbc_op(&k->b, "arith.select", mlirValueGetType(a), 3, which, a, b);
}

MlirValue k_cmp(struct qbc_kernel *k, enum qbc_compare how, MlirValue a, MlirValue b)
{
    struct qbc_attr attrs[] = {{"predicate", qbc_attr_int(k->q, how)}, {0}};
    MlirType type = k_with_element(mlirValueGetType(a), k->i1);
    return mlirOperationGetResult(qbc_make(&k->b, "arith.cmpi", type, attrs, 2, (MlirValue[]){a, b}), 0);
}

MlirValue k_fcmp(struct qbc_kernel *k, enum qbc_compare_float how, MlirValue a, MlirValue b)
{
    struct qbc_attr attrs[] = {{"predicate", qbc_attr_int(k->q, how)}, {0}};
    MlirType type = k_with_element(mlirValueGetType(a), k->i1);
    return mlirOperationGetResult(qbc_make(&k->b, "arith.cmpf", type, attrs, 2, (MlirValue[]){a, b}), 0);
}

/* A comparison and a select, which is what the vector instructions of x86 do; maximumf is not. */
MlirValue k_fmax(struct qbc_kernel *k, MlirValue limit, MlirValue x)
{
    return k_select(k, k_fcmp(k, QBC_FLT, x, limit), limit, x);
}

MlirValue k_fmin(struct qbc_kernel *k, MlirValue limit, MlirValue x)
{
    return k_select(k, k_fcmp(k, QBC_FGT, x, limit), limit, x);
}

MlirValue k_intrinsic(struct qbc_kernel *k, const char *name, MlirType result, size_t n,
                      const MlirValue *operands)
{
    int32_t segments[] = {(int32_t)n, 0};
    struct qbc_attr attrs[] = {
        {"intrin", qbc_attr_string(k->q, name)},
        {"op_bundle_sizes", mlirDenseI32ArrayGet(k->q->mlir, 0, NULL)},
        {"operandSegmentSizes", mlirDenseI32ArrayGet(k->q->mlir, 2, segments)},
        {0},
    };
    MlirOperation call = qbc_make(&k->b, "llvm.call_intrinsic", result, attrs, n, operands);
    return mlirTypeIsNull(result) ? (MlirValue){NULL} : mlirOperationGetResult(call, 0);
}

MlirValue k_at(struct qbc_kernel *k, MlirValue base, MlirValue bytes)
{
    int32_t dynamic = INT32_MIN; /* LLVM::GEPOp::kDynamicIndex: the index is an operand */
    struct qbc_attr attrs[] = {
        {"elem_type", mlirTypeAttrGet(k->i8)},
        {"rawConstantIndices", mlirDenseI32ArrayGet(k->q->mlir, 1, &dynamic)},
        {0},
    };
    return mlirOperationGetResult(
        qbc_make(&k->b, "llvm.getelementptr", k->ptr, attrs, 2, (MlirValue[]){base, bytes}), 0);
}

MlirValue k_at_i(struct qbc_kernel *k, MlirValue base, int64_t bytes)
{
    return bytes ? k_at(k, base, k_i64(k, bytes)) : base;
}

MlirValue k_load(struct qbc_kernel *k, MlirType type, MlirValue at, int alignment)
{
    struct qbc_attr attrs[] = {{"alignment", qbc_attr_int(k->q, alignment)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "llvm.load", type, attrs, 1, &at), 0);
}

/* Sign, exponent and fraction at their places in f32, without the bits that the sign was copied to; the value is then
 * 2^112 too small, and multiplying is exact for subnormals too. Infinity becomes 2^16: weights have none. */
static MlirValue widen_half(struct qbc_kernel *k, MlirValue bits)
{
    MlirValue wide = k_cast(k, "arith.extsi", bits, k->i32);
    MlirType ints = mlirValueGetType(wide), floats = k_with_element(ints, k->f32);
    wide = k_op2(k, "arith.shli", wide, k_int_of(k, ints, 13));
    wide = k_op2(k, "arith.andi", wide, k_int_of(k, ints, (int32_t)0x8fffe000));
    return k_fmul(k, k_bitcast(k, wide, floats), k_float_of(k, floats, 0x1p112));
}

MlirValue k_half_to_float(struct qbc_kernel *k, MlirValue half)
{
    bool is_float = mlirTypeIsAFloat(element_of(mlirValueGetType(half)));
    return is_float ? k_cast(k, "arith.extf", half, k->f32) : widen_half(k, half);
}

MlirType k_half(struct qbc_kernel *k)
{
    return k->q->target->no_half ? k->i16 : k->f16;
}

MlirValue k_load_half(struct qbc_kernel *k, int64_t n, MlirValue at)
{
    return k_half_to_float(k, k_load(k, n ? k_vec(k, n, k_half(k)) : k_half(k), at, 2));
}

void k_store(struct qbc_kernel *k, MlirValue value, MlirValue at, int alignment)
{
    struct qbc_attr attrs[] = {{"alignment", qbc_attr_int(k->q, alignment)}, {0}};
    qbc_make(&k->b, "llvm.store", (MlirType){NULL}, attrs, 2, (MlirValue[]){value, at});
}

void k_store_first(struct qbc_kernel *k, MlirValue vector, MlirValue at, MlirValue n)
{
    int64_t lanes = mlirShapedTypeGetDimSize(mlirValueGetType(vector), 0);
    MlirValue limit = k_splat(k, k_cast(k, "arith.trunci", n, k->i32), lanes);
    MlirValue mask = k_cmp(k, QBC_LT, k_iota(k, lanes, k->i32), limit);
    struct qbc_attr attrs[] = {{"alignment", mlirIntegerAttrGet(k->i32, 4)}, {0}};
    qbc_make(&k->b, "llvm.intr.masked.store", (MlirType){NULL}, attrs, 3,
             (MlirValue[]){vector, at, mask});
}

MlirValue k_load_upto(struct qbc_kernel *k, MlirType type, MlirValue at, MlirValue n)
{
    int64_t lanes = mlirShapedTypeGetDimSize(type, 0);
    MlirValue limit = k_splat(k, k_cast(k, "arith.trunci", n, k->i32), lanes);
    MlirValue mask = k_cmp(k, QBC_LT, k_iota(k, lanes, k->i32), limit);
    struct qbc_attr attrs[] = {{"alignment", mlirIntegerAttrGet(k->i32, 4)}, {0}};
    MlirValue operands[] = {at, mask, k_float_of(k, type, 0)};
    return mlirOperationGetResult(qbc_make(&k->b, "llvm.intr.masked.load", type, attrs, 3, operands), 0);
}

static MlirValue first_lanes(struct qbc_kernel *k, int64_t lanes, int64_t n)
{
    MlirType type = k_vec(k, lanes, k->i1);
    MlirAttribute *bits = qbc_alloc(k->q, (size_t)lanes * sizeof *bits);
    for (int64_t i = 0; i < lanes; ++i)
        bits[i] = mlirIntegerAttrGet(k->i1, i < n);
    struct qbc_attr attrs[] = {{"value", mlirDenseElementsAttrGet(type, lanes, bits)}, {0}};
    return mlirOperationGetResult(qbc_make(&k->b, "arith.constant", type, attrs, 0, NULL), 0);
}

MlirValue k_load_first(struct qbc_kernel *k, int64_t width, MlirValue at, int64_t n)
{
    MlirType type = k_vec(k, width, k->f32);
    struct qbc_attr attrs[] = {{"alignment", mlirIntegerAttrGet(k->i32, 4)}, {0}};
    if (n >= width)
        return k_load(k, type, at, 4);
    MlirValue operands[] = {at, first_lanes(k, width, n), k_float_of(k, type, 0)};
    return mlirOperationGetResult(
        qbc_make(&k->b, "llvm.intr.masked.load", type, attrs, 3, operands), 0);
}

void k_prefetch(struct qbc_kernel *k, MlirValue at, bool to_write)
{
    enum { SECOND_LEVEL = 2, DATA = 1 };
    struct qbc_attr attrs[] = {
        {"cache", mlirIntegerAttrGet(k->i32, DATA)},
        {"hint", mlirIntegerAttrGet(k->i32, SECOND_LEVEL)},
        {"rw", mlirIntegerAttrGet(k->i32, to_write)},
        {0},
    };
    qbc_make(&k->b, "llvm.intr.prefetch", (MlirType){NULL}, attrs, 1, &at);
}

/* At the head of the function, so that a loop does not grow the stack. */
MlirValue k_scratch(struct qbc_kernel *k, int64_t bytes)
{
    struct qbc_build here = k->b;
    MlirBlock entry = mlirOperationGetBlock(mlirOpResultGetOwner(k->threads));
    k->b.block = entry;
    k->b.before = mlirBlockGetFirstOperation(entry);
    struct qbc_attr attrs[] = {
        {"alignment", qbc_attr_int(k->q, 64)},
        {"elem_type", mlirTypeAttrGet(k->i8)},
        {0},
    };
    MlirValue size = k_i64(k, bytes);
    MlirValue p = mlirOperationGetResult(qbc_make(&k->b, "llvm.alloca", k->ptr, attrs, 1, &size), 0);
    k->b = here;
    return p;
}

struct k_loop k_for(struct qbc_kernel *k, MlirValue from, MlirValue to, int64_t by, size_t n,
                    const MlirValue *init)
{
    return k_for_by(k, from, to, k_i64(k, by), n, init);
}

struct k_loop k_for_by(struct qbc_kernel *k, MlirValue from, MlirValue to, MlirValue by, size_t n,
                       const MlirValue *init)
{
    MlirValue *operands = qbc_alloc(k->q, (n + 3) * sizeof *operands);
    MlirType *args = qbc_alloc(k->q, (n + 1) * sizeof *args);
    operands[0] = from, operands[1] = to, operands[2] = by;
    args[0] = k->i64;
    for (size_t j = 0; j < n; ++j) {
        operands[3 + j] = init[j];
        args[1 + j] = mlirValueGetType(init[j]);
    }
    struct qbc_region body = {n + 1, args};
    MlirOperation op =
        qbc_make_regions(&k->b, "scf.for", n, args + 1, NULL, n + 3, operands, 1, &body);
    struct k_loop loop = {.op = op, .n = n, .outer = k->b};
    MlirBlock block = qbc_region_block(op, 0);
    loop.i = mlirBlockGetArgument(block, 0);
    loop.carried = qbc_alloc(k->q, (n + 1) * sizeof *loop.carried);
    for (size_t j = 0; j < n; ++j)
        loop.carried[j] = mlirBlockGetArgument(block, (intptr_t)j + 1);
    k->b = qbc_at_end(k->q, block, k->b.loc);
    return loop;
}

void k_not_unrolled(struct qbc_kernel *k, const struct k_loop *loop)
{
    qbc_set(loop->op, "loop_annotation", parse(k, "#llvm.loop_annotation<unroll = <disable = true>>"));
}

void k_end(struct qbc_kernel *k, struct k_loop *loop, const MlirValue *next)
{
    qbc_make(&k->b, "scf.yield", (MlirType){NULL}, NULL, loop->n, next);
    k->b = loop->outer;
    for (size_t j = 0; j < loop->n; ++j)
        loop->carried[j] = mlirOperationGetResult(loop->op, (intptr_t)j);
}

struct k_loop k_if(struct qbc_kernel *k, MlirValue condition)
{
    struct qbc_region none = {0, NULL};
    struct qbc_region regions[] = {none, none};
    MlirOperation op =
        qbc_make_regions(&k->b, "scf.if", 0, NULL, NULL, 1, &condition, 2, regions);
    struct k_loop loop = {.op = op, .outer = k->b};
    k->b = qbc_at_end(k->q, qbc_region_block(op, 1), k->b.loc);
    qbc_make(&k->b, "scf.yield", (MlirType){NULL}, NULL, 0, NULL);
    k->b = qbc_at_end(k->q, qbc_region_block(op, 0), k->b.loc);
    return loop;
}
