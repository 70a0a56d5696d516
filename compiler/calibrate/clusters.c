/* clusters: see clusters.h. LUQ (arXiv 2509.23729) goes by this number of the activations that a block reads. */
#include "clusters.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTERS = 64, ROUNDS = 10 };

struct clusters {
    const float *rows;
    int64_t n, cols, k;
    float *centre;  /* [k][cols] */
    int64_t *count; /* [k] */
    int64_t *which; /* [n] */
};

static float distance(const float *a, const float *b, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* Each row to the nearest centre, the first of equals. */
static void assign(struct clusters *c)
{
    memset(c->count, 0, (size_t)c->k * sizeof *c->count);
    for (int64_t i = 0; i < c->n; ++i) {
        float least = INFINITY;
        c->which[i] = 0;
        for (int64_t k = 0; k < c->k; ++k) {
            float d = distance(c->rows + i * c->cols, c->centre + k * c->cols, c->cols);
            if (d < least) {
                least = d;
                c->which[i] = k;
            }
        }
        ++c->count[c->which[i]];
    }
}

/* Centres to the means of their rows; those without rows stay. */
static void move(struct clusters *c)
{
    for (int64_t k = 0; k < c->k; ++k)
        if (c->count[k])
            memset(c->centre + k * c->cols, 0, (size_t)c->cols * sizeof *c->centre);
    for (int64_t i = 0; i < c->n; ++i)
        for (int64_t j = 0; j < c->cols; ++j)
            c->centre[c->which[i] * c->cols + j] += c->rows[i * c->cols + j] / (float)c->count[c->which[i]];
}

static double entropy_of(const struct clusters *c)
{
    double sum = 0;
    for (int64_t k = 0; k < c->k; ++k) {
        double p = (double)c->count[k] / (double)c->n;
        sum -= c->count[k] ? p * log(p) : 0;
    }
    return sum;
}

double qbc_cluster_entropy(const float *rows, int64_t n, int64_t cols)
{
    struct clusters c = {rows, n, cols, n < CLUSTERS ? n : CLUSTERS, NULL, NULL, NULL};
    c.centre = malloc((size_t)(c.k * cols + 1) * sizeof *c.centre);
    c.count = malloc((size_t)(c.k + 1) * sizeof *c.count);
    c.which = malloc((size_t)(n + 1) * sizeof *c.which);
    bool good = c.centre && c.count && c.which;
    for (int64_t k = 0; k < c.k && good; ++k)
        memcpy(c.centre + k * cols, rows + k * n / c.k * cols, (size_t)cols * sizeof *rows);
    for (int round = 0; round < ROUNDS && good && n; ++round) {
        assign(&c);
        if (round + 1 < ROUNDS)
            move(&c);
    }
    double entropy = good && n ? entropy_of(&c) : good ? 0 : -1;
    free(c.centre);
    free(c.count);
    free(c.which);
    return entropy;
}
