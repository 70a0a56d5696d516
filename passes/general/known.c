/* known: what the compiler computes itself. An operation whose operands are all known, and the shape of anything whose sizes
 * are, is evaluated (compiler/base/evaluate.h), so that arithmetic on shapes leaves no code.
 */
#include "evaluate.h"
#include "general.h"

#include <string.h>

enum { LARGEST = 1 << 14 }; /* elements */

/* Elements that the evaluator computes as they are: integers that i64 holds, and f32. */
static bool is_exact(enum qbc_element e)
{
    return e == QBC_F32 || (!g_is_float(e) && e != QBC_U64 && qbc_element_bits(e) >= 8);
}

static bool to_array(struct general *g, const struct g_tensor *t, struct qbc_array *out)
{
    int64_t dims[QBC_MAX_RANK], n = g_known_count(t);
    if (n < 0)
        return false;
    for (size_t i = 0; i < t->rank; ++i)
        dims[i] = t->size[i].n;
    bool known = t->known && n <= LARGEST && is_exact(t->element);
    *out = (struct qbc_array){.element = t->element, .rank = t->rank, .n = (size_t)n};
    if (known)
        *out = qbc_array_create(g->evaluation, t->element, t->rank, dims);
    memcpy(out->dims, dims, sizeof dims);
    out->known = known;
    for (int64_t i = 0; known && i < n; ++i) {
        double number = 0;
        if (out->i)
            g_known_int(t, i, &out->i[i]);
        else if (g_known_number(t, i, &number))
            out->f[i] = (float)number;
    }
    return true;
}

void g_remember(struct general *g, MlirValue v, const struct g_tensor *t)
{
    struct qbc_array a;
    if (to_array(g, t, &a))
        qbc_evaluation_bind(g->evaluation, v, a);
}

static struct g_tensor *from_array(struct general *g, const struct qbc_array *a)
{
    size_t bytes = qbc_element_bytes(a->element);
    char *data = qbc_alloc(g->q, a->n * bytes + 8);
    for (size_t i = 0; i < a->n; ++i)
        memcpy(data + i * bytes, a->i ? (const void *)&a->i[i] : (const void *)&a->f[i], bytes);
    return g_known(g, a->element, a->rank, a->dims, data);
}

static bool asks_for_sizes(const struct g_op *o)
{
    return o->n_in && o->in[0] && g_known_sizes(o->in[0]) && (qbc_is(o->op, "onnx.Shape") || qbc_is(o->op, "onnx.Size"));
}

static bool has_known_operands(const struct g_op *o)
{
    for (size_t i = 0; i < o->n_in; ++i)
        if (o->in[i] && (!o->in[i]->known || !is_exact(o->in[i]->element) || g_known_count(o->in[i]) > LARGEST))
            return false;
    return o->n_in > 0 && mlirOperationGetNumRegions(o->op) == 0;
}

bool g_fold_known(struct g_op *o)
{
    if (!asks_for_sizes(o) && !has_known_operands(o))
        return false;
    for (size_t i = 0; i < o->n_out; ++i) {
        const struct qbc_array *a = qbc_evaluate_small(o->g->evaluation, mlirOperationGetResult(o->op, (intptr_t)i));
        if (!a || !a->known || a->n > LARGEST || !is_exact(a->element))
            return false;
        o->out[i] = from_array(o->g, a);
    }
    return true;
}
