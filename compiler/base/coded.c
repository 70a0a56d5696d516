/* coded: what codes with scales stand for (coded.h). Sizes are checked when the source is made, so that reading needs
 * no checks; a run of elements that share a scale is decoded at once.
 */
#include "coded.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

/* --- the attribute */

MlirAttribute qbc_coded_attr(struct qbc *q, const struct qbc_coded *c)
{
    bool own = c->zeros, nested = c->scales->coded;
    struct qbc_attr all[16] = {
        {"bits", qbc_attr_int(q, c->bits)},
        {"group", qbc_attr_int(q, c->group)},
        {"inner", qbc_attr_int(q, c->inner)},
        {"length", qbc_attr_int(q, c->length)},
        {"scale_strides", mlirDenseI64ArrayGet(q->mlir, 3, c->scale_stride)},
        {"scales", qbc_attr_string(q, nested ? c->scales->coded->codes->name : c->scales->name)},
        {"signed", mlirBoolAttrGet(q->mlir, c->is_signed)},
        {"stored", qbc_attr_int(q, c->stored)},
        {own ? "zeros" : "zero", own ? qbc_attr_string(q, c->zeros->name) : qbc_attr_int(q, c->zero)},
    };
    size_t n = 9;
    if (own) {
        all[n++] = (struct qbc_attr){"zero_bits", qbc_attr_int(q, c->zero_bits)};
        all[n++] = (struct qbc_attr){"zero_strides", mlirDenseI64ArrayGet(q->mlir, 3, c->zero_stride)};
    }
    if (c->floats)
        all[n++] = (struct qbc_attr){"floats", mlirTypeAttrGet(qbc_element_type(q, c->floats))};
    if (c->groups)
        all[n++] = (struct qbc_attr){"groups", qbc_attr_string(q, c->groups->name)};
    if (nested)
        all[n++] = (struct qbc_attr){"scale_blocks", qbc_coded_attr(q, c->scales->coded)};
    MlirNamedAttribute named[sizeof all / sizeof *all];
    for (size_t i = 0; i < n; ++i)
        named[i] = mlirNamedAttributeGet(mlirIdentifierGet(q->mlir, qbc_str(all[i].name)), all[i].value);
    return mlirDictionaryAttrGet(q->mlir, (intptr_t)n, named);
}

static MlirAttribute entry(MlirAttribute blocks, const char *name)
{
    return mlirDictionaryAttrGetElementByName(blocks, qbc_str(name));
}

static int64_t number(MlirAttribute blocks, const char *name, int64_t fallback)
{
    MlirAttribute a = entry(blocks, name);
    return !mlirAttributeIsNull(a) && mlirAttributeIsAInteger(a) ? mlirIntegerAttrGetValueInt(a) : fallback;
}

static const struct qbc_source *source(struct qbc *q, MlirAttribute blocks, const char *name)
{
    MlirAttribute a = entry(blocks, name);
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAString(a))
        return NULL;
    MlirStringRef s = mlirStringAttrGetValue(a);
    return qbc_store_find(q, qbc_copy(q, s.data, s.length));
}

static bool strides(MlirAttribute blocks, const char *name, int64_t *out)
{
    MlirAttribute a = entry(blocks, name);
    if (mlirAttributeIsNull(a) || !mlirAttributeIsADenseI64Array(a) || mlirDenseArrayGetNumElements(a) != 3)
        return false;
    for (intptr_t i = 0; i < 3; ++i)
        out[i] = mlirDenseI64ArrayGetElement(a, i);
    return true;
}

static bool is_size(int64_t n)
{
    return n > 0 && n < (int64_t)1 << 46;
}

/* Do the largest indices stay inside? In floats, so that nothing overflows. */
static bool fits(const struct qbc_coded *c, int64_t outer, const int64_t *stride, double available)
{
    double last = 0;
    int64_t most[3] = {outer - 1, (c->length - 1) / c->group, c->inner - 1};
    for (int i = 0; i < 3; ++i) {
        if (stride[i] < 0)
            return false;
        last += (double)stride[i] * (double)most[i];
    }
    return last < available;
}

static bool is_width(int64_t bits)
{
    return bits == 2 || bits == 4 || bits == 8 || bits == 16 || bits == 32;
}

static bool is_float(enum qbc_element element)
{
    return element == QBC_F32 || element == QBC_F16 || element == QBC_BF16 || element == QBC_F64;
}

static bool is_scale(const struct qbc_source *s)
{
    bool small = qbc_element_bits(s->element) == 8 && (qbc_narrow_of(s->element) || s->element == QBC_F8E8M0);
    return is_float(s->element) || small;
}

/* Codes that are small floats; false: no type of such. */
static bool read_floats(struct qbc *q, MlirAttribute blocks, struct qbc_coded *c)
{
    MlirAttribute a = entry(blocks, "floats");
    if (mlirAttributeIsNull(a))
        return true;
    if (!mlirAttributeIsAType(a) || !qbc_element_of(mlirTypeAttrGetValue(a), &c->floats) || c->bits > 8 ||
        qbc_element_bits(c->floats) != c->bits || !qbc_narrow_of(c->floats))
        return false;
    size_t n = (size_t)1 << c->bits;
    float *levels = qbc_alloc(q, n * sizeof *levels);
    for (size_t code = 0; code < n; ++code)
        levels[code] = qbc_narrow_to_float(c->floats, (uint32_t)code);
    c->levels = levels;
    return true;
}

static bool read_numbers(MlirAttribute blocks, struct qbc_coded *c)
{
    c->bits = (int)number(blocks, "bits", 0);
    c->zero_bits = (int)number(blocks, "zero_bits", 0);
    c->zero = number(blocks, "zero", 0);
    c->is_signed = !mlirAttributeIsNull(entry(blocks, "signed")) && mlirBoolAttrGetValue(entry(blocks, "signed"));
    c->length = number(blocks, "length", 0);
    c->stored = number(blocks, "stored", c->length);
    c->inner = number(blocks, "inner", 1);
    c->group = number(blocks, "group", c->length);
    return is_width(c->bits) && is_size(c->length) && is_size(c->stored) && is_size(c->inner) && is_size(c->group) &&
           c->stored >= c->length && strides(blocks, "scale_strides", c->scale_stride);
}

static bool read_zeros(struct qbc *q, MlirAttribute blocks, int64_t outer, struct qbc_coded *c)
{
    if (mlirAttributeIsNull(entry(blocks, "zeros")))
        return true;
    c->zeros = source(q, blocks, "zeros");
    if (!c->zeros || !strides(blocks, "zero_strides", c->zero_stride))
        return false;
    bool plain = c->zero_bits == 0 && is_float(c->zeros->element);
    if (!plain && !is_width(c->zero_bits))
        return false;
    double bits = plain ? qbc_element_bits(c->zeros->element) : c->zero_bits;
    return fits(c, outer, c->zero_stride, (double)c->zeros->bytes * 8 / bits);
}

/* Scales may be codes with scales, but these are numbers. */
static const struct qbc_source *scales_of(struct qbc *q, MlirAttribute blocks)
{
    const struct qbc_source *plain = source(q, blocks, "scales");
    MlirAttribute inner = entry(blocks, "scale_blocks");
    if (mlirAttributeIsNull(inner) || !plain)
        return plain;
    bool ends = mlirAttributeIsADictionary(inner) && mlirAttributeIsNull(entry(inner, "scale_blocks"));
    return ends ? qbc_coded_source(q, plain->name, inner) : NULL;
}

static bool read_order(struct qbc *q, MlirAttribute blocks, struct qbc_coded *c)
{
    if (mlirAttributeIsNull(entry(blocks, "groups")))
        return true;
    c->groups = source(q, blocks, "groups");
    c->sorted = !mlirAttributeIsNull(entry(blocks, "sorted"));
    return c->groups && c->inner == 1 && qbc_coded_order(q, (c->length + c->group - 1) / c->group, c) && (c->order || !c->sorted);
}

const struct qbc_source *qbc_coded_source(struct qbc *q, const char *codes, MlirAttribute blocks)
{
    const char *key = qbc_text(q, "%s in blocks %p", codes, blocks.ptr); /* equal attributes have one address */
    const struct qbc_source *there = qbc_store_find(q, key);
    struct qbc_coded *c = qbc_alloc(q, sizeof *c);
    c->codes = qbc_store_find(q, codes);
    if (there || !c->codes || c->codes->coded || !mlirAttributeIsADictionary(blocks) || !read_numbers(blocks, c) ||
        !read_floats(q, blocks, c))
        return there;
    c->scales = scales_of(q, blocks);
    double n = (double)c->codes->bytes * 8 / c->bits;
    int64_t outer = (int64_t)(n / ((double)c->stored * (double)c->inner));
    if (outer < 1 || !c->scales || !is_scale(c->scales) ||
        !fits(c, outer, c->scale_stride, (double)qbc_source_elements(c->scales)) || !read_zeros(q, blocks, outer, c) ||
        !read_order(q, blocks, c))
        return NULL;
    qbc_store_add(q, (struct qbc_source){.name = key,
                                         .element = QBC_F32,
                                         .rank = 3,
                                         .dims = {outer, c->length, c->inner},
                                         .data = c->codes->data,
                                         .bytes = c->codes->bytes,
                                         .mapped = c->codes->mapped,
                                         .coded = c});
    return qbc_store_find(q, key);
}

/* --- reading */

static int64_t integer_at(const void *data, int bits, bool is_signed, int64_t i)
{
    uint32_t value = 0;
    if (bits < 8) {
        int64_t bit = i * bits;
        value = (uint32_t)((const uint8_t *)data)[bit / 8] >> bit % 8 & ((1u << bits) - 1);
    } else {
        memcpy(&value, (const char *)data + i * (bits / 8), (size_t)bits / 8);
    }
    uint32_t sign = is_signed ? 1u << (bits - 1) : 0;
    return (int64_t)(value ^ sign) - (int64_t)sign;
}

static double float_at(const struct qbc_source *s, int64_t i)
{
    size_t size = qbc_element_bytes(s->element);
    const char *at = (const char *)s->data + (size_t)i * size;
    uint32_t low = 0;
    double wide;
    float value;
    if (s->coded)
        return qbc_coded_read(s->coded, i, 1, &value), (double)value;
    if (size == 1)
        return (double)qbc_narrow_to_float(s->element, *(const uint8_t *)at);
    if (size == 8)
        return memcpy(&wide, at, sizeof wide), wide;
    memcpy(&low, at, size);
    if (s->element == QBC_F16)
        return (double)qbc_half_to_float((uint16_t)low);
    low <<= s->element == QBC_BF16 ? 16 : 0;
    memcpy(&value, &low, sizeof value);
    return (double)value;
}

struct place {
    int64_t o, a, i;
};

static struct place place_of(const struct qbc_coded *c, int64_t at)
{
    int64_t slice = c->length * c->inner;
    return (struct place){at / slice, at % slice / c->inner, at % c->inner};
}

static int64_t index_of(const struct qbc_coded *c, struct place p, const int64_t *stride)
{
    int64_t group = c->groups && !c->sorted ? c->group_of[p.a] : p.a / c->group;
    return p.o * stride[0] + group * stride[1] + p.i * stride[2];
}

static int64_t code_index(const struct qbc_coded *c, struct place p)
{
    return (p.o * c->stored + (c->sorted ? c->order[p.a] : p.a)) * c->inner + p.i;
}

int64_t qbc_coded_scale_index(const struct qbc_coded *c, int64_t at)
{
    return index_of(c, place_of(c, at), c->scale_stride);
}

float qbc_coded_scale(const struct qbc_coded *c, int64_t at)
{
    return (float)float_at(c->scales, qbc_coded_scale_index(c, at));
}

double qbc_coded_zero(const struct qbc_coded *c, int64_t at)
{
    if (!c->zeros)
        return (double)c->zero;
    int64_t i = index_of(c, place_of(c, at), c->zero_stride);
    return c->zero_bits ? (double)integer_at(c->zeros->data, c->zero_bits, c->is_signed, i) : float_at(c->zeros, i);
}

int64_t qbc_coded_code(const struct qbc_coded *c, int64_t at)
{
    return integer_at(c->codes->data, c->bits, c->is_signed, code_index(c, place_of(c, at)));
}

/* `run` elements that share scale and zero, and whose codes lie in a row */
static void read_run(const struct qbc_coded *c, int64_t at, int64_t run, float scale, float zero, float *out)
{
    for (int64_t k = 0; k < run; ++k) {
        int64_t code = integer_at(c->codes->data, c->bits, c->is_signed, at + k);
        out[k] = (c->levels ? c->levels[code] : (float)code - zero) * scale;
    }
}

void qbc_coded_read(const struct qbc_coded *c, int64_t first, int64_t n, float *out)
{
    while (n > 0) {
        struct place p = place_of(c, first);
        int64_t run = c->inner > 1 || c->groups ? 1 : (p.a / c->group + 1) * c->group - p.a;
        run = run < c->length - p.a ? run : c->length - p.a;
        run = run < n ? run : n;
        read_run(c, code_index(c, p), run, qbc_coded_scale(c, first), (float)qbc_coded_zero(c, first), out);
        first += run;
        out += run;
        n -= run;
    }
}
