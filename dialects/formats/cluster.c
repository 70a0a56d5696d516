/* cluster: tables of levels or vectors by weighted k-means (Lloyd): each entry is the mean of what is nearest to it.
 *
 * Single numbers start at quantiles, vectors at samples spread over the tensor. An entry that nobody is nearest to stays. The sums
 * are f64; the table is rounded to f16. The same samples give the same table.
 */
#include "cluster.h"
#include "half.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cluster {
    const float *x, *h;
    int64_t n;
    int entry, k;
    float *table, *rows;    /* [k][entry], [entry][k] */
    float *distance;        /* [k] */
    uint32_t *bits;
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

/* Squared distances from all entries, as the bits of floats, which are in the same order: several at once. */
static void measure(const struct cluster *c, const float *x)
{
    memset(c->distance, 0, (size_t)c->k * sizeof *c->distance);
    for (int i = 0; i < c->entry; ++i) {
        const float *row = c->rows + i * c->k;
        for (int e = 0; e < c->k; ++e) {
            float apart = x[i] - row[e];
            c->distance[e] += apart * apart;
        }
    }
    memcpy(c->bits, c->distance, (size_t)c->k * sizeof *c->bits);
}

/* The first of the nearest. */
static int nearest(const struct cluster *c, const float *x)
{
    uint32_t least = UINT32_MAX;
    int best = 0;
    measure(c, x);
    for (int e = 0; e < c->k; ++e)
        least = c->bits[e] < least ? c->bits[e] : least;
    while (best + 1 < c->k && c->bits[best] != least)
        ++best;
    return best;
}

static void turn_table(struct cluster *c)
{
    for (int i = 0; i < c->entry * c->k; ++i)
        c->rows[i % c->entry * c->k + i / c->entry] = c->table[i];
}

/* True: some entry moved. */
static bool improve(struct cluster *c)
{
    bool moved = false;
    turn_table(c);
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

static bool create(struct cluster *c)
{
    size_t k = (size_t)c->k, numbers = k * (size_t)c->entry;
    c->table = malloc(numbers * sizeof *c->table);
    c->rows = malloc(numbers * sizeof *c->rows);
    c->sum = malloc(numbers * sizeof *c->sum);
    c->weight = malloc(k * sizeof *c->weight);
    c->distance = malloc(k * sizeof *c->distance);
    c->bits = malloc(k * sizeof *c->bits);
    return c->table && c->rows && c->sum && c->weight && c->distance && c->bits;
}

static void destroy(struct cluster *c)
{
    void *all[] = {c->table, c->rows, c->sum, c->weight, c->distance, c->bits};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        free(all[i]);
}

void qbc_cluster(const float *x, const float *h, int64_t n, int entry, int k, int rounds, uint16_t *table)
{
    struct cluster c = {.x = x, .h = h, .n = n, .entry = entry, .k = k};
    if (create(&c) && n > 0) {
        start(&c);
        for (int round = 0; round < rounds && improve(&c); ++round)
            continue;
        for (int i = 0; i < k * entry; ++i)
            table[i] = qbc_float_to_half(c.table[i]);
    }
    destroy(&c);
}
