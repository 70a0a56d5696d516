/* dims: the sizes of inputs and outputs, in T (tokens of this call) and P (tokens in the cache).
 *
 * Files give sizes as numbers or as names that mean nothing but equality. What the names stand for
 * follows from where they are: the second dimension of the tokens is T, their first the batch (1);
 * a dimension in which a cache grows is P before and P + T after. Names may also be numbers ("32")
 * or sums ("past_sequence_length + sequence_length").
 */
#include "onnx.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A dimension about which the file says nothing is equal to no other. */
static const char *unnamed(struct import *m, const char *tensor, size_t i)
{
    return qbc_text(m->q, "%s#%zu", tensor, i);
}

/* What a value is that is no tensor. */
static const char *kind_name(const Onnx__TypeProto *type)
{
    switch (type ? type->value_case : ONNX__TYPE_PROTO__VALUE__NOT_SET) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: return "a sequence";
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: return "a map";
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: return "an optional value";
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: return "a sparse tensor";
    default: return "declared without a type";
    }
}

bool onnx_read_interface(struct import *m, const Onnx__ValueInfoProto *info, struct interface *out)
{
    const Onnx__TypeProto *type = info->type;
    *out = (struct interface){.name = info->name, .past = -1, .role = "other", .element = QBC_F32};
    if (m->inside && !type)
        return true; /* its type follows from what goes in */
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type) {
        onnx_fault(m, "'%s' is %s; export with tensors", info->name, kind_name(type));
        return false;
    }
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    out->element = (enum qbc_element)type->tensor_type->elem_type;
    if (!qbc_element_bytes(out->element)) {
        onnx_fault(m, "'%s' has elements of type %s; export with tensors of floats, integers or bools", info->name,
                   onnx_type_name(m, type->tensor_type->elem_type));
        return false;
    }
    if (!shape)
        return true;
    if (shape->n_dim > QBC_MAX_RANK) {
        onnx_fault(m, "'%s' has %zu dimensions; at most %d are supported", info->name, shape->n_dim,
                   QBC_MAX_RANK);
        return false;
    }
    out->ranked = true;
    out->rank = shape->n_dim;
    for (size_t i = 0; i < shape->n_dim; ++i) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        bool number = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        bool name = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        out->size[i] = number && dim->dim_value >= 0 ? dim->dim_value : QBC_ANY;
        out->symbol[i] = number                                      ? ""
                         : name && dim->dim_param && *dim->dim_param ? dim->dim_param
                                                                     : unnamed(m, info->name, i);
        if (number && dim->dim_value < 0)
            onnx_fault(m, "dimension %zu of '%s' is %lld, which is negative", i, info->name,
                       (long long)dim->dim_value);
    }
    return true;
}

/* --- what a name stands for */

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits && digits < 10 && !text[digits];
}

static void learn(struct import *m, const char *symbol, const char *meaning)
{
    if (*symbol && !is_number(symbol) && !strchr(symbol, '+') &&
        !onnx_names_get(m->symbols, symbol))
        onnx_names_put(m->symbols, symbol, (void *)meaning);
}

static const char *known(struct import *m, const char *symbol)
{
    const char *meaning = *symbol ? onnx_names_get(m->symbols, symbol) : NULL;
    return meaning ? meaning : is_number(symbol) ? symbol : NULL;
}

static const char *trimmed(struct import *m, const char *from, size_t n)
{
    while (n && isspace((unsigned char)*from))
        ++from, --n;
    while (n && isspace((unsigned char)from[n - 1]))
        --n;
    return qbc_copy(m->q, from, n);
}

/* A sum of known names, P first: "P + T", "P + 1"; NULL when one of them is not known. */
static const char *sum(struct import *m, const char *symbol)
{
    const char *text = "";
    for (int pass = 0; pass < 2; ++pass)
        for (const char *part = symbol; part; part = strchr(part, '+')) {
            part += *part == '+';
            const char *term = known(m, trimmed(m, part, strcspn(part, "+")));
            if (!term)
                return NULL;
            if ((pass == 0) == (*term == 'P'))
                text = *text ? qbc_text(m->q, "%s + %s", text, term) : term;
        }
    return text;
}

static const char *meaning(struct import *m, int64_t size, const char *symbol)
{
    if (size >= 0)
        return qbc_text(m->q, "%lld", (long long)size);
    const char *text = strchr(symbol, '+') ? sum(m, symbol) : known(m, symbol);
    return text ? text : "?";
}

const char *onnx_dim_text(struct import *m, const Onnx__TensorShapeProto__Dimension *dim)
{
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
        return meaning(m, dim->dim_value, "");
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && dim->dim_param)
        return meaning(m, QBC_ANY, dim->dim_param);
    return "?";
}

/* --- where they are */

/* "a + b" where b is known: a is the rest. */
static void learn_from_sum(struct import *m, const char *symbol)
{
    const char *plus = strchr(symbol, '+');
    if (!plus || strchr(plus + 1, '+'))
        return;
    const char *left = trimmed(m, symbol, (size_t)(plus - symbol));
    const char *right = trimmed(m, plus + 1, strlen(plus + 1));
    const char *l = known(m, left), *r = known(m, right);
    bool right_counts = r && (!strcmp(r, "T") || is_number(r));
    if (right_counts && !l)
        learn(m, left, "P");
    if (l && !strcmp(l, "T") && !r)
        learn(m, right, "P");
}

/* Tokens of a call: "T", or the number that the file fixes. */
static const char *call_size(struct import *m)
{
    const struct interface *tokens = onnx_tokens_of(m);
    return tokens && tokens->rank == 2 ? meaning(m, tokens->size[1], tokens->symbol[1]) : "T";
}

/* A cache whose continuation is a Concat with it grows along the axis. */
static void learn_from_concat(struct import *m, const struct interface *past,
                              const struct interface *present)
{
    const struct value *value = onnx_names_get(m->values, present->name);
    if (value->kind != VALUE_NODE)
        return;
    const Onnx__NodeProto *node = m->graph->node[value->index];
    const Onnx__AttributeProto *axis = onnx_attribute_find(node, "axis");
    int64_t d = axis ? axis->i : 0;
    d = d < 0 ? d + (int64_t)past->rank : d;
    if (strcmp(node->op_type, "Concat") || d < 1 || d >= (int64_t)past->rank)
        return;
    for (size_t k = 0; k < node->n_input; ++k)
        if (!strcmp(node->input[k], past->name))
            learn(m, past->symbol[d], "P");
}

/* A cache and its continuation: they differ where it grows. */
static void learn_from_growth(struct import *m, const struct interface *past,
                              const struct interface *present, const char *total)
{
    if (past->rank != present->rank)
        return;
    for (size_t d = 1; d < past->rank; ++d) {
        const char *before = past->symbol[d], *after = present->symbol[d];
        bool says_something = *before && *after && !strchr(before, '#') && !strchr(after, '#');
        if (!says_something || !strcmp(before, after) || is_number(before))
            continue;
        if (strchr(after, '+') && !strstr(after, before))
            continue; /* not a sum with this name */
        learn(m, before, "P");
        learn(m, after, total);
    }
}

/* `size` is what the last dimension of a matrix [batch, size] stands for, or of several of them. */
static void learn_matrix(struct import *m, const struct interface *x, const char *size)
{
    if (x->rank != 2 && x->rank != 3)
        return;
    learn(m, x->symbol[x->rank - 2], "1");
    learn(m, x->symbol[x->rank - 1], size);
}

static void learn_past(struct import *m, const struct interface *past)
{
    if (past->rank)
        learn(m, past->symbol[0], "1");
    for (size_t d = 1; d < past->rank; ++d)
        if (strstr(past->symbol[d], "past") && !strchr(past->symbol[d], '#'))
            learn(m, past->symbol[d], "P");
}

static void learn_from_roles(struct import *m)
{
    const char *call = call_size(m), *total = qbc_text(m->q, "P + %s", call);
    bool any_past = false;
    for (size_t i = 0; i < m->n_out; ++i) {
        if (m->out[i].past < 0)
            continue;
        learn_from_growth(m, &m->in[m->out[i].past], &m->out[i], total);
        learn_from_concat(m, &m->in[m->out[i].past], &m->out[i]);
    }
    for (size_t i = 0; i < m->n_in; ++i) {
        for (size_t d = 0; d < m->in[i].rank; ++d)
            learn_from_sum(m, m->in[i].symbol[d]);
        if (!strcmp(m->in[i].role, "past"))
            learn_past(m, &m->in[i]);
        any_past = any_past || !strcmp(m->in[i].role, "past");
    }
    for (size_t i = 0; i < m->n_in; ++i)
        if (!strcmp(m->in[i].role, "mask"))
            learn_matrix(m, &m->in[i], any_past ? total : call);
        else if (!strcmp(m->in[i].role, "positions") || !strcmp(m->in[i].role, "types"))
            learn_matrix(m, &m->in[i], call);
    for (size_t i = 0; i < m->n_out; ++i)
        if (m->out[i].rank && !strchr(m->out[i].symbol[0], '+'))
            learn(m, m->out[i].symbol[0], "1");
}

/* -shape=NAME=1x128: the sizes of an input; what its names mean follows. */
static void take_sizes(struct import *m, struct interface *x, const char *text)
{
    size_t rank = 0;
    for (const char *at = text; *at; at += strcspn(at, "x"), at += *at == 'x')
        if (rank++ < QBC_MAX_RANK) {
            int64_t size = strtoll(at, NULL, 10);
            if (x->ranked && rank <= x->rank && x->size[rank - 1] >= 0 && x->size[rank - 1] != size)
                onnx_fault(m, "-shape: dimension %zu of '%s' is %lld in the model", rank - 1, x->name, (long long)x->size[rank - 1]);
            if (x->ranked && rank <= x->rank && x->size[rank - 1] < 0)
                learn(m, x->symbol[rank - 1], qbc_text(m->q, "%lld", (long long)size));
            x->size[rank - 1] = size;
        }
    if (rank > QBC_MAX_RANK || (x->ranked && rank != x->rank))
        onnx_fault(m, "-shape: '%s' has %zu dimensions, not %zu", x->name, x->rank, rank);
    x->symbol[0] = x->ranked ? x->symbol[0] : "";
    for (size_t i = 0; i < QBC_MAX_RANK && !x->ranked; ++i)
        x->symbol[i] = "";
    x->ranked = true;
    x->rank = rank;
}

static void take_shapes(struct import *m)
{
    for (size_t i = 0; i < m->q->options.n_shapes; ++i) {
        const char *option = m->q->options.shapes[i], *equals = strrchr(option, '=');
        struct interface *found = NULL;
        for (size_t k = 0; equals && k < m->n_in; ++k)
            if (strlen(m->in[k].name) == (size_t)(equals - option) && !strncmp(m->in[k].name, option, (size_t)(equals - option)))
                found = &m->in[k];
        if (found)
            take_sizes(m, found, equals + 1);
        else
            onnx_fault(m, "-shape: there is no input '%.*s'", equals ? (int)(equals - option) : 0, option);
    }
}

void onnx_find_dims(struct import *m)
{
    take_shapes(m);
    const struct interface *tokens = onnx_tokens_of(m);
    if (tokens) {
        learn_matrix(m, tokens, "T");
        learn_from_roles(m);
    }
    for (size_t i = 0; i < m->n_in + m->n_out; ++i) {
        struct interface *x = i < m->n_in ? &m->in[i] : &m->out[i - m->n_in];
        for (size_t d = 0; d < x->rank; ++d)
            x->dims[d] = meaning(m, x->size[d], x->symbol[d]);
    }
}
