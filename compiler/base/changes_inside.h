/* changes_inside.h: what changes.c does and change_attr.c has read. */
#ifndef QBC_CHANGES_INSIDE_H
#define QBC_CHANGES_INSIDE_H

#include "changes.h"

#include <pthread.h>

struct qbc_change {
    bool rows; /* along them */
    const float *scale, *add;
    int64_t order, factor;        /* of a rotation; 0: none */
    const int8_t *hadamard;       /* [factor][factor] */
    const float *matrix;          /* NULL: Hadamard */
    int64_t matrices;             /* how many there are; runs use them in turn */
    bool transposed;
};

/* The tensor whose rows are mixed, for as long as it is read. */
struct qbc_changed_cache {
    pthread_mutex_t lock;
    const struct qbc_changed *owner;
    float *data;
};

struct qbc_changed {
    struct qbc_view stored;
    struct qbc_change *list;
    size_t n;
    bool mixes; /* rows */
    struct qbc_changed_cache *cache;
    struct qbc_source source;
    const void *key; /* the attribute */
    struct qbc_changed *next;
};

#endif
