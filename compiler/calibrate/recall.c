/* recall: see recall.h. Lines of text, one a tap:
 *
 *     COLUMNS PEAK MEDIAN ENTROPY WEIGHT WEIGHT ...          floating-point numbers as %a
 */
#include "recall.h"
#include "hessians.h"
#include "kept.h"
#include "resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char NAME[] = "taps";

void qbc_keep_taps(struct qbc *q, const struct qbc_calibration *c)
{
    char *text = NULL;
    size_t size;
    FILE *to = qbc_keeps(q) ? open_memstream(&text, &size) : NULL;
    if (!to)
        return;
    for (size_t i = 0; i < c->n_peaks; ++i) {
        const struct qbc_peak *p = &c->peaks[i];
        fprintf(to, "%lld %a %a %a", (long long)p->cols, p->most, p->median, p->entropy);
        for (size_t w = 0; w < p->n_weights; ++w)
            fprintf(to, " %s", p->weights[w]);
        fputc('\n', to);
    }
    if (!fclose(to))
        qbc_kept_put(q, NAME, text, size);
    free(text);
}

static bool read_tap(struct qbc *q, char *line, struct qbc_peak *p)
{
    const char *names[256];
    char *end, *state = NULL;
    size_t n = 0;
    p->cols = strtoll(line, &end, 10);
    p->most = strtod(end, &end);
    p->median = strtod(end, &end);
    p->entropy = strtod(end, &end);
    for (char *name = strtok_r(end, " ", &state); name && n < 256; name = strtok_r(NULL, " ", &state))
        names[n++] = name;
    const char **weights = qbc_alloc(q, (n + 1) * sizeof *weights);
    memcpy(weights, names, n * sizeof *names);
    p->weights = weights;
    p->n_weights = n;
    return n && p->cols > 0 && qbc_recall_h(q, weights, n, p->cols);
}

bool qbc_recall_taps(struct qbc *q, struct qbc_calibration *c)
{
    size_t bytes, n = 0;
    const char *kept = qbc_kept_find(q, NAME, &bytes);
    if (!kept)
        return false;
    char *text = (char *)(uintptr_t)qbc_copy(q, kept, bytes), *state = NULL;
    munmap((void *)(uintptr_t)kept, bytes);
    for (size_t i = 0; i < bytes; ++i)
        n += text[i] == '\n';
    c->peaks = qbc_alloc(q, (n + 1) * sizeof *c->peaks);
    c->n_peaks = 0;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state))
        if (!read_tap(q, line, &c->peaks[c->n_peaks++]))
            return false;
    return true;
}
