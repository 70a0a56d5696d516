/* settle: sizes of the cache that the file leaves open.
 *
 * ONNX Runtime GenAI writes the size of a head as a name (`kv_cache_dim`). The operation that reads
 * the cache tells it: the values it appends have that size. So the continuation's shape is
 * evaluated with the cache cut off, and what is the same for several T is the missing number.
 */
#include "evaluate.h"
#include "onnx.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_open(const struct interface *x)
{
    for (size_t d = 0; d < x->rank; ++d)
        if (!strcmp(x->dims[d], "?"))
            return true;
    return false;
}

/* An empty cache with 1 in place of what is not known: the fused operations do not look there. */
static void bind_guess(struct qbc_evaluation *e, MlirValue argument, const struct interface *x)
{
    struct qbc_array a = {.element = x->element, .rank = x->rank, .n = 1};
    for (size_t d = 0; d < x->rank; ++d) {
        int64_t size = strtoll(x->dims[d], NULL, 10);
        a.dims[d] = strchr(x->dims[d], 'P') ? 0 : size > 0 ? size : 1;
        a.n *= (size_t)a.dims[d];
    }
    qbc_evaluation_bind(e, argument, a);
}

static bool sizes_of(struct import *m, MlirOperation func, MlirValue result, int64_t tokens,
                     struct qbc_array *out)
{
    struct qbc_evaluation *e = qbc_evaluation_create(m->q, func, tokens, 0);
    for (size_t i = 0; i < m->n_in; ++i)
        if (is_open(&m->in[i]) && m->in[i].ranked)
            bind_guess(e, mlirBlockGetArgument(m->body, (intptr_t)i), &m->in[i]);
    const struct qbc_array *a = qbc_evaluate(e, result);
    if (a)
        *out = *a;
    qbc_evaluation_destroy(e);
    return a != NULL;
}

/* Only operations that take the size from the tokens' side; a Concat would give back the guess. */
static bool is_fused(MlirValue result)
{
    MlirOperation op = qbc_def_any(result);
    return !mlirOperationIsNull(op) &&
           (qbc_is(op, "onnx.com.microsoft.GroupQueryAttention") ||
            qbc_is(op, "onnx.com.microsoft.MultiHeadAttention") || qbc_is(op, "onnx.Attention"));
}

static void settle_one(struct import *m, MlirOperation func, struct interface *out,
                       struct interface *in)
{
    struct qbc_array few, more;
    const struct value *value = onnx_names_get(m->values, out->name);
    if (!is_fused(value->mlir) || !sizes_of(m, func, value->mlir, 3, &few) ||
        !sizes_of(m, func, value->mlir, 5, &more) || few.rank != in->rank || out->rank != in->rank)
        return;
    for (size_t d = 0; d < in->rank; ++d)
        if (!strcmp(in->dims[d], "?") && few.dims[d] == more.dims[d])
            in->dims[d] = out->dims[d] = qbc_text(m->q, "%lld", (long long)few.dims[d]);
}

/* The window of a causal convolution: as long as the kernel, where [1, C, ?] is continued by what goes into a Conv. */
static void settle_window(struct import *m, MlirOperation conv)
{
    MlirOperation joined = qbc_def(mlirOperationGetOperand(conv, 0), "onnx.Concat");
    const int64_t *kernel;
    if (mlirOperationIsNull(joined) || qbc_ints(m->q, conv, "kernel_shape", &kernel) != 1)
        return;
    MlirValue past = mlirOperationGetOperand(joined, 0);
    if (!mlirValueIsABlockArgument(past))
        return;
    size_t i = (size_t)mlirBlockArgumentGetArgNumber(past);
    const char *size = qbc_text(m->q, "%ld", (long)kernel[0]);
    if (i >= m->n_in || m->in[i].rank != 3 || strcmp(m->in[i].dims[2], "?"))
        return;
    m->in[i].dims[2] = size;
    for (size_t k = 0; k < m->n_out; ++k)
        if (m->out[k].past == (int64_t)i && m->out[k].rank == 3 && !strcmp(m->out[k].dims[2], "?"))
            m->out[k].dims[2] = size;
}

void onnx_settle(struct import *m, MlirModule module)
{
    MlirOperation func = qbc_find_func(mlirModuleGetOperation(module), "main");
    for (size_t i = 0; i < m->n_out; ++i)
        if (m->out[i].past >= 0 && is_open(&m->in[m->out[i].past]))
            settle_one(m, func, &m->out[i], &m->in[m->out[i].past]);
    struct qbc_ops convs = qbc_collect(m->q, func, "onnx.Conv");
    for (size_t i = 0; i < convs.n; ++i)
        settle_window(m, convs.op[i]);
    onnx_type_function(m, func);
}
