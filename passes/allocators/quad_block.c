/* quad_block: options of one block may cost more, or less, together than alone (LHIPR).
 *
 *     min  sum L_i(o_i) + sum over pairs of one block M(o_i, o_j)      such that  sum bytes <= budget
 *
 * For a price of a byte all combinations of a block's options are looked at, so blocks are small: 7 items of 5 options are
 * 78,125. The price is found by bisection; what is left over goes to the best single steps up.
 */
#include "allocator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALVINGS = 50, DOUBLINGS = 200 };

struct block_search {
    const struct qbc_problem *p;
    double price, least;
    size_t first, end;    /* items */
    size_t *choice, *try; /* [n] */
};

/* What option o of item i adds to the items first .. i - 1 as chosen in `with`. */
static double added(const struct qbc_problem *p, size_t first, size_t i, size_t o, const size_t *with)
{
    double sum = p->loss[o];
    for (size_t j = first; j < i; ++j)
        sum += p->together(p->user, o, with[j]);
    return sum;
}

static void enumerate(struct block_search *s, size_t i, double cost)
{
    const struct qbc_problem *p = s->p;
    if (i == s->end) {
        if (cost < s->least) {
            s->least = cost;
            memcpy(s->choice + s->first, s->try + s->first, (s->end - s->first) * sizeof *s->try);
        }
        return;
    }
    for (size_t o = p->first[i]; o < p->first[i + 1]; ++o) {
        s->try[i] = o;
        enumerate(s, i + 1, cost + added(p, s->first, i, o, s->try) + s->price * (double)p->bytes[o]);
    }
}

static size_t block_end(const struct qbc_problem *p, size_t i)
{
    size_t end = i + 1;
    while (end < p->n && p->block[end] == p->block[i])
        ++end;
    return end;
}

static bool at_price(const struct qbc_problem *p, double price, size_t *choice, size_t *try)
{
    for (size_t i = 0, end; i < p->n; i = end) {
        end = block_end(p, i);
        struct block_search s = {p, price, INFINITY, i, end, choice, try};
        enumerate(&s, i, 0);
    }
    return qbc_choice_bytes(p, choice) <= p->budget;
}

/* What the block of item i costs if it had option o. */
static double block_cost(const struct qbc_problem *p, const size_t *choice, size_t *try, size_t i, size_t o)
{
    size_t first = i;
    double cost = 0;
    while (first > 0 && p->block[first - 1] == p->block[i])
        --first;
    size_t end = block_end(p, i);
    memcpy(try + first, choice + first, (end - first) * sizeof *try);
    try[i] = o;
    for (size_t j = first; j < end; ++j)
        cost += added(p, first, j, try[j], try);
    return cost;
}

static bool step_up(const struct qbc_problem *p, size_t *choice, size_t *try, int64_t *left)
{
    size_t best_item = p->n, best_option = 0;
    double most = 0;
    for (size_t i = 0; i < p->n; ++i) {
        double now = block_cost(p, choice, try, i, choice[i]);
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o) {
            int64_t more = p->bytes[o] - p->bytes[choice[i]];
            if (more <= 0 || more > *left)
                continue;
            double gain = (now - block_cost(p, choice, try, i, o)) / (double)more;
            if (gain > most) {
                most = gain;
                best_item = i;
                best_option = o;
            }
        }
    }
    if (best_item == p->n)
        return false;
    *left -= p->bytes[best_option] - p->bytes[choice[best_item]];
    choice[best_item] = best_option;
    return true;
}

static void search(const struct qbc_problem *p, size_t *choice, size_t *try)
{
    double low = 0, high = 1e-12;
    if (at_price(p, 0, choice, try))
        return;
    for (int i = 0; i < DOUBLINGS && !at_price(p, high, choice, try); ++i)
        high *= 2;
    for (int i = 0; i < HALVINGS; ++i) {
        double middle = 0.5 * (low + high);
        if (at_price(p, middle, choice, try))
            high = middle;
        else
            low = middle;
    }
    if (!at_price(p, high, choice, try))
        qbc_choose_smallest(p, choice);
    int64_t left = p->budget - qbc_choice_bytes(p, choice);
    while (step_up(p, choice, try, &left))
        ;
}

bool qbc_allocate_quad_block(const struct qbc_problem *p, size_t *choice)
{
    bool fits = qbc_choose_smallest(p, choice);
    size_t *try = malloc((p->n + 1) * sizeof *try);
    bool good = fits && p->block && p->together && try;
    if (good)
        search(p, choice, try);
    free(try);
    return good;
}
