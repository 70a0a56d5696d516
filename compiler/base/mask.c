/* mask: what an attention mask allows, from samples (pattern.h).
 *
 * Causal means: token t, at position past + t, sees positions up to its own and none after it; with
 * a window only the last ones of these. Samples must be longer than the window to show it.
 */
#include "pattern.h"

const char *qbc_mask_add(struct qbc *q, struct qbc_mask *m, int64_t tokens, int64_t past,
                         const bool *allowed)
{
    int64_t length = past + tokens;
    for (int64_t t = 0; t < tokens; ++t) {
        const bool *row = allowed + t * length;
        int64_t own = past + t, first = 0;
        while (first < own && !row[first])
            ++first;
        for (int64_t s = first; s < length; ++s)
            if (row[s] != (s <= own))
                return qbc_text(q, "position %ld %s position %ld (%ld tokens after %ld)", own,
                                row[s] ? "sees the later" : "does not see", s, tokens, past);
        int64_t seen = own - first + 1;
        if (first > 0 && m->window && seen != m->window)
            return qbc_text(q, "position %ld sees the last %ld positions, others the last %ld", own,
                            seen, m->window);
        if (first > 0)
            m->window = seen;
        m->longest = seen > m->longest ? seen : m->longest;
    }
    if (m->window && m->longest > m->window)
        return qbc_text(q, "some tokens see %ld positions, others only the last %ld", m->longest,
                        m->window);
    return NULL;
}
