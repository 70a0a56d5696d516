/* mask_test: which masks are causal, and how far back they look. */
#include "pattern.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void expect(bool good, const char *what, const char *got)
{
    if (good)
        return;
    printf("%s: %s\n", what, got ? got : "no complaint");
    ++failures;
}

enum { MOST = 64 };

/* Token t sees the last `window` positions up to its own. */
static const char *sample(struct qbc *q, struct qbc_mask *m, int64_t tokens, int64_t past,
                          int64_t window)
{
    static bool allowed[MOST * MOST];
    for (int64_t t = 0; t < tokens; ++t)
        for (int64_t s = 0; s < past + tokens; ++s)
            allowed[t * (past + tokens) + s] = s <= past + t && s > past + t - window;
    return qbc_mask_add(q, m, tokens, past, allowed);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic, .target = "x86-64-v3"}};
    if (!qbc_open(&q))
        return 1;
    struct qbc_mask m = {0};
    const char *got = sample(&q, &m, 5, 0, MOST);
    expect(!got && !m.window && m.longest == 5, "causal", got);
    got = sample(&q, &m, 3, 20, 8);
    expect(!got && m.window == 8, "a window that short samples do not show", got);
    got = sample(&q, &m, 9, 0, 8);
    expect(!got && m.window == 8, "the same window", got);
    got = sample(&q, &m, 9, 0, MOST);
    expect(got && strstr(got, "see 9 positions"), "sometimes a window", got);
    m = (struct qbc_mask){0};
    sample(&q, &m, 9, 3, 4);
    got = sample(&q, &m, 9, 3, 5);
    expect(got && strstr(got, "others the last 4"), "two windows", got);

    m = (struct qbc_mask){0};
    bool all[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, holes[6] = {true, false, true, true, true, true};
    got = qbc_mask_add(&q, &m, 3, 0, all);
    expect(!got && qbc_mask_ahead(&m) == -1, "an encoder", got);
    bool near[9] = {1, 1, 0, 1, 1, 1, 0, 1, 1};
    m = (struct qbc_mask){0};
    got = qbc_mask_add(&q, &m, 3, 0, near);
    expect(!got && qbc_mask_ahead(&m) == 1 && m.window == 2, "neighbours", got);
    got = qbc_mask_add(&q, &m, 3, 0, all);
    expect(got && strstr(got, "position 0 sees the later position 2"), "now all, now neighbours", got);
    m = (struct qbc_mask){0};
    got = qbc_mask_add(&q, &m, 2, 1, all);
    expect(got && strstr(got, "though there is a past"), "later positions and a cache", got);
    m = (struct qbc_mask){0};
    got = qbc_mask_add(&q, &m, 2, 1, holes);
    expect(got && strstr(got, "position 1 does not see position 1"), "a hole", got);
    qbc_close(&q);
    return failures ? 1 : 0;
}
