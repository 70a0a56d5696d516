/* coded_order: columns that were quantized in another order than theirs (GPTQ's act_order): each has the number of its group. Sorted by
 * these numbers, groups are runs of columns as they are elsewhere; what the columns are multiplied with is gathered alike (sort-columns).
 */
#include "coded.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

/* Entry i; -1: it is no number of a group. */
static int64_t group_at(const struct qbc_source *s, int64_t i, int64_t groups)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    memcpy(s->element == QBC_I64 ? (void *)&wide : (void *)&narrow, (const char *)s->data + (size_t)i * qbc_element_bytes(s->element),
           qbc_element_bytes(s->element));
    wide = s->element == QBC_I64 ? wide : narrow;
    return wide < 0 || wide >= groups ? -1 : wide;
}

/* Counting sort, columns of a group as they stand; NULL: a group has other numbers of columns than `group`. */
static const int32_t *sort(struct qbc *q, const struct qbc_coded *c, int64_t groups)
{
    int32_t *order = qbc_alloc(q, (size_t)c->length * sizeof *order), *filled = qbc_alloc(q, (size_t)groups * sizeof *filled);
    memset(filled, 0, (size_t)groups * sizeof *filled);
    for (int64_t a = 0; a < c->length; ++a) {
        int64_t g = c->group_of[a], at = g * c->group + filled[g]++;
        if (filled[g] > c->group || at >= c->length)
            return NULL;
        order[at] = (int32_t)a;
    }
    return order;
}

bool qbc_coded_order(struct qbc *q, int64_t groups, struct qbc_coded *c)
{
    bool whole = c->groups->element == QBC_I32 || c->groups->element == QBC_I64;
    if (!whole || c->groups->coded || c->length > INT32_MAX || qbc_source_elements(c->groups) < c->length)
        return false;
    int32_t *group_of = qbc_alloc(q, (size_t)c->length * sizeof *group_of);
    for (int64_t a = 0; a < c->length; ++a)
        group_of[a] = (int32_t)group_at(c->groups, a, groups);
    for (int64_t a = 0; a < c->length; ++a)
        if (group_of[a] < 0)
            return false;
    c->group_of = group_of;
    c->order = sort(q, c, groups);
    return true;
}

bool qbc_coded_sortable(const struct qbc_coded *c)
{
    return c->groups && c->order && !c->sorted;
}

MlirAttribute qbc_coded_sorted(struct qbc *q, MlirAttribute blocks)
{
    intptr_t n = mlirDictionaryAttrGetNumElements(blocks);
    MlirNamedAttribute *all = qbc_alloc(q, (size_t)(n + 1) * sizeof *all);
    for (intptr_t i = 0; i < n; ++i)
        all[i] = mlirDictionaryAttrGetElement(blocks, i);
    all[n] = mlirNamedAttributeGet(mlirIdentifierGet(q->mlir, qbc_str("sorted")), mlirUnitAttrGet(q->mlir));
    return mlirDictionaryAttrGet(q->mlir, n + 1, all);
}
