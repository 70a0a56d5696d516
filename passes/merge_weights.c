/* merge-weights: one weight, one operation.
 *
 *   before   %a = "qb.weight"() {source = "x", offset = 0, ...};  %b the same view of the same tensor
 *            "qb.scale"(%r, %c);  "qb.scale"(%s, %d)              %c and %d of two tensors with the same numbers
 *   after    %a for both; %c for both
 *
 * Exporters differ in whether a vector that all layers multiply by is stored once or for each.
 *
 * needs    check-graph
 * leaves   each view of a tensor once
 * keeps    other tensors of the same numbers
 */
#include "pattern.h"

#include <string.h>

static MlirValue result(MlirOperation op)
{
    return mlirOperationGetResult(op, 0);
}

static bool same_view(MlirOperation a, MlirOperation b)
{
    static const char *const what[] = {"source", "offset", "strides", "runs", "blocks", NULL};
    bool same = mlirTypeEqual(mlirValueGetType(result(a)), mlirValueGetType(result(b)));
    for (const char *const *w = what; *w && same; ++w)
        same = mlirAttributeEqual(mlirOperationGetAttributeByName(a, qbc_str(*w)),
                                  mlirOperationGetAttributeByName(b, qbc_str(*w)));
    return same;
}

static bool scales_only(struct qbc *q, MlirOperation weight)
{
    struct qbc_ops users = qbc_users(q, result(weight));
    for (size_t i = 0; i < users.n; ++i)
        if (!qbc_is(users.op[i], "qb.scale"))
            return false;
    return users.n && qbc_rank(result(weight)) == 1;
}

static const float *numbers_of(struct qbc *q, MlirOperation weight)
{
    struct qbc_strided view;
    size_t n = (size_t)qbc_dim(result(weight), 0);
    return qbc_strided_of(q, NULL, result(weight), &view) ? qbc_strided_read(q, &view, n) : NULL;
}

static bool same_scale(struct qbc *q, MlirOperation a, MlirOperation b)
{
    if (!mlirTypeEqual(mlirValueGetType(result(a)), mlirValueGetType(result(b))) || !scales_only(q, a) || !scales_only(q, b))
        return false;
    const float *x = numbers_of(q, a), *y = numbers_of(q, b);
    return x && y && !memcmp(x, y, (size_t)qbc_dim(result(a), 0) * sizeof *x);
}

void qbc_pass_merge_weights(struct qbc *q, MlirOperation module)
{
    struct qbc_ops ops = qbc_collect(q, module, "qb.weight");
    for (size_t i = 1; i < ops.n; ++i)
        for (size_t j = 0; j < i; ++j)
            if (!mlirOperationIsNull(ops.op[j]) && (same_view(ops.op[i], ops.op[j]) || same_scale(q, ops.op[i], ops.op[j]))) {
                qbc_replace(ops.op[i], result(ops.op[j])); /* the first one comes first */
                ops.op[i] = (MlirOperation){NULL};
                break;
            }
}
