/* hadamard.h: orthogonal matrices of +1 and -1 (over the root of their order), of more orders than powers of two.
 *
 * Q of order n = m 2^k is the Kronecker product of one of order m (Paley's: m = 1, 12, 20, 28, 36, ...) and Sylvester's
 * of 2^k: element (a 2^k + b, c 2^k + d) is M[a][c] S[b][d] / sqrt(n). A vector v becomes v Q, or v Q^T.
 */
#ifndef QBC_HADAMARD_H
#define QBC_HADAMARD_H

#include <stdbool.h>
#include <stdint.h>

/* The least m that n can be made of; 0: there is none of order n here. */
int64_t qbc_hadamard_factor(int64_t n);
/* n where there is one; else the largest power of two that divides n: vectors are turned in runs of so many. */
int64_t qbc_hadamard_order(int64_t n);
/* The same, of those that a kernel multiplies rows by while it runs: m is at most this. */
enum { QBC_HADAMARD_ONLINE = 28 };
int64_t qbc_hadamard_online_order(int64_t n);
/* The matrix M of order m, a result of qbc_hadamard_factor: +1 and -1, [m][m]. */
void qbc_hadamard_fill(int64_t m, int8_t *out);
/* `runs` vectors of n = m 2^k elements after each other, each element being `lanes` numbers: turned, each lane by itself.
 * matrix: qbc_hadamard_fill's. */
void qbc_hadamard_turn(float *v, int64_t runs, int64_t n, int64_t m, const int8_t *matrix, int64_t lanes, bool transposed);

#endif
