/* qbm_read.h: the root of a .qbm (qbm.fbs) as C structs, checked.
 *
 * qbm_check looks at everything once; after it said QBRT_OK the readers below cannot fail.
 */
#ifndef QBRT_QBM_READ_H
#define QBRT_QBM_READ_H

#include "flat.h"
#include "qbrt.h"

enum { QBM_VERSION = 1, QBM_PAGE = 4096 };

/* Vectors of the root table, and the facts that are its scalars. */
struct qbm_root {
    struct flat flat;
    struct flat_vector states, weights, variants, tokenizer, eos, record, inputs, results;
    uint64_t checksum; /* of the root: it names the artifact */
    uint64_t file_bytes;
    struct qbrt_facts facts;
};

struct qbm_variant {
    const char *target, *triple;
    struct flat_vector requirements;
    uint16_t machine;
    uint64_t image_offset, image_bytes, image_checksum;
    uint64_t decode, step;
    uint32_t weights;
};

struct qbm_weights {
    uint64_t offset, size;
    struct flat_vector tensors;
};

/* `detail`: char [QBRT_DETAIL] or NULL. */
enum qbrt_status qbm_check(struct qbm_root *root, const uint8_t *file, uint64_t bytes,
                           char *detail);

struct qbm_variant qbm_variant(const struct qbm_root *root, uint32_t i);
struct qbm_weights qbm_weights(const struct qbm_root *root, uint32_t i);
struct qbrt_tensor_facts qbm_tensor(const struct qbm_root *root, struct flat_vector tensors,
                                    uint32_t i);
const char *qbm_text(const struct qbm_root *root, struct flat_vector strings, uint32_t i);
/* value false: the key */
const char *qbm_fact(const struct qbm_root *root, uint32_t i, bool value);
struct qbrt_port qbm_port(const struct qbm_root *root, struct flat_vector ports, uint32_t i);
int32_t qbm_eos(const struct qbm_root *root, uint32_t i);

#endif
