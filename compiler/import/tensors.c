/* tensors: what a TensorProto holds, wherever it keeps it: in the file's raw bytes (mapped), in a
 * list of numbers, or in another file beside the model (mapped). Sizes are checked here, so that
 * nobody reads outside a mapping later.
 */
#include "onnx.h"

#include <errno.h>
#include <mlir-c/BuiltinAttributes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool dims_of(struct import *m, const Onnx__TensorProto *t, struct qbc_source *out)
{
    size_t n = 1, bits = (size_t)qbc_element_bits(out->element);
    if (t->n_dims > QBC_MAX_RANK) {
        onnx_fault(m, "tensor '%s' has %zu dimensions; at most %d are supported", out->name,
                   t->n_dims, QBC_MAX_RANK);
        return false;
    }
    out->rank = t->n_dims;
    for (size_t i = 0; i < t->n_dims; ++i) {
        int64_t dim = t->dims[i];
        if (dim < 0 || (dim && n > ((size_t)1 << 46) / (size_t)dim)) {
            onnx_fault(m, "tensor '%s': dimension %zu is %lld, %s", out->name, i, (long long)dim,
                       dim < 0 ? "which is negative" : "so it has too many elements");
            return false;
        }
        out->dims[i] = dim;
        n *= (size_t)dim;
    }
    out->bytes = (n * bits + 7) / 8;
    return true;
}

/* --- external data */

struct external {
    const unsigned char *data; /* NULL: the file is not there, which has been said */
    size_t bytes;
};

/* Inside the model's folder: no absolute path, no "..". */
static bool stays_inside(const char *path)
{
    if (!*path || *path == '/' || strchr(path, '\\'))
        return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || part[2] == 0))
            return false;
    }
    return true;
}

static const struct external *open_external(struct import *m, const char *location,
                                            const char *tensor)
{
    struct external *e = onnx_names_get(m->external, location);
    if (e)
        return e;
    e = qbc_alloc(m->q, sizeof *e);
    onnx_names_put(m->external, location, e);
    const char *path = qbc_text(m->q, "%s%s", m->folder, location);
    if (access(path, R_OK))
        onnx_fault(m,
                   "the weights (tensor '%s' and others) are in '%s', which cannot be read: %s; "
                   "put that file beside the model",
                   tensor, location, strerror(errno));
    else
        e->data = qbc_store_map(m->q, path, &e->bytes);
    return e;
}

static bool read_size(const char *text, size_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *out = (size_t)value;
    return *text >= '0' && *text <= '9' && !*end && !errno && value <= (size_t)1 << 62;
}

static bool read_external(struct import *m, const Onnx__TensorProto *t, struct qbc_source *out)
{
    const char *location = "";
    size_t offset = 0, length = out->bytes;
    for (size_t i = 0; i < t->n_external_data; ++i) {
        const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
        bool good = key && value;
        if (good && !strcmp(key, "location"))
            location = value;
        else if (good && !strcmp(key, "offset"))
            good = read_size(value, &offset);
        else if (good && !strcmp(key, "length"))
            good = read_size(value, &length);
        if (!good) {
            onnx_fault(m, "tensor '%s': its external data has a bad '%s'", out->name,
                       key ? key : "entry without a key");
            return false;
        }
    }
    if (!stays_inside(location)) {
        onnx_fault(m,
                   "tensor '%s': its external data is in '%s', which is not a path inside the "
                   "model's folder",
                   out->name, location);
        return false;
    }
    if (length != out->bytes) {
        onnx_fault(m, "tensor '%s' needs %zu bytes, its external data says %zu", out->name,
                   out->bytes, length);
        return false;
    }
    const struct external *e = open_external(m, location, out->name);
    if (!e->data)
        return false;
    if (offset > e->bytes || length > e->bytes - offset) {
        onnx_fault(m,
                   "tensor '%s' wants bytes %zu to %zu of '%s', which has %zu; the file is cut "
                   "short or belongs to another model",
                   out->name, offset, offset + length, location, e->bytes);
        return false;
    }
    out->data = e->data + offset;
    out->mapped = true;
    return true;
}

/* --- inline data */

static bool read_raw(struct import *m, const Onnx__TensorProto *t, struct qbc_source *out)
{
    size_t begin = (size_t)t->segment->begin, end = (size_t)t->segment->end;
    if (end - begin != out->bytes) { /* onnx_skeleton made both from the file */
        onnx_fault(m, "tensor '%s' needs %zu bytes, it holds %zu", out->name, out->bytes,
                   end - begin);
        return false;
    }
    out->data = m->file + begin;
    out->mapped = true;
    return true;
}

/* A list whose numbers are wider than the elements: the low bytes of each. */
static const void *narrow(struct import *m, const void *list, size_t n, size_t wide, size_t size)
{
    if (wide == size)
        return list;
    unsigned char *bytes = qbc_alloc(m->q, n * size + 1);
    for (size_t i = 0; i < n; ++i)
        memcpy(bytes + i * size, (const unsigned char *)list + i * wide, size);
    return bytes;
}

static bool read_list(struct import *m, const Onnx__TensorProto *t, struct qbc_source *out)
{
    size_t size = qbc_element_bytes(out->element), n, wide;
    const void *list;
    switch (out->element) {
    case QBC_F32:
        list = t->float_data, n = t->n_float_data, wide = 4;
        break;
    case QBC_F64:
        list = t->double_data, n = t->n_double_data, wide = 8;
        break;
    case QBC_I64:
        list = t->int64_data, n = t->n_int64_data, wide = 8;
        break;
    case QBC_U32:
    case QBC_U64:
        list = t->uint64_data, n = t->n_uint64_data, wide = 8;
        break;
    default: /* the small ones, halves as their bits */
        list = t->int32_data, n = t->n_int32_data, wide = 4;
    }
    if (n != out->bytes / size) {
        onnx_fault(m, "tensor '%s' has %zu elements, its data holds %zu", out->name,
                   out->bytes / size, n);
        return false;
    }
    out->data = narrow(m, list, n, wide, size);
    return true;
}

const char *onnx_type_name(struct import *m, int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__STRING: return "8 (text)";
    case ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX64: return "14 (complex numbers)";
    case ONNX__TENSOR_PROTO__DATA_TYPE__COMPLEX128: return "15 (complex numbers)";
    default: return qbc_text(m->q, "%d", (int)type);
    }
}

bool onnx_tensor_read(struct import *m, const Onnx__TensorProto *t, const char *name,
                      struct qbc_source *out)
{
    *out = (struct qbc_source){.name = name, .element = (enum qbc_element)t->data_type};
    if (!qbc_element_bytes(out->element)) {
        onnx_fault(m, "tensor '%s' has elements of type %s; export with tensors of floats, integers or bools", name, onnx_type_name(m, t->data_type));
        return false;
    }
    if (!dims_of(m, t, out))
        return false;
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return read_external(m, t, out);
    if (t->segment)
        return read_raw(m, t, out);
    return read_list(m, t, out);
}

MlirAttribute onnx_tensor_attribute(struct import *m, const struct qbc_source *source)
{
    MlirType type =
        qbc_tensor(m->q, qbc_element_type(m->q, source->element), source->rank, source->dims);
    static const char none;
    const void *data = source->bytes ? source->data : &none;
    if (source->element != QBC_BOOL)
        return mlirDenseElementsAttrRawBufferGet(type, source->bytes, data);
    int *values = qbc_alloc(m->q, (source->bytes + 1) * sizeof *values);
    for (size_t i = 0; i < source->bytes; ++i)
        values[i] = ((const unsigned char *)data)[i] != 0;
    return mlirDenseElementsAttrBoolGet(type, (intptr_t)source->bytes, values);
}
