/* subgraph: bodies of control flow become regions. A region sees the names around it; its block's arguments are the graph's
 * inputs, and `onnx.yield` has its outputs.
 */
#include "onnx.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

bool onnx_is_graph(const Onnx__NodeProto *node, const Onnx__AttributeProto *a)
{
    static const char *const ops[] = {"If", "Loop", "Scan", NULL};
    const char *domain = onnx_domain_of(node);
    if (!strcmp(domain, "ai.onnx.preview"))
        return a->g && !strcmp(node->op_type, "FlexAttention");
    return a->g && !*domain && qbc_one_of(node->op_type, ops);
}

void onnx_note_uses(struct import *m, struct names *used, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_node; ++i)
        for (size_t k = 0; k < g->node[i]->n_attribute; ++k) {
            const Onnx__GraphProto *inner = g->node[i]->attribute[k]->g;
            for (size_t n = 0; inner && n < inner->n_node; ++n)
                for (size_t j = 0; j < inner->node[n]->n_input; ++j)
                    onnx_names_put(used, inner->node[n]->input[j], m);
            for (size_t n = 0; inner && n < inner->n_output; ++n)
                if (inner->output[n]->name)
                    onnx_names_put(used, inner->output[n]->name, m);
            if (inner)
                onnx_note_uses(m, used, inner);
        }
}

static void sizes_of(struct import *m, struct interface *x)
{
    for (size_t d = 0; d < x->rank; ++d)
        x->dims[d] = x->size[d] >= 0 ? qbc_text(m->q, "%lld", (long long)x->size[d]) : "?";
}

static bool yield(struct import *m, MlirLocation loc)
{
    MlirValue *values = qbc_alloc(m->q, (m->n_out + 1) * sizeof *values);
    for (size_t i = 0; i < m->n_out; ++i) {
        const struct value *value = onnx_names_get(m->values, m->out[i].name);
        values[i] = value->mlir;
        if (mlirValueIsNull(values[i])) {
            if (!m->reported)
                onnx_fault(m, "the graph '%s' inside of a node gives '%s', which nothing before that node computes", m->graph->name, m->out[i].name);
            return false;
        }
    }
    struct qbc_build b = qbc_at_end(m->q, m->body, loc);
    qbc_make(&b, "onnx.yield", (MlirType){NULL}, NULL, m->n_out, values);
    return true;
}

bool onnx_build_graph(struct import *m, const Onnx__AttributeProto *a, MlirOperation op, size_t region)
{
    size_t before = m->q->errors;
    struct import inner = *m;
    MlirLocation loc = mlirOperationGetLocation(op);
    inner.graph = a->g;
    inner.inside = true;
    inner.values = onnx_names_create_inside(m->q, m->values);
    inner.types = onnx_names_create_inside(m->q, m->types);
    inner.n_in = inner.n_out = inner.n_order = 0;
    onnx_check_graph(&inner);
    m->reported = inner.reported;
    if (m->q->errors > before)
        return false;
    inner.body = mlirBlockCreate(0, NULL, NULL);
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(op, (intptr_t)region), inner.body);
    for (size_t i = 0; i < inner.n_in; ++i) {
        sizes_of(m, &inner.in[i]);
        struct value *value = onnx_names_get(inner.values, inner.in[i].name);
        value->mlir = mlirBlockAddArgument(inner.body, onnx_interface_type(m, &inner.in[i]), loc);
    }
    onnx_build_weights(&inner);
    return onnx_build_nodes(&inner) && yield(&inner, loc);
}
