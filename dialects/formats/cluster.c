/* cluster: tables of levels or vectors by weighted k-means (Lloyd): each entry is the mean of what is nearest to it.
 *
 * Single numbers start at quantiles, vectors at samples spread over the tensor. An entry that nobody is nearest to stays. The sums
 * are f64; the table is rounded to f16. The same samples give the same table.
 */
#include "half.h"
#include "search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 50 };

struct cluster {
    const float *x, *h;
    int64_t n;
    int entry, k;
    float *table;           /* [k][entry] */
    double *sum, *weight;   /* [k][entry], [k] */
};

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void start(struct cluster *c)
{
    float *sorted = NULL;
    if (c->entry == 1 && (sorted = malloc((size_t)c->n * sizeof *sorted))) {
        memcpy(sorted, c->x, (size_t)c->n * sizeof *sorted);
        qsort(sorted, (size_t)c->n, sizeof *sorted, by_value);
    }
    for (int e = 0; e < c->k; ++e) {
        int64_t at = (int64_t)(((double)e + 0.5) * (double)c->n / c->k);
        memcpy(c->table + (size_t)e * (size_t)c->entry, (sorted ? sorted : c->x) + at * c->entry,
               (size_t)c->entry * sizeof *c->table);
    }
    free(sorted);
}

static int nearest(const struct cluster *c, const float *x)
{
    int best = 0;
    float least = INFINITY;
    for (int e = 0; e < c->k; ++e) {
        float distance = 0;
        for (int i = 0; i < c->entry; ++i) {
            float d = x[i] - c->table[e * c->entry + i];
            distance += d * d;
        }
        if (distance < least) {
            least = distance;
            best = e;
        }
    }
    return best;
}

/* True: some entry moved. */
static bool improve(struct cluster *c)
{
    bool moved = false;
    memset(c->sum, 0, (size_t)(c->k * c->entry) * sizeof *c->sum);
    memset(c->weight, 0, (size_t)c->k * sizeof *c->weight);
    for (int64_t i = 0; i < c->n; ++i) {
        const float *x = c->x + i * c->entry;
        double h = c->h ? (double)c->h[i] : 1;
        int e = nearest(c, x);
        c->weight[e] += h;
        for (int d = 0; d < c->entry; ++d)
            c->sum[e * c->entry + d] += h * (double)x[d];
    }
    for (int i = 0; i < c->k * c->entry; ++i) {
        double weight = c->weight[i / c->entry];
        float mean = weight > 0 ? (float)(c->sum[i] / weight) : c->table[i];
        moved = moved || mean != c->table[i];
        c->table[i] = mean;
    }
    return moved;
}

void qbc_cluster(const float *x, const float *h, int64_t n, int entry, int k, uint16_t *table)
{
    size_t numbers = (size_t)k * (size_t)entry;
    struct cluster c = {.x = x, .h = h, .n = n, .entry = entry, .k = k};
    c.table = malloc(numbers * sizeof *c.table);
    c.sum = malloc(numbers * sizeof *c.sum);
    c.weight = malloc((size_t)k * sizeof *c.weight);
    if (c.table && c.sum && c.weight && n > 0) {
        start(&c);
        for (int round = 0; round < ROUNDS && improve(&c); ++round)
            continue;
        for (size_t i = 0; i < numbers; ++i)
            table[i] = qbc_float_to_half(c.table[i]);
    }
    free(c.table);
    free(c.sum);
    free(c.weight);
}
