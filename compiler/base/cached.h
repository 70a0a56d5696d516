/* cached.h: -kv=, what it says of keys or of values (docs/kv-cache.md), as far as more than the pass that writes it down must know. */
#ifndef QBC_CACHED_H
#define QBC_CACHED_H

#include <stddef.h>

/* What a piece of the command line says of one side; length 0: nothing. */
struct qbc_cached {
    const char *text;
    size_t length;
};

/* `side`: 'k' or 'v'; kv NULL: nothing is said. */
struct qbc_cached qbc_cached_side(const char *kv, char side);
/* pq2x256: how many channels a vector has, of a table that calibration makes; 0: codes are something else. */
int qbc_cached_vector(struct qbc_cached c);

#endif
