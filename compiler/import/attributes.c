/* attributes: what stands in a node beside its inputs, as MLIR attributes. */
#include "onnx.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { LARGEST = 4096 }; /* elements of a tensor attribute that enters the IR */

const Onnx__AttributeProto *onnx_attribute_find(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; ++i)
        if (node->attribute[i]->name && !strcmp(node->attribute[i]->name, name))
            return node->attribute[i];
    return NULL;
}

/* Files from before the type was required say it by what they fill. */
static Onnx__AttributeProto__AttributeType type_of(const Onnx__AttributeProto *a)
{
    if (a->has_type && a->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return a->type;
    return a->has_f       ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
           : a->has_i     ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
           : a->has_s     ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
           : a->t         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR
           : a->g         ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH
           : a->n_floats  ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
           : a->n_strings ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS
                          : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
}

static MlirAttribute text_attribute(struct import *m, const ProtobufCBinaryData *bytes)
{
    return mlirStringAttrGet(m->q->mlir,
                             mlirStringRefCreate((const char *)bytes->data, bytes->len));
}

static MlirAttribute texts_attribute(struct import *m, const Onnx__AttributeProto *a)
{
    MlirAttribute *texts = qbc_alloc(m->q, (a->n_strings + 1) * sizeof *texts);
    for (size_t i = 0; i < a->n_strings; ++i)
        texts[i] = text_attribute(m, &a->strings[i]);
    return mlirArrayAttrGet(m->q->mlir, (intptr_t)a->n_strings, texts);
}

static MlirAttribute tensor(struct import *m, const Onnx__NodeProto *node,
                            const Onnx__AttributeProto *a)
{
    struct qbc_source source;
    if (!a->t)
        onnx_fault_at(m, node, "attribute '%s' should be a tensor and is none", a->name);
    if (!a->t || !onnx_tensor_read(m, a->t, a->name, &source))
        return (MlirAttribute){NULL};
    if (source.bytes / qbc_element_bytes(source.element) > LARGEST) {
        onnx_fault_at(m, node, "attribute '%s' holds a tensor of more than %d elements", a->name,
                      LARGEST);
        return (MlirAttribute){NULL};
    }
    if (qbc_element_bits(source.element) < 8) {
        onnx_fault_at(m, node, "attribute '%s' holds packed elements, which only weights may", a->name);
        return (MlirAttribute){NULL};
    }
    return onnx_tensor_attribute(m, &source);
}

MlirAttribute onnx_attribute_of(struct import *m, const Onnx__NodeProto *node,
                                const Onnx__AttributeProto *a)
{
    struct qbc *q = m->q;
    switch ((int)type_of(a)) { /* the file may hold a number that is none of the enum */
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        return qbc_attr_float(q, a->f);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        return qbc_attr_int(q, a->i);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
        return text_attribute(m, &a->s);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        return tensor(m, node, a);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        return mlirDenseF32ArrayGet(q->mlir, (intptr_t)a->n_floats, a->floats);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        return mlirDenseI64ArrayGet(q->mlir, (intptr_t)a->n_ints, a->ints);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS:
        return texts_attribute(m, a);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH:
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS:
        onnx_fault_at(m, node,
                      "attribute '%s' is a subgraph; only control flow (If, Loop, Scan) has such",
                      a->name);
        break;
    default:
        onnx_fault_at(m, node, "attribute '%s' has a type (%d) that is not supported", a->name,
                      (int)type_of(a));
    }
    return (MlirAttribute){NULL};
}

/* --- Constant: one of value, value_int(s), value_float(s) */

static struct qbc_source list(const char *name, enum qbc_element element, size_t n, bool scalar,
                              const void *data)
{
    struct qbc_source s = {.name = name, .element = element, .rank = !scalar, .data = data};
    s.dims[0] = (int64_t)n;
    s.bytes = n * qbc_element_bytes(element);
    return s;
}

bool onnx_constant_read(struct import *m, const Onnx__NodeProto *node, struct qbc_source *out)
{
    const char *name = node->output[0];
    const Onnx__AttributeProto *a;
    *out = (struct qbc_source){.name = name};
    if ((a = onnx_attribute_find(node, "value")) && a->t)
        return onnx_tensor_read(m, a->t, name, out);
    if ((a = onnx_attribute_find(node, "value_int")))
        *out = list(name, QBC_I64, 1, true, &a->i);
    else if ((a = onnx_attribute_find(node, "value_float")))
        *out = list(name, QBC_F32, 1, true, &a->f);
    else if ((a = onnx_attribute_find(node, "value_ints")))
        *out = list(name, QBC_I64, a->n_ints, false, a->ints);
    else if ((a = onnx_attribute_find(node, "value_floats")))
        *out = list(name, QBC_F32, a->n_floats, false, a->floats);
    else
        onnx_fault_at(m, node, "it holds no dense tensor, number or list of numbers");
    return out->element != 0;
}
