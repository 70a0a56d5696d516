/* archive.h: static libraries (ar, as GNU and LLVM write them): read one, and lay out another whose last member is
 * streamed. */
#ifndef QBC_ARCHIVE_H
#define QBC_ARCHIVE_H

#include "emit.h"

struct qbc_member {
    const char *name; /* "code.o" */
    const uint8_t *data;
    uint64_t size;  /* in the archive */
    uint64_t given; /* bytes at `data`: less than `size` where the rest is streamed; symbols are read from them */
};

/* The members of an archive in memory, borrowed from it; their list lives as long as `q`. 0: it holds none, or is no
 * archive. */
size_t qbc_archive_members(struct qbc *q, struct qbc_bytes archive, struct qbc_member **out);

/* An archive of these members, ELF objects, with the table of their symbols. Only the last one may be `given` in
 * part, and what is missing of it is what is missing of the result (and a final newline, if its size is odd).
 * data NULL after an error, reported in `path`'s name. */
struct qbc_bytes qbc_archive(struct qbc *q, const char *path, const struct qbc_member *members, size_t n);

#endif
