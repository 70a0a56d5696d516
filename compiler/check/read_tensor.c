/* read_tensor: the files of an ONNX backend test. */
#include "check.h"
#include "onnx.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t *check_read_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t room = 1 << 16;
    uint8_t *data = malloc(room);
    *bytes = 0;
    for (size_t n; (n = fread(data + *bytes, 1, room - *bytes, f)); data = realloc(data, room)) {
        *bytes += n;
        room = *bytes == room ? 2 * room : room;
    }
    fclose(f);
    return data;
}

static bool shape_of(const Onnx__TensorProto *t, struct check_tensor *out)
{
    out->element = (enum qbc_element)t->data_type;
    out->rank = t->n_dims;
    out->n = 1;
    if (t->n_dims > QBC_MAX_RANK || !qbc_element_bits(out->element))
        return false;
    for (size_t i = 0; i < t->n_dims; ++i) {
        out->dims[i] = t->dims[i];
        out->n *= (size_t)t->dims[i];
    }
    return true;
}

static void unpack(struct check_tensor *out, const uint8_t *packed)
{
    int bits = qbc_element_bits(out->element);
    bool is_signed = out->element == QBC_I4 || out->element == QBC_I2;
    for (size_t i = 0; i < out->n; ++i) {
        int code = packed[i * (size_t)bits / 8] >> (int)(i * (size_t)bits % 8) & ((1 << bits) - 1);
        out->data[i] = (uint8_t)(is_signed && code >> (bits - 1) ? code - (1 << bits) : code);
    }
}

/* Lists of numbers that are wider than the elements hold them in their low bytes. */
static bool from_list(const Onnx__TensorProto *t, struct check_tensor *out)
{
    const struct {
        const void *data;
        size_t n, wide;
    } lists[] = {{t->float_data, t->n_float_data, 4},   {t->int32_data, t->n_int32_data, 4},
                 {t->int64_data, t->n_int64_data, 8},   {t->double_data, t->n_double_data, 8},
                 {t->uint64_data, t->n_uint64_data, 8}};
    size_t size = qbc_element_bytes(out->element), bits = (size_t)qbc_element_bits(out->element);
    for (size_t l = 0; l < sizeof lists / sizeof *lists; ++l) {
        size_t packed = bits < 8 ? (out->n * bits + 7) / 8 : out->n;
        if (!lists[l].n || lists[l].n != packed)
            continue;
        uint8_t *bytes = malloc(packed * size + 1);
        for (size_t i = 0; i < packed; ++i)
            memcpy(bytes + i * size, (const uint8_t *)lists[l].data + i * lists[l].wide, size);
        if (bits < 8)
            unpack(out, bytes);
        else
            memcpy(out->data, bytes, packed * size);
        free(bytes);
        return true;
    }
    return !out->n;
}

/* Elements for which the file has data at most; narrow ones share a number of a list. */
static size_t most_elements(const Onnx__TensorProto *t)
{
    enum { BITS = 8, SHARE = 4 };
    return t->has_raw_data ? BITS * t->raw_data.len
                           : SHARE * (t->n_float_data + t->n_int32_data + t->n_int64_data + t->n_double_data + t->n_uint64_data);
}

static const char *convert(const Onnx__TensorProto *t, struct check_tensor *out)
{
    if (!shape_of(t, out))
        return "its element type or rank is not supported";
    if (out->n > most_elements(t))
        return "its data do not fit its shape";
    size_t bits = (size_t)qbc_element_bits(out->element), bytes = out->n * qbc_element_bytes(out->element);
    out->data = calloc(bytes + 64, 1);
    if (!t->has_raw_data)
        return from_list(t, out) ? NULL : "its data do not fit its shape";
    if (t->raw_data.len != (out->n * bits + 7) / 8)
        return "its raw data do not fit its shape";
    if (bits < 8)
        unpack(out, t->raw_data.data);
    else if (bytes)
        memcpy(out->data, t->raw_data.data, bytes);
    return NULL;
}

const char *check_read_tensor(const char *path, struct check_tensor *out)
{
    size_t bytes;
    *out = (struct check_tensor){.data = NULL};
    uint8_t *file = check_read_file(path, &bytes);
    if (!file)
        return "cannot be read";
    Onnx__TensorProto *t = onnx__tensor_proto__unpack(NULL, bytes, file);
    free(file);
    if (!t)
        return "is no tensor";
    const char *wrong = convert(t, out);
    onnx__tensor_proto__free_unpacked(t, NULL);
    return wrong;
}

static bool is_open(const Onnx__ValueInfoProto *info)
{
    const Onnx__TypeProto__Tensor *t = info->type ? info->type->tensor_type : NULL;
    if (!t || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->shape)
        return true;
    for (size_t i = 0; i < t->shape->n_dim; ++i)
        if (t->shape->dim[i]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            return true;
    return false;
}

static bool is_weight(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; ++i)
        if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name))
            return true;
    return false;
}

const char *check_read_inputs(const char *path, struct check_input **out, size_t *n)
{
    size_t bytes;
    uint8_t *file = check_read_file(path, &bytes);
    Onnx__ModelProto *model = file ? onnx__model_proto__unpack(NULL, bytes, file) : NULL;
    free(file);
    *n = 0;
    if (!model || !model->graph)
        return "is no ONNX model";
    const Onnx__GraphProto *g = model->graph;
    *out = calloc(g->n_input + 1, sizeof **out);
    for (size_t i = 0; i < g->n_input; ++i)
        if (g->input[i]->name && !is_weight(g, g->input[i]->name))
            (*out)[(*n)++] = (struct check_input){strdup(g->input[i]->name), is_open(g->input[i])};
    onnx__model_proto__free_unpacked(model, NULL);
    return NULL;
}
