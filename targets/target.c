/* target: look-up in the tables of target.h. */
#include "target.h"

#include <string.h>

static const struct qbc_target *const targets[] = {
#define TARGET(symbol) &qbc_target_##symbol,
#include "targets.def"
#undef TARGET
};

enum { N_TARGETS = sizeof targets / sizeof *targets };

const struct qbc_target *qbc_target_at(size_t i)
{
    return i < N_TARGETS ? targets[i] : NULL;
}

const struct qbc_target *qbc_target_find(const char *name)
{
    for (size_t i = 0; i < N_TARGETS; ++i)
        if (!strcmp(targets[i]->name, name))
            return targets[i];
    return NULL;
}

/* Is "+name" one of the entries of the comma list `features`? */
static bool listed(const char *features, const char *name, size_t length)
{
    for (const char *at = features; (at = strstr(at, name)); at += length) {
        bool starts = at == features || at[-1] == ',';
        if (starts && strncmp(at, name, length) == 0 && (at[length] == ',' || !at[length]))
            return true;
    }
    return false;
}

static bool all_listed(const char *host, const char *wanted)
{
    while (*wanted) {
        char name[64];
        size_t length = strcspn(wanted, ",");
        if (length >= sizeof name)
            return false;
        memcpy(name, wanted, length);
        name[length] = 0;
        if (!listed(host, name, length))
            return false;
        wanted += length + (wanted[length] == ',');
    }
    return true;
}

/* Of rows with the same features the one scheduled for this CPU is better, else the first. */
static bool better(const struct qbc_target *t, const struct qbc_target *than, const char *cpu)
{
    bool same = than && !strcmp(t->features, than->features);
    return !same || (t->tune && !strcmp(t->tune, cpu));
}

const struct qbc_target *qbc_target_native(const char *triple, const char *features, const char *cpu)
{
    const struct qbc_target *best = NULL;
    size_t arch = strcspn(triple, "-");
    for (size_t i = 0; i < N_TARGETS; ++i)
        if (!strncmp(targets[i]->triple, triple, arch + 1) && all_listed(features, targets[i]->features) &&
            better(targets[i], best, cpu))
            best = targets[i];
    return best;
}

const struct qbc_tile *qbc_target_tile(const struct qbc_target *t, int act_bits, int code_bits,
                                       int tokens)
{
    const struct qbc_tile *best = NULL;
    for (const struct qbc_tile *tile = t->tiles; tile->act_bits; ++tile)
        if (tile->act_bits == act_bits && code_bits <= tile->code_bits && tile->m <= tokens && !tile->many)
            best = tile;
    return best;
}
