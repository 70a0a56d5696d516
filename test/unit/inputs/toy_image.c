/* toy_image.c: a model small enough to compute by hand, as generated code would be: freestanding,
 * position independent, split over threads. Compiled to a code image by the tests (toy.h).
 *
 *     weights f32 [vocab][vocab], then f32 [vocab]
 *     state   f32 [context]: the second table's entry of each token so far
 *     logits[t][v] = weights[token t][v] + v * sum(state[0 .. t])
 *
 * The sum is made by thread 0 in the arena, so a barrier that fails shows.
 */
#include "step.h"

enum { VOCAB = 32 };

static void remember(const struct qbrt_step *s, int64_t thread)
{
    const float *values = (const float *)s->weights + VOCAB * VOCAB;
    float *state = (float *)s->state;
    for (int64_t t = thread; t < s->n_tokens; t += s->threads)
        state[s->pos + t] = values[s->tokens[t]];
}

static void sum(const struct qbrt_step *s)
{
    const float *state = (const float *)s->state;
    float *sums = (float *)s->arena;
    float total = 0;
    for (int64_t t = 0; t < s->pos; t++)
        total += state[t];
    for (int64_t t = 0; t < s->n_tokens; t++)
        sums[t] = total += state[s->pos + t];
}

static void score(const struct qbrt_step *s, int64_t thread)
{
    const float *sums = (const float *)s->arena;
    for (int64_t t = s->first_logit; t < s->n_tokens; t++) {
        const float *row = (const float *)s->weights + VOCAB * s->tokens[t];
        float *out = s->logits + VOCAB * (t - s->first_logit);
        for (int64_t v = thread; v < VOCAB; v += s->threads)
            out[v] = row[v] + (float)v * sums[t];
    }
}

void toy_step(const struct qbrt_step *s, int64_t thread)
{
    remember(s, thread);
    s->barrier(s->barrier_arg);
    if (thread == 0)
        sum(s);
    s->barrier(s->barrier_arg);
    score(s, thread);
    s->barrier(s->barrier_arg);
}

void toy_decode(const struct qbrt_step *s, int64_t thread)
{
    toy_step(s, thread);
}
