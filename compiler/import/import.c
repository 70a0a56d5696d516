/* import: an ONNX file to level-0 IR, in the order of the calls below.
 *
 * The file is mapped; what protobuf-c sees is its skeleton without weights (wire.c), and what it
 * makes lives in the arena. Its memory is bounded by the size of the skeleton, so a file cannot ask
 * for more than a model of its size would.
 */
#include "import.h"
#include "onnx.h"

#include <stdlib.h>
#include <string.h>

static const size_t most_memory = (size_t)256 << 20;

/* --- protobuf-c's memory */

struct arena {
    struct qbc *q;
    size_t left;
    bool exhausted;
};

static void *take(void *user, size_t bytes)
{
    struct arena *a = user;
    if (bytes > a->left) {
        a->exhausted = true;
        return NULL;
    }
    a->left -= bytes;
    return qbc_alloc(a->q, bytes + 1);
}

static void give(void *user, void *bytes)
{
    (void)user;
    (void)bytes; /* the arena is freed as a whole */
}

static bool unpack(struct import *m)
{
    struct skeleton skeleton = onnx_skeleton(m->file, m->file_bytes);
    struct arena arena = {.q = m->q, .left = most_memory + 4 * skeleton.bytes};
    ProtobufCAllocator allocator = {take, give, &arena};
    if (!skeleton.problem)
        m->model = onnx__model_proto__unpack(&allocator, skeleton.bytes, skeleton.data);
    free(skeleton.data);
    if (skeleton.problem)
        onnx_fault(m, "this is no ONNX model, or it is damaged: at byte %zu %s", skeleton.where,
                   skeleton.problem);
    else if (arena.exhausted)
        onnx_fault(m, "the model is damaged: its structure wants more memory than its size allows");
    else if (!m->model)
        onnx_fault(m, "this is no ONNX model, or it is damaged");
    return m->model != NULL;
}

/* --- text that protobuf-c leaves null where the file has none */

static void no_null(struct qbc *q, char **text)
{
    if (!*text)
        *text = qbc_copy(q, "", 0);
}

static void complete_names(struct qbc *q, Onnx__GraphProto *g);

static void complete_nodes(struct qbc *q, Onnx__NodeProto **nodes, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        no_null(q, &nodes[i]->op_type);
        for (size_t k = 0; k < nodes[i]->n_attribute; ++k)
            complete_names(q, nodes[i]->attribute[k]->g);
    }
}

static void complete_names(struct qbc *q, Onnx__GraphProto *g)
{
    if (g)
        complete_nodes(q, g->node, g->n_node);
}

static void complete_functions(struct qbc *q, Onnx__ModelProto *model)
{
    for (size_t i = 0; i < model->n_functions; ++i)
        complete_nodes(q, model->functions[i]->node, model->functions[i]->n_node);
}

static const char *folder_of(struct qbc *q, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? qbc_copy(q, path, (size_t)(slash + 1 - path)) : "";
}

MlirModule qbc_import_onnx(struct qbc *q, const char *path)
{
    MlirModule module = {NULL};
    struct import m = {.q = q, .path = path, .folder = folder_of(q, path)};
    size_t before = q->errors;
    m.file = qbc_store_map(q, path, &m.file_bytes);
    if (!m.file || !unpack(&m))
        return module;
    m.values = onnx_names_create(q);
    m.types = onnx_names_create(q);
    m.symbols = onnx_names_create(q);
    m.external = onnx_names_create(q);
    complete_names(q, m.model->graph);
    complete_functions(q, m.model);
    onnx_choose_branches(&m);
    onnx_inline_functions(&m);
    if (q->errors > before)
        return module;
    onnx_check_model(&m);
    if (m.graph)
        onnx_check_graph(&m);
    if (q->errors > before)
        return module;
    onnx_find_interface(&m);
    onnx_find_dims(&m);
    module = onnx_build_module(&m);
    if (q->errors == before)
        onnx_settle(&m, module);
    if (q->errors > before) {
        mlirModuleDestroy(module);
        module.ptr = NULL;
    }
    return module;
}
