/* flat.h: read a FlatBuffer that nobody vouches for.
 *
 * Every read is checked against the buffer, its table and its alignment. A read that fails gives 0
 * and sets `bad`, which stays; so a caller may read a whole table and look at `bad` once. What was
 * read without `bad` will read the same again.
 */
#ifndef QBRT_FLAT_H
#define QBRT_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flat {
    const uint8_t *bytes; /* the size prefix lies at 0 */
    uint32_t size;        /* with the prefix */
    bool bad;
};

/* at 0: absent; then all its fields are absent too. */
struct flat_table {
    uint32_t at, vtable;
    uint16_t bytes, vtable_bytes;
};

/* Elements begin at `at`. */
struct flat_vector {
    uint32_t at, n;
};

uint32_t flat_u32(struct flat *f, uint32_t at);
struct flat_table flat_root(struct flat *f);

/* A scalar of 1, 2, 4 or 8 bytes, zero-extended. */
uint64_t flat_scalar(struct flat *f, struct flat_table t, int field, unsigned bytes,
                     uint64_t fallback);
/* NUL-terminated; NULL when absent. */
const char *flat_string(struct flat *f, struct flat_table t, int field);
struct flat_table flat_child(struct flat *f, struct flat_table t, int field);
/* Empty when absent. `element`: bytes of one, 4 for strings and tables. */
struct flat_vector flat_vector(struct flat *f, struct flat_table t, int field, unsigned element);
struct flat_table flat_table_at(struct flat *f, struct flat_vector v, uint32_t i);
const char *flat_string_at(struct flat *f, struct flat_vector v, uint32_t i);

#endif
