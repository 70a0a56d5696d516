/* interface: what the inputs and outputs of the model are for.
 *
 *   tokens     whole numbers [batch, T] that pick rows of a table of weights (of several, the one
 *              named so or with the longest table)
 *   positions  whole numbers beside them that are named so, or reach a Cos or Sin, or pick rows of
 *              another table; [3, 1, T] where images would have three each: text has the same ones
 *   types      whole numbers beside the tokens that are named so and pick rows of a table (segments); all 0
 *   mask       whole numbers or bools named so, or as long as the cache and the tokens together
 *   past       floats of three and more dimensions that an output continues
 *
 * Exporters agree on names more than on anything else here, so a name that says it is believed.
 */
#include "onnx.h"

#include <ctype.h>
#include <string.h>

static bool is_integer(const struct interface *x)
{
    return x->element == QBC_I64 || x->element == QBC_I32;
}

static bool is_float(const struct interface *x)
{
    return x->element == QBC_F32 || x->element == QBC_F16 || x->element == QBC_BF16;
}

static bool named(const struct interface *x, const char *part)
{
    return strstr(x->name, part) != NULL;
}

static const Onnx__NodeProto *node_of(struct import *m, const char *name)
{
    const struct value *v = onnx_names_get(m->values, name);
    return v && v->kind == VALUE_NODE ? m->graph->node[v->index] : NULL;
}

static bool is_op(const Onnx__NodeProto *node, const char *name)
{
    return node && !strcmp(node->op_type, name);
}

/* --- tokens */

/* The weight behind a value, seen through nodes that only lay it out differently; or NULL. */
static const Onnx__TensorProto *weight_behind(struct import *m, const char *name)
{
    static const char *const layouts[] = {"Transpose",        "Reshape", "Cast",     "Identity",
                                          "DequantizeLinear", "Squeeze", "Unsqueeze"};
    for (int depth = 0; depth < 8; ++depth) {
        const struct value *v = onnx_names_get(m->values, name);
        if (v && v->kind == VALUE_WEIGHT)
            return m->graph->initializer[v->index];
        const Onnx__NodeProto *node = node_of(m, name);
        bool layout = false;
        for (size_t i = 0; node && i < sizeof layouts / sizeof *layouts; ++i)
            layout = layout || is_op(node, layouts[i]);
        if (!layout || !node->n_input)
            return NULL;
        name = node->input[0];
    }
    return NULL;
}

/* The input behind a value, seen through casts and the like; -1. */
static int64_t input_behind(struct import *m, const char *name)
{
    for (int depth = 0; depth < 8; ++depth) {
        const struct value *v = onnx_names_get(m->values, name);
        if (v && v->kind == VALUE_INPUT)
            return (int64_t)v->index;
        const Onnx__NodeProto *node = node_of(m, name);
        if (!node || !node->n_input ||
            !(is_op(node, "Cast") || is_op(node, "Identity") || is_op(node, "Reshape") ||
              is_op(node, "Squeeze") || is_op(node, "Unsqueeze")))
            return -1;
        name = node->input[0];
    }
    return -1;
}

/* How many rows the tables have that an input picks from: the largest dimension of each; 0: none.
 */
static void find_tables(struct import *m, int64_t *rows)
{
    for (size_t i = 0; i < m->graph->n_node; ++i) {
        const Onnx__NodeProto *node = m->graph->node[i];
        if (node->n_input < 2 || (!is_op(node, "Gather") && !is_op(node, "GatherBlockQuantized")))
            continue;
        const Onnx__TensorProto *weight = weight_behind(m, node->input[0]);
        int64_t input = input_behind(m, node->input[1]);
        if (input < 0 || !weight || weight->n_dims < 2)
            continue;
        for (size_t d = 0; d < weight->n_dims; ++d)
            if (weight->dims[d] > rows[input])
                rows[input] = weight->dims[d];
    }
}

static void find_tokens(struct import *m, const int64_t *rows)
{
    struct interface *best = NULL;
    int64_t most = 0;
    for (size_t i = 0; i < m->n_in; ++i) {
        struct interface *x = &m->in[i];
        if (!is_integer(x) || !rows[i] || (x->ranked && x->rank != 2))
            continue;
        bool sure = named(x, "input_ids") || named(x, "tokens");
        int64_t score = sure ? INT64_MAX : named(x, "position") || named(x, "type") ? 1 : rows[i];
        if (score > most) {
            most = score;
            best = x;
        }
    }
    if (best)
        best->role = "tokens";
}

const struct interface *onnx_tokens_of(const struct import *m)
{
    for (size_t i = 0; i < m->n_in; ++i)
        if (!strcmp(m->in[i].role, "tokens"))
            return &m->in[i];
    return NULL;
}

/* --- positions and mask */

/* A few rows of positions: of time, height and width. */
static bool has_rows(const struct interface *x)
{
    return x->ranked && x->rank == 3 && x->size[0] > 1 && x->size[0] <= 4;
}

/* Marks what is computed from an input with few steps, and says whether it reaches Cos or Sin. */
static bool reaches_angle(struct import *m, const char *name)
{
    enum { STEPS = 12 };
    struct names *reached = onnx_names_create(m->q);
    onnx_names_put(reached, name, m);
    for (size_t k = 0, steps = 0; k < m->n_order && steps < STEPS; ++k) {
        const Onnx__NodeProto *node = m->graph->node[m->order[k]];
        bool touched = false;
        for (size_t i = 0; i < node->n_input && !touched; ++i)
            touched = *node->input[i] && onnx_names_get(reached, node->input[i]);
        if (!touched || is_op(node, "Shape"))
            continue;
        if (is_op(node, "Cos") || is_op(node, "Sin"))
            return true;
        ++steps;
        for (size_t i = 0; i < node->n_output; ++i)
            if (*node->output[i])
                onnx_names_put(reached, node->output[i], m);
    }
    return false;
}

static void find_others(struct import *m, const int64_t *rows)
{
    bool have_positions = false;
    for (size_t i = 0; i < m->n_in; ++i)
        have_positions = have_positions || named(&m->in[i], "position");
    for (size_t i = 0; i < m->n_in; ++i) {
        struct interface *x = &m->in[i];
        bool flat = !x->ranked || x->rank <= 2, whole = is_integer(x) && flat;
        if (!strcmp(x->role, "tokens"))
            continue;
        if ((whole || (is_integer(x) && has_rows(x))) && named(x, "position"))
            x->role = "positions";
        else if (whole && named(x, "type"))
            x->role = "types";
        else if (flat && (is_integer(x) || x->element == QBC_BOOL) && named(x, "mask"))
            x->role = "mask";
        else if (whole && !have_positions && !named(x, "type") &&
                 (rows[i] || reaches_angle(m, x->name)))
            x->role = "positions";
        else if (flat && x->rank == 2 && !rows[i] && (is_integer(x) || x->element == QBC_BOOL))
            x->role = "mask";
    }
}

/* --- the cache */

/* The part of a name that tells layer and kind: without the words for before and after. */
static const char *core_of(struct import *m, const char *name)
{
    static const char *const words[] = {"past_key_values",
                                        "present_key_values",
                                        "present",
                                        "past",
                                        "input",
                                        "output",
                                        "updated",
                                        "new",
                                        "key_values",
                                        "out",
                                        "in"};
    char *core = qbc_copy(m->q, name, strlen(name)), *to = core;
    for (const char *from = name; *from;) {
        size_t skip = 0;
        bool starts = from == name || !isalnum((unsigned char)from[-1]);
        for (size_t i = 0; starts && i < sizeof words / sizeof *words; ++i) {
            size_t n = strlen(words[i]);
            if (!strncmp(from, words[i], n) && !isalnum((unsigned char)from[n]) && n > skip)
                skip = n;
        }
        for (from += skip; !skip && *from && isalnum((unsigned char)*from); ++from)
            *to++ = *from;
        while (*from && !isalnum((unsigned char)*from))
            ++from;
        if (!skip && *from)
            *to++ = '.';
    }
    *to = 0;
    return core;
}

/* The last state of a loop continues what the first one was. */
static int64_t continued_by_loop(struct import *m, const Onnx__NodeProto *node, const char *output)
{
    const Onnx__AttributeProto *inputs = is_op(node, "Scan") ? onnx_attribute_find(node, "num_scan_inputs") : NULL;
    size_t first = is_op(node, "Loop") ? 2 : 0, others = inputs && inputs->i > 0 ? (size_t)inputs->i : 0;
    for (size_t i = 0; i < node->n_output && first + i + others < node->n_input; ++i)
        if (!strcmp(node->output[i], output))
            return input_behind(m, node->input[first + i]);
    return -1;
}

/* Which past input the node that makes an output continues, as its operation tells; -1. */
static int64_t continued_by_structure(struct import *m, const char *output)
{
    static const struct {
        const char *op;
        size_t result, operand;
    } fused[] = {{"GroupQueryAttention", 1, 3}, {"GroupQueryAttention", 2, 4},
                 {"Attention", 1, 4},           {"Attention", 2, 5},
                 {"MultiHeadAttention", 1, 6},  {"MultiHeadAttention", 2, 7},
                 {"LinearAttention", 1, 3},     {"CausalConvWithState", 1, 3}};
    const Onnx__NodeProto *node = node_of(m, output);
    if (is_op(node, "Loop") || is_op(node, "Scan"))
        return continued_by_loop(m, node, output);
    for (size_t k = 0; k < sizeof fused / sizeof *fused; ++k)
        if (is_op(node, fused[k].op) && node->n_output > fused[k].result &&
            node->n_input > fused[k].operand && !strcmp(node->output[fused[k].result], output))
            return input_behind(m, node->input[fused[k].operand]);
    for (size_t i = 0; is_op(node, "Concat") && i < node->n_input; ++i) {
        int64_t input = input_behind(m, node->input[i]);
        if (input >= 0)
            return input;
    }
    return -1;
}

static int64_t continued_by_name(struct import *m, const struct interface *output)
{
    const char *core = core_of(m, output->name);
    for (size_t i = 0; *core && i < m->n_in; ++i)
        if (is_float(&m->in[i]) && !strcmp(core_of(m, m->in[i].name), core))
            return (int64_t)i;
    return -1;
}

static bool may_be_past(const struct interface *x)
{
    return is_float(x) && (!x->ranked || x->rank >= 3) && !strcmp(x->role, "other");
}

/* What no structure and no name tells: in order, where there are as many of them. */
static void pair_in_order(struct import *m)
{
    size_t n_in = 0, n_out = 0;
    for (size_t i = 0; i < m->n_in; ++i)
        n_in += may_be_past(&m->in[i]) && named(&m->in[i], "past");
    for (size_t i = 0; i < m->n_out; ++i)
        n_out += m->out[i].past < 0 && named(&m->out[i], "present");
    for (size_t i = 0, o = 0; n_in == n_out && i < m->n_in; ++i) {
        if (!may_be_past(&m->in[i]) || !named(&m->in[i], "past"))
            continue;
        while (m->out[o].past >= 0 || !named(&m->out[o], "present"))
            ++o;
        m->out[o].past = (int64_t)i;
    }
}

static void find_cache(struct import *m)
{
    for (size_t i = 0; i < m->n_out; ++i) {
        struct interface *x = &m->out[i];
        int64_t past = is_float(x) ? continued_by_structure(m, x->name) : -1;
        if (past < 0 && is_float(x))
            past = continued_by_name(m, x);
        x->past = past >= 0 && may_be_past(&m->in[past]) ? past : -1;
    }
    pair_in_order(m);
    for (size_t i = 0; i < m->n_out; ++i)
        if (m->out[i].past >= 0) {
            m->out[i].role = "present";
            m->in[m->out[i].past].role = "past";
        }
    for (size_t i = 0; i < m->n_in; ++i)
        if (may_be_past(&m->in[i]) && named(&m->in[i], "past"))
            m->in[i].role = "past";
}

/* --- results */

static void find_results(struct import *m)
{
    for (size_t i = 0; i < m->n_out; ++i) {
        struct interface *x = &m->out[i];
        if (!strcmp(x->role, "other") && is_float(x))
            x->role = named(x, "hidden") || named(x, "embedding") ? "hidden"
                      : !onnx_tokens_of(m)                        ? "other"
                                                                  : "logits";
    }
}

void onnx_find_interface(struct import *m)
{
    int64_t *rows = qbc_alloc(m->q, (m->n_in + 1) * sizeof *rows);
    if (m->q->options.entry && !strcmp(m->q->options.entry, "run"))
        return; /* what they are for does not matter */
    find_tables(m, rows);
    find_tokens(m, rows);
    find_others(m, rows);
    find_cache(m);
    find_results(m);
}
