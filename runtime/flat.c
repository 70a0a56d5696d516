/* flat.c: the checks behind flat.h.
 *
 * A table at p: int32 distance back to its vtable, then its fields. A vtable: uint16 bytes of the
 * vtable, uint16 bytes of the table, then for each field its uint16 offset in the table, 0 when
 * absent. Strings, vectors and tables are reached by a uint32 that counts from its own place.
 * Sizes stay below 2^31, so sums of two 32-bit numbers are made in 64 bits and never wrap.
 */
#include "flat.h"

static bool holds(struct flat *f, uint64_t at, uint64_t bytes)
{
    if (at + bytes > f->size)
        f->bad = true;
    return !f->bad;
}

static uint64_t number(struct flat *f, uint64_t at, unsigned bytes)
{
    if (at % bytes)
        f->bad = true;
    if (!holds(f, at, bytes))
        return 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)f->bytes[at + i] << (8 * i);
    return value;
}

uint32_t flat_u32(struct flat *f, uint32_t at)
{
    return (uint32_t)number(f, at, 4);
}

static struct flat_table table(struct flat *f, uint32_t at)
{
    const struct flat_table none = {0};
    int64_t vtable = (int64_t)at - (int32_t)flat_u32(f, at);
    if (f->bad || vtable < 0 || vtable > f->size) {
        f->bad = true;
        return none;
    }
    struct flat_table t = {.at = at, .vtable = (uint32_t)vtable};
    t.vtable_bytes = (uint16_t)number(f, t.vtable, 2);
    t.bytes = (uint16_t)number(f, (uint64_t)t.vtable + 2, 2);
    if (t.vtable_bytes < 4 || t.vtable_bytes % 2 || t.bytes < 4)
        f->bad = true;
    if (!holds(f, t.vtable, t.vtable_bytes) || !holds(f, at, t.bytes))
        return none;
    return t;
}

/* Where a field lies; 0 when absent or bad. */
static uint32_t place(struct flat *f, struct flat_table t, int field, unsigned bytes)
{
    unsigned slot = 4 + 2 * (unsigned)field;
    if (!t.at || slot + 2 > t.vtable_bytes)
        return 0;
    uint64_t offset = number(f, (uint64_t)t.vtable + slot, 2);
    if (!offset)
        return 0;
    if (offset < 4 || offset + bytes > t.bytes) {
        f->bad = true;
        return 0;
    }
    return t.at + (uint32_t)offset;
}

/* Follow the offset at `at`; 0 when bad. */
static uint32_t follow(struct flat *f, uint32_t at)
{
    uint64_t distance = number(f, at, 4);
    if (!distance || !holds(f, at + distance, 4))
        f->bad = true;
    return f->bad ? 0 : (uint32_t)(at + distance);
}

static const char *string(struct flat *f, uint32_t at)
{
    uint64_t length = number(f, at, 4);
    if (!holds(f, at, 4 + length + 1))
        return NULL;
    const uint8_t *text = f->bytes + at + 4;
    if (text[length])
        f->bad = true;
    return f->bad ? NULL : (const char *)text;
}

struct flat_table flat_root(struct flat *f)
{
    return table(f, follow(f, 4));
}

uint64_t flat_scalar(struct flat *f, struct flat_table t, int field, unsigned bytes,
                     uint64_t fallback)
{
    uint32_t at = place(f, t, field, bytes);
    return at ? number(f, at, bytes) : fallback;
}

const char *flat_string(struct flat *f, struct flat_table t, int field)
{
    uint32_t at = place(f, t, field, 4);
    return at ? string(f, follow(f, at)) : NULL;
}

struct flat_table flat_child(struct flat *f, struct flat_table t, int field)
{
    uint32_t at = place(f, t, field, 4);
    return at ? table(f, follow(f, at)) : (struct flat_table){0};
}

struct flat_vector flat_vector(struct flat *f, struct flat_table t, int field, unsigned element)
{
    const struct flat_vector none = {0};
    uint32_t at = place(f, t, field, 4);
    if (!at)
        return none;
    at = follow(f, at);
    uint32_t n = flat_u32(f, at);
    if (!holds(f, (uint64_t)at + 4, (uint64_t)n * element))
        return none;
    return (struct flat_vector){.at = at + 4, .n = n};
}

/* Where element i of a vector of offsets leads; 0 when bad. */
static uint32_t element(struct flat *f, struct flat_vector v, uint32_t i)
{
    if (i >= v.n)
        f->bad = true;
    return f->bad ? 0 : follow(f, v.at + 4 * i);
}

struct flat_table flat_table_at(struct flat *f, struct flat_vector v, uint32_t i)
{
    return table(f, element(f, v, i));
}

const char *flat_string_at(struct flat *f, struct flat_vector v, uint32_t i)
{
    return string(f, element(f, v, i));
}
