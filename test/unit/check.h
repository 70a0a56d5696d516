/* check.h: what the unit tests share. CHECK prints what failed and goes on; main returns
 * check_failures() != 0. REQUIRE ends the test. */
#ifndef QBC_CHECK_H
#define QBC_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int check_failed;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            ++check_failed;                                                                        \
        }                                                                                          \
    } while (0)

/* For what must hold before a test can go on: prints what failed and ends it. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline int check_failures(void)
{
    return check_failed;
}

/* Repeatable numbers: xorshift64*. */
static inline uint64_t check_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Roughly normal, variance 1: a sum of 12 uniform numbers. */
static inline float check_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; ++i)
        sum += (double)(check_random(state) >> 40) / (double)(1 << 24);
    return (float)sum;
}

#endif
