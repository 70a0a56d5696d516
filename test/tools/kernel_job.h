/* kernel_job.h: what the tests of kernels ask kernel_runner to do, and what it answers.
 *
 * A job, on standard input: the header, the image, the weights, then for each run its record and
 * its tokens (i32 [n_tokens]). The answer, on standard output: for each run the arena as it is
 * afterwards, and the logits (f32 [n_tokens - first_logit][vocab]). All in the byte order of the
 * machine; host and guest are little-endian.
 */
#ifndef KERNEL_JOB_H
#define KERNEL_JOB_H

#include <stdint.h>

struct kernel_job {
    uint64_t machine; /* e_machine of the image */
    uint64_t image_bytes;
    uint64_t decode, step; /* addresses in the image */
    uint64_t weights_bytes, arena_bytes, state_bytes; /* multiples of 64 */
    uint64_t vocab;
    uint64_t runs;
};

/* The state of one run is what the next one finds. */
struct kernel_run {
    int64_t decode; /* not 0: the step for one token */
    int64_t n_tokens, pos, first_logit;
};

enum { KERNEL_MOST_THREADS = 3 }; /* each run is done with 1, 2 and 3 threads */

_Static_assert(sizeof(struct kernel_job) == 72 && sizeof(struct kernel_run) == 32,
               "the same on every machine");

#endif
