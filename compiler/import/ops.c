/* ops: the table of ops.def. */
#include "onnx.h"

#include <string.h>

#define ANY SIZE_MAX
static const struct onnx_op ops[] = {
#define OP(domain, name, fewest, most, since, first, others)                                       \
    {domain, name, fewest, most, since, first, others},
#include "ops.def"
#undef OP
};
#undef ANY
enum { N_OPS = sizeof ops / sizeof *ops };

const struct onnx_op *onnx_op_find(const char *domain, const char *name)
{
    for (size_t i = 0; i < N_OPS; ++i)
        if (!strcmp(ops[i].name, name) && !strcmp(ops[i].domain, domain))
            return &ops[i];
    return NULL;
}

const char *onnx_op_suggest(struct qbc *q, const char *domain, const char *name)
{
    const char *names[N_OPS + 1] = {0};
    for (size_t i = 0; i < N_OPS; ++i)
        names[i] = ops[i].name;
    const char *near = qbc_nearest(name, names);
    for (size_t i = 0; near && i < N_OPS; ++i) {
        if (strcmp(ops[i].name, near))
            continue;
        if (!strcmp(ops[i].domain, domain) || onnx_op_find(domain, near))
            return near;
        return ops[i].domain[0] ? qbc_text(q, "%s of domain %s", near, ops[i].domain)
                                : qbc_text(q, "%s of ONNX's own domain", near);
    }
    return NULL;
}
