/* tensor: in memory, known, or computed where it is read. */
#include "general.h"
#include "run.h"

#include <mlir-c/BuiltinAttributes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- making them */

struct g_tensor *g_new(struct general *g, enum qbc_element element, size_t rank, const struct g_size *size)
{
    struct g_tensor *t = qbc_alloc(g->q, sizeof *t);
    *t = (struct g_tensor){.element = element, .rank = rank};
    for (size_t i = 0; size && i < rank; ++i)
        t->size[i] = size[i];
    return t;
}

struct g_tensor *g_function(struct general *g, enum qbc_element element, size_t rank, const struct g_size *size,
                            g_at_function at, const void *user, size_t depth)
{
    struct g_tensor *t = g_new(g, element, rank, size);
    t->at = at;
    t->user = user;
    t->depth = depth;
    return t;
}

struct g_tensor *g_new_like(struct general *g, enum qbc_element element, const struct g_tensor *like)
{
    struct g_tensor *t = g_new(g, element, like->rank, like->size);
    g_allocate(g, t);
    return t;
}

struct g_tensor *g_known(struct general *g, enum qbc_element element, size_t rank, const int64_t *dims, const void *data)
{
    struct g_tensor *t = g_new(g, element, rank, NULL);
    size_t bytes = qbc_element_bytes(element);
    for (size_t i = 0; i < rank; ++i) {
        t->size[i] = g_size(dims[i]);
        bytes *= (size_t)dims[i];
    }
    void *copy = qbc_alloc(g->q, bytes + 8);
    if (bytes)
        memcpy(copy, data, bytes); /* of nothing there may be no data */
    t->known = copy;
    return t;
}

struct g_tensor *g_known_ints(struct general *g, size_t n, const int64_t *values)
{
    return g_known(g, QBC_I64, 1, (int64_t[]){(int64_t)n}, values);
}

/* --- memory */

static MlirValue call_allocate(struct general *g, struct g_size bytes)
{
    MlirValue operands[] = {g_field(g, QBRT_RUN_ALLOCATE, g->k.ptr), g_field(g, QBRT_RUN_CONTEXT, g->k.ptr), g_i64(g, bytes)};
    struct qbc_attr attrs[] = {
        {"op_bundle_sizes", mlirDenseI32ArrayGet(g->q->mlir, 0, NULL)},
        {"operandSegmentSizes", mlirDenseI32ArrayGet(g->q->mlir, 2, (int32_t[]){3, 0})},
        {0},
    };
    return mlirOperationGetResult(qbc_make(&g->k.b, "llvm.call", g->k.ptr, attrs, 3, operands), 0);
}

/* What is known has its place in the arena, also in a loop, whose turns share it; the rest is asked for. */
MlirValue g_memory(struct general *g, struct g_size bytes)
{
    enum { ALIGN = 64 };
    if (!g_is_known(bytes))
        return call_allocate(g, bytes);
    MlirValue at = k_at_i(&g->k, g->arena, g->arena_bytes);
    g->arena_bytes += (bytes.n + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

void g_allocate(struct general *g, struct g_tensor *t)
{
    const int64_t most = INT64_C(1) << 40;
    int64_t room = most;
    for (size_t i = 0; i < t->rank; ++i) {
        bool known = g_is_known(t->size[i]);
        if (known && (t->size[i].n < 0 || t->size[i].n > room)) {
            qbc_error(g->q, g->op, "a result would have %lld elements along axis %zu", (long long)t->size[i].n, i);
            t->size[i] = g_size(0);
        }
        room /= known && t->size[i].n > 0 ? t->size[i].n : 1;
    }
    t->data = g_memory(g, g_times(g, g_count(g, t), g_size((int64_t)qbc_element_bytes(t->element))));
}

MlirValue g_field(struct general *g, int64_t offset, MlirType type)
{
    return k_load(&g->k, type, k_at_i(&g->k, g->run, offset), 8);
}

MlirValue g_constant_data(struct general *g, const void *data, size_t bytes)
{
    enum { ALIGN = 64 };
    for (size_t i = 0; i < g->n_weights; ++i)
        if (g->weight[i].data == data ||
            (g->weight[i].bytes == bytes && bytes <= 4096 && !memcmp(g->weight[i].data, data, bytes)))
            return k_at_i(&g->k, g->weights, g->weight[i].offset);
    if (g->n_weights == g->weights_room) {
        struct qbc_run_weight *old = g->weight;
        g->weights_room = 2 * g->weights_room + 16;
        g->weight = qbc_alloc(g->q, g->weights_room * sizeof *g->weight);
        if (g->n_weights)
            memcpy(g->weight, old, g->n_weights * sizeof *old);
    }
    g->weight[g->n_weights++] = (struct qbc_run_weight){data, bytes, g->weight_bytes};
    MlirValue at = k_at_i(&g->k, g->weights, g->weight_bytes);
    g->weight_bytes += ((int64_t)bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* --- reading */

MlirValue g_flat(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    MlirValue at = t->rank ? index[0] : k_i64(&g->k, 0);
    for (size_t i = 1; i < t->rank; ++i)
        at = k_add(&g->k, k_mul(&g->k, at, g_i64(g, t->size[i])), index[i]);
    return at;
}

static MlirValue data_of(struct general *g, const struct g_tensor *t)
{
    if (!t->known)
        return t->data;
    return g_constant_data(g, t->known, (size_t)g_known_count(t) * qbc_element_bytes(t->element));
}

/* One number for all elements. */
static bool is_splat(const struct g_tensor *t, double *value)
{
    int64_t n = t->known ? g_known_count(t) : 0;
    size_t bytes = qbc_element_bytes(t->element);
    for (int64_t i = 1; i < n; ++i)
        if (memcmp(t->known, (const char *)t->known + (size_t)i * bytes, bytes))
            return false;
    return n > 0 && n <= 4096 && g_known_number(t, 0, value);
}

struct g_num g_at_flat(struct general *g, const struct g_tensor *t, MlirValue index)
{
    int64_t whole;
    double value;
    if (is_splat(t, &value))
        return !g_is_float(t->element) && g_known_int(t, 0, &whole) ? g_int(g, t->element, whole)
                                                                    : g_const(g, t->element, value);
    return g_load(g, t->element, data_of(g, t), index);
}

struct g_num g_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    if (t->known || !t->at)
        return g_at_flat(g, t, g_flat(g, t, index));
    struct g_num x = t->at(g, t, index);
    bool keeps = t->element == x.element;
    return keeps ? x : g_round_to(g, t->element, x);
}

struct g_num g_at_n(struct general *g, const struct g_tensor *t, size_t n, ...)
{
    MlirValue index[QBC_MAX_RANK];
    va_list args;
    va_start(args, n);
    for (size_t i = 0; i < n; ++i)
        index[i] = va_arg(args, MlirValue);
    va_end(args);
    return g_at(g, t, index);
}

bool g_known_int(const struct g_tensor *t, int64_t i, int64_t *out)
{
    const char *at = t->known ? (const char *)t->known + (size_t)i * qbc_element_bytes(t->element) : NULL;
    int64_t value = 0;
    if (!at || g_is_float(t->element) || i >= g_known_count(t))
        return false;
    size_t bytes = qbc_element_bytes(t->element);
    memcpy(&value, at, bytes);
    if (!g_is_unsigned(t->element))
        value = (int64_t)((uint64_t)value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
    *out = value;
    return true;
}

bool g_known_number(const struct g_tensor *t, int64_t i, double *out)
{
    int64_t whole;
    if (g_known_int(t, i, &whole)) {
        *out = (double)whole;
        return true;
    }
    if (!t->known || (t->element != QBC_F32 && t->element != QBC_F64) || i >= g_known_count(t))
        return false;
    float f;
    if (t->element == QBC_F64)
        memcpy(out, (const char *)t->known + 8 * i, sizeof *out);
    else
        memcpy(&f, (const char *)t->known + 4 * i, sizeof f), *out = (double)f;
    return true;
}

struct g_size g_element(struct general *g, const struct g_tensor *t, int64_t i)
{
    int64_t known, n = g_known_count(t);
    double number;
    if (n >= 0 && i >= n)
        return g_size(0); /* of a list that is too short */
    if (g_known_int(t, i, &known))
        return g_size(known);
    if (g_known_number(t, i, &number))
        return g_size((int64_t)number);
    MlirValue index[QBC_MAX_RANK], at = k_i64(&g->k, i);
    for (size_t d = 0; d < t->rank; ++d)
        index[d] = d + 1 == t->rank ? at : k_i64(&g->k, 0);
    return g_size_of(g_convert(g, g_at(g, t, index), QBC_I64).v);
}

/* --- writing */

void g_put_flat(struct general *g, struct g_tensor *t, MlirValue index, struct g_num value)
{
    g_store(g, t->element, value, t->data, index);
}

void g_put(struct general *g, struct g_tensor *t, const MlirValue *index, struct g_num value)
{
    g_put_flat(g, t, g_flat(g, t, index), value);
}

void g_write_to(struct general *g, struct g_tensor *t, MlirValue data)
{
    struct g_nest nest;
    struct g_tensor to = *t;
    to.data = data;
    g_begin(g, &nest, t->rank, t->size);
    struct g_num x = !t->known && t->at ? t->at(g, t, nest.index) : g_at(g, t, nest.index);
    g_put(g, &to, nest.index, x);
    g_end(g, &nest);
}

struct g_tensor *g_solid(struct general *g, struct g_tensor *t)
{
    if (t->known || !t->at)
        return t;
    struct g_tensor place = *t;
    g_allocate(g, &place);
    g_write_to(g, t, place.data);
    t->data = place.data;
    t->at = NULL;
    t->depth = 0;
    return t;
}

/* --- other shapes */

static struct g_num reshaped_at(struct general *g, const struct g_tensor *t, const MlirValue *index)
{
    const struct g_tensor *of = t->user;
    return g_at_flat(g, of, g_flat(g, t, index));
}

struct g_tensor *g_reshaped(struct general *g, struct g_tensor *t, size_t rank, const struct g_size *size)
{
    struct g_tensor *r = g_new(g, t->element, rank, size);
    g_solid(g, t);
    r->data = t->data;
    r->known = t->known && g_known_sizes(r) ? t->known : NULL;
    if (t->known && !r->known)
        r->at = reshaped_at, r->user = t;
    return r;
}

void g_broadcast_index(struct general *g, const struct g_tensor *t, size_t rank, const MlirValue *index, MlirValue *out)
{
    MlirValue zero = k_i64(&g->k, 0);
    size_t skip = rank - t->rank;
    for (size_t i = 0; i < t->rank; ++i) {
        MlirValue at = index[skip + i];
        if (g_is(t->size[i], 1))
            at = zero;
        else if (!g_is_known(t->size[i]))
            at = k_select(&g->k, k_cmp(&g->k, QBC_EQ, t->size[i].v, k_i64(&g->k, 1)), zero, at);
        out[i] = at;
    }
}

bool g_broadcast(struct g_op *o, size_t n, struct g_tensor *const *in, size_t *rank, struct g_size *size)
{
    *rank = 0;
    for (size_t i = 0; i < n; ++i)
        *rank = in[i]->rank > *rank ? in[i]->rank : *rank;
    for (size_t d = 0; d < *rank; ++d)
        size[d] = g_size(1);
    for (size_t i = 0; i < n; ++i)
        for (size_t k = 0, skip = *rank - in[i]->rank; k < in[i]->rank; ++k) {
            struct g_size have = size[skip + k], want = in[i]->size[k];
            if (g_is(have, 1) || g_same(have, want))
                size[skip + k] = want;
            else if (g_is_known(have) && g_is_known(want) && want.n != 1) {
                g_refuse(o, "operands of %lld and %lld elements do not fit together", (long long)have.n, (long long)want.n);
                return false;
            } else if (!g_is_known(have) && g_is_known(want) && want.n != 1)
                size[skip + k] = want;
            else if (!g_is_known(have) && !g_is_known(want))
                size[skip + k] = g_max_size(o->g, have, want);
        }
    return true;
}

bool g_axis(struct g_op *o, int64_t *axis, size_t rank)
{
    int64_t n = (int64_t)rank, given = *axis;
    *axis += *axis < 0 ? n : 0;
    if (*axis >= 0 && *axis < n)
        return true;
    g_refuse(o, "axis %lld is outside of a tensor of rank %zu", (long long)given, rank);
    return false;
}
