/* map: from a pointer to another; open addressing, grows by doubling. */
#include "general.h"

struct entry {
    const void *key;
    void *value;
};

struct g_map {
    struct entry *entries;
    size_t room, used; /* room is a power of two */
};

static size_t place_of(const struct g_map *map, const void *key)
{
    size_t i = (size_t)(((uintptr_t)key >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (map->room - 1);
    while (map->entries[i].key && map->entries[i].key != key)
        i = (i + 1) & (map->room - 1);
    return i;
}

struct g_map *g_map_create(struct qbc *q)
{
    struct g_map *map = qbc_alloc(q, sizeof *map);
    map->room = 64;
    map->entries = qbc_alloc(q, map->room * sizeof *map->entries);
    return map;
}

void *g_map_get(const struct g_map *map, const void *key)
{
    return map->entries[place_of(map, key)].value;
}

void g_map_put(struct qbc *q, struct g_map *map, const void *key, void *value)
{
    if (2 * ++map->used > map->room) {
        struct g_map old = *map;
        map->room *= 2;
        map->entries = qbc_alloc(q, map->room * sizeof *map->entries);
        for (size_t i = 0; i < old.room; ++i)
            if (old.entries[i].key)
                map->entries[place_of(map, old.entries[i].key)] = old.entries[i];
    }
    map->entries[place_of(map, key)] = (struct entry){key, value};
}
