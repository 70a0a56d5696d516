/* check: is the model one that can be built? Every name defined once, every operation known, every
 * value there before it is used (nodes are sorted where the file does not). All faults are told.
 */
#include "onnx.h"

#include <stdlib.h>
#include <string.h>

enum { OLDEST_OPSET = 11, NEWEST_OPSET = 28, MOST_ATTRIBUTES = 256 };

/* --- the model as a whole */

static void check_opset(struct import *m)
{
    m->opset = 0;
    for (size_t i = 0; i < m->model->n_opset_import; ++i) {
        const Onnx__OperatorSetIdProto *set = m->model->opset_import[i];
        if (!set->domain || !*set->domain || !strcmp(set->domain, "ai.onnx"))
            m->opset = set->version;
    }
    bool as_it_is = m->q->options.entry && !strcmp(m->q->options.entry, "run");
    if ((m->opset >= OLDEST_OPSET || as_it_is) && m->opset <= NEWEST_OPSET)
        return;
    if (m->opset == 0)
        onnx_fault(m, "the model does not say which opset of ONNX it uses");
    else
        onnx_fault(m, "the model uses opset %lld of ONNX; %d to %d are supported: %s",
                   (long long)m->opset, OLDEST_OPSET, NEWEST_OPSET,
                   m->opset < OLDEST_OPSET ? "export again, or convert it (onnx.version_converter)"
                                           : "export with an older opset");
}

void onnx_check_model(struct import *m)
{
    m->graph = m->model->graph;
    if (!m->graph) {
        onnx_fault(m, "this is no ONNX model: it has no graph");
        return;
    }
    check_opset(m);
    if (m->graph->n_sparse_initializer)
        onnx_fault(m, "the model has sparse weights, which are not supported; export dense ones");
}

/* --- names */

static void define(struct import *m, const char *name, enum value_kind kind, size_t index,
                   const Onnx__NodeProto *node)
{
    const struct value *old = onnx_names_get_here(m->values, name);
    if (old) {
        static const char *const kinds[] = {"an input", "a weight", "another node"};
        if (node)
            onnx_fault_at(m, node, "its output '%s' has the name of %s", name, kinds[old->kind]);
        else
            onnx_fault(m, "two tensors have the name '%s'", name);
        return;
    }
    struct value *value = qbc_alloc(m->q, sizeof *value);
    *value = (struct value){.kind = kind, .index = index};
    onnx_names_put(m->values, name, value);
}

static bool is_weight(struct import *m, const char *name)
{
    const struct value *value = onnx_names_get_here(m->values, name);
    return value && value->kind == VALUE_WEIGHT;
}

/* Inputs that are weights too (files of 2019 and before list them twice) are weights. */
static void define_inputs(struct import *m)
{
    Onnx__GraphProto *g = m->graph;
    m->in = qbc_alloc(m->q, (g->n_input + 1) * sizeof *m->in);
    for (size_t i = 0; i < g->n_input; ++i) {
        if (!g->input[i]->name || !*g->input[i]->name) {
            onnx_fault(m, "input %zu has no name", i);
        } else if (!is_weight(m, g->input[i]->name)) {
            if (!onnx_read_interface(m, g->input[i], &m->in[m->n_in]))
                continue;
            define(m, g->input[i]->name, VALUE_INPUT, m->n_in++, NULL);
        }
    }
}

static void define_weights(struct import *m)
{
    for (size_t i = 0; i < m->graph->n_initializer; ++i) {
        const char *name = m->graph->initializer[i]->name;
        if (name && *name)
            define(m, name, VALUE_WEIGHT, i, NULL);
        else
            onnx_fault(m, "weight %zu has no name", i);
    }
}

static void define_results(struct import *m)
{
    for (size_t i = 0; i < m->graph->n_node; ++i) {
        const Onnx__NodeProto *node = m->graph->node[i];
        for (size_t k = 0; k < node->n_output; ++k)
            if (*node->output[k])
                define(m, node->output[k], VALUE_NODE, i, node);
    }
}

static void declare(struct import *m, Onnx__ValueInfoProto **infos, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (infos[i]->name && infos[i]->type)
            onnx_names_put(m->types, infos[i]->name, infos[i]->type);
}

/* --- nodes */

static size_t count_of_kind(struct import *m, const Onnx__NodeProto *node, size_t from)
{
    size_t n = 0;
    for (size_t i = from; i < m->graph->n_node; ++i) {
        const Onnx__NodeProto *other = m->graph->node[i];
        n += other->op_type && !strcmp(other->op_type, node->op_type) &&
             !strcmp(onnx_domain_of(other), onnx_domain_of(node));
    }
    return n;
}

/* Told once for each kind of operation, with how many nodes there are. */
static void unknown_op(struct import *m, const Onnx__NodeProto *node, size_t index,
                       struct names *told)
{
    const char *domain = onnx_domain_of(node), *near;
    const char *key = qbc_text(m->q, "%s %s", domain, node->op_type);
    if (onnx_names_get(told, key))
        return;
    onnx_names_put(told, key, m);
    size_t n = count_of_kind(m, node, index);
    const char *many = n > 1 ? qbc_text(m->q, " (%zu nodes)", n) : "";
    if ((near = onnx_op_suggest(m->q, domain, node->op_type)))
        onnx_fault_at(m, node, "is not a known operation%s; did you mean %s?", many, near);
    else
        onnx_fault_at(m, node,
                      "is not a known operation%s; export without it, or add it "
                      "(docs/adding.md)",
                      many);
}

static void check_inputs(struct import *m, const Onnx__NodeProto *node, const struct onnx_op *op)
{
    size_t n = node->n_input;
    if (n < op->fewest || n > op->most)
        onnx_fault_at(m, node, "has %zu inputs, %s%zu", n,
                      n < op->fewest ? "needs at least " : "takes at most ",
                      n < op->fewest ? op->fewest : op->most);
    for (size_t i = 0; i < n; ++i) {
        if (*node->input[i] && !onnx_names_get(m->values, node->input[i]))
            onnx_fault_at(m, node,
                          "its input %zu, '%s', is not defined by any node, weight or "
                          "input of the model",
                          i, node->input[i]);
        else if (!*node->input[i] && i < op->fewest && !*op->domain)
            onnx_fault_at(m, node, "its input %zu is left out, but the operation needs it", i);
    }
    bool constant = !strcmp(op->name, "Constant");
    if (!node->n_output || (constant && node->n_output > 1))
        onnx_fault_at(m, node, node->n_output ? "has more than one output" : "has no output");
}

static void check_attributes(struct import *m, const Onnx__NodeProto *node)
{
    if (node->n_attribute > MOST_ATTRIBUTES) {
        onnx_fault_at(m, node, "has %zu attributes", node->n_attribute);
        return;
    }
    for (size_t i = 0; i < node->n_attribute; ++i) {
        const Onnx__AttributeProto *a = node->attribute[i];
        if (!a->name || !*a->name)
            onnx_fault_at(m, node, "attribute %zu has no name", i);
        else if (onnx_attribute_find(node, a->name) != a)
            onnx_fault_at(m, node, "has two attributes '%s'", a->name);
        else if (a->ref_attr_name && *a->ref_attr_name)
            onnx_fault_at(m, node, "attribute '%s' refers to one of a function", a->name);
    }
}

static void check_nodes(struct import *m)
{
    struct names *told = onnx_names_create(m->q);
    for (size_t i = 0; i < m->graph->n_node && m->reported <= MOST_REPORTED; ++i) {
        const Onnx__NodeProto *node = m->graph->node[i];
        if (!node->op_type || !*node->op_type) {
            onnx_fault_at(m, node, "the node does not say which operation it is");
            continue;
        }
        const struct onnx_op *op = onnx_op_find(onnx_domain_of(node), node->op_type);
        if (!op) {
            unknown_op(m, node, i, told);
            continue;
        }
        if (!*op->domain && m->opset >= OLDEST_OPSET && op->since > m->opset)
            onnx_fault_at(m, node, "the operation came with opset %lld; the model's opset is wrong",
                          (long long)op->since);
        check_inputs(m, node, op);
        check_attributes(m, node);
    }
}

/* --- order */

enum { NEW, OPEN, DONE };

struct sorting {
    unsigned char *state; /* of each node */
    size_t *next;         /* of each node: the input to look at */
    size_t *stack, depth; /* a path from a node to what it waits for */
};

/* Puts the next node that node i waits for on the stack, or i itself in order; false on a cycle. */
static bool step(struct import *m, struct sorting *s, size_t i)
{
    const Onnx__NodeProto *node = m->graph->node[i];
    while (s->next[i] < node->n_input) {
        const char *name = node->input[s->next[i]++];
        const struct value *value = onnx_names_get_here(m->values, name);
        if (!value || value->kind != VALUE_NODE || s->state[value->index] == DONE)
            continue;
        if (s->state[value->index] == OPEN) {
            onnx_fault_at(m, node, "the node depends on itself, through its input '%s'", name);
            return false;
        }
        s->state[value->index] = OPEN;
        s->stack[s->depth++] = value->index;
        return true;
    }
    s->state[i] = DONE;
    m->order[m->n_order++] = i;
    --s->depth;
    return true;
}

static void sort_nodes(struct import *m)
{
    size_t n = m->graph->n_node, bytes = (n + 1) * sizeof *m->order;
    struct sorting s = {.state = qbc_alloc(m->q, n + 1),
                        .next = qbc_alloc(m->q, bytes),
                        .stack = qbc_alloc(m->q, bytes)};
    m->order = qbc_alloc(m->q, bytes);
    for (size_t i = 0; i < n; ++i) {
        if (s.state[i] != NEW)
            continue;
        s.state[i] = OPEN;
        s.stack[s.depth++] = i;
        while (s.depth)
            if (!step(m, &s, s.stack[s.depth - 1]))
                return;
    }
}

static void check_outputs(struct import *m)
{
    Onnx__GraphProto *g = m->graph;
    m->out = qbc_alloc(m->q, (g->n_output + 1) * sizeof *m->out);
    for (size_t i = 0; i < g->n_output; ++i) {
        const char *name = g->output[i]->name ? g->output[i]->name : "";
        if (!onnx_names_get(m->values, name))
            onnx_fault(m, "output '%s' is not computed by any node", name);
        else if (onnx_read_interface(m, g->output[i], &m->out[m->n_out]))
            ++m->n_out;
    }
    if (!g->n_output && !m->inside)
        onnx_fault(m, "the model has no outputs");
}

void onnx_check_graph(struct import *m)
{
    define_weights(m);
    define_inputs(m);
    define_results(m);
    declare(m, m->graph->value_info, m->graph->n_value_info);
    declare(m, m->graph->output, m->graph->n_output);
    check_nodes(m);
    check_outputs(m);
    sort_nodes(m);
}
