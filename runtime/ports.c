/* ports.c: what goes into a model that is no language model, and what comes out. */
#include "internal.h"

struct qbrt_port qbrt_input(const struct qbrt_model *m, size_t i)
{
    return i < m->facts.n_inputs ? qbm_port(&m->root, m->root.inputs, (uint32_t)i) : (struct qbrt_port){.name = ""};
}

struct qbrt_port qbrt_result(const struct qbrt_model *m, size_t i)
{
    return i < m->facts.n_results ? qbm_port(&m->root, m->root.results, (uint32_t)i) : (struct qbrt_port){.name = ""};
}

size_t qbrt_element_bytes(uint32_t element)
{
    /* ONNX's TensorProto.DataType; 8 is a string, 14 and 15 are complex */
    static const unsigned char bytes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    return element < sizeof bytes ? bytes[element] : 0;
}
