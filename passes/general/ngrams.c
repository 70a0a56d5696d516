/* ngrams: TfIdfVectorizer over whole numbers: how often each sequence of a pool occurs, weighed or not.
 *
 * For each length n and each number of elements skipped between two, a loop over where a sequence may begin compares it with
 * the pool's sequences of that length; all of these are constants.
 */
#include "general.h"

#include <string.h>

struct pool {
    struct g_op *o;
    struct g_tensor *x, *y, *numbers, *where; /* y: [rows, n], f32; where: the pool's sequences' places in a row */
    struct g_size length;                     /* of a row of x */
    int64_t n_numbers, n_where, outputs;
    const int64_t *begin;                     /* of each length's sequences in `numbers` */
    size_t n_lengths;
};

struct match {
    const struct pool *p;
    MlirValue row, start, sequence; /* sequence: its first number */
    int64_t n, step;
};

static struct g_num element_at(struct general *g, const struct pool *p, MlirValue row, MlirValue at)
{
    MlirValue index[] = {row, at};
    return g_convert(g, g_at(g, p->x, p->x->rank == 2 ? index : index + 1), QBC_I64);
}

static struct g_num matches(struct general *g, const struct match *m)
{
    struct g_num all = {k_int_of(&g->k, g->k.i1, -1), QBC_BOOL};
    for (int64_t i = 0; i < m->n; ++i) {
        struct g_num x = element_at(g, m->p, m->row, k_add_i(&g->k, m->start, i * m->step));
        struct g_num want = g_at_flat(g, m->p->numbers, k_add_i(&g->k, m->sequence, i));
        all = g_do(g, G_AND, all, g_compare(g, G_EQ, x, want));
    }
    return all;
}

/* Adds what occurs with one length and one step. `first`: how many sequences of shorter lengths there are. */
static void count(struct general *g, const struct pool *p, int64_t n, int64_t step, int64_t first, int64_t n_sequences)
{
    struct g_size size[3] = {p->y->size[0], g_max_size(g, g_minus(g, p->length, g_size((n - 1) * step)), g_size(0)), g_size(n_sequences)};
    struct g_nest nest;
    g_begin(g, &nest, 3, size);
    struct match m = {p, nest.index[0], nest.index[1], k_add_i(&g->k, k_mul_i(&g->k, nest.index[2], n), p->begin[n - 1]), n, step};
    MlirValue to[] = {nest.index[0], g_at_flat(g, p->where, k_add_i(&g->k, nest.index[2], first)).v};
    struct g_num one = g_select(g, matches(g, &m), g_const(g, QBC_F32, 1), g_const(g, QBC_F32, 0));
    g_put(g, p->y, to, g_do(g, G_ADD, g_at(g, p->y, to), one));
    g_end(g, &nest);
}

static void count_all(struct general *g, const struct pool *p, int64_t shortest, int64_t longest, int64_t most_skipped)
{
    int64_t first = 0;
    for (int64_t n = 1; n <= (int64_t)p->n_lengths; ++n) {
        int64_t end = n < (int64_t)p->n_lengths ? p->begin[n] : p->n_numbers, n_sequences = (end - p->begin[n - 1]) / n;
        for (int64_t skipped = 0; n >= shortest && n <= longest && skipped <= (n > 1 ? most_skipped : 0); ++skipped)
            count(g, p, n, skipped + 1, first, n_sequences);
        first += n_sequences;
    }
}

static bool is_pool(const struct pool *p, const int64_t *where)
{
    int64_t before = 0, sequences = 0;
    for (size_t i = 0; i < p->n_lengths; ++i) {
        int64_t end = i + 1 < p->n_lengths ? p->begin[i + 1] : p->n_numbers;
        if (p->begin[i] < before || end < p->begin[i] || end > p->n_numbers)
            return false;
        before = p->begin[i];
        sequences += (end - p->begin[i]) / ((int64_t)i + 1);
    }
    for (int64_t i = 0; i < p->n_where; ++i)
        if (where[i] < 0 || where[i] > INT32_MAX)
            return false;
    return p->n_lengths && p->n_where >= sequences;
}

/* IDF: the weight of what occurs; TFIDF: times how often. */
static struct g_tensor *weighed(struct g_op *o, struct g_tensor *y, int64_t outputs)
{
    struct general *g = o->g;
    const float *weights = NULL;
    const char *mode = g_attr_text(o, "mode", "TF");
    size_t n = g_has_attr(o, "weights") ? qbc_floats(g->q, o->op, "weights", &weights) : 0;
    if (!strcmp(mode, "TF"))
        return y;
    float *all = qbc_alloc(g->q, (size_t)outputs * sizeof *all);
    for (int64_t i = 0; i < outputs; ++i)
        all[i] = (size_t)i < n ? weights[i] : 1;
    struct g_tensor *in[] = {y, g_known(g, QBC_F32, 1, &outputs, all)};
    return g_map_tensors(o, !strcmp(mode, "IDF") ? "x > 0 ? y : 0" : "x * y", QBC_F32, 2, in);
}

void g_lower_ngrams(struct g_op *o)
{
    struct general *g = o->g;
    const int64_t *numbers = NULL, *where = NULL;
    struct pool p = {.o = o, .x = g_solid(g, o->in[0])};
    p.n_numbers = (int64_t)g_attr_ints(o, "pool_int64s", &numbers);
    p.n_where = (int64_t)g_attr_ints(o, "ngram_indexes", &where);
    p.n_lengths = g_attr_ints(o, "ngram_counts", &p.begin);
    if (p.x->rank < 1 || p.x->rank > 2 || !p.n_numbers || !is_pool(&p, where)) {
        g_refuse(o, "a pool of whole numbers is supported, one index for each of its sequences, and rows of whole numbers");
        return;
    }
    for (int64_t i = 0; i < p.n_where; ++i)
        p.outputs = where[i] >= p.outputs ? where[i] + 1 : p.outputs;
    p.numbers = g_solid(g, g_known_ints(g, (size_t)p.n_numbers, numbers));
    p.where = g_solid(g, g_known_ints(g, (size_t)p.n_where, where));
    p.length = p.x->size[p.x->rank - 1];
    struct g_size size[] = {p.x->rank == 2 ? p.x->size[0] : g_size(1), g_size(p.outputs)};
    struct g_nest nest;
    g_allocate(g, p.y = g_new(g, QBC_F32, 2, size));
    g_begin(g, &nest, 2, size);
    g_put(g, p.y, nest.index, g_const(g, QBC_F32, 0));
    g_end(g, &nest);
    count_all(g, &p, g_attr_int(o, "min_gram_length", 1), g_attr_int(o, "max_gram_length", 1), g_attr_int(o, "max_skip_count", 0));
    struct g_tensor *y = p.x->rank == 2 ? p.y : g_reshaped(g, p.y, 1, size + 1);
    o->out[0] = weighed(o, y, p.outputs);
}
