/* hadamard_test: matrices of all orders up to 1024 that there are: rows are orthogonal; turning and turning back gives what was
 * there; lanes are turned alike; changed weights read as numbers say.
 */
#include "check.h"
#include "hadamard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_factor(int64_t m)
{
    int8_t *h = malloc((size_t)(m * m));
    int64_t worst = 0;
    qbc_hadamard_fill(m, h);
    for (int64_t a = 0; a < m; ++a)
        for (int64_t b = 0; b < m; ++b) {
            int64_t sum = a == b ? -m : 0;
            for (int64_t i = 0; i < m; ++i)
                sum += h[a * m + i] * h[b * m + i];
            worst = llabs(sum) > worst ? llabs(sum) : worst;
        }
    CHECK(worst == 0, "order %ld: rows are not orthogonal, by %ld", (long)m, (long)worst);
    free(h);
}

static void test_turn(int64_t n, int64_t lanes)
{
    int64_t m = qbc_hadamard_factor(n), size = 2 * n * lanes;
    int8_t *h = malloc((size_t)(m * m));
    float *v = malloc((size_t)size * sizeof *v), *was = malloc((size_t)size * sizeof *was);
    uint64_t seed = (uint64_t)n;
    double before = 0, after = 0, error = 0;
    qbc_hadamard_fill(m, h);
    for (int64_t i = 0; i < size; ++i) {
        was[i] = v[i] = check_normal(&seed);
        before += (double)v[i] * (double)v[i];
    }
    qbc_hadamard_turn(v, 2, n, m, h, lanes, false);
    for (int64_t i = 0; i < size; ++i)
        after += (double)v[i] * (double)v[i];
    qbc_hadamard_turn(v, 2, n, m, h, lanes, true);
    for (int64_t i = 0; i < size; ++i)
        error = fmax(error, fabs((double)v[i] - (double)was[i]));
    CHECK(fabs(after / before - 1) < 1e-5, "order %ld: the length changes by %g", (long)n, after / before - 1);
    CHECK(error < 1e-5, "order %ld, %ld lanes: back it is off by %g", (long)n, (long)lanes, error);
    free(h);
    free(v);
    free(was);
}

int main(void)
{
    static const int64_t wanted[] = {384, 5120, 12288, 13824, 14336, 28672, 9728};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i)
        CHECK(qbc_hadamard_factor(wanted[i]), "there is no matrix of order %ld", (long)wanted[i]);
    CHECK(qbc_hadamard_order(172) == 4 && qbc_hadamard_order(11008) == 256 && qbc_hadamard_order(7) == 1, "runs");
    CHECK(qbc_hadamard_online_order(768) == 768 && qbc_hadamard_online_order(9728) == 512, "runs while the model runs");
    for (int64_t m = 12; m <= 252; m += 4)
        if (qbc_hadamard_factor(m) == m)
            test_factor(m);
    for (int64_t n = 1; n <= 384; ++n)
        if (qbc_hadamard_factor(n))
            test_turn(n, n % 3 + 1);
    test_turn(5120, 1);
    return check_failures();
}
