/* check.h: what the files of qbc-check share. */
#ifndef QBC_CHECK_H
#define QBC_CHECK_H

#include "base.h"
#include "qbrt.h"

#include <stddef.h>

/* A tensor of a test; elements narrower than a byte have a byte each. */
struct check_tensor {
    enum qbc_element element;
    size_t rank, n;
    int64_t dims[QBC_MAX_RANK];
    uint8_t *data; /* malloc'ed, aligned as any type wants */
};

/* --- read_tensor.c: a serialized TensorProto. NULL when all is well, else what is wrong. */
const char *check_read_tensor(const char *path, struct check_tensor *out);
uint8_t *check_read_file(const char *path, size_t *bytes); /* NULL: cannot be read */
/* Inputs of a model that are no weights, in order: names, and -shape=NAME=2x3 where the model leaves sizes open. */
struct check_input {
    char *name;
    bool open; /* some size is not fixed, or even the rank is not */
};
const char *check_read_inputs(const char *model, struct check_input **out, size_t *n);

/* --- emulate.c: qbrun of another architecture under qemu-user */
struct check_emulator {
    const char *architecture, *command, *cpu;
};
struct check_emulation {
    const struct check_emulator *emulator;
    const char *qbrun, *artifact, *scratch; /* scratch: a folder to make and remove */
};
const struct check_emulator *check_find_emulator(const char *triple); /* NULL: there is none */
bool check_find_runner(const struct check_emulator *e, char *out, size_t room); /* false: the build has none */
/* NULL when all is well; results' data are malloc'ed. `model`: says what goes in and comes out. */
const char *check_run_emulated(struct qbc *q, const struct check_emulation *e, const struct qbrt_model *model,
                               const struct check_tensor *inputs, struct qbrt_array *results);

/* --- compare.c: ONNX's rule: element and shape equal, whole numbers equal, |got - want| <= 1e-7 + 1e-3 |want|, NaN as NaN.
 * False: `why` says where it differs first. */
bool check_compare(const struct check_tensor *want, uint32_t element, size_t rank, const int64_t *dims, const void *got,
                   char *why, size_t room);

#endif
