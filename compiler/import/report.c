/* report: faults of the file, with the place: "model.onnx:node: error: ...". A damaged file has no
 * end of them, so only the first ones are printed.
 */
#include "onnx.h"

#include <mlir-c/Diagnostics.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names come from the file: no control characters on terminals. */
const char *onnx_printable(struct qbc *q, const char *text)
{
    char *copy = qbc_copy(q, text, strlen(text));
    for (char *c = copy; *c; ++c)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return copy;
}

static const char *vtext(struct qbc *q, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = qbc_alloc(q, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return onnx_printable(q, text);
}

static bool flooded(struct import *m)
{
    if (++m->reported == MOST_REPORTED + 1)
        qbc_error_in(m->q, m->path, "there are more errors, which are not shown");
    return m->reported > MOST_REPORTED;
}

void onnx_fault(struct import *m, const char *format, ...)
{
    va_list args;
    if (flooded(m))
        return;
    va_start(args, format);
    qbc_error_in(m->q, m->path, "%s", vtext(m->q, format, args));
    va_end(args);
}

void onnx_fault_at(struct import *m, const Onnx__NodeProto *node, const char *format, ...)
{
    va_list args;
    if (flooded(m))
        return;
    va_start(args, format);
    mlirEmitError(onnx_node_location(m, node),
                  qbc_text(m->q, "%s: %s", onnx_title_of(m, node), vtext(m->q, format, args)));
    va_end(args);
}

/* The node's name, or its type and first output. */
MlirLocation onnx_node_location(struct import *m, const Onnx__NodeProto *node)
{
    const char *name = node->name;
    if (!name || !*name)
        name = qbc_text(m->q, "%s_%s", node->op_type ? node->op_type : "node",
                        node->n_output ? node->output[0] : "");
    MlirLocation file = mlirLocationFileLineColGet(m->q->mlir, qbc_str(m->path), 0, 0);
    return mlirLocationNameGet(m->q->mlir, qbc_str(name), file);
}

const char *onnx_domain_of(const Onnx__NodeProto *node)
{
    return !node->domain || !strcmp(node->domain, "ai.onnx") ? "" : node->domain;
}

static int64_t version_of(struct import *m, const char *domain)
{
    for (size_t i = 0; i < m->model->n_opset_import; ++i) {
        const Onnx__OperatorSetIdProto *set = m->model->opset_import[i];
        if (set->domain && !strcmp(set->domain, domain))
            return set->version;
    }
    return 0;
}

const char *onnx_title_of(struct import *m, const Onnx__NodeProto *node)
{
    const char *domain = onnx_domain_of(node), *op = node->op_type ? node->op_type : "?";
    if (!*domain)
        return qbc_text(m->q, "%s (opset %lld)", op, (long long)m->opset);
    return qbc_text(m->q, "%s (domain %s, version %lld)", op, domain,
                    (long long)version_of(m, domain));
}
