/* wire: the model file as protobuf-c is to see it.
 *
 *   before   the file: gigabytes of weights in raw_data fields, documentation, anything
 *   after    the same message without them; raw_data has become segment {begin, end}, the range of
 *            bytes in the mapped file
 *
 * So the weights stay in the file's mapping, and what protobuf-c allocates and how deep it recurses
 * is bounded by what is checked here. The walk knows messages from protobuf-c's own descriptors;
 * fields that they lack (the file may be newer than our onnx.proto) are left out.
 */
#include "onnx.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEEPEST = 40,     /* messages in messages; a subgraph costs three levels */
    LENGTH_BYTES = 5, /* room for a length that is known later */
    TENSOR_SEGMENT = 3,
    TENSOR_RAW_DATA = 9
};
enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct walk {
    const unsigned char *file;
    struct skeleton out;
    size_t capacity;
};

static bool bad(struct walk *w, size_t where, const char *problem)
{
    if (!w->out.problem) {
        w->out.problem = problem;
        w->out.where = where;
    }
    return false;
}

static bool write_bytes(struct walk *w, const void *bytes, size_t n)
{
    if (n > w->capacity - w->out.bytes) {
        size_t capacity = 2 * w->capacity + n + 4096;
        unsigned char *grown = realloc(w->out.data, capacity);
        if (!grown)
            return bad(w, 0, "there is not enough memory");
        w->out.data = grown;
        w->capacity = capacity;
    }
    memcpy(w->out.data + w->out.bytes, bytes, n);
    w->out.bytes += n;
    return true;
}

static bool write_varint(struct walk *w, uint64_t value)
{
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    return write_bytes(w, bytes, n);
}

static bool read_varint(struct walk *w, size_t *at, size_t end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        unsigned char byte = w->file[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return bad(w, *at, "the data ends within a number");
}

/* Moves *at past a field's value; *start is where its bytes begin. */
static bool skip(struct walk *w, size_t *at, size_t end, enum wire_type type, size_t *start)
{
    uint64_t n = type == WIRE_64 ? 8 : 4;
    if (type == WIRE_VARINT) {
        *start = *at;
        return read_varint(w, at, end, &n);
    }
    if (type == WIRE_BYTES && !read_varint(w, at, end, &n))
        return false;
    if (type != WIRE_BYTES && type != WIRE_64 && type != WIRE_32)
        return bad(w, *at, "a field has a type that does not exist");
    *start = *at;
    if (n > end - *at)
        return bad(w, *at, "a field is longer than what is left of its message");
    *at += n;
    return true;
}

/* What nobody reads. */
static bool is_idle(const ProtobufCFieldDescriptor *field)
{
    static const char *const idle[] = {"doc_string", "metadata_props", "training_info",
                                       "quantization_annotation"};
    for (size_t i = 0; i < sizeof idle / sizeof *idle; ++i)
        if (!strcmp(field->name, idle[i]))
            return true;
    return false;
}

static bool write_segment(struct walk *w, size_t begin, size_t end)
{
    struct walk inner = {.file = w->file};
    bool good = write_varint(&inner, 1 << 3) && write_varint(&inner, begin) &&
                write_varint(&inner, 2 << 3) && write_varint(&inner, end) &&
                write_varint(w, TENSOR_SEGMENT << 3 | WIRE_BYTES) &&
                write_varint(w, inner.out.bytes) && write_bytes(w, inner.out.data, inner.out.bytes);
    free(inner.out.data);
    return good;
}

static bool message(struct walk *w, const ProtobufCMessageDescriptor *type, size_t at, size_t end,
                    int depth);

/* A nested message: its length comes after it, into bytes that were left free. */
static bool nested(struct walk *w, uint64_t key, const ProtobufCMessageDescriptor *type, size_t at,
                   size_t end, int depth)
{
    static const unsigned char room[LENGTH_BYTES];
    if (!write_varint(w, key))
        return false;
    size_t length_at = w->out.bytes;
    if (!write_bytes(w, room, LENGTH_BYTES) || !message(w, type, at, end, depth + 1))
        return false;
    size_t n = w->out.bytes - length_at - LENGTH_BYTES;
    if (n >> 31)
        return bad(w, at, "without its weights it is still larger than 2 GiB");
    for (int i = 0; i < LENGTH_BYTES; ++i, n >>= 7)
        w->out.data[length_at + (size_t)i] =
            (unsigned char)((n & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
    return true;
}

static bool message(struct walk *w, const ProtobufCMessageDescriptor *type, size_t at, size_t end,
                    int depth)
{
    if (depth > DEEPEST)
        return bad(w, at, "messages are nested too deep");
    while (at < end) {
        uint64_t key;
        size_t field_at = at, start;
        if (!read_varint(w, &at, end, &key))
            return false;
        enum wire_type wire = (enum wire_type)(key & 7);
        if (key >> 3 == 0 || key >> 3 > UINT32_MAX >> 3 || !skip(w, &at, end, wire, &start))
            return bad(w, field_at, "there is a field without a number");
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
        bool tensor = type == &onnx__tensor_proto__descriptor;
        bool good = true;
        if (!field || is_idle(field) || (tensor && field->id == TENSOR_SEGMENT))
            continue;
        if (tensor && field->id == TENSOR_RAW_DATA && wire == WIRE_BYTES)
            good = write_segment(w, start, at);
        else if (field->type == PROTOBUF_C_TYPE_MESSAGE && wire == WIRE_BYTES)
            good = nested(w, key, field->descriptor, start, at, depth);
        else
            good = write_bytes(w, w->file + field_at, at - field_at);
        if (!good)
            return false;
    }
    return true;
}

struct skeleton onnx_skeleton(const unsigned char *file, size_t bytes)
{
    struct walk w = {.file = file};
    if (!message(&w, &onnx__model_proto__descriptor, 0, bytes, 0) && !w.out.problem)
        bad(&w, 0, "it cannot be read");
    return w.out;
}
