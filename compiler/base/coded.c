/* coded: what codes with scales stand for (coded.h). Sizes are checked when the source is made, so that reading needs
 * no checks; a run of elements that share a scale is decoded at once.
 */
#include "coded.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

/* --- the attribute */

MlirAttribute qbc_coded_attr(struct qbc *q, const struct qbc_coded *c)
{
    bool own = c->zeros;
    struct qbc_attr all[] = {
        {"bits", qbc_attr_int(q, c->bits)},
        {"group", qbc_attr_int(q, c->group)},
        {"inner", qbc_attr_int(q, c->inner)},
        {"length", qbc_attr_int(q, c->length)},
        {"scale_strides", mlirDenseI64ArrayGet(q->mlir, 3, c->scale_stride)},
        {"scales", qbc_attr_string(q, c->scales->name)},
        {"signed", mlirBoolAttrGet(q->mlir, c->is_signed)},
        {"stored", qbc_attr_int(q, c->stored)},
        {own ? "zeros" : "zero", own ? qbc_attr_string(q, c->zeros->name) : qbc_attr_int(q, c->zero)},
        {"zero_bits", qbc_attr_int(q, c->zero_bits)},
        {"zero_strides", mlirDenseI64ArrayGet(q->mlir, 3, c->zero_stride)},
    };
    MlirNamedAttribute named[sizeof all / sizeof *all];
    size_t n = sizeof all / sizeof *all - (own ? 0 : 2);
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

const struct qbc_source *qbc_coded_source(struct qbc *q, const char *codes, MlirAttribute blocks)
{
    const char *key = qbc_text(q, "%s in blocks %p", codes, blocks.ptr); /* equal attributes have one address */
    const struct qbc_source *there = qbc_store_find(q, key);
    struct qbc_coded *c = qbc_alloc(q, sizeof *c);
    c->codes = qbc_store_find(q, codes);
    if (there || !c->codes || c->codes->coded || !mlirAttributeIsADictionary(blocks) || !read_numbers(blocks, c))
        return there;
    c->scales = source(q, blocks, "scales");
    double n = (double)c->codes->bytes * 8 / c->bits;
    int64_t outer = (int64_t)(n / ((double)c->stored * (double)c->inner));
    if (outer < 1 || !c->scales || !is_float(c->scales->element) ||
        !fits(c, outer, c->scale_stride, (double)qbc_source_elements(c->scales)) || !read_zeros(q, blocks, outer, c))
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
    if (size == 8)
        return memcpy(&wide, at, sizeof wide), wide;
    memcpy(&low, at, size);
    if (s->element == QBC_F16)
        return (double)qbc_half_to_float((uint16_t)low);
    float value;
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
    return p.o * stride[0] + p.a / c->group * stride[1] + p.i * stride[2];
}

float qbc_coded_scale(const struct qbc_coded *c, int64_t at)
{
    return (float)float_at(c->scales, index_of(c, place_of(c, at), c->scale_stride));
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
    struct place p = place_of(c, at);
    return integer_at(c->codes->data, c->bits, c->is_signed, (p.o * c->stored + p.a) * c->inner + p.i);
}

void qbc_coded_read(const struct qbc_coded *c, int64_t first, int64_t n, float *out)
{
    while (n > 0) {
        struct place p = place_of(c, first);
        int64_t run = c->inner > 1 ? 1 : (p.a / c->group + 1) * c->group - p.a;
        run = run < c->length - p.a ? run : c->length - p.a;
        run = run < n ? run : n;
        float scale = qbc_coded_scale(c, first), zero = (float)qbc_coded_zero(c, first);
        int64_t at = (p.o * c->stored + p.a) * c->inner + p.i;
        for (int64_t k = 0; k < run; ++k)
            out[k] = ((float)integer_at(c->codes->data, c->bits, c->is_signed, at + k) - zero) * scale;
        first += run;
        out += run;
        n -= run;
    }
}
