/* checksum.h: the checksum of a .qbm, shared by its writer and its reader.
 *
 * Words of 8 bytes, little-endian, the last one padded with zeros:
 *
 *     h = bytes * M;  for each word w: h = rotate_left(h ^ w, 29) * M;  h ^= h >> 32
 *
 * M is odd, so each step is a bijection of h and of w: a change inside one word always changes the
 * result. It finds damage, not forgery.
 */
#ifndef QBRT_CHECKSUM_H
#define QBRT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define QBRT_CHECKSUM_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t qbrt_checksum_word(const uint8_t *bytes, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static inline uint64_t qbrt_checksum(const void *data, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)data; /* C++ includes this too */
    uint64_t h = n * QBRT_CHECKSUM_MULTIPLIER;
    for (size_t i = 0; i < n; i += 8) {
        h ^= n - i >= 8 ? qbrt_checksum_word(bytes + i, 8) : qbrt_checksum_word(bytes + i, n - i);
        h = (h << 29 | h >> 35) * QBRT_CHECKSUM_MULTIPLIER;
    }
    return h ^ h >> 32;
}

/* After the root, at the next multiple of 8 in the file: 16 bytes, both little-endian. */
#define QBRT_SEAL_MAGIC UINT64_C(0x314c4145534d4251) /* "QBMSEAL1" */
enum { QBRT_SEAL_BYTES = 16 }; /* magic, then the checksum of the root and its size prefix */

#endif
