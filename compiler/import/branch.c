/* branch: of two models in one file, the one that has a cache.
 *
 *   before   logits, present.. = If(use_cache_branch) {then_branch = decoder with past.., else_branch = decoder without}
 *   after    the nodes of the branch that reads past..; use_cache_branch is no input any more
 *
 * Optimum's "merged" decoders are so. With an empty cache that branch computes what the other one does. The branch becomes a function of the
 * names around it, which inline.c puts in place. Conditions that are computed are left: passes/fold_branches.c.
 */
#include "onnx.h"

#include <string.h>

static const char branch_domain[] = "qbc.branch";

/* What nodes of a graph and its subgraphs read and do not compute, in order of the first use. */
struct reading {
    struct import *m;
    struct names *seen;
    char **list;
    size_t n, room;
};

static void note(struct reading *r, const struct names *own, char *name)
{
    if (!name || !*name || onnx_names_get(own, name) || onnx_names_get(r->seen, name))
        return;
    if (r->n == r->room) {
        char **old = r->list;
        r->room = 2 * r->room + 16;
        r->list = qbc_alloc(r->m->q, r->room * sizeof *r->list);
        if (r->n)
            memcpy(r->list, old, r->n * sizeof *old);
    }
    onnx_names_put(r->seen, name, r);
    r->list[r->n++] = name;
}

/* What a graph is given: inputs and weights. */
static void put_given(struct names *names, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_input; ++i)
        if (g->input[i]->name)
            onnx_names_put(names, g->input[i]->name, names);
    for (size_t i = 0; i < g->n_initializer; ++i)
        if (g->initializer[i]->name)
            onnx_names_put(names, g->initializer[i]->name, names);
}

static void read_graph(struct reading *r, const struct names *outer, const Onnx__GraphProto *g)
{
    struct names *own = onnx_names_create_inside(r->m->q, outer);
    put_given(own, g);
    for (size_t i = 0; i < g->n_node; ++i)
        for (size_t k = 0; k < g->node[i]->n_output; ++k)
            onnx_names_put(own, g->node[i]->output[k], r);
    for (size_t i = 0; i < g->n_node; ++i) {
        for (size_t k = 0; k < g->node[i]->n_input; ++k)
            note(r, own, g->node[i]->input[k]);
        for (size_t k = 0; k < g->node[i]->n_attribute; ++k)
            if (g->node[i]->attribute[k]->g)
                read_graph(r, own, g->node[i]->attribute[k]->g);
    }
    for (size_t i = 0; i < g->n_output; ++i)
        note(r, own, g->output[i]->name);
}

static struct reading reading_of(struct import *m, const Onnx__GraphProto *g)
{
    struct reading r = {.m = m, .seen = onnx_names_create(m->q)};
    read_graph(&r, onnx_names_create(m->q), g);
    return r;
}

/* --- which branch */

static const Onnx__ValueInfoProto *input_named(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_input; ++i)
        if (g->input[i]->name && !strcmp(g->input[i]->name, name))
            return g->input[i];
    return NULL;
}

/* Floats [.., .., ..] and more. */
static bool may_be_cache(const Onnx__ValueInfoProto *info)
{
    const Onnx__TypeProto *type = info ? info->type : NULL;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type || !type->tensor_type->shape)
        return false;
    int element = type->tensor_type->elem_type;
    return (element == QBC_F32 || element == QBC_F16 || element == QBC_BF16) && type->tensor_type->shape->n_dim >= 3;
}

static size_t count_cache(const Onnx__GraphProto *g, const struct reading *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; ++i)
        n += may_be_cache(input_named(g, r->list[i]));
    return n;
}

static bool has_names(const Onnx__GraphProto *branch)
{
    for (size_t i = 0; i < branch->n_output; ++i)
        if (!branch->output[i]->name || !*branch->output[i]->name)
            return false;
    return true;
}

/* The branch that reads more of what may be a cache; NULL: the node is no such choice. */
static Onnx__GraphProto *branch_of(struct import *m, const Onnx__NodeProto *node)
{
    const Onnx__GraphProto *g = m->model->graph;
    if (strcmp(node->op_type, "If") || *onnx_domain_of(node) || node->n_input != 1 || !input_named(g, node->input[0]))
        return NULL;
    const Onnx__AttributeProto *then = onnx_attribute_find(node, "then_branch"), *otherwise = onnx_attribute_find(node, "else_branch");
    if (!then || !otherwise || !then->g || !otherwise->g)
        return NULL;
    struct reading a = reading_of(m, then->g), b = reading_of(m, otherwise->g);
    size_t n_then = count_cache(g, &a), n_else = count_cache(g, &b);
    Onnx__GraphProto *chosen = n_then > n_else ? then->g : otherwise->g;
    return n_then != n_else && chosen->n_output == node->n_output && has_names(chosen) ? chosen : NULL;
}

/* --- the branch as a function, and a call of it */

/* Its weights become the model's. */
static void hoist_weights(struct import *m, Onnx__GraphProto *branch, const struct names *taken)
{
    Onnx__GraphProto *g = m->model->graph;
    Onnx__TensorProto **all = qbc_alloc(m->q, (g->n_initializer + branch->n_initializer + 1) * sizeof *all);
    if (g->n_initializer)
        memcpy(all, g->initializer, g->n_initializer * sizeof *all);
    for (size_t i = 0; i < branch->n_initializer; ++i) {
        Onnx__TensorProto *w = branch->initializer[i];
        const char *name = w->name ? w->name : "";
        if (!*name || onnx_names_get(taken, name))
            onnx_fault(m, "a branch's weight '%s' has the name of another tensor", name);
        all[g->n_initializer + i] = w;
    }
    g->initializer = all;
    g->n_initializer += branch->n_initializer;
    branch->n_initializer = 0;
}

static Onnx__FunctionProto *function_from(struct import *m, Onnx__GraphProto *branch, const char *name)
{
    struct reading r = reading_of(m, branch); /* after its weights are the model's */
    Onnx__FunctionProto *f = qbc_alloc(m->q, sizeof *f);
    onnx__function_proto__init(f);
    f->name = qbc_copy(m->q, name, strlen(name));
    f->domain = qbc_copy(m->q, branch_domain, strlen(branch_domain));
    f->input = r.list;
    f->n_input = r.n;
    f->n_output = branch->n_output;
    f->output = qbc_alloc(m->q, (branch->n_output + 1) * sizeof *f->output);
    for (size_t i = 0; i < branch->n_output; ++i)
        f->output[i] = branch->output[i]->name;
    f->node = branch->node;
    f->n_node = branch->n_node;
    return f;
}

static void add_function(struct import *m, Onnx__FunctionProto *f)
{
    Onnx__ModelProto *model = m->model;
    Onnx__FunctionProto **all = qbc_alloc(m->q, (model->n_functions + 1) * sizeof *all);
    if (model->n_functions)
        memcpy(all, model->functions, model->n_functions * sizeof *all);
    all[model->n_functions++] = f;
    model->functions = all;
}

static void call_branch(struct import *m, Onnx__NodeProto *node, Onnx__GraphProto *branch, size_t i)
{
    struct names *taken = onnx_names_create(m->q);
    put_given(taken, m->model->graph);
    hoist_weights(m, branch, taken);
    Onnx__FunctionProto *f = function_from(m, branch, qbc_text(m->q, "branch%zu", i));
    add_function(m, f);
    node->op_type = f->name;
    node->domain = f->domain;
    node->input = f->input;
    node->n_input = f->n_input;
    node->n_attribute = 0;
}

/* An input that nothing reads any more. */
static void drop_input(struct import *m, const char *name)
{
    Onnx__GraphProto *g = m->model->graph;
    struct reading r = {.m = m, .seen = onnx_names_create(m->q)};
    Onnx__GraphProto open = *g;
    size_t kept = 0;
    open.n_input = open.n_initializer = 0;
    read_graph(&r, onnx_names_create(m->q), &open);
    if (onnx_names_get(r.seen, name))
        return;
    for (size_t i = 0; i < g->n_input; ++i)
        if (!g->input[i]->name || strcmp(g->input[i]->name, name))
            g->input[kept++] = g->input[i];
    g->n_input = kept;
}

void onnx_choose_branches(struct import *m)
{
    Onnx__GraphProto *g = m->model->graph;
    bool as_it_is = m->q->options.entry && !strcmp(m->q->options.entry, "run");
    for (size_t i = 0; g && !as_it_is && i < g->n_node; ++i) {
        Onnx__NodeProto *node = g->node[i];
        Onnx__GraphProto *branch = branch_of(m, node);
        if (!branch)
            continue;
        const char *condition = node->input[0];
        call_branch(m, node, branch, i);
        drop_input(m, condition);
    }
}
