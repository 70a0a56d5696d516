/* probe: numbers to evaluate a graph with (pattern.h). */
#include "pattern.h"

#include <ctype.h>
#include <math.h>
#include <mlir-c/BuiltinAttributes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 24, MOST_TOKENS = 1 << 20 };

bool qbc_has_past(MlirOperation func)
{
    intptr_t n = mlirBlockGetNumArguments(qbc_func_body(func));
    for (intptr_t i = 0; i < n; ++i) {
        MlirAttribute dims = qbc_function_attr(func, "arg_attrs", (size_t)i, "qb.dims");
        if (mlirAttributeIsNull(dims) || !mlirAttributeIsAArray(dims))
            continue;
        for (intptr_t d = 0; d < mlirArrayAttrGetNumElements(dims); ++d) {
            MlirStringRef s = mlirStringAttrGetValue(mlirArrayAttrGetElement(dims, d));
            if (s.length && memchr(s.data, 'P', s.length))
                return true;
        }
    }
    return false;
}

/* "16": 16; "T": 0. */
static int64_t number_of(MlirStringRef text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.length; ++i) {
        if (!isdigit((unsigned char)text.data[i]) || n >= MOST_TOKENS)
            return 0;
        n = 10 * n + text.data[i] - '0';
    }
    return n;
}

int64_t qbc_call_tokens(MlirOperation func)
{
    intptr_t n = mlirBlockGetNumArguments(qbc_func_body(func));
    for (intptr_t i = 0; i < n; ++i) {
        MlirAttribute input = qbc_function_attr(func, "arg_attrs", (size_t)i, "qb.input");
        MlirAttribute dims = qbc_function_attr(func, "arg_attrs", (size_t)i, "qb.dims");
        if (mlirAttributeIsNull(input) || !mlirStringRefEqual(mlirStringAttrGetValue(input), qbc_str("tokens")) ||
            mlirAttributeIsNull(dims) || !mlirAttributeIsAArray(dims))
            continue;
        intptr_t rank = mlirArrayAttrGetNumElements(dims);
        int64_t all = rank > 0;
        for (intptr_t d = 0; d < rank; ++d)
            all *= number_of(mlirStringAttrGetValue(mlirArrayAttrGetElement(dims, d)));
        return all;
    }
    return 0;
}

bool qbc_is_step(MlirOperation func)
{
    return qbc_call_tokens(func) == 1;
}

int64_t qbc_tokens_or(MlirOperation func, int64_t usual)
{
    int64_t fixed = qbc_call_tokens(func);
    return fixed ? fixed : usual;
}

/* Level-1 values of arith are no part of the evaluator's table; their types say all. */
static void bind_shape(struct qbc_evaluation *e, MlirValue v, int64_t tokens)
{
    struct qbc_array a = {.element = QBC_F32, .rank = 2, .dims = {tokens, qbc_dim(v, 1)}};
    a.n = (size_t)(a.dims[0] * a.dims[1]);
    qbc_evaluation_bind(e, v, a);
}

struct qbc_evaluation *qbc_probe(struct qbc *q, MlirOperation func, int64_t tokens, int64_t past)
{
    tokens = qbc_tokens_or(func, tokens);
    struct qbc_evaluation *e = qbc_evaluation_create(q, func, tokens, past);
    MlirBlock body = qbc_func_body(func);
    for (MlirOperation op = mlirBlockGetFirstOperation(body); !mlirOperationIsNull(op);
         op = mlirOperationGetNextInBlock(op)) {
        if (mlirOperationGetNumResults(op) != 1)
            continue;
        MlirValue v = mlirOperationGetResult(op, 0);
        if (qbc_is_level1(v) && qbc_dim(v, 0) == QBC_ANY && qbc_dim(v, 1) != QBC_ANY)
            bind_shape(e, v, tokens);
    }
    return e;
}

/* Bob Jenkins' one-at-a-time mix of (seed, i): every number can be had without those before it. */
static float noise(uint32_t seed, size_t i)
{
    uint32_t h = seed * 2654435761u ^ (uint32_t)i * 2246822519u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    h *= 3266489917u;
    h ^= h >> 16;
    return (float)(h >> 8) * 0x1p-23f - 1.0f;
}

static struct qbc_array *bind(struct qbc *q, struct qbc_evaluation *e, MlirValue v)
{
    const struct qbc_array *shape = qbc_evaluate_small(e, v);
    if (!shape || shape->n > LARGEST)
        return NULL;
    struct qbc_array *a = qbc_alloc(q, sizeof *a);
    *a = qbc_array_create(e, QBC_F32, shape->rank, shape->dims);
    if (!a->known)
        return NULL;
    qbc_evaluation_bind(e, v, *a);
    return a;
}

struct qbc_array *qbc_bind_zero(struct qbc *q, struct qbc_evaluation *e, MlirValue v)
{
    return bind(q, e, v);
}

void qbc_fill_random(struct qbc_array *a, uint32_t seed)
{
    for (size_t i = 0; i < a->n; ++i)
        a->f[i] = noise(seed, i);
}

const struct qbc_array *qbc_bind_random(struct qbc *q, struct qbc_evaluation *e, MlirValue v,
                                        uint32_t seed)
{
    struct qbc_array *a = bind(q, e, v);
    if (a)
        qbc_fill_random(a, seed);
    return a;
}

const struct qbc_array *qbc_floats_of(struct qbc_evaluation *e, MlirValue v)
{
    const struct qbc_array *a = qbc_evaluate(e, v);
    return a && a->known && a->f ? a : NULL;
}

const struct qbc_array *qbc_bind_iota(struct qbc *q, struct qbc_evaluation *e, MlirValue v)
{
    struct qbc_array *a = bind(q, e, v);
    for (size_t i = 0; a && i < a->n; ++i)
        a->f[i] = (float)i; /* exact: LARGEST is 2^24 */
    return a;
}

bool qbc_near(double a, double b, double relative, double absolute)
{
    double size = fmax(fabs(a), fabs(b));
    return fabs(a - b) <= relative * size + absolute;
}

double qbc_shortest(double v, double relative)
{
    enum { DIGITS = 9 };
    if (v == 0 || !isfinite(v))
        return v;
    for (int digits = 1; digits <= DIGITS; ++digits) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", digits - 1, v);
        double rounded = strtod(text, NULL);
        if (qbc_near(rounded, v, relative, 0))
            return rounded;
    }
    return v;
}

double qbc_exact_scale(double measured, int64_t head_dim)
{
    double usual = 1 / sqrt((double)head_dim);
    if (qbc_near(measured, usual, 1e-3, 0)) /* half-precision constants are as far off as that */
        return usual;
    return qbc_shortest(measured, 1e-6);
}

void qbc_limit_context(struct qbc *q, MlirOperation op, int64_t length)
{
    MlirOperation module = qbc_module_op(op);
    int64_t before = qbc_int(module, "qb.context", length);
    qbc_set_int(q, module, "qb.context", before < length ? before : length);
}
