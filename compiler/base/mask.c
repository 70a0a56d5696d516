/* mask: what an attention mask allows, from samples (pattern.h).
 *
 * Causal means: token t, at position past + t, sees positions up to its own and none after it; with
 * a window only the last ones of these. In an encoder tokens see later ones too, all or a few. Samples must be longer
 * than the window to show it.
 */
#include "pattern.h"

/* How far ahead row sees, which must see its own position; the last of the sample bounds nothing. */
static const char *add_ahead(struct qbc *q, struct qbc_mask *m, int64_t own, int64_t last, int64_t length)
{
    int64_t ahead = last - own;
    if (ahead < 0)
        return qbc_text(q, "position %ld does not see position %ld", own, own);
    if (last < length - 1 && m->bounded && m->ahead != ahead)
        return qbc_text(q, "position %ld sees %ld later positions, others %ld", own, ahead, m->ahead);
    if (last < length - 1) {
        m->bounded = true;
        m->ahead = ahead;
    }
    m->most_ahead = ahead > m->most_ahead ? ahead : m->most_ahead;
    if (m->bounded && m->most_ahead > m->ahead)
        return qbc_text(q, "position %ld sees the later position %ld, others do not", own, own + 1 + m->ahead);
    return NULL;
}

const char *qbc_mask_add(struct qbc *q, struct qbc_mask *m, int64_t tokens, int64_t past,
                         const bool *allowed)
{
    int64_t length = past + tokens;
    for (int64_t t = 0; t < tokens; ++t) {
        const bool *row = allowed + t * length;
        int64_t own = past + t, first = 0, last = length - 1;
        while (first < own && !row[first])
            ++first;
        while (last >= own && !row[last])
            --last;
        for (int64_t s = first; s <= last; ++s)
            if (!row[s])
                return qbc_text(q, "position %ld does not see position %ld (%ld tokens after %ld)", own, s, tokens, past);
        const char *problem = add_ahead(q, m, own, last, length);
        if (problem)
            return qbc_text(q, "%s (%ld tokens after %ld)", problem, tokens, past);
        if (past && m->most_ahead)
            return qbc_text(q, "position %ld sees the later position %ld, though there is a past (%ld tokens after %ld)", own,
                            own + 1, tokens, past);
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

int64_t qbc_mask_ahead(const struct qbc_mask *m)
{
    return m->bounded ? m->ahead : m->most_ahead ? -1 : 0;
}
