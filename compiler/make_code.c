/* make_code: from IR to code; a copy of the module for each target. */
#include "make.h"

#include <stdlib.h>

struct qbc_bytes qbc_make_code(struct qbc *q, MlirOperation module, enum qbc_code what, MlirOperation *weights)
{
    *weights = qbc_find_func(module, "weights");
    mlirOperationRemoveFromParent(*weights);
    return qbc_lower_to_llvm(q, module) && !qbc_stop(q) ? qbc_emit_code(q, module, what) : (struct qbc_bytes){0};
}

/* A copy of the module goes the rest of the way, for one of the targets. */
static bool make_variant(struct qbc *q, MlirOperation module, const char *level, struct qbc_variant *v)
{
    struct qbc_bytes object = {0};
    q->target = v->target;
    v->module = mlirOperationClone(module);
    if (qbc_run_passes(q, v->module, level, "code"))
        object = qbc_make_code(q, v->module, QBC_CODE_OBJ, &v->weights);
    if (object.data)
        v->image = qbc_link(q, object);
    free(object.data);
    return v->image.data;
}

static void destroy_variant(struct qbc_variant *v)
{
    free(v->image.data);
    if (!mlirOperationIsNull(v->weights))
        mlirOperationDestroy(v->weights);
    if (!mlirOperationIsNull(v->module))
        mlirOperationDestroy(v->module);
}

void qbc_destroy_variants(struct qbc *q, struct qbc_variant *variants)
{
    for (size_t i = 0; i < q->n_targets; ++i)
        destroy_variant(&variants[i]);
}

bool qbc_make_variants(struct qbc *q, MlirOperation module, const char *level, struct qbc_variant *variants)
{
    bool good = true;
    for (size_t i = 0; i < q->n_targets && good; ++i) {
        variants[i] = (struct qbc_variant){.target = q->targets[i]};
        good = make_variant(q, module, level, &variants[i]);
    }
    return good;
}
