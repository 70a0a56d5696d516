/* Threads that call the library of linear algebra at the same moment get what each would get alone. */
#include "check.h"
#include "linear_algebra.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { N = 256, K = 128, CALLS = 400, THREADS = 2 };

static float a[K * N];
static float want[N * N];
static atomic_int arrived;

static void *call(void *bad)
{
    float *c = calloc(N * N, sizeof *c);
    for (int i = 1; i <= CALLS && c; ++i) {
        atomic_fetch_add(&arrived, 1);
        while (atomic_load(&arrived) < i * THREADS)
            ;
        qbc_transposed_product(N, N, K, 2, a, N, a, N, c);
        *(int *)bad += memcmp(c, want, sizeof want) != 0;
    }
    free(c);
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];
    int bad[THREADS] = {0};
    for (int i = 0; i < K * N; ++i)
        a[i] = (float)(i * 7919 % 1000) / 500 - 1;
    qbc_transposed_product(N, N, K, 2, a, N, a, N, want);
    double sum = 0;
    for (int k = 0; k < K; ++k)
        sum += 2 * (double)a[k * N + 3] * (double)a[k * N + 200];
    CHECK((double)want[3 * N + 200] - sum < 1e-3 && sum - (double)want[3 * N + 200] < 1e-3, "%g, not %g",
          (double)want[3 * N + 200], sum);
    for (int i = 0; i < THREADS; ++i)
        REQUIRE(!pthread_create(&thread[i], NULL, call, &bad[i]));
    for (int i = 0; i < THREADS; ++i) {
        REQUIRE(!pthread_join(thread[i], NULL));
        CHECK(!bad[i], "thread %d: %d of %d products are wrong", i, bad[i], CALLS);
    }
    return check_failures() != 0;
}
