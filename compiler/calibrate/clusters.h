/* clusters.h: how evenly rows fall into clusters. */
#ifndef QBC_CLUSTERS_H
#define QBC_CLUSTERS_H

#include <stdint.h>

/* The entropy, in nats, of how many of n rows f32 [n][cols] are in each of at most 64 clusters (k-means, which starts at rows evenly
 * from all of them). < 0: no memory. */
double qbc_cluster_entropy(const float *rows, int64_t n, int64_t cols);

#endif
