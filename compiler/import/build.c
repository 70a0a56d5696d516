/* build: the checked graph as level-0 IR (import.h shows it). */
#include "onnx.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 64 }; /* elements of a tensor that stands in the IR itself */

/* --- types */

static MlirType tensor_type(struct import *m, enum qbc_element element, bool ranked, size_t rank,
                            const char *const *dims)
{
    MlirType type = qbc_element_type(m->q, element);
    int64_t sizes[QBC_MAX_RANK];
    if (!ranked)
        return mlirUnrankedTensorTypeGet(type);
    for (size_t i = 0; i < rank; ++i) {
        char *end;
        long long size = strtoll(dims[i], &end, 10);
        sizes[i] = end != dims[i] && !*end ? size : QBC_ANY;
    }
    return qbc_tensor(m->q, type, rank, sizes);
}

MlirType onnx_declared_type(struct import *m, const char *name)
{
    const Onnx__TypeProto *type = *name ? onnx_names_get(m->types, name) : NULL;
    const char *dims[QBC_MAX_RANK];
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type ||
        !qbc_element_bytes((enum qbc_element)type->tensor_type->elem_type))
        return (MlirType){NULL};
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    bool ranked = shape && shape->n_dim <= QBC_MAX_RANK;
    for (size_t i = 0; ranked && i < shape->n_dim; ++i)
        dims[i] = onnx_dim_text(m, shape->dim[i]);
    return tensor_type(m, (enum qbc_element)type->tensor_type->elem_type, ranked,
                       ranked ? shape->n_dim : 0, dims);
}

static enum qbc_element element_of(MlirValue v, enum qbc_element fallback)
{
    enum qbc_element element;
    MlirType type = mlirValueGetType(v);
    return mlirTypeIsAShaped(type) && qbc_element_of(mlirShapedTypeGetElementType(type), &element)
               ? element
               : fallback;
}

static enum qbc_element by_attribute(const Onnx__NodeProto *node, const char *name,
                                     enum qbc_element fallback)
{
    const Onnx__AttributeProto *a = onnx_attribute_find(node, name);
    int64_t type = !a ? 0 : a->t ? a->t->data_type : a->i;
    return type > 0 && type < 64 && qbc_element_bytes((enum qbc_element)type)
               ? (enum qbc_element)type
               : fallback;
}

static enum qbc_element element_by_rule(const Onnx__NodeProto *node, enum onnx_elements rule,
                                        const MlirValue *inputs)
{
    size_t like = rule <= LIKE_7 ? (size_t)(rule - LIKE_0) : rule == ZERO_POINT ? 2 : rule == OUTPUT ? 1 : 0;
    enum qbc_element fallback = rule == ZERO_POINT ? by_attribute(node, "output_dtype", QBC_U8) : QBC_F32;
    enum qbc_element found = like < node->n_input ? element_of(inputs[like], fallback) : fallback;
    switch (rule) {
    case BOOL:
        return QBC_BOOL;
    case F32:
        return QBC_F32;
    case I32:
        return QBC_I32;
    case I64:
        return QBC_I64;
    case U8:
        return QBC_U8;
    case TO:
        return by_attribute(node, "to", QBC_F32);
    case VALUE:
        return by_attribute(node, "value", QBC_F32);
    case DTYPE:
        return by_attribute(node, "dtype", found);
    case OUTPUT:
        return by_attribute(node, "output_dtype", found);
    default:
        return found;
    }
}

static MlirType result_type(struct import *m, const Onnx__NodeProto *node, size_t k,
                            const struct onnx_op *op, const MlirValue *inputs)
{
    MlirType declared = onnx_declared_type(m, node->output[k]);
    if (!mlirTypeIsNull(declared))
        return declared;
    enum qbc_element element = element_by_rule(node, k ? op->others : op->first, inputs);
    return mlirUnrankedTensorTypeGet(qbc_element_type(m->q, element));
}

/* --- weights and constants */

static struct qbc_build place(struct import *m, MlirLocation loc)
{
    return qbc_at_end(m->q, m->body, loc);
}

/* Large ones are a name of the store, small ones stand in the IR. The store knows both. */
static MlirValue build_tensor(struct import *m, const struct qbc_source *s, MlirLocation loc)
{
    struct qbc_build b = place(m, loc);
    MlirType type = qbc_tensor(m->q, qbc_element_type(m->q, s->element), s->rank, s->dims);
    MlirAttribute name = qbc_attr_string(m->q, s->name);
    qbc_store_add(m->q, *s);
    if (qbc_element_bits(s->element) >= 8 && s->bytes / qbc_element_bytes(s->element) <= SMALL) {
        struct qbc_attr attrs[] = {
            {"value", onnx_tensor_attribute(m, s)}, {"source", name}, {NULL, {NULL}}};
        return mlirOperationGetResult(qbc_make(&b, "onnx.Constant", type, attrs, 0, NULL), 0);
    }
    int64_t strides[QBC_MAX_RANK], stride = 1;
    for (size_t d = s->rank; d-- > 0; stride *= s->dims[d])
        strides[d] = stride;
    struct qbc_attr attrs[] = {
        {"name", name},
        {"source", name},
        {"offset", qbc_attr_int(m->q, 0)},
        {"strides", mlirDenseI64ArrayGet(m->q->mlir, (intptr_t)s->rank, strides)},
        {NULL, {NULL}},
    };
    return mlirOperationGetResult(qbc_make(&b, "qb.weight", type, attrs, 0, NULL), 0);
}

/* Only weights that something reads; a fault in the others is none of ours. */
void onnx_build_weights(struct import *m)
{
    MlirLocation file = mlirLocationFileLineColGet(m->q->mlir, qbc_str(m->path), 0, 0);
    struct names *used = onnx_names_create(m->q);
    for (size_t i = 0; i < m->graph->n_node; ++i)
        for (size_t k = 0; k < m->graph->node[i]->n_input; ++k)
            onnx_names_put(used, m->graph->node[i]->input[k], m);
    onnx_note_uses(m, used, m->graph);
    for (size_t i = 0; i < m->n_out; ++i)
        onnx_names_put(used, m->out[i].name, m);
    for (size_t i = 0; i < m->graph->n_initializer; ++i) {
        const Onnx__TensorProto *t = m->graph->initializer[i];
        struct qbc_source source;
        if (!onnx_names_get(used, t->name) || !onnx_tensor_read(m, t, t->name, &source))
            continue;
        struct value *value = onnx_names_get(m->values, t->name);
        MlirLocation loc = mlirLocationNameGet(m->q->mlir, qbc_str(t->name), file);
        value->mlir = build_tensor(m, &source, loc);
    }
}

static void build_constant(struct import *m, const Onnx__NodeProto *node)
{
    struct qbc_source source;
    struct value *value = onnx_names_get(m->values, node->output[0]);
    if (*node->output[0] && onnx_constant_read(m, node, &source))
        value->mlir = build_tensor(m, &source, onnx_node_location(m, node));
}

/* --- nodes */

static bool gather_inputs(struct import *m, const Onnx__NodeProto *node, MlirLocation loc,
                          MlirValue *inputs)
{
    struct qbc_build b = place(m, loc);
    for (size_t i = 0; i < node->n_input; ++i) {
        const struct value *value = onnx_names_get(m->values, node->input[i]);
        if (*node->input[i])
            inputs[i] = value->mlir;
        else
            inputs[i] = qbc_op(&b, "onnx.None", mlirNoneTypeGet(m->q->mlir), 0);
        if (mlirValueIsNull(inputs[i])) {
            if (!m->reported)
                onnx_fault_at(m, node, "its input '%s' cannot be built", node->input[i]);
            return false; /* why has been told */
        }
    }
    return true;
}

static bool gather_attributes(struct import *m, const Onnx__NodeProto *node, struct qbc_attr *attrs)
{
    MlirAttribute *graphs = qbc_alloc(m->q, (node->n_attribute + 1) * sizeof *graphs);
    size_t n = 0, n_graphs = 0;
    for (size_t i = 0; i < node->n_attribute; ++i) {
        if (onnx_is_graph(node, node->attribute[i])) {
            graphs[n_graphs++] = qbc_attr_string(m->q, node->attribute[i]->name);
            continue;
        }
        attrs[n].name = node->attribute[i]->name;
        attrs[n].value = onnx_attribute_of(m, node, node->attribute[i]);
        if (mlirAttributeIsNull(attrs[n++].value))
            return false;
    }
    if (n_graphs)
        attrs[n] = (struct qbc_attr){"graphs", mlirArrayAttrGet(m->q->mlir, (intptr_t)n_graphs, graphs)};
    return true;
}

static size_t count_graphs(const Onnx__NodeProto *node)
{
    size_t n = 0;
    for (size_t i = 0; i < node->n_attribute; ++i)
        n += onnx_is_graph(node, node->attribute[i]);
    return n;
}

static void build_graphs(struct import *m, const Onnx__NodeProto *node, MlirOperation op)
{
    size_t region = 0;
    for (size_t i = 0; i < node->n_attribute; ++i)
        if (onnx_is_graph(node, node->attribute[i]) && !onnx_build_graph(m, node->attribute[i], op, region++))
            return; /* why has been told */
}

static void build_node(struct import *m, const Onnx__NodeProto *node)
{
    const char *domain = onnx_domain_of(node);
    const struct onnx_op *op = onnx_op_find(domain, node->op_type);
    MlirLocation loc = onnx_node_location(m, node);
    MlirValue *inputs = qbc_alloc(m->q, (node->n_input + 1) * sizeof *inputs);
    MlirType *types = qbc_alloc(m->q, (node->n_output + 1) * sizeof *types);
    struct qbc_attr *attrs = qbc_alloc(m->q, (node->n_attribute + 2) * sizeof *attrs);
    if (!gather_inputs(m, node, loc, inputs) || !gather_attributes(m, node, attrs))
        return;
    for (size_t k = 0; k < node->n_output; ++k)
        types[k] = result_type(m, node, k, op, inputs);
    struct qbc_build b = place(m, loc);
    const char *name = qbc_text(m->q, "onnx.%s%s%s", domain, *domain ? "." : "", node->op_type);
    size_t n_graphs = count_graphs(node);
    struct qbc_region *regions = qbc_alloc(m->q, (n_graphs + 1) * sizeof *regions);
    for (size_t i = 0; i < n_graphs; ++i)
        regions[i].no_block = true;
    MlirOperation made = qbc_make_regions(&b, name, node->n_output, types, attrs, node->n_input, inputs, n_graphs, regions);
    build_graphs(m, node, made);
    for (size_t k = 0; k < node->n_output; ++k) {
        struct value *value = onnx_names_get(m->values, node->output[k]);
        if (*node->output[k])
            value->mlir = mlirOperationGetResult(made, (intptr_t)k);
    }
}

bool onnx_build_nodes(struct import *m)
{
    size_t before = m->q->errors;
    for (size_t i = 0; i < m->n_order; ++i) {
        const Onnx__NodeProto *node = m->graph->node[m->order[i]];
        if (!strcmp(node->op_type, "Constant"))
            build_constant(m, node);
        else
            build_node(m, node);
    }
    return m->q->errors == before;
}

MlirType onnx_interface_type(struct import *m, const struct interface *x)
{
    return tensor_type(m, x->element, x->ranked, x->rank, x->dims);
}

/* --- the function */

static MlirNamedAttribute pair(struct import *m, const char *name, MlirAttribute value)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(m->q->mlir, qbc_str(name)), value);
}

static MlirAttribute interface_attributes(struct import *m, const struct interface *x,
                                          const char *role)
{
    MlirNamedAttribute named[4];
    MlirAttribute dims[QBC_MAX_RANK];
    intptr_t n = 0;
    for (size_t i = 0; i < x->rank; ++i)
        dims[i] = qbc_attr_string(m->q, x->dims[i]);
    named[n++] = pair(m, role, qbc_attr_string(m->q, x->role));
    named[n++] = pair(m, "qb.name", qbc_attr_string(m->q, x->name));
    if (x->ranked)
        named[n++] = pair(m, "qb.dims", mlirArrayAttrGet(m->q->mlir, (intptr_t)x->rank, dims));
    if (x->past >= 0)
        named[n++] = pair(m, "qb.past", qbc_attr_int(m->q, x->past));
    return mlirDictionaryAttrGet(m->q->mlir, n, named);
}

static MlirAttribute all_attributes(struct import *m, const struct interface *x, size_t n,
                                    const char *role)
{
    MlirAttribute *each = qbc_alloc(m->q, (n + 1) * sizeof *each);
    for (size_t i = 0; i < n; ++i)
        each[i] = interface_attributes(m, &x[i], role);
    return mlirArrayAttrGet(m->q->mlir, (intptr_t)n, each);
}

static MlirOperation build_function(struct import *m, MlirModule module)
{
    MlirLocation loc = mlirLocationFileLineColGet(m->q->mlir, qbc_str(m->path), 0, 0);
    MlirType *types = qbc_alloc(m->q, (m->n_in + 1) * sizeof *types);
    for (size_t i = 0; i < m->n_in; ++i)
        types[i] = onnx_interface_type(m, &m->in[i]);
    MlirType type = mlirFunctionTypeGet(m->q->mlir, (intptr_t)m->n_in, types, 0, NULL);
    struct qbc_build b = qbc_at_end(m->q, mlirModuleGetBody(module), loc);
    struct qbc_attr attrs[] = {{"sym_name", qbc_attr_string(m->q, "main")},
                               {"function_type", mlirTypeAttrGet(type)},
                               {NULL, {NULL}}};
    struct qbc_region body = {m->n_in, types};
    MlirOperation func = qbc_make_regions(&b, "func.func", 0, NULL, attrs, 0, NULL, 1, &body);
    m->body = qbc_region_block(func, 0);
    for (size_t i = 0; i < m->n_in; ++i) {
        struct value *value = onnx_names_get(m->values, m->in[i].name);
        value->mlir = mlirBlockGetArgument(m->body, (intptr_t)i);
    }
    return func;
}

static void build_return(struct import *m, MlirOperation func)
{
    MlirValue *values = qbc_alloc(m->q, (m->n_out + 1) * sizeof *values);
    for (size_t i = 0; i < m->n_out; ++i) {
        const struct value *value = onnx_names_get(m->values, m->out[i].name);
        values[i] = value->mlir;
        if (mlirValueIsNull(values[i])) {
            if (!m->reported)
                onnx_fault(m, "output '%s' cannot be built", m->out[i].name);
            return; /* why has been told */
        }
    }
    struct qbc_build b = place(m, mlirOperationGetLocation(func));
    qbc_make(&b, "func.return", (MlirType){NULL}, NULL, m->n_out, values);
}

void onnx_type_function(struct import *m, MlirOperation func)
{
    MlirType *in = qbc_alloc(m->q, (m->n_in + 1) * sizeof *in);
    MlirType *out = qbc_alloc(m->q, (m->n_out + 1) * sizeof *out);
    for (size_t i = 0; i < m->n_in; ++i) {
        in[i] = tensor_type(m, m->in[i].element, m->in[i].ranked, m->in[i].rank, m->in[i].dims);
        mlirValueSetType(mlirBlockGetArgument(m->body, (intptr_t)i), in[i]);
    }
    for (size_t i = 0; i < m->n_out; ++i) {
        const struct value *value = onnx_names_get(m->values, m->out[i].name);
        out[i] = mlirValueGetType(value->mlir);
    }
    MlirType type = mlirFunctionTypeGet(m->q->mlir, (intptr_t)m->n_in, in, (intptr_t)m->n_out, out);
    qbc_set(func, "function_type", mlirTypeAttrGet(type));
    qbc_set(func, "arg_attrs", all_attributes(m, m->in, m->n_in, "qb.input"));
    qbc_set(func, "res_attrs", all_attributes(m, m->out, m->n_out, "qb.output"));
}

static void label(struct import *m, MlirModule module)
{
    MlirOperation op = mlirModuleGetOperation(module);
    size_t n = m->model->n_opset_import;
    MlirAttribute *opsets = qbc_alloc(m->q, (n + 1) * sizeof *opsets);
    for (size_t i = 0; i < n; ++i) {
        const Onnx__OperatorSetIdProto *set = m->model->opset_import[i];
        const char *domain = set->domain && strcmp(set->domain, "ai.onnx") ? set->domain : "";
        opsets[i] =
            qbc_attr_string(m->q, qbc_text(m->q, "%s=%lld", domain, (long long)set->version));
    }
    const char *slash = strrchr(m->path, '/');
    qbc_set_string(m->q, op, "qb.level", "onnx");
    qbc_set_string(m->q, op, "qb.source", slash ? slash + 1 : m->path);
    const char *producer = m->model->producer_name, *version = m->model->producer_version;
    if (producer && *producer)
        qbc_set_string(m->q, op, "qb.producer", onnx_printable(m->q, qbc_text(m->q, "%s %s", producer, version ? version : "")));
    qbc_set(op, "qb.opset", mlirArrayAttrGet(m->q->mlir, (intptr_t)n, opsets));
}

MlirModule onnx_build_module(struct import *m)
{
    MlirLocation loc = mlirLocationFileLineColGet(m->q->mlir, qbc_str(m->path), 0, 0);
    MlirModule module = mlirModuleCreateEmpty(loc);
    MlirOperation func = build_function(m, module);
    label(m, module);
    onnx_build_weights(m);
    onnx_build_nodes(m);
    build_return(m, func);
    return module;
}
