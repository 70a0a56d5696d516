/* cache.h: how the keys and values of one layer lie in the state, as floats or as codes.
 *
 * For each kv head of `head_dim` channels, of context positions:
 *
 *   keys    [context / 16] blocks of 16 positions side by side
 *     floats  [head_dim][16]
 *     codes   scales f16 [groups][16], offsets [groups][16], codes in units of 8 channels
 *   values  [context] positions, their channels padded to 16
 *     floats  [padded]
 *     codes   scales f16 [groups], offsets [groups], codes in units of 16 channels
 *
 * A group is `group` channels of one position that share a scale (and an offset: an f16 minimum, a zero of a byte); the
 * last one may be shorter. A code of b bits is cut into fields of 8, 4, 2 and 1 bits, the widest first, from the lowest
 * bits of the code on (5 = 4 + 1); a unit has its fields one after the other. A field of f bits takes
 *
 *   keys    f vectors of a byte for each position: channel c of the unit is in vector c % f at bit f * (c / f)
 *   values  2 f bytes: channel c is in byte c % (2 f) at bit f * (c / (2 f))
 *
 * so a position of keys has bytes of its own, and 16 channels of values are a shift of a whole number that is in all
 * lanes. Numbers mean what the format says (format.h) of a row of head_dim columns; codes are the nearest (fit.h, rtn),
 * to the last bit. A group that is not finite has scale NaN.
 *
 * Vectors (product quantization) have no numbers: a code is a byte, which vector of a table of 256 some channels next to each other
 * are nearest to (the first of equals). Each head and each of these runs of channels has a table, f32 [channel][256].
 *
 *   keys    [run][16] bytes
 *   values  [run] bytes
 *
 * Beside codes a head may have f16 of some positions (struct qbc_cache_kept): of the first ones, and in a ring of the
 * latest. A token reads as floats the blocks of the first `sink` and of the last `recent` positions before it, its own
 * included, whole blocks of 16; which ones does not depend on how a text is cut into calls.
 */
#ifndef QBC_CACHE_H
#define QBC_CACHE_H

#include "kernel.h"

enum { QBC_KEY_UNIT = 8, QBC_VALUE_UNIT = QBC_POSITIONS, QBC_CACHE_FIELDS = 4, QBC_CACHE_VECTORS = 256 };

/* In blocks of 16 positions; 0: there are none. The ring has room for the recent ones and those of a call. */
struct qbc_cache_kept {
    int64_t sink, recent, ring;
};

struct qbc_cache {
    const struct qbc_format *format;
    bool keys;
    int64_t head_dim, padded; /* padded: to 16 */
    int64_t group, groups;    /* channels that share a scale */
    int64_t vector;           /* channels that a code stands for; 1: codes are of channels */
    MlirValue table;          /* of vectors: of the head at hand */
    float norm;               /* 0; else a scale is the root of the group's mean square times that (TurboQuant) */
    int64_t unit, unit_bytes; /* channels that are stored together: 1 of float keys */
    int64_t offsets, codes;   /* where they begin in a block or position */
    int64_t step;             /* bytes of a block of keys, of a position of values */
    int64_t head_bytes;       /* of the whole context, and what is kept beside it */
    int64_t first, ring;      /* where a head's begin; ring: blocks after which they begin anew, 0: never */
    int fields;
    struct {
        int bits, shift;
        int64_t at; /* in the unit */
    } field[QBC_CACHE_FIELDS];
};

struct qbc_cache qbc_cache(const struct qbc_format *f, bool keys, int64_t context, int64_t head_dim,
                           struct qbc_cache_kept kept);
/* Of a launch with {context, head_dim [, sink, recent, ring, norm]}, and the format's name in attribute `format`. */
struct qbc_cache qbc_cache_of(struct qbc *q, MlirOperation launch, bool keys, const char *format);
struct qbc_cache_kept qbc_cache_kept(MlirOperation launch);
/* The f16 of the first positions, of the latest; the cache itself where that is of floats. */
struct qbc_cache qbc_cache_sink(const struct qbc_cache *c, struct qbc_cache_kept kept);
struct qbc_cache qbc_cache_ring(const struct qbc_cache *c, struct qbc_cache_kept kept);
bool qbc_cache_is_float(const struct qbc_cache *c);
/* Where this position's bytes begin: of keys, its block. */
MlirValue qbc_cache_position(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue head, MlirValue position);

/* Vectors: have c->table begin at that of this head, where operand `table` has those of all. */
void qbc_cache_set_head(struct qbc_kernel *k, struct qbc_cache *c, MlirValue table, MlirValue head);

/* --- cache_read.c: f32 [16] each */
/* Of 16 positions, channels `channel` .. + n - 1 of a unit, which begins there. */
void qbc_cache_keys(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue block, MlirValue channel, int64_t n,
                    MlirValue *out);
/* Of one position, channels `channel` .. + 15, a multiple of 16. */
MlirValue qbc_cache_values(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue at, MlirValue channel);

/* --- cache_vectors.c: what cache_read.c and cache_write.c ask for where codes are vectors */
void qbc_cache_vector_keys(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue block, MlirValue channel, int64_t n,
                           MlirValue *out);
MlirValue qbc_cache_vector_values(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue at, MlirValue channel);
void qbc_cache_write_vectors(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, MlirValue at, MlirValue lane);

/* --- cache_write.c: f32 [head_dim] at `from` to a position, i64 */
void qbc_cache_write(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue from, MlirValue head, MlirValue position);

#endif
