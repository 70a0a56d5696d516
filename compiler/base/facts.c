/* facts: see facts.h. */
#include "facts.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ENTRIES = 64 };
static const int64_t probe_tokens[QBC_PROBES] = {5, 6, 5, 17, 1};
static const int64_t probe_past[QBC_PROBES] = {3, 3, 4, 29, 0};

struct qbc_probes qbc_probes_create(struct qbc *q, MlirOperation func)
{
    struct qbc_probes probes = {.q = q};
    for (int k = 0; k < QBC_PROBES; ++k)
        probes.e[k] = qbc_evaluation_create(q, func, probe_tokens[k], probe_past[k]);
    return probes;
}

void qbc_probes_destroy(struct qbc_probes *probes)
{
    for (int k = 0; k < QBC_PROBES; ++k)
        qbc_evaluation_destroy(probes->e[k]);
}

bool qbc_facts_of(const struct qbc_probes *probes, MlirValue v, struct qbc_facts *out)
{
    if (mlirTypeIsANone(mlirValueGetType(v)))
        return false;
    for (int k = 0; k < QBC_PROBES; ++k) {
        out->a[k] = qbc_evaluate_small(probes->e[k], v);
        if (!out->a[k] || out->a[k]->rank != out->a[0]->rank)
            return false;
    }
    return true;
}

MlirType qbc_facts_type(struct qbc *q, const struct qbc_facts *facts)
{
    const struct qbc_array *first = facts->a[0];
    int64_t dims[QBC_MAX_RANK];
    for (size_t d = 0; d < first->rank; ++d) {
        dims[d] = first->dims[d];
        for (int k = 1; k < QBC_PROBES; ++k)
            if (facts->a[k]->dims[d] != dims[d])
                dims[d] = QBC_ANY;
    }
    return qbc_tensor(q, qbc_element_type(q, first->element), first->rank, dims);
}

bool qbc_same_dims(const struct qbc_array *a, const struct qbc_array *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

bool qbc_facts_known(const struct qbc_facts *facts)
{
    for (int k = 0; k < QBC_PROBES; ++k)
        if (!facts->a[k]->known)
            return false;
    return true;
}

bool qbc_facts_constant(const struct qbc_facts *facts)
{
    const struct qbc_array *first = facts->a[0];
    if (!qbc_facts_known(facts))
        return false;
    for (int k = 1; k < QBC_PROBES; ++k) {
        const struct qbc_array *a = facts->a[k];
        if (!qbc_same_dims(a, first) || (a->f ? memcmp(a->f, first->f, a->n * sizeof *a->f)
                                              : memcmp(a->i, first->i, a->n * sizeof *a->i)))
            return false;
    }
    return true;
}

/* --- sums of numbers, T and P */

/* x = a + b T + c P: three probes give a, b, c, the others confirm. */
const char *qbc_affine(struct qbc *q, const int64_t x[QBC_PROBES])
{
    int64_t b = x[1] - x[0], c = x[2] - x[0];
    int64_t a = x[0] - b * probe_tokens[0] - c * probe_past[0];
    const char *text = "";
    if (llabs(x[0]) > INT32_MAX || llabs(b) > INT32_MAX || llabs(c) > INT32_MAX)
        return NULL;
    for (int k = 3; k < QBC_PROBES; ++k)
        if (x[k] != a + b * probe_tokens[k] + c * probe_past[k])
            return NULL;
    if (c)
        text = c == 1 ? "P" : qbc_text(q, "%lld*P", (long long)c);
    if (b) {
        const char *sign = *text ? b < 0 ? " - " : " + " : b < 0 ? "-" : "";
        text = llabs(b) == 1 ? qbc_text(q, "%s%sT", text, sign)
                             : qbc_text(q, "%s%s%lld*T", text, sign, llabs(b));
    }
    if (!*text)
        return qbc_text(q, "%lld", (long long)a);
    return a ? qbc_text(q, "%s %c %lld", text, a < 0 ? '-' : '+', llabs(a)) : text;
}

static MlirAttribute texts(struct qbc *q, size_t n, int64_t (*x)[QBC_PROBES])
{
    MlirAttribute each[MOST_ENTRIES];
    for (size_t i = 0; i < n; ++i) {
        const char *text = qbc_affine(q, x[i]);
        if (!text)
            return (MlirAttribute){NULL};
        each[i] = qbc_attr_string(q, text);
    }
    return mlirArrayAttrGet(q->mlir, (intptr_t)n, each);
}

MlirAttribute qbc_affine_dims(struct qbc *q, const struct qbc_facts *facts)
{
    int64_t x[QBC_MAX_RANK][QBC_PROBES];
    for (size_t d = 0; d < facts->a[0]->rank; ++d)
        for (int k = 0; k < QBC_PROBES; ++k)
            x[d][k] = facts->a[k]->dims[d];
    return texts(q, facts->a[0]->rank, x);
}

MlirAttribute qbc_affine_list(struct qbc *q, const struct qbc_facts *facts)
{
    int64_t x[MOST_ENTRIES][QBC_PROBES];
    size_t n = facts->a[0]->n;
    for (int k = 0; k < QBC_PROBES; ++k)
        if (!facts->a[k]->i || facts->a[k]->n != n || n > MOST_ENTRIES)
            return (MlirAttribute){NULL};
    for (size_t i = 0; i < n; ++i)
        for (int k = 0; k < QBC_PROBES; ++k)
            x[i][k] = facts->a[k]->i[i];
    if (facts->a[0]->rank)
        return texts(q, n, x);
    const char *text = qbc_affine(q, x[0]);
    return text ? qbc_attr_string(q, text) : (MlirAttribute){NULL};
}
