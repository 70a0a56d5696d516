/* data_object.h: an ELF relocatable object that holds a model's data and no code.
 *
 *     header, section headers, names, symbols | root | weights, to the end
 *
 * All but the weights is made in memory; they follow at data_bytes, so they can stream into a file.
 */
#ifndef QBC_DATA_OBJECT_H
#define QBC_DATA_OBJECT_H

#include "emit.h"

struct qbc_data_object {
    const char *prefix;   /* symbols PREFIX_root and PREFIX_weights, sections .rodata.PREFIX.root and ...weights */
    const uint8_t *like;  /* an ELF object of the same machine, whose machine and flags are taken over */
    const uint8_t *root;
    size_t root_bytes;
    uint64_t weights_bytes;
};

/* Does the weights' section say .lrodata instead of .rodata? Code of x86-64 reaches two gigabytes either way; linkers keep
 * such sections out of the way of the rest. */
bool qbc_data_is_large(int machine, uint64_t weights_bytes);

/* Everything before the weights; its size is a multiple of 64. data NULL: no memory. */
struct qbc_bytes qbc_data_object(const struct qbc_data_object *object);

#endif
