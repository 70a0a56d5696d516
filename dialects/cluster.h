/* cluster.h: tables of levels or vectors by weighted k-means (formats/cluster.c). */
#ifndef QBC_CLUSTER_H
#define QBC_CLUSTER_H

#include <stdint.h>

enum { QBC_CLUSTER_ROUNDS = 50 };

/* table [k][entry], f16 bits, for samples x f32 [n][entry] with weights h f32 [n], or NULL: all alike; at most so many rounds. Without
 * memory, or samples, the table stays what it is. */
void qbc_cluster(const float *x, const float *h, int64_t n, int entry, int k, int rounds, uint16_t *table);

#endif
