/* unpack-quantized: weights that the model holds as codes are weights like others, whose elements the store decodes.
 *
 *   before   com.microsoft.MatMulNBits(%x, %codes, %scales, %zeros, %g_idx, %bias) {K, N, bits, block_size}
 *   after    %w = "qb.weight"() {source = "codes", blocks = {bits = 4, group = 32, scales = "scales", ...}} [N, K]
 *            onnx.Add(onnx.MatMul(%x, onnx.Transpose(%w)), %bias)
 *
 *   before   com.microsoft.GatherBlockQuantized(%codes, %ids, %scales, %zeros)
 *   after    onnx.Gather(%w, %ids)                 codes of any rank, scales along the last axis
 *
 *   before   onnx.DequantizeLinear(%codes, %scales, %zeros) of stored codes, which may be small floats; scales may be codes too
 *   after    %w
 *
 * So the passes that follow find linears, embeddings and tied weights as if they were floats; what the codes are
 * is kept beside them (base/coded.h), and assign-formats takes them over.
 *
 * needs    level 0
 * keeps    codes that are no stored tensor; what it cannot read (other numbers of bits), which it notes
 */
#include "coded.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

struct unpacked {
    MlirOperation op;
    struct qbc_coded coded;
    size_t rank;
    int64_t dims[QBC_MAX_RANK]; /* of the floats */
};

/* The stored tensor that v is, in whatever dims; NULL: it is none. */
static const struct qbc_source *stored(struct qbc *q, MlirValue v)
{
    if (mlirValueIsNull(v))
        return NULL;
    MlirValue from = qbc_strip(v);
    MlirType a = mlirShapedTypeGetElementType(mlirValueGetType(v));
    if (!qbc_is_constant(from) || !mlirTypeEqual(a, mlirShapedTypeGetElementType(mlirValueGetType(from))))
        return NULL; /* a cast */
    return qbc_store_find(q, qbc_string(q, qbc_def_any(from), "source", ""));
}

static bool is_width(int64_t bits)
{
    return bits == 2 || bits == 4 || bits == 8;
}

/* A result of the passes before, or of the evaluator: the dims of v. */
static const struct qbc_array *dims_of(struct qbc_evaluation *e, MlirValue v)
{
    return mlirValueIsNull(v) ? NULL : qbc_evaluate_small(e, v);
}

static void set_strides(int64_t *to, int64_t o, int64_t a, int64_t i)
{
    to[0] = o;
    to[1] = a;
    to[2] = i;
}

/* Zero points as wide as the codes, each row of them in whole bytes; or floats. */
static bool packed_zeros(struct qbc *q, MlirOperation op, MlirValue v, int64_t groups, struct qbc_coded *c)
{
    c->zero = (int64_t)1 << (c->bits - 1);
    if (mlirValueIsNull(v))
        return true;
    c->zeros = stored(q, v);
    bool bytes = c->zeros && c->zeros->element == QBC_U8;
    c->zero_bits = bytes ? c->bits : 0;
    int64_t row = bytes ? (groups * c->bits + 7) / 8 * 8 / c->bits : groups;
    set_strides(c->zero_stride, row, 1, 0);
    if (!c->zeros)
        qbc_miss(q, op, "its zero points are no stored tensor");
    return c->zeros;
}

/* --- MatMulNBits(x, codes [N, blocks, bytes], scales, zeros, g_idx, bias) */

/* Column k has the scale of group g_idx[k]; the usual order, k / block, needs no table. */
static bool set_order(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct qbc_coded *c)
{
    MlirValue v = qbc_operand_at(op, 4);
    const struct qbc_array *a = mlirValueIsNull(v) ? NULL : qbc_evaluate(e, v);
    const struct qbc_source *groups = mlirValueIsNull(v) ? NULL : stored(q, v);
    bool usual = mlirValueIsNull(v) || (a && a->known && a->i);
    for (size_t k = 0; usual && a && k < a->n; ++k)
        usual = a->i[k] == (int64_t)k / c->group;
    c->groups = usual ? NULL : groups;
    if (!usual && !groups)
        qbc_miss(q, op, "its g_idx, the groups of its columns, is no stored tensor");
    return usual || groups;
}

/* How many blocks hold n; both are positive, and may be anything that a file says. */
static int64_t blocks_of(int64_t n, int64_t block)
{
    return n / block + (n % block > 0);
}

static bool nbits(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct unpacked *u)
{
    struct qbc_coded *c = &u->coded;
    int64_t n = qbc_int(op, "N", 0), k = qbc_int(op, "K", 0), block = qbc_int(op, "block_size", 0);
    const int64_t bits = qbc_int(op, "bits", 4), most = (int64_t)1 << 40; /* beyond are no numbers but damage */
    if (n < 1 || k < 1 || block < 1 || n > most || k > most || block > most || !is_width(bits) || block * bits % 8) {
        qbc_miss(q, op, "weights [%ld, %ld] of %ld bits in blocks of %ld: 2, 4 and 8 bits are supported", (long)n, (long)k,
                 (long)bits, (long)block);
        return false;
    }
    int64_t groups = blocks_of(k, block);
    *c = (struct qbc_coded){.bits = (int)bits, .length = k, .stored = groups * block, .inner = 1, .group = block};
    c->codes = stored(q, qbc_operand_at(op, 1));
    c->scales = stored(q, qbc_operand_at(op, 2));
    set_strides(c->scale_stride, groups, 1, 0);
    u->rank = 2;
    u->dims[0] = n;
    u->dims[1] = k;
    if (!c->codes || !c->scales || qbc_int(op, "weight_prepacked", 0)) {
        qbc_miss(q, op, "its codes or scales are no stored tensors as the exporter writes them");
        return false;
    }
    return packed_zeros(q, op, qbc_operand_at(op, 3), groups, c) && set_order(q, e, op, c);
}

/* --- GatherBlockQuantized(codes, ids, scales, zeros): bytes with codes, or a tensor of int4 */

/* Zero points of whole rows may have a dim less: then those of rows share bytes. */
static bool zeros_of_rows(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct qbc_coded *c, const struct unpacked *u)
{
    const struct qbc_array *zeros = dims_of(e, qbc_operand_at(op, 3));
    if (!zeros || u->rank < 2 || zeros->rank != u->rank - 1 || c->group < c->length)
        return true;
    set_strides(c->zero_stride, 1, 0, 0);
    bool whole = u->dims[u->rank - 2] * c->zero_bits % 8 == 0;
    if (!whole)
        qbc_miss(q, op, "the zero points of its %ld rows do not fill whole bytes", (long)u->dims[u->rank - 2]);
    return whole;
}

/* Codes [outer, length, inner], length being `axis` of u's dims. */
static void set_axis(struct unpacked *u, int64_t axis)
{
    struct qbc_coded *c = &u->coded;
    c->length = c->stored = u->dims[axis];
    c->inner = 1;
    for (size_t d = (size_t)axis + 1; d < u->rank; ++d)
        c->inner *= u->dims[d];
}

static bool is_signed_element(enum qbc_element e)
{
    return e == QBC_I2 || e == QBC_I4 || e == QBC_I8 || e == QBC_I16 || e == QBC_I32;
}

/* Dims of the floats; false: codes of another width. */
static bool gather_dims(MlirOperation op, const struct qbc_array *data, bool bytes, struct unpacked *u)
{
    int64_t bits = bytes ? qbc_int(op, "bits", 4) : qbc_element_bits(u->coded.codes->element);
    u->rank = data->rank;
    memcpy(u->dims, data->dims, sizeof u->dims);
    u->coded.bits = (int)bits;
    u->dims[u->rank - 1] *= bytes && is_width(bits) ? 8 / bits : 1;
    return is_width(bits);
}

static bool gather(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct unpacked *u)
{
    struct qbc_coded *c = &u->coded;
    const struct qbc_array *data = dims_of(e, qbc_operand_at(op, 0));
    int64_t axis = qbc_int(op, "quantize_axis", 1), block = qbc_int(op, "block_size", 128), rank = data ? (int64_t)data->rank : 0;
    c->codes = stored(q, qbc_operand_at(op, 0));
    c->scales = stored(q, qbc_operand_at(op, 2));
    if (!rank || !c->codes || !c->scales || block < 1) {
        qbc_miss(q, op, "its codes and scales are no stored tensors");
        return false;
    }
    bool bytes = c->codes->element == QBC_U8;
    axis += axis < 0 ? rank : 0;
    if (!gather_dims(op, data, bytes, u) || axis < 0 || axis >= rank || (bytes && c->bits < 8 && axis != rank - 1)) {
        qbc_miss(q, op, "%d-bit codes with scales along axis %ld of %ld: codes of 2, 4 or 8 bits are supported, in bytes along the last axis",
                 c->bits, (long)axis, (long)rank);
        return false;
    }
    set_axis(u, axis);
    int64_t groups = blocks_of(c->length, block);
    c->is_signed = is_signed_element(c->codes->element);
    c->group = block;
    set_strides(c->scale_stride, groups * c->inner, c->inner, c->inner > 1);
    if (bytes && c->inner == 1)
        return packed_zeros(q, op, qbc_operand_at(op, 3), groups, c) && zeros_of_rows(q, e, op, c, u);
    c->zeros = stored(q, qbc_operand_at(op, 3)); /* of the codes' type; without, the middle of what bytes can be */
    c->zero = bytes ? 128 : 0;
    c->zero_bits = c->bits;
    memcpy(c->zero_stride, c->scale_stride, sizeof c->zero_stride);
    return c->zeros || mlirValueIsNull(qbc_operand_at(op, 3));
}

/* --- DequantizeLinear(codes, scales, zeros): one scale, one for each index of axis, or for a block of them */

static bool set_scales(struct qbc *q, MlirOperation op, const struct qbc_array *scales, int64_t axis, struct unpacked *u)
{
    struct qbc_coded *c = &u->coded;
    int64_t block = qbc_int(op, "block_size", 0), groups = 0;
    if (scales->n == 1) {
        c->group = c->length;
        set_strides(c->scale_stride, 0, 0, 0);
    } else if (scales->rank == 1 && scales->dims[0] == c->length) {
        c->group = 1;
        set_strides(c->scale_stride, 0, 1, 0);
    } else if (block > 0 && scales->rank == u->rank) {
        groups = scales->dims[axis];
        c->group = block;
        set_strides(c->scale_stride, groups * c->inner, c->inner, 1);
    }
    for (size_t d = 0; groups && d < u->rank; ++d)
        if (scales->dims[d] != ((int64_t)d == axis ? blocks_of(c->length, block) : u->dims[d]))
            groups = -1;
    if (!c->group || groups < 0)
        qbc_miss(q, op, "its scales fit neither the tensor, nor one axis of it, nor blocks of %ld along axis %ld",
                 (long)block, (long)axis);
    memcpy(c->zero_stride, c->scale_stride, sizeof c->zero_stride);
    return c->group && groups >= 0;
}

static bool is_integer(enum qbc_element e)
{
    return is_signed_element(e) || e == QBC_U2 || e == QBC_U4 || e == QBC_U8 || e == QBC_U16;
}

/* Eight bits or four: e4m3, e5m2, e2m1. */
static bool is_small_float(enum qbc_element e)
{
    return qbc_element_bits(e) <= 8 && qbc_narrow_of(e);
}

/* Small floats have no zero point but 0. */
static bool set_numbers(struct qbc_coded *c)
{
    enum qbc_element element = c->codes->element;
    c->bits = c->zero_bits = qbc_element_bits(element);
    c->is_signed = is_signed_element(element);
    if (!is_small_float(element))
        return is_integer(element);
    for (size_t i = 0; c->zeros && i < c->zeros->bytes; ++i)
        if (((const uint8_t *)c->zeros->data)[i])
            return false;
    c->zeros = NULL;
    c->floats = element;
    return true;
}

static bool dequantize(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct unpacked *u);

/* Numbers of the file, perhaps made wider on the way; or codes with scales themselves (NVFP4's: of a scale for the tensor). */
static const struct qbc_source *stored_scales(struct qbc *q, struct qbc_evaluation *e, MlirValue v)
{
    const struct qbc_source *plain = stored(q, v), *narrow = NULL;
    MlirValue from = qbc_strip(v);
    MlirOperation inner = qbc_def(from, "onnx.DequantizeLinear");
    struct unpacked u = {.rank = 0};
    if (qbc_is_constant(from) && mlirTypeIsAF32(mlirShapedTypeGetElementType(mlirValueGetType(v))))
        narrow = qbc_store_find(q, qbc_string(q, qbc_def_any(from), "source", ""));
    if (plain || (narrow && (narrow->element == QBC_F16 || narrow->element == QBC_BF16)))
        return plain ? plain : narrow;
    if (mlirOperationIsNull(inner) || !mlirOperationIsNull(qbc_def(qbc_strip(mlirOperationGetOperand(inner, 1)), "onnx.DequantizeLinear")) ||
        !dequantize(q, e, inner, &u))
        return NULL;
    return qbc_coded_source(q, u.coded.codes->name, qbc_coded_attr(q, &u.coded));
}

static bool dequantize(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct unpacked *u)
{
    struct qbc_coded *c = &u->coded;
    const struct qbc_array *data = dims_of(e, qbc_operand_at(op, 0)), *scales = dims_of(e, qbc_operand_at(op, 1));
    int64_t axis = qbc_int(op, "axis", 1);
    c->codes = stored(q, qbc_operand_at(op, 0));
    if (!c->codes || !data || !scales || mlirValueIsNull(qbc_operand_at(op, 1)))
        return false; /* activations */
    c->scales = stored_scales(q, e, qbc_operand_at(op, 1));
    c->zeros = stored(q, qbc_operand_at(op, 2));
    axis += axis < 0 ? (int64_t)data->rank : 0;
    if (scales->n == 1 || (data->rank == 1 && axis > 0))
        axis = 0;
    if (!c->scales || (!c->zeros && !mlirValueIsNull(qbc_operand_at(op, 2))) || !set_numbers(c) || axis < 0 ||
        (axis && axis >= (int64_t)data->rank)) {
        qbc_miss(q, op, "stored integers or small floats are supported, with stored scales and zero points (of floats: 0)");
        return false;
    }
    u->rank = data->rank;
    memcpy(u->dims, data->dims, sizeof u->dims);
    u->dims[0] = u->rank ? u->dims[0] : 1;
    set_axis(u, axis);
    return set_scales(q, op, scales, axis, u);
}

/* --- the rewrite */

static MlirValue make_weight(struct qbc_build *b, const struct unpacked *u)
{
    struct qbc_strided view = {.name = u->coded.codes->name, .source = u->coded.codes->name, .rank = u->rank};
    size_t all[QBC_MAX_RANK];
    int64_t stride = 1;
    view.blocks = qbc_coded_attr(b->q, &u->coded);
    memcpy(view.dims, u->dims, sizeof view.dims);
    for (size_t d = u->rank; d-- > 0; stride *= u->dims[d]) {
        view.strides[d] = stride;
        all[d] = d;
    }
    return qbc_weight(b, &view, u->rank, all);
}

static void apply(struct qbc *q, const struct unpacked *u)
{
    struct qbc_build b = qbc_before(q, u->op);
    MlirValue w = make_weight(&b, u), old = mlirOperationGetResult(u->op, 0), y = w;
    MlirType type = mlirValueGetType(old);
    if (qbc_is(u->op, "onnx.com.microsoft.MatMulNBits")) {
        w = qbc_transpose(&b, w, 2, (int64_t[]){1, 0});
        y = qbc_op(&b, "onnx.MatMul", type, 2, mlirOperationGetOperand(u->op, 0), w);
        if (!mlirValueIsNull(qbc_operand_at(u->op, 5)))
            y = qbc_op(&b, "onnx.Add", type, 2, y, qbc_operand_at(u->op, 5));
    } else if (qbc_is(u->op, "onnx.com.microsoft.GatherBlockQuantized")) {
        y = qbc_op(&b, "onnx.Gather", type, 2, w, mlirOperationGetOperand(u->op, 1));
        int64_t axis = qbc_int(u->op, "gather_axis", 0);
        qbc_set_int(b.q, qbc_def_any(y), "axis", axis < 0 ? axis + (int64_t)u->rank : axis);
    }
    mlirValueReplaceAllUsesOfWith(old, y);
}

/* Are there as many codes as the dims say, and scales for all of them? */
static bool is_whole(struct qbc *q, struct unpacked *u)
{
    MlirAttribute blocks = qbc_coded_attr(q, &u->coded);
    const struct qbc_source *s = qbc_coded_source(q, u->coded.codes->name, blocks);
    int64_t n = 1;
    for (size_t d = 0; d < u->rank; ++d)
        n *= u->dims[d];
    bool good = s && qbc_source_elements(s) >= n;
    if (!good)
        qbc_miss(q, u->op, "its codes, scales and zero points do not fit together");
    return good;
}

void qbc_pass_unpack_quantized(struct qbc *q, MlirOperation module)
{
    static const struct {
        const char *name;
        bool (*find)(struct qbc *q, struct qbc_evaluation *e, MlirOperation op, struct unpacked *u);
    } kinds[] = {{"onnx.com.microsoft.MatMulNBits", nbits},
                 {"onnx.com.microsoft.GatherBlockQuantized", gather},
                 {"onnx.DequantizeLinear", dequantize}};
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct unpacked *found = qbc_alloc(q, (ops.n + 1) * sizeof *found);
    struct qbc_evaluation *e = qbc_probe(q, func, 5, 0);
    size_t n = 0;
    for (size_t i = 0; i < ops.n; ++i)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k)
            if (qbc_is(ops.op[i], kinds[k].name)) {
                found[n] = (struct unpacked){.op = ops.op[i]};
                n += kinds[k].find(q, e, ops.op[i], &found[n]) && is_whole(q, &found[n]);
            }
    qbc_evaluation_destroy(e);
    for (size_t i = 0; i < n; ++i)
        apply(q, &found[i]);
    qbc_tidy(q, module);
}
