/* npy.h: the arrays that qbrun takes and gives: NumPy's .npy, little-endian, C order.
 *
 * Source: numpy/lib/format.py, format versions 1, 2 and 3.
 */
#ifndef QBRUN_NPY_H
#define QBRUN_NPY_H

#include "output.h"

/* Token ids, [count] or [rows][columns]. */
struct npy_tokens {
    size_t rank;    /* 1 or 2 */
    size_t dims[2]; /* dims[1] is 1 for rank 1 */
    size_t count;   /* of all */
    int32_t *ids;   /* malloc'ed */
};

/* What a header says; public for its test. */
enum { NPY_MOST_RANK = 8 };
struct npy_header {
    char type[4]; /* "<i8", "<i4", "<u2", ... */
    bool is_fortran;
    size_t rank;
    uint64_t dims[NPY_MOST_RANK];
};
bool npy_parse_header(const char *text, size_t length, struct npy_header *out);

/* Read a file of int64, int32 or uint16. NULL when all is well, else what is wrong, with the words
 * of errno when the system refused. */
const char *npy_read_tokens(const char *path, struct npy_tokens *out);

/* An array of any type, C order. NULL when all is well, else what is wrong. *data is malloc'ed. */
const char *npy_read_array(const char *path, struct npy_header *header, void **data);
/* The type that ONNX's element has in a .npy: floats that NumPy has not are their bits. NULL: none. */
const char *npy_type_of(uint32_t element);

/* FOLDER/NAME.npy of a result, whose name may hold what names of files may not. */
void npy_result_path(const char *folder, const char *name, char *out, size_t room);

/* Is this the beginning of a .npy file? */
bool npy_is(const void *bytes, size_t n);

/* Begin an array; its data follow by output_write. type: "<f4" or "<i8". */
bool npy_write_header(struct output *o, const char *type, size_t rank, const size_t *dims);

#endif
