/* waterfill: bits from the logarithm of losses (BAQ).
 *
 *     R_i = R + (1 / beta) log2(metric_i / geometric mean of metrics)        beta = 1.95
 *
 * metric_i is the loss at a common width (per weight); each item gets the option with bits nearest to R_i, of equals the
 * smaller one. R is the highest, by bisection, whose options fit; what is left over then goes to single steps up in the
 * order of the least loss per byte.
 */
#include "allocator.h"

#include <math.h>
#include <string.h>

enum { HALVINGS = 50 };
static const double BETA = 1.95;

static size_t nearest(const struct qbc_problem *p, size_t item, double bits)
{
    size_t best = p->first[item];
    for (size_t o = best + 1; o < p->first[item + 1]; ++o) {
        double d = fabs(p->bits[o] - bits), least = fabs(p->bits[best] - bits);
        if (d < least || (d == least && p->bytes[o] < p->bytes[best]))
            best = o;
    }
    return best;
}

/* The items' log2(metric / mean) / beta; a metric of 0 counts as a tiny one. */
static double offset(const struct qbc_problem *p, size_t item, double mean)
{
    double m = p->metric[item] > 1e-30 ? p->metric[item] : 1e-30;
    return (log2(m) - mean) / BETA;
}

static double mean_log(const struct qbc_problem *p)
{
    double sum = 0;
    for (size_t i = 0; i < p->n; ++i)
        sum += log2(p->metric[i] > 1e-30 ? p->metric[i] : 1e-30);
    return p->n ? sum / (double)p->n : 0;
}

static bool fill(const struct qbc_problem *p, double level, double mean, size_t *choice)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < p->n; ++i) {
        choice[i] = nearest(p, i, level + offset(p, i, mean));
        bytes += p->bytes[choice[i]];
    }
    return bytes <= p->budget;
}

/* The step that takes most loss off a byte and fits; false: none does. */
static bool step_up(const struct qbc_problem *p, size_t *choice, int64_t *left)
{
    size_t best_item = p->n, best_option = 0;
    double most = 0;
    for (size_t i = 0; i < p->n; ++i)
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o) {
            int64_t more = p->bytes[o] - p->bytes[choice[i]];
            double gain = p->loss[choice[i]] - p->loss[o];
            if (more <= 0 || more > *left || gain / (double)more <= most)
                continue;
            most = gain / (double)more;
            best_item = i;
            best_option = o;
        }
    if (best_item == p->n)
        return false;
    *left -= p->bytes[best_option] - p->bytes[choice[best_item]];
    choice[best_item] = best_option;
    return true;
}

bool qbc_allocate_waterfill(const struct qbc_problem *p, size_t *choice)
{
    if (!qbc_choose_smallest(p, choice) || !p->metric || !p->bits)
        return false;
    double mean = mean_log(p), low = -64, high = 64;
    if (!fill(p, low, mean, choice)) /* the fewest bits of an item need not be its fewest bytes */
        qbc_choose_smallest(p, choice);
    for (int i = 0; i < HALVINGS; ++i) {
        double middle = 0.5 * (low + high);
        if (fill(p, middle, mean, choice))
            low = middle;
        else
            high = middle;
    }
    if (!fill(p, low, mean, choice))
        qbc_choose_smallest(p, choice);
    int64_t left = p->budget - qbc_choice_bytes(p, choice);
    while (step_up(p, choice, &left))
        ;
    return true;
}
