/* library.h: a compiled model for somebody else's linker. */
#ifndef QBC_LIBRARY_H
#define QBC_LIBRARY_H

#include "artifact.h"

/* The root of a model that is linked: as in a .qbm without an image, with its seal. */
struct qbc_linked_root {
    struct qbc_bytes root;
    uint64_t file_bytes; /* that such a file would have */
};

/* --- library.c: -emit=static-lib, -emit=shared, -emit=header. `object` holds code whose step functions are called
 * PREFIX_decode and PREFIX_step (data NULL for a header, which needs none). False after an error, reported; then nothing was
 * left behind. */
bool qbc_emit_library(struct qbc *q, MlirOperation module, MlirOperation weights, struct qbc_bytes object);

/* --- library_api.c: the functions that the header declares, as jumps into the runtime, and what they open. Bytes are
 * those of an object file. */
struct qbc_bytes qbc_library_api(struct qbc *q, uint64_t file_bytes);
/* Their names without prefix and '_': the only ones that a shared library shows. NULL past the end. */
const char *qbc_library_function(size_t i);

/* --- library_header.c: the header's text; `member` of the arena. NULL after an error, reported. */
const char *qbc_library_header(struct qbc *q, const struct qbc_described *described,
                               const struct qbc_linked_root *root);

/* --- support.c: what lies in ../lib/qbc/ARCH beside the compiler: "libqbrt_core.a", "qbrun". ARCH is the target's.
 * data NULL after an error, reported. */
struct qbc_bytes qbc_support_file(struct qbc *q, const char *name);

#endif
