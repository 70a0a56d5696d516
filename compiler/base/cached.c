/* cached: see cached.h. */
#include "cached.h"

#include <stdbool.h>
#include <string.h>

struct qbc_cached qbc_cached_side(const char *kv, char side)
{
    struct qbc_cached said = {"", 0};
    while (kv && *kv) {
        size_t length = strcspn(kv, ",");
        bool named = length > 1 && kv[1] == ':';
        if (!named || *kv == side)
            said = (struct qbc_cached){kv + 2 * named, length - 2 * named};
        kv += length + (kv[length] == ',');
    }
    return said;
}

int qbc_cached_vector(struct qbc_cached c)
{
    static const char *const names[] = {"pq2x256", "pq4x256", "pq8x256"};
    for (int i = 0; i < 3; ++i)
        if (c.length == strlen(names[i]) && !memcmp(c.text, names[i], c.length))
            return 2 << i;
    return 0;
}
