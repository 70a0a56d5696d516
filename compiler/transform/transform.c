/* transform: the list, and what was asked for of it. */
#include "transform.h"
#include "hessians.h"
#include "pipeline.h"

#include <string.h>

enum { PEAKS, MEANS, MAP, POWERS }; /* diagonal.c */

static const struct qbc_transform transforms[] = {
    {"smooth", "channels scaled so that activations and weights are as hard to round (SmoothQuant)",
     qbc_transform_diagonal, .least = 0.5f, .most = 0.5f, .step = 1, .by = PEAKS},
    {"awq", "channels scaled for the least error of rounded weights (AWQ)",
     qbc_transform_diagonal, .least = 0, .most = 0.951f, .step = 0.05f, .by = MEANS},
    {"map", "channels scaled for the least error with both sides rounded (QuBLAST)",
     qbc_transform_diagonal, .least = 0, .most = 1.001f, .step = 0.1f, .by = MAP},
    {"pow2", "the same by powers of two, which floats do not notice",
     qbc_transform_diagonal, .least = 0, .most = 1.001f, .step = 0.1f, .by = POWERS},
    {"hadamard", "r1, r2 and r4: everything that goes between products is turned (QuaRot)", qbc_transform_rotate,
     .where = "r1,r2,r4"},
    {"psot", "the same with r1 learned, so that peaks are low (INFOQUANT's, one for all layers)", qbc_transform_psot,
     .where = "r1,r2,r4"},
    {"r1", "the residual stream turned by a Hadamard matrix", qbc_transform_rotate, .where = "r1"},
    {"r2", "the values of each head", qbc_transform_rotate, .where = "r2"},
    {"r4", "what is behind a gate, while the model runs", qbc_transform_rotate, .where = "r4"},
    {"clip", "less than a row's range for the codes of activations, where that is better (INFOQUANT's LAC)", qbc_transform_clip},
};

enum { N = sizeof transforms / sizeof *transforms };

const struct qbc_transform *qbc_transform_at(size_t i)
{
    return i < N ? &transforms[i] : NULL;
}

/* The first word of *list, which then begins behind it; NULL: it is at its end. */
static const char *next_word(struct qbc *q, const char **list)
{
    size_t length = strcspn(*list, ",");
    const char *word = **list ? qbc_copy(q, *list, length) : NULL;
    *list += length + ((*list)[length] == ',');
    return word;
}

static const struct qbc_transform *find(const char *name)
{
    for (size_t i = 0; i < N; ++i)
        if (!strcmp(transforms[i].name, name))
            return &transforms[i];
    return NULL;
}

void qbc_transform_check(struct qbc *q)
{
    const char *names[N + 2] = {"none"}, *word;
    for (size_t i = 0; i < N; ++i)
        names[i + 1] = transforms[i].name;
    for (const char *list = q->options.transform ? q->options.transform : ""; (word = next_word(q, &list));) {
        if (!find(word) && strcmp(word, "none"))
            qbc_error_in(q, "-transform", "'%s' is no choice%s", word, qbc_suggestion(q, word, names, "; see qbc --list-transforms"));
    }
}

bool qbc_transform_run(struct qbc *q, MlirOperation graph)
{
    const char *word;
    for (const char *list = q->options.transform ? q->options.transform : ""; (word = next_word(q, &list)) && !q->errors;) {
        const struct qbc_transform *t = find(word);
        if (!t)
            continue;
        t->run(q, graph, t);
        if (!q->errors)
            qbc_pass_run(q, qbc_find_pass(q, "fold-scales"), graph);
    }
    qbc_hessians_destroy(q); /* of the model as it was */
    return !q->errors;
}
