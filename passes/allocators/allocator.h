/* allocator.h: which option each item gets. Arrays in, choices out; no MLIR, no formats, no files.
 *
 * An item is whatever has a precision of its own: a tensor, a block, a segment of columns. Its options are numbered
 * through: those of item i are first[i] .. first[i + 1] - 1, by rising bytes. An option costs `bytes` and `loss`
 * (nats a token, may be negative, where measured). methods.md's table of solvers names the sources.
 */
#ifndef QBC_ALLOCATOR_H
#define QBC_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qbc_problem {
    size_t n;            /* items */
    const size_t *first; /* [n + 1] */
    const double *loss;  /* [options] */
    const int64_t *bytes; /* [options] >= 0 */
    int64_t budget;

    /* What some allocators want beside that. NULL or 0: they say no. */
    const double *metric; /* [n] how much an item matters: more is more important */
    const double *bits;   /* [options] of a weight */
    const int *block;     /* [n] items of one block are neighbours */
    double share;         /* threshold: of the metric; top_ratio: of the items */
    /* What two options of one block cost together, beyond the sum of both. */
    double (*together)(void *user, size_t option, size_t other);
    /* The loss of a whole choice, where that can be measured; NULL: the sum. */
    double (*judge)(void *user, const size_t *choice);
    void *user;
};

/* choice [n]: an option number for each item, always set. False: there is none within the budget (choice is the
 * smallest then), something that it wants is missing, or there is no memory. */
typedef bool (*qbc_solve)(const struct qbc_problem *p, size_t *choice);

struct qbc_allocator {
    const char *name, *about;
    qbc_solve solve;
    const char *wants; /* names of the fields above that must be there, for people; "" */
    bool over_budget;  /* does not look at the budget: whoever asks may have to say no */
};
const struct qbc_allocator *qbc_find_allocator(const char *name); /* no name: the default; NULL: no such one */
const struct qbc_allocator *qbc_allocator_at(size_t i);           /* NULL: past the end; the default first */

#define ALLOCATOR(name, about, wants, over_budget) bool qbc_allocate_##name(const struct qbc_problem *p, size_t *choice);
#include "allocators.def"
#undef ALLOCATOR

/* --- sums.c: what the files share */
int64_t qbc_choice_bytes(const struct qbc_problem *p, const size_t *choice);
double qbc_choice_sum(const struct qbc_problem *p, const size_t *choice);
double qbc_choice_loss(const struct qbc_problem *p, const size_t *choice); /* judge's, or the sum */
/* The option of each item with the fewest bytes (of equals the least loss); false: they do not fit either. */
bool qbc_choose_smallest(const struct qbc_problem *p, size_t *choice);
/* Of item i the one with most bytes (of equals the least loss). */
size_t qbc_largest_option(const struct qbc_problem *p, size_t i);
/* Items by falling metric, equal ones by number: order [n]. False: no memory. */
bool qbc_by_metric(const struct qbc_problem *p, size_t *order);
/* Items by falling metric get their largest options, all others their smallest; up to the first that does not fit, or
 * such are passed over. False: as qbc_solve's. */
bool qbc_spend_by_metric(const struct qbc_problem *p, bool pass_over, size_t *choice);

#endif
