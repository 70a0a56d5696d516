/* matmul: products of matrices, as NumPy multiplies them, and Gemm.
 *
 * A row of the result is summed up in memory, k by k: the innermost loop goes along rows of the second matrix and of the
 * result, which become vectors.
 */
#include "general.h"

/* c[batch.., m, n] (+)= a[batch.., m, k] b[batch.., k, n]; strides say how the second matrix lies. */
struct product {
    struct g_tensor *a, *b;
    size_t batch;               /* axes before the last two, of the result */
    struct g_size m, n, k;
    bool a_vector, b_vector, a_transposed, b_transposed;
    enum qbc_element sum; /* the numbers that are summed */
    const struct g_tensor *a_zero, *b_zero; /* subtracted; NULL: none */
};

static struct g_num operand(struct general *g, const struct product *p, bool second, const MlirValue *batch, MlirValue row,
                            MlirValue column)
{
    const struct g_tensor *t = second ? p->b : p->a;
    bool vector = second ? p->b_vector : p->a_vector, transposed = second ? p->b_transposed : p->a_transposed;
    MlirValue index[QBC_MAX_RANK];
    size_t own = vector ? 0 : t->rank - 2;
    struct g_tensor outer = *t;
    outer.rank = own;
    g_broadcast_index(g, &outer, p->batch, batch, index);
    if (vector) {
        index[0] = second ? row : column;
    } else {
        index[own] = transposed ? column : row;
        index[own + 1] = transposed ? row : column;
    }
    return g_convert(g, g_at(g, t, index), p->sum);
}

static struct g_num shifted(struct general *g, struct g_num x, const struct g_tensor *zero, MlirValue at)
{
    if (!zero)
        return x;
    MlirValue index[QBC_MAX_RANK], none = k_i64(&g->k, 0);
    for (size_t i = 0; i < zero->rank; ++i)
        index[i] = g_is(zero->size[i], 1) ? none : at;
    return g_do(g, G_SUB, x, g_convert(g, g_at(g, zero, index), x.element));
}

/* `to` has sizes batch, m, n and elements p->sum. */
static void multiply(struct general *g, const struct product *p, struct g_tensor *to)
{
    struct g_nest rows, columns, depth;
    struct g_size size[QBC_MAX_RANK + 1];
    MlirValue index[QBC_MAX_RANK];
    for (size_t i = 0; i < p->batch; ++i)
        size[i] = to->size[i];
    size[p->batch] = p->m;
    g_begin(g, &rows, p->batch + 1, size);
    for (size_t i = 0; i <= p->batch; ++i)
        index[i] = rows.index[i];
    g_begin(g, &columns, 1, &p->n);
    index[p->batch + 1] = columns.index[0];
    g_put(g, to, index, g_int(g, p->sum, 0));
    g_end(g, &columns);
    g_begin(g, &depth, 1, &p->k);
    MlirValue m = rows.index[p->batch], k = depth.index[0];
    struct g_num x = shifted(g, operand(g, p, false, rows.index, m, k), p->a_zero, m);
    g_begin(g, &columns, 1, &p->n);
    MlirValue n = columns.index[0];
    struct g_num y = shifted(g, operand(g, p, true, rows.index, k, n), p->b_zero, n);
    index[p->batch + 1] = n;
    MlirValue at = g_flat(g, to, index);
    g_put_flat(g, to, at, g_do(g, G_ADD, g_load(g, to->element, to->data, at), g_do(g, G_MUL, x, y)));
    g_end(g, &columns);
    g_end(g, &depth);
    g_end(g, &rows);
}

static enum qbc_element sum_of(enum qbc_element e)
{
    return g_is_float(e) ? g_number_element(e) : qbc_element_bits(e) < 32 ? QBC_I32 : e;
}

struct g_tensor *g_product(struct g_op *o, struct g_tensor *a, struct g_tensor *b, bool a_transposed, bool b_transposed,
                           enum qbc_element sum, const struct g_tensor *a_zero, const struct g_tensor *b_zero)
{
    struct general *g = o->g;
    struct product p = {.a = a, .b = b, .a_vector = a->rank == 1, .b_vector = b->rank == 1, .sum = sum,
                        .a_transposed = a_transposed, .b_transposed = b_transposed, .a_zero = a_zero, .b_zero = b_zero};
    struct g_tensor outer_a = *a, outer_b = *b, *outer[] = {&outer_a, &outer_b};
    struct g_size size[QBC_MAX_RANK + 2];
    if (!a->rank || !b->rank) {
        g_refuse(o, "an operand is a scalar");
        return NULL;
    }
    outer_a.rank = p.a_vector ? 0 : a->rank - 2;
    outer_b.rank = p.b_vector ? 0 : b->rank - 2;
    if (!g_broadcast(o, 2, outer, &p.batch, size))
        return NULL;
    struct g_size a_row = p.a_vector ? g_size(1) : a->size[a->rank - 2], a_column = a->size[a->rank - 1];
    struct g_size b_row = b->size[p.b_vector ? 0 : b->rank - 2], b_column = p.b_vector ? g_size(1) : b->size[b->rank - 1];
    p.m = a_transposed ? a_column : a_row;
    p.k = a_transposed ? a_row : a_column;
    p.n = b_transposed ? b_row : b_column;
    struct g_size other = b_transposed ? b_column : b_row;
    if (g_is_known(p.k) && g_is_known(other) && p.k.n != other.n) {
        g_refuse(o, "%lld columns meet %lld rows", (long long)p.k.n, (long long)other.n);
        return NULL;
    }
    size[p.batch] = p.m;
    size[p.batch + 1] = p.n;
    struct g_tensor *to = g_new(g, sum, p.batch + 2, size);
    g_allocate(g, to);
    multiply(g, &p, to);
    size_t rank = p.batch;
    if (!p.a_vector)
        size[rank++] = p.m;
    if (!p.b_vector)
        size[rank++] = p.n;
    return g_reshaped(g, to, rank, size);
}

static void solid_operands(struct g_op *o)
{
    for (size_t i = 0; i < o->n_in; ++i)
        if (o->in[i])
            g_solid(o->g, o->in[i]);
}

void g_lower_matmul(struct g_op *o)
{
    enum qbc_element e = o->in[0]->element;
    solid_operands(o);
    struct g_tensor *y = g_product(o, o->in[0], o->in[1], false, false, sum_of(e), NULL, NULL);
    if (y)
        o->out[0] = g_map_tensors(o, "x", e, 1, &y);
}

void g_lower_gemm(struct g_op *o)
{
    enum qbc_element e = o->in[0]->element;
    solid_operands(o);
    struct g_tensor *y = g_product(o, o->in[0], o->in[1], g_attr_int(o, "transA", 0) != 0, g_attr_int(o, "transB", 0) != 0,
                                   sum_of(e), NULL, NULL);
    if (!y)
        return;
    struct g_tensor *in[] = {y, g_has(o, 2) ? o->in[2] : NULL};
    o->out[0] = g_map_tensors(o, in[1] ? "alpha{1} * x + beta{1} * y" : "alpha{1} * x", e, in[1] ? 2 : 1, in);
}
