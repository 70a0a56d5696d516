/* mckp: the multiple-choice knapsack, min sum L_i(o_i) such that sum bytes <= budget.
 *
 * 1. A price of a byte, by bisection: each item takes its least L + price * bytes. At the lowest price that fits, that is
 *    the best choice for the bytes it uses, and
 *        bound = sum min (L + price * bytes) - price * budget
 *    is below every choice that fits.
 * 2. What is left over goes to the upgrades that take most loss off a byte, then to pairs: one item up, another down.
 * 3. An option's excess is its L + price * bytes above its item's least. A choice better than the one at hand has excesses
 *    whose sum is below loss - bound, so options beyond that gap are out; of what is left (a few options of most items) all
 *    sums that another does not beat in both bytes and loss are kept, item by item. Where these are more than MOST_SUMS,
 *    they are thinned evenly by bytes: the result is then what it is, not the optimum, still never worse than 2.
 */
#include "allocator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HALVINGS = 100, DOUBLINGS = 400, MOST_SUMS = 20000, MOST_PASSES = 50 };

static size_t best_at(const struct qbc_problem *p, size_t item, double price)
{
    size_t best = p->first[item];
    double least = INFINITY;
    for (size_t o = best; o < p->first[item + 1]; ++o) {
        double cost = p->loss[o] + price * (double)p->bytes[o];
        if (cost < least || (cost == least && p->bytes[o] < p->bytes[best])) {
            least = cost;
            best = o;
        }
    }
    return best;
}

static bool at_price(const struct qbc_problem *p, double price, size_t *choice)
{
    for (size_t i = 0; i < p->n; ++i)
        choice[i] = best_at(p, i, price);
    return qbc_choice_bytes(p, choice) <= p->budget;
}

static double find_price(const struct qbc_problem *p, size_t *choice)
{
    double low = 0, high = 1e-15;
    if (at_price(p, 0, choice))
        return 0;
    for (int i = 0; i < DOUBLINGS && !at_price(p, high, choice); ++i)
        high *= 2;
    for (int i = 0; i < HALVINGS; ++i) {
        double middle = 0.5 * (low + high);
        if (at_price(p, middle, choice))
            high = middle;
        else
            low = middle;
    }
    if (!at_price(p, high, choice))
        qbc_choose_smallest(p, choice);
    return high;
}

/* --- 2: repair */

static bool upgrade(const struct qbc_problem *p, size_t *choice, int64_t *left)
{
    size_t item = p->n, option = 0;
    double most = 0;
    for (size_t i = 0; i < p->n; ++i)
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o) {
            int64_t more = p->bytes[o] - p->bytes[choice[i]];
            double gain = p->loss[choice[i]] - p->loss[o];
            if (more > *left || gain <= 0)
                continue;
            double rate = more > 0 ? gain / (double)more : INFINITY;
            if (rate > most) {
                most = rate;
                item = i;
                option = o;
            }
        }
    if (item == p->n)
        return false;
    *left -= p->bytes[option] - p->bytes[choice[item]];
    choice[item] = option;
    return true;
}

/* For item i at another option: the best answer of a single other item. True if something became better. */
static bool swap_with(const struct qbc_problem *p, size_t *choice, int64_t *left, size_t i, size_t o)
{
    double change = p->loss[o] - p->loss[choice[i]], most = 0;
    int64_t room = *left - (p->bytes[o] - p->bytes[choice[i]]);
    size_t item = p->n, option = 0;
    for (size_t j = 0; j < p->n; ++j)
        for (size_t x = p->first[j]; j != i && x < p->first[j + 1]; ++x) {
            double total = change + p->loss[x] - p->loss[choice[j]];
            if (p->bytes[x] - p->bytes[choice[j]] <= room && total < most) {
                most = total;
                item = j;
                option = x;
            }
        }
    if (item == p->n || most > -1e-15)
        return false;
    *left = room - (p->bytes[option] - p->bytes[choice[item]]);
    choice[i] = o;
    choice[item] = option;
    return true;
}

static bool swap_pass(const struct qbc_problem *p, size_t *choice, int64_t *left)
{
    bool better = false;
    for (size_t i = 0; i < p->n; ++i)
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o)
            if (o != choice[i])
                better |= swap_with(p, choice, left, i, o);
    return better;
}

static void repair(const struct qbc_problem *p, size_t *choice)
{
    int64_t left = p->budget - qbc_choice_bytes(p, choice);
    for (int pass = 0; pass < MOST_PASSES; ++pass) {
        while (upgrade(p, choice, &left))
            ;
        if (!swap_pass(p, choice, &left))
            return;
    }
}

/* --- 3: all sums that may matter */

struct sum {
    int64_t bytes;
    double loss, excess;
    size_t from, option; /* the sum without this item, and what the item has */
};

struct sums {
    struct sum *list;
    size_t n;
};

struct search {
    const struct qbc_problem *p;
    double price, gap;
    int64_t *rest; /* [n + 1] the fewest bytes of items i .. n - 1 among options that are in */
    struct sums *after; /* [n + 1] */
    struct sum *grown;
};

static double excess(const struct search *s, size_t item, size_t o)
{
    const struct qbc_problem *p = s->p;
    size_t best = best_at(p, item, s->price);
    return p->loss[o] + s->price * (double)p->bytes[o] - (p->loss[best] + s->price * (double)p->bytes[best]);
}

static bool is_in(const struct search *s, size_t item, size_t o)
{
    return excess(s, item, o) <= s->gap;
}

static void find_rest(struct search *s)
{
    const struct qbc_problem *p = s->p;
    s->rest[p->n] = 0;
    for (size_t i = p->n; i-- > 0;) {
        int64_t least = INT64_MAX;
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o)
            if (is_in(s, i, o) && p->bytes[o] < least)
                least = p->bytes[o];
        s->rest[i] = s->rest[i + 1] + least;
    }
}

static int compare(const void *a, const void *b)
{
    const struct sum *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return x->option < y->option ? -1 : x->option > y->option;
}

/* By bytes, the loss falls: what has more of both is out. Too many: the best of each of MOST_SUMS runs. */
static size_t thin(struct sum *list, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i)
        if (!kept || list[i].loss < list[kept - 1].loss)
            list[kept++] = list[i];
    if (kept <= MOST_SUMS)
        return kept;
    size_t out = 0;
    for (size_t i = 0; i < kept; ++i) {
        size_t run = i * MOST_SUMS / kept;
        if (run + 1 > out)
            out = run + 1;
        list[out - 1] = list[i]; /* the last of a run: its least loss */
    }
    return out;
}

static bool grow(struct search *s, size_t item)
{
    const struct qbc_problem *p = s->p;
    const struct sums *before = &s->after[item];
    size_t n_options = p->first[item + 1] - p->first[item], n = 0;
    s->grown = malloc(before->n * n_options * sizeof *s->grown);
    if (!s->grown)
        return false;
    for (size_t o = p->first[item]; o < p->first[item + 1]; ++o) {
        double more = excess(s, item, o);
        for (size_t k = 0; k < before->n && more <= s->gap; ++k) {
            const struct sum *x = &before->list[k];
            struct sum next = {x->bytes + p->bytes[o], x->loss + p->loss[o], x->excess + more, k, o};
            if (next.excess <= s->gap && next.bytes + s->rest[item + 1] <= p->budget)
                s->grown[n++] = next;
        }
    }
    qsort(s->grown, n, sizeof *s->grown, compare);
    n = thin(s->grown, n);
    s->after[item + 1] = (struct sums){s->grown, n};
    struct sum *tight = n ? realloc(s->grown, n * sizeof *tight) : NULL;
    s->after[item + 1].list = tight ? tight : s->grown;
    return n;
}

/* The last sum: most bytes, least loss. */
static void take_best(const struct search *s, size_t *choice, double least, size_t *try)
{
    const struct qbc_problem *p = s->p;
    size_t best = s->after[p->n].n - 1;
    for (size_t i = p->n; i-- > 0;) {
        const struct sum *at = &s->after[i + 1].list[best];
        try[i] = at->option;
        best = at->from;
    }
    if (qbc_choice_sum(p, try) < least)
        memcpy(choice, try, p->n * sizeof *try);
}

static void search(const struct qbc_problem *p, double price, double bound, size_t *choice)
{
    double least = qbc_choice_sum(p, choice);
    struct sum start = {0};
    struct search s = {.p = p, .price = price, .gap = least - bound + 1e-12 * fabs(least)};
    size_t *try = malloc((p->n + 1) * sizeof *try);
    s.rest = malloc((p->n + 1) * sizeof *s.rest);
    s.after = calloc(p->n + 1, sizeof *s.after);
    bool good = s.rest && s.after && try;
    if (good) {
        find_rest(&s);
        s.after[0] = (struct sums){&start, 1};
    }
    for (size_t i = 0; i < p->n && good; ++i)
        good = grow(&s, i);
    if (good)
        take_best(&s, choice, least, try);
    for (size_t i = 1; i <= p->n && s.after; ++i)
        free(s.after[i].list);
    free(s.after);
    free(s.rest);
    free(try);
}

bool qbc_allocate_mckp(const struct qbc_problem *p, size_t *choice)
{
    if (!qbc_choose_smallest(p, choice))
        return false;
    double price = find_price(p, choice);
    if (price == 0)
        return true; /* everything at its best fits */
    double bound = -price * (double)p->budget;
    for (size_t i = 0; i < p->n; ++i) {
        size_t best = best_at(p, i, price);
        bound += p->loss[best] + price * (double)p->bytes[best];
    }
    repair(p, choice);
    search(p, price, bound, choice);
    return true;
}
