/* hadamard: see hadamard.h. Paley's first construction for a prime q = 3 mod 4 has order q + 1, his second for q = 1 mod 4
 * order 2 (q + 1). Both are made of chi: 1 for squares mod q, -1 for others, 0 for 0.
 */
#include "hadamard.h"

#include <math.h>
#include <string.h>

enum { LARGEST = 256, CHUNK = 64 };

static bool is_prime(int64_t n)
{
    for (int64_t d = 2; d * d <= n; ++d)
        if (n % d == 0)
            return false;
    return n > 1;
}

static bool is_first(int64_t m)
{
    return (m - 1) % 4 == 3 && is_prime(m - 1);
}

static bool is_second(int64_t m)
{
    return m % 2 == 0 && (m / 2 - 1) % 4 == 1 && is_prime(m / 2 - 1);
}

static bool is_factor(int64_t m)
{
    return m == 1 || (m >= 12 && m <= LARGEST && (is_first(m) || is_second(m)));
}

int64_t qbc_hadamard_factor(int64_t n)
{
    int64_t m = n;
    while (m > 0 && m % 2 == 0)
        m /= 2;
    while (m > 0 && m < n && !is_factor(m))
        m *= 2;
    return n > 0 && is_factor(m) ? m : 0;
}

int64_t qbc_hadamard_order(int64_t n)
{
    return qbc_hadamard_factor(n) ? n : n & -n;
}

int64_t qbc_hadamard_online_order(int64_t n)
{
    int64_t factor = qbc_hadamard_factor(n);
    return factor && factor <= QBC_HADAMARD_ONLINE ? n : n & -n;
}

/* chi of all residues */
static void residues(int64_t q, int8_t *chi)
{
    memset(chi, -1, (size_t)q);
    for (int64_t i = 1; i < q; ++i)
        chi[i * i % q] = 1;
    chi[0] = 0;
}

static void fill_first(int64_t m, const int8_t *chi, int8_t *out)
{
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < m; ++j)
            out[i * m + j] = i == 0 || i == j ? 1 : j == 0 ? -1 : chi[(j - i + m - 1) % (m - 1)];
}

/* Of the conference matrix C (0 on the diagonal, 1 in the first row and column, else chi), each entry as two by two. */
static void fill_second(int64_t m, const int8_t *chi, int8_t *out)
{
    int64_t half = m / 2, q = half - 1;
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < m; ++j) {
            int64_t a = i / 2, b = j / 2;
            int low = i % 2 && j % 2; /* [[1, 1], [1, -1]] */
            int c = a == 0 || b == 0 ? 1 : chi[(b - a + q) % q];
            int zero = i % 2 || j % 2 ? -1 : 1; /* [[1, -1], [-1, -1]] */
            out[i * m + j] = (int8_t)(a == b ? zero : low ? -c : c);
        }
}

void qbc_hadamard_fill(int64_t m, int8_t *out)
{
    int8_t chi[LARGEST] = {0};
    bool first = is_first(m);
    out[0] = 1;
    if (m == 1)
        return;
    residues(first ? m - 1 : m / 2 - 1, chi);
    if (first)
        fill_first(m, chi, out);
    else
        fill_second(m, chi, out);
}

static void butterflies(float *v, int64_t n, int64_t half)
{
    for (int64_t i = 0; i < n; i += 2 * half)
        for (int64_t t = i; t < i + half; ++t) {
            float a = v[t], b = v[t + half];
            v[t] = a + b;
            v[t + half] = a - b;
        }
}

/* v [m][width] becomes M^T v, or M v: each column of it is a vector. */
static void mix(float *v, int64_t width, int64_t m, const int8_t *matrix, bool transposed)
{
    float piece[LARGEST][CHUNK];
    for (int64_t from = 0; from < width; from += CHUNK) {
        int64_t n = width - from < CHUNK ? width - from : CHUNK;
        for (int64_t a = 0; a < m; ++a)
            memcpy(piece[a], v + a * width + from, (size_t)n * sizeof *v);
        for (int64_t c = 0; c < m; ++c) {
            float *to = v + c * width + from;
            memset(to, 0, (size_t)n * sizeof *v);
            for (int64_t a = 0; a < m; ++a) {
                float sign = transposed ? matrix[c * m + a] : matrix[a * m + c];
                for (int64_t i = 0; i < n; ++i)
                    to[i] += sign * piece[a][i];
            }
        }
    }
}

void qbc_hadamard_turn(float *v, int64_t runs, int64_t n, int64_t m, const int8_t *matrix, int64_t lanes, bool transposed)
{
    float norm = 1 / sqrtf((float)n);
    for (int64_t run = 0; run < runs; ++run, v += n * lanes) {
        for (int64_t half = 1; half < n / m; half *= 2)
            butterflies(v, n * lanes, half * lanes);
        if (m > 1)
            mix(v, n / m * lanes, m, matrix, transposed);
        for (int64_t i = 0; i < n * lanes; ++i)
            v[i] *= norm;
    }
}
