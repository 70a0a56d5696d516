/* cached: tables of vectors for keys and values, where -kv asks for such (product quantization: MILLION, arXiv 2504.03661).
 *
 *   before   %k = "qb.append"(%s, %new)
 *   after    %k = "qb.append"(%s, %new, %table)       %table f32 [heads * channels * 256], for each channel what it is in each vector
 *
 * The float model reads the text; of what is appended some rows are kept, of keys after their rotation by position. Each head and each run
 * of channels gets a table of its own by k-means: that of keys knows nothing of values. Whether it is used is up to quantize-cache.
 */
#include "cached.h"
#include "calibrate.h"
#include "changes.h"
#include "cluster.h"
#include "half.h"
#include "hessians.h"
#include "kernel.h"
#include "transform.h"

#include <stdlib.h>
#include <string.h>

enum { VECTORS = 256, LONGEST = 8, SAMPLE = 2048, ROUNDS = 15, KEYS = 1, POSITIONS = QBC_POSITIONS };

/* What one state gets. */
struct kept {
    MlirOperation append;
    const char *name;
    int vector;
    int64_t heads, head_dim, padded; /* padded: as the cache's rows are */
    float *rows;  /* [n][heads * head_dim] */
    int64_t n;
    float *table; /* [heads][padded][VECTORS] */
};

struct learning {
    struct kept *kept;
    size_t n;
    const struct qbc_calibration *calibration;
    int64_t jobs; /* heads of all states, while they are clustered */
    bool failed;
};

bool qbc_cached_learns(const struct qbc_options *o)
{
    return qbc_cached_vector(qbc_cached_side(o->kv, 'k')) || qbc_cached_vector(qbc_cached_side(o->kv, 'v'));
}

/* --- which */

static void add_side(struct qbc *q, MlirOperation attention, int operand, struct learning *l)
{
    int vector = qbc_cached_vector(qbc_cached_side(q->options.kv, operand == KEYS ? 'k' : 'v'));
    MlirOperation append = qbc_def(mlirOperationGetOperand(attention, operand), "qb.append");
    int64_t keys = qbc_int(attention, "head_dim", 0), dim = operand == KEYS ? keys : qbc_int(attention, "value_dim", keys);
    if (!vector || mlirOperationIsNull(append) || qbc_has(append, "observe"))
        return;
    if (dim % vector) {
        qbc_error_in(q, qbc_text(q, "-kv=%s", q->options.kv), "heads of %ld channels are not whole vectors of %d", (long)dim, vector);
        return;
    }
    struct kept *k = &l->kept[l->n++];
    *k = (struct kept){.append = append, .vector = vector, .heads = qbc_int(attention, "kv_heads", 1), .head_dim = dim,
                       .padded = (dim + POSITIONS - 1) / POSITIONS * POSITIONS};
    k->name = qbc_text(q, "%ld.%s_vectors", (long)qbc_int(attention, "block", (int64_t)(l->n - 1) / 2), operand == KEYS ? "k" : "v");
    k->rows = qbc_paged(q, (size_t)(SAMPLE * k->heads * dim));
    qbc_set_string(q, append, "observe", k->name);
}

static void find(struct qbc *q, MlirOperation graph, struct learning *l)
{
    struct qbc_ops attentions = qbc_collect(q, graph, "qb.attention");
    l->kept = qbc_alloc(q, (2 * attentions.n + 1) * sizeof *l->kept);
    for (size_t i = 0; i < attentions.n && !q->errors; ++i)
        for (int operand = KEYS; operand <= KEYS + 1; ++operand)
            add_side(q, attentions.op[i], operand, l);
}

/* --- rows */

/* Of each window evenly, at places that differ from one to the next. */
static void watch(void *user, const struct qbc_tap *tap, const float *x, int64_t rows)
{
    const struct learning *l = user;
    struct kept *k = NULL;
    for (size_t i = 0; i < l->n && !k; ++i)
        k = strcmp(l->kept[i].name, tap->weights[0]) ? NULL : &l->kept[i];
    int64_t windows = (int64_t)l->calibration->windows.n, wanted = (SAMPLE + windows - 1) / windows;
    wanted = wanted < rows ? wanted : rows;
    for (int64_t i = 0; k && i < wanted && k->n < SAMPLE; ++i) {
        int64_t at = (i * rows / wanted + k->n * 37) % rows;
        memcpy(k->rows + k->n++ * tap->cols, x + at * tap->cols, (size_t)tap->cols * sizeof *x);
    }
}

/* --- tables */

/* Vectors of one run of channels of a head. */
static void make_table(const struct kept *k, int64_t head, int64_t channel, float *x, float *to)
{
    uint16_t table[VECTORS * LONGEST] = {0};
    int v = k->vector;
    for (int64_t r = 0; r < k->n; ++r)
        memcpy(x + r * v, k->rows + (r * k->heads + head) * k->head_dim + channel, (size_t)v * sizeof *x);
    qbc_cluster(x, NULL, k->n, v, VECTORS, ROUNDS, table);
    for (int i = 0; i < v * VECTORS; ++i)
        to[i % v * VECTORS + i / v] = qbc_half_to_float(table[i]);
}

/* Head `job` of all states, one after the other. */
static void make_head(const struct learning *l, int64_t job, float *x)
{
    const struct kept *k = l->kept;
    for (; job >= k->heads; job -= k->heads)
        ++k;
    for (int64_t c = 0; c < k->head_dim; c += k->vector)
        make_table(k, job, c, x, k->table + (job * k->padded + c) * VECTORS);
}

static void make_share(void *user, int64_t thread)
{
    struct learning *l = user;
    float *x = malloc((size_t)SAMPLE * LONGEST * sizeof *x);
    int64_t threads = l->calibration->threads.threads;
    for (int64_t job = thread; job < l->jobs && x; job += threads)
        make_head(l, job, x);
    l->failed = l->failed || !x;
    free(x);
}

static bool make_tables(struct qbc *q, struct learning *l)
{
    for (size_t i = 0; i < l->n; ++i) {
        struct kept *k = &l->kept[i];
        k->table = qbc_alloc(q, (size_t)(k->heads * k->padded * VECTORS) * sizeof *k->table);
        memset(k->table, 0, (size_t)(k->heads * k->padded * VECTORS) * sizeof *k->table);
        l->jobs += k->heads;
    }
    l->calibration->threads.run(l->calibration->threads.context, make_share, l);
    if (l->failed)
        qbc_error_in(q, "-kv", "there is no memory to make tables of vectors");
    return !l->failed;
}

static void add_table(struct qbc *q, struct kept *k)
{
    struct qbc_build b = qbc_before(q, k->append);
    mlirOperationRemoveAttributeByName(k->append, qbc_str("observe"));
    MlirValue operands[] = {mlirOperationGetOperand(k->append, 0), mlirOperationGetOperand(k->append, 1),
                            qbc_values(&b, k->name, k->table, k->heads * k->padded * VECTORS)};
    mlirOperationSetOperands(k->append, 3, operands);
}

bool qbc_cached_learn(struct qbc *q, MlirOperation graph)
{
    struct learning l = {.n = 0};
    struct qbc_calibration c = {.watch = watch, .user = &l};
    l.calibration = &c;
    qbc_hessians_destroy(q); /* of what was before: rows go there */
    find(q, graph, &l);
    if (q->errors || !l.n) /* a model without states: quantize-cache complains */
        return !q->errors;
    bool good = qbc_calibrate(q, graph, &c) && make_tables(q, &l);
    qbc_calibration_destroy(&c);
    for (size_t i = 0; i < l.n && good; ++i)
        add_table(q, &l.kept[i]);
    qbc_hessians_destroy(q);
    return good;
}
