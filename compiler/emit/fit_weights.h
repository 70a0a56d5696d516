/* fit_weights.h: one weight, from the model file to the bytes of the artifact. */
#ifndef QBC_FIT_WEIGHTS_H
#define QBC_FIT_WEIGHTS_H

#include "packing.h"
#include "base.h"

/* The format of a qb.weight: its block type's, or its attribute's (`format = "f16"`), or f32.
 * NULL after an error: the name is none. */
const struct qbc_format *qbc_weight_format(struct qbc *q, MlirOperation weight);

/* Read and fit (options.fit) a weight once, and pack it in each of n ways. `write` gets the bytes of way `which` in
 * pieces: `offset` counts from the start of the tensor, all pieces together are the qbc_layout(...).bytes of it; it is
 * called from several threads at once, in any order, with the same bytes every time. Vectors are packed
 * as they are with packing {1, 1}.
 *
 * False after an error (a weight that is no number, or too large for the format), which is reported
 * at `weight`; some pieces may have been written then. Memory: a few MiB a thread. */
typedef void (*qbc_write_packed)(void *user, size_t which, int64_t offset, const void *bytes, size_t n);
bool qbc_fit_and_pack(struct qbc *q, MlirOperation weight, const struct qbc_packing *packings, size_t n,
                      qbc_write_packed write, void *user);

/* A weight that cannot be kept in a format, and where: an error at `weight` that says what to do. */
struct qbc_misfit {
    int64_t row, col;
    float value; /* not finite, or too large */
};
void qbc_report_misfit(struct qbc *q, MlirOperation weight, const struct qbc_format *format, struct qbc_misfit misfit);

/* How many threads work on so many slabs, from 1 to 64: options.threads, or the machine's. */
int qbc_count_threads(const struct qbc *q, int64_t slabs);
/* work(worker) for each of the n workers, of `size` bytes each, on threads of their own where these start. */
void qbc_work_together(void *(*work)(void *), void *workers, size_t size, int n);

/* What all rows of a tensor share, in blocks of a row or a few: a name for qbc_blocks_share. False: no memory. */
bool qbc_prepare_weight(const struct qbc_view *view, const struct qbc_format *f, struct qbc_blocks *shared);

#endif
