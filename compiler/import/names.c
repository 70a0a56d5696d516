/* names: a dictionary from text to anything, open hashing. It lives in the arena. */
#include "onnx.h"

#include <string.h>

struct entry {
    const char *key;
    void *value;
};

struct names {
    struct qbc *q;
    const struct names *outer; /* where names are looked for that are not here; NULL: nowhere */
    struct entry *entries;
    size_t n, capacity;
};

struct names *onnx_names_create(struct qbc *q)
{
    struct names *names = qbc_alloc(q, sizeof *names);
    names->q = q;
    names->capacity = 64;
    names->entries = qbc_alloc(q, names->capacity * sizeof *names->entries);
    return names;
}

struct names *onnx_names_create_inside(struct qbc *q, const struct names *outer)
{
    struct names *names = onnx_names_create(q);
    names->outer = outer;
    return names;
}

static struct entry *place(const struct names *names, const char *key)
{
    size_t hash = 1469598103934665603u; /* FNV-1a */
    for (const char *c = key; *c; ++c)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    size_t i = (hash ^ hash >> 32) & (names->capacity - 1);
    while (names->entries[i].key && strcmp(names->entries[i].key, key))
        i = (i + 1) & (names->capacity - 1);
    return &names->entries[i];
}

void *onnx_names_get_here(const struct names *names, const char *key)
{
    return place(names, key)->value;
}

void *onnx_names_get(const struct names *names, const char *key)
{
    for (; names; names = names->outer)
        if (place(names, key)->value)
            return place(names, key)->value;
    return NULL;
}

void onnx_names_put(struct names *names, const char *key, void *value)
{
    if (2 * names->n >= names->capacity) {
        struct names old = *names;
        names->capacity *= 2;
        names->entries = qbc_alloc(names->q, names->capacity * sizeof *names->entries);
        for (size_t i = 0; i < old.capacity; ++i)
            if (old.entries[i].key)
                *place(names, old.entries[i].key) = old.entries[i];
    }
    struct entry *to = place(names, key);
    names->n += !to->key;
    *to = (struct entry){key, value};
}
