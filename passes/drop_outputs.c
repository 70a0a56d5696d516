/* drop-outputs: a compiled model gives one result, a row for each token.
 *
 *   before   return %hidden, %pooled, %present_k, ...     outputs of all kinds
 *   after    return %hidden, %present_k, ...              the result, and what continues a cache
 *
 * needs    level 0
 * leaves   the first output of logits [1, T, V], else of hidden states; a warning for each that is dropped
 * keeps    a model with one result
 */
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>

static const char *text_of(struct qbc *q, MlirOperation func, intptr_t i, const char *name)
{
    MlirAttribute a = qbc_function_attr(func, "res_attrs", (size_t)i, name);
    if (mlirAttributeIsNull(a) || !mlirAttributeIsAString(a))
        return "";
    MlirStringRef s = mlirStringAttrGetValue(a);
    return qbc_copy(q, s.data, s.length);
}

static bool is_kind(struct qbc *q, MlirOperation func, intptr_t i, const char *kind)
{
    return qbc_one_of(text_of(q, func, i, "qb.output"), (const char *[]){kind, NULL});
}

/* A row for each token: [1, T, N]. */
static bool has_rows(struct qbc *q, MlirOperation func, intptr_t i)
{
    MlirAttribute dims = qbc_function_attr(func, "res_attrs", (size_t)i, "qb.dims");
    (void)q;
    return mlirAttributeIsNull(dims) || !mlirAttributeIsAArray(dims) || mlirArrayAttrGetNumElements(dims) == 3;
}

static intptr_t result_of(struct qbc *q, MlirOperation func, intptr_t n)
{
    static const char *const kinds[] = {"logits", "hidden"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k)
        for (intptr_t i = 0; i < n; ++i)
            if (is_kind(q, func, i, kinds[k]) && has_rows(q, func, i))
                return i;
    for (intptr_t i = 0; i < n; ++i)
        if (is_kind(q, func, i, "logits"))
            return i;
    return 0;
}

void qbc_pass_drop_outputs(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    MlirOperation ret = qbc_return_of(func);
    intptr_t n = mlirOperationGetNumOperands(ret), kept = 0, result = result_of(q, func, n);
    MlirAttribute all = mlirOperationGetAttributeByName(func, qbc_str("res_attrs"));
    MlirValue *values = qbc_alloc(q, ((size_t)n + 1) * sizeof *values);
    MlirAttribute *attrs = qbc_alloc(q, ((size_t)n + 1) * sizeof *attrs);
    if (mlirAttributeIsNull(all) || mlirArrayAttrGetNumElements(all) != n)
        return;
    for (intptr_t i = 0; i < n; ++i) {
        if (i != result && !is_kind(q, func, i, "present")) {
            qbc_warn(q, func, "its output '%s' is left out: a compiled model gives one result, here '%s'",
                     text_of(q, func, i, "qb.name"), text_of(q, func, result, "qb.name"));
            continue;
        }
        values[kept] = mlirOperationGetOperand(ret, i);
        attrs[kept++] = mlirArrayAttrGetElement(all, i);
    }
    if (kept == n)
        return;
    mlirOperationSetOperands(ret, kept, values);
    qbc_set(func, "res_attrs", mlirArrayAttrGet(q->mlir, kept, attrs));
    qbc_tidy(q, module);
}
