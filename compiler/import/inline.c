/* inline: calls of the model's own functions become the nodes that they stand for.
 *
 *   before   Block@local x -> y {heads = 4}        function Block@local (a) -> (b) <heads> { node F a -> t {n = heads} ... }
 *   after    F x -> call/t {n = 4} ...             a is x, b is y, every other name begins with the call's
 *
 * Attributes that refer to one of the function are the call's, else the function's default, else left out. Functions call functions, have
 * overloads and stand in subgraphs. One with the name of an operation that we know (ops.def) stays that operation.
 */
#include "onnx.h"

#include <string.h>

enum { MOST_NODES = 1 << 20 };

struct nodes {
    Onnx__NodeProto **node;
    size_t n, room;
};

struct inlining {
    struct import *m;
    struct names *taken; /* names of values */
    size_t made, calls;
};

/* A function's body for one call of it. */
struct call {
    struct inlining *in;
    const Onnx__NodeProto *node;
    const Onnx__FunctionProto *f;
    const char *prefix;
    struct names *names; /* in the function -> in the graph */
    const struct call *outer;
};

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static const char *own_domain(const char *domain)
{
    return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

static const Onnx__FunctionProto *function_of(const struct import *m, const Onnx__NodeProto *node)
{
    if (onnx_op_find(onnx_domain_of(node), node->op_type))
        return NULL;
    for (size_t i = 0; i < m->model->n_functions; ++i) {
        const Onnx__FunctionProto *f = m->model->functions[i];
        if (!strcmp(text_of(f->name), node->op_type) && !strcmp(own_domain(f->domain), onnx_domain_of(node)) &&
            !strcmp(text_of(f->overload), text_of(node->overload)))
            return f;
    }
    return NULL;
}

/* --- names */

static const char *free_name(struct inlining *in, const char *wanted)
{
    const char *name = wanted;
    for (; onnx_names_get(in->taken, name); ++in->calls)
        name = qbc_text(in->m->q, "%s.%zu", wanted, in->calls);
    onnx_names_put(in->taken, name, in);
    return name;
}

static char *renamed(struct call *c, const char *name)
{
    struct qbc *q = c->in->m->q;
    if (!name || !*name)
        return qbc_copy(q, "", 0);
    const char *known = onnx_names_get(c->names, name);
    if (!known) {
        known = free_name(c->in, qbc_text(q, "%s/%s", c->prefix, name));
        onnx_names_put(c->names, name, (void *)(uintptr_t)known);
    }
    return qbc_copy(q, known, strlen(known));
}

static char **all_renamed(struct call *c, char **names, size_t n)
{
    char **out = qbc_alloc(c->in->m->q, (n + 1) * sizeof *out);
    for (size_t i = 0; i < n; ++i)
        out[i] = renamed(c, names[i]);
    return out;
}

/* --- copies for one call */

static Onnx__NodeProto *copy_node(struct call *c, const Onnx__NodeProto *node);

static Onnx__ValueInfoProto **copy_infos(struct call *c, Onnx__ValueInfoProto **infos, size_t n)
{
    Onnx__ValueInfoProto **out = qbc_alloc(c->in->m->q, (n + 1) * sizeof *out);
    for (size_t i = 0; i < n; ++i) {
        out[i] = qbc_alloc(c->in->m->q, sizeof **out);
        *out[i] = *infos[i];
        out[i]->name = renamed(c, infos[i]->name);
    }
    return out;
}

static Onnx__GraphProto *copy_graph(struct call *c, const Onnx__GraphProto *g)
{
    struct qbc *q = c->in->m->q;
    Onnx__GraphProto *out = qbc_alloc(q, sizeof *out);
    *out = *g;
    out->input = copy_infos(c, g->input, g->n_input);
    out->output = copy_infos(c, g->output, g->n_output);
    out->value_info = copy_infos(c, g->value_info, g->n_value_info);
    out->initializer = qbc_alloc(q, (g->n_initializer + 1) * sizeof *out->initializer);
    for (size_t i = 0; i < g->n_initializer; ++i) {
        out->initializer[i] = qbc_alloc(q, sizeof **out->initializer);
        *out->initializer[i] = *g->initializer[i];
        out->initializer[i]->name = renamed(c, g->initializer[i]->name);
    }
    out->node = qbc_alloc(q, (g->n_node + 1) * sizeof *out->node);
    for (size_t i = 0; i < g->n_node; ++i)
        out->node[i] = copy_node(c, g->node[i]);
    return out;
}

/* What an attribute of a node of the function is in this call; NULL: left out. */
static Onnx__AttributeProto *copy_attribute(struct call *c, const Onnx__AttributeProto *a)
{
    const Onnx__AttributeProto *from = a;
    Onnx__AttributeProto *out = qbc_alloc(c->in->m->q, sizeof *out);
    if (a->ref_attr_name && *a->ref_attr_name) {
        from = onnx_attribute_find(c->node, a->ref_attr_name);
        for (size_t i = 0; i < c->f->n_attribute_proto && !from; ++i)
            if (!strcmp(text_of(c->f->attribute_proto[i]->name), a->ref_attr_name))
                from = c->f->attribute_proto[i];
    }
    if (!from)
        return NULL;
    *out = *from;
    out->name = a->name;
    if (from == a && a->g)
        out->g = copy_graph(c, a->g);
    return out;
}

static Onnx__NodeProto *copy_node(struct call *c, const Onnx__NodeProto *node)
{
    struct qbc *q = c->in->m->q;
    Onnx__NodeProto *out = qbc_alloc(q, sizeof *out);
    const char *name = qbc_text(q, "%s/%s", c->prefix, text_of(node->name));
    *out = *node;
    out->input = all_renamed(c, node->input, node->n_input);
    out->output = all_renamed(c, node->output, node->n_output);
    out->name = node->name && *node->name ? qbc_copy(q, name, strlen(name)) : NULL;
    out->attribute = qbc_alloc(q, (node->n_attribute + 1) * sizeof *out->attribute);
    out->n_attribute = 0;
    for (size_t i = 0; i < node->n_attribute; ++i) {
        Onnx__AttributeProto *a = copy_attribute(c, node->attribute[i]);
        if (a)
            out->attribute[out->n_attribute++] = a;
    }
    return out;
}

/* --- calls */

static void expand(struct inlining *in, Onnx__NodeProto **nodes, size_t n, const struct call *call, struct nodes *out);

static void push(struct inlining *in, struct nodes *list, Onnx__NodeProto *node)
{
    if (list->n == list->room) {
        Onnx__NodeProto **old = list->node;
        list->room = 2 * list->room + 16;
        list->node = qbc_alloc(in->m->q, list->room * sizeof *list->node);
        if (list->n)
            memcpy(list->node, old, list->n * sizeof *old);
    }
    list->node[list->n++] = node;
}

/* A result of the function that is an input of it, or another result. */
static void push_identity(struct call *c, struct nodes *out, const char *from, char *to)
{
    struct qbc *q = c->in->m->q;
    Onnx__NodeProto *node = qbc_alloc(q, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = qbc_copy(q, "Identity", strlen("Identity"));
    node->n_input = node->n_output = 1;
    node->input = qbc_alloc(q, sizeof *node->input);
    node->output = qbc_alloc(q, sizeof *node->output);
    node->input[0] = renamed(c, from);
    node->output[0] = to;
    push(c->in, out, node);
}

static void bind(struct call *c, struct nodes *out)
{
    for (size_t i = 0; i < c->f->n_input; ++i) {
        static char none[] = "";
        onnx_names_put(c->names, c->f->input[i], i < c->node->n_input ? c->node->input[i] : none);
    }
    for (size_t i = 0; i < c->f->n_output && i < c->node->n_output; ++i) {
        if (!*c->node->output[i])
            continue;
        if (onnx_names_get(c->names, c->f->output[i]))
            push_identity(c, out, c->f->output[i], c->node->output[i]);
        else
            onnx_names_put(c->names, c->f->output[i], c->node->output[i]);
    }
}

static bool may_call(struct call *c)
{
    for (const struct call *up = c->outer; up; up = up->outer)
        if (up->f == c->f) {
            onnx_fault_at(c->in->m, c->node, "the function calls itself");
            return false;
        }
    if (c->node->n_input > c->f->n_input || c->node->n_output > c->f->n_output)
        onnx_fault_at(c->in->m, c->node, "has %zu inputs and %zu outputs; the function has %zu and %zu", c->node->n_input, c->node->n_output,
                      c->f->n_input, c->f->n_output);
    return c->node->n_input <= c->f->n_input && c->node->n_output <= c->f->n_output;
}

static void expand_call(struct inlining *in, const Onnx__NodeProto *node, const Onnx__FunctionProto *f, const struct call *outer,
                        struct nodes *out)
{
    struct qbc *q = in->m->q;
    const char *name = node->name && *node->name ? node->name : qbc_text(q, "%s_%s", node->op_type, node->n_output ? node->output[0] : "");
    struct call call = {.in = in, .node = node, .f = f, .prefix = name, .names = onnx_names_create(q), .outer = outer};
    Onnx__NodeProto **body = qbc_alloc(q, (f->n_node + 1) * sizeof *body);
    if (!may_call(&call))
        return;
    bind(&call, out);
    for (size_t i = 0; i < f->n_node; ++i)
        body[i] = copy_node(&call, f->node[i]);
    expand(in, body, f->n_node, &call, out);
}

static void expand_subgraphs(struct inlining *in, Onnx__NodeProto *node, const struct call *call)
{
    for (size_t i = 0; i < node->n_attribute; ++i) {
        Onnx__GraphProto *g = node->attribute[i]->g;
        struct nodes inner = {NULL, 0, 0};
        if (!g)
            continue;
        expand(in, g->node, g->n_node, call, &inner);
        g->node = inner.node;
        g->n_node = inner.n;
    }
}

/* `call`: whose body the nodes are; NULL: the model's own. */
static void expand(struct inlining *in, Onnx__NodeProto **nodes, size_t n, const struct call *call, struct nodes *out)
{
    for (size_t i = 0; i < n && in->made <= MOST_NODES; ++i) {
        const Onnx__FunctionProto *f = function_of(in->m, nodes[i]);
        if (++in->made > MOST_NODES) {
            onnx_fault_at(in->m, nodes[i], "the model's functions stand for more than %d nodes", MOST_NODES);
            return;
        }
        expand_subgraphs(in, nodes[i], call);
        if (f)
            expand_call(in, nodes[i], f, call, out);
        else
            push(in, out, nodes[i]);
    }
}

/* --- the model */

static void take_names(struct inlining *in, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_input; ++i)
        onnx_names_put(in->taken, text_of(g->input[i]->name), in);
    for (size_t i = 0; i < g->n_initializer; ++i)
        onnx_names_put(in->taken, text_of(g->initializer[i]->name), in);
    for (size_t i = 0; i < g->n_node; ++i) {
        for (size_t k = 0; k < g->node[i]->n_output; ++k)
            onnx_names_put(in->taken, g->node[i]->output[k], in);
        for (size_t k = 0; k < g->node[i]->n_attribute; ++k)
            if (g->node[i]->attribute[k]->g)
                take_names(in, g->node[i]->attribute[k]->g);
    }
}

/* Domains that only functions import become the model's. */
static void import_domains(struct import *m, const Onnx__FunctionProto *f)
{
    Onnx__ModelProto *model = m->model;
    for (size_t i = 0; i < f->n_opset_import; ++i) {
        bool there = false;
        for (size_t k = 0; k < model->n_opset_import; ++k)
            there |= !strcmp(own_domain(model->opset_import[k]->domain), own_domain(f->opset_import[i]->domain));
        if (there)
            continue;
        Onnx__OperatorSetIdProto **more = qbc_alloc(m->q, (model->n_opset_import + 1) * sizeof *more);
        if (model->n_opset_import)
            memcpy(more, model->opset_import, model->n_opset_import * sizeof *more);
        more[model->n_opset_import++] = f->opset_import[i];
        model->opset_import = more;
    }
}

void onnx_inline_functions(struct import *m)
{
    struct inlining in = {.m = m, .taken = onnx_names_create(m->q)};
    struct nodes nodes = {NULL, 0, 0};
    Onnx__GraphProto *g = m->model->graph;
    if (!g || !m->model->n_functions)
        return;
    for (size_t i = 0; i < m->model->n_functions; ++i)
        import_domains(m, m->model->functions[i]);
    take_names(&in, g);
    expand(&in, g->node, g->n_node, NULL, &nodes);
    g->node = nodes.node;
    g->n_node = nodes.n;
}
