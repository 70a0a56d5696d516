/* run.h: the contract between the runtime and the code of a model that is no language model.
 *
 * Its image's entry (both step functions of qbm.fbs, Variant) is called with a struct qbrt_step of which `weights`, `arena`
 * and `state` count; `state` points at this. Elements lie row-major, little-endian; bools and elements narrower than a byte
 * have a byte each. Generated code reads by these offsets and calls `allocate` and `fail` alone, neither of which returns
 * without having done its work.
 */
#ifndef QBRT_RUN_H
#define QBRT_RUN_H

#include <stddef.h>
#include <stdint.h>

enum { QBRT_RUN_MOST_RANK = 8 };

struct qbrt_run_tensor {
    const void *data;
    int64_t dims[QBRT_RUN_MOST_RANK];
};

struct qbrt_run {
    const struct qbrt_run_tensor *inputs; /* as Model.inputs; dims are not read where they are fixed */
    struct qbrt_run_tensor *outputs;      /* filled in; data are in the arena, in what was allocated, or an input */
    void *(*allocate)(void *context, int64_t bytes); /* aligned to 64; lives as long as the outputs */
    void (*fail)(void *context, int64_t code);       /* enum qbrt_run_fault */
    void *context;
};

enum qbrt_run_fault { QBRT_RUN_BAD_INDEX = 1, QBRT_RUN_BAD_SHAPE = 2, QBRT_RUN_BY_CHANCE = 3 };

enum qbrt_run_offset {
    QBRT_RUN_INPUTS = 0,
    QBRT_RUN_OUTPUTS = 8,
    QBRT_RUN_ALLOCATE = 16,
    QBRT_RUN_FAIL = 24,
    QBRT_RUN_CONTEXT = 32,
    QBRT_RUN_TENSOR_BYTES = 72,
    QBRT_RUN_TENSOR_DIMS = 8
};

_Static_assert(sizeof(void *) == 8, "64-bit targets only");
_Static_assert(sizeof(struct qbrt_run_tensor) == QBRT_RUN_TENSOR_BYTES, "offsets are the contract");
_Static_assert(offsetof(struct qbrt_run_tensor, dims) == QBRT_RUN_TENSOR_DIMS, "offsets are the contract");
_Static_assert(offsetof(struct qbrt_run, context) == QBRT_RUN_CONTEXT, "offsets are the contract");

#endif
