/* sample_test: the three limits, their order, the frequencies drawn, and logits that are no
 * numbers. */
#include "check.h"
#include "qbrt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { V = 6, DRAWS = 20000 };
static const float logits[V] = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f, -INFINITY};

/* Share of each token in many draws. */
static void frequencies(struct qbrt_sampler sampler, double *share)
{
    struct qbrt_candidate scratch[V];
    for (int i = 0; i < V; i++)
        share[i] = 0;
    for (int i = 0; i < DRAWS; i++) {
        int32_t token = qbrt_sample(&sampler, logits, V, scratch);
        REQUIRE(token >= 0 && token < V);
        share[token] += 1.0 / DRAWS;
    }
}

/* The first `kept` of the order 1 3 2 0 4 share the draws as softmax(logits / temperature) says. */
static void expect(struct qbrt_sampler sampler, int kept)
{
    static const int order[] = {1, 3, 2, 0, 4};
    double share[V], sum = 0, want[V] = {0};
    for (int i = 0; i < kept; i++)
        sum += want[order[i]] = exp(logits[order[i]] / sampler.temperature);
    frequencies(sampler, share);
    for (int i = 0; i < V; i++) {
        REQUIRE(fabs(share[i] - want[i] / sum) < 0.015);
        REQUIRE(want[i] > 0 || share[i] == 0);
    }
}

static void test_limits(void)
{
    const struct qbrt_sampler all = {.temperature = 1, .top_p = 1, .state = 7};
    struct qbrt_sampler s = all;
    expect(s, 5);
    s.temperature = 3;
    expect(s, 5);
    for (int k = 1; k <= V + 1; k++) {
        s = all;
        s.top_k = k;
        expect(s, k < 5 ? k : 5);
    }
    /* probabilities: 0.397 0.397 0.146 0.054 0.007 */
    s = all;
    s.top_p = 0.3f;
    expect(s, 1);
    s.top_p = 0.7f;
    expect(s, 2);
    s.top_p = 0.93f;
    expect(s, 3);
    s.top_p = 0;
    expect(s, 1);
    s = all;
    s.min_p = 0.3f;
    expect(s, 3);
    s.min_p = 0.9f;
    expect(s, 2);
    s = (struct qbrt_sampler){
        .temperature = 1, .top_k = 4, .top_p = 0.93f, .min_p = 0.9f, .state = 1};
    expect(s, 2);
}

static void test_exponential(void)
{
    /* two tokens x apart are drawn e^x : 1, also where float's range ends */
    for (float x = 0; x < 7; x += 0.37f) {
        const float two[2] = {0, -x};
        struct qbrt_candidate scratch[2];
        struct qbrt_sampler s = {.temperature = 1, .top_p = 1, .state = 3};
        qbrt_sample(&s, two, 2, scratch);
        REQUIRE(fabs(scratch[1].weight / exp(-(double)x) - 1) < 1e-6);
    }
    const float far[2] = {0, -86.5f}, beyond[2] = {0, -1e30f};
    struct qbrt_candidate scratch[2];
    struct qbrt_sampler s = {.temperature = 1, .top_p = 1, .state = 3};
    REQUIRE(qbrt_sample(&s, far, 2, scratch) == 0 && scratch[1].weight > 0);
    REQUIRE(qbrt_sample(&s, beyond, 2, scratch) == 0 && scratch[1].weight == 0);
}

static void test_odd(void)
{
    const float nan_first[3] = {NAN, 1, 2}, all_nan[3] = {NAN, NAN, NAN};
    const float infinite[3] = {1, INFINITY, INFINITY}, equal[3] = {2, 2, 2};
    const float hopeless[3] = {-INFINITY, -INFINITY, -INFINITY};
    struct qbrt_candidate scratch[3];
    REQUIRE(qbrt_argmax(nan_first, 3) == 2 && qbrt_argmax(all_nan, 3) == 0);
    REQUIRE(qbrt_argmax(infinite, 3) == 1 && qbrt_argmax(equal, 3) == 0);
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct qbrt_sampler s = {.temperature = 1, .top_p = 0.9f, .min_p = 0.01f, .state = seed};
        REQUIRE(qbrt_sample(&s, nan_first, 3, scratch) != 0);
        REQUIRE(qbrt_sample(&s, infinite, 3, scratch) != 0);
        int32_t token = qbrt_sample(&s, all_nan, 3, scratch);
        REQUIRE(token >= 0 && token < 3);
        token = qbrt_sample(&s, hopeless, 3, scratch);
        REQUIRE(token >= 0 && token < 3);
        s.top_p = 1;
        s.min_p = 0;
        REQUIRE(qbrt_sample(&s, nan_first, 3, scratch) != 0);
        token = qbrt_sample(&s, all_nan, 3, scratch);
        REQUIRE(token >= 0 && token < 3);
        s.temperature = 0;
        REQUIRE(qbrt_sample(&s, equal, 3, scratch) == 0);
        s.temperature = NAN;
        REQUIRE(qbrt_sample(&s, equal, 3, scratch) == 0);
    }
}

/* The seed's meaning is part of the interface. */
static void test_seed(void)
{
    struct qbrt_sampler a = {.temperature = 1, .top_p = 1, .state = 42}, b = a, c = a;
    struct qbrt_candidate scratch[V];
    int differ = 0;
    c.state = 43;
    for (int i = 0; i < 100; i++) {
        int32_t token = qbrt_sample(&a, logits, V, scratch);
        REQUIRE(token == qbrt_sample(&b, logits, V, scratch));
        differ += token != qbrt_sample(&c, logits, V, scratch);
    }
    REQUIRE(differ > 10);
}

int main(void)
{
    test_limits();
    test_exponential();
    test_odd();
    test_seed();
    puts("sample_test: passed");
    return 0;
}
