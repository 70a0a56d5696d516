/* outline.h: what the files of this folder share. Each makes launches of some operations of @main; outline-kernels
 * walks these and asks outline.def who does which.
 *
 * Places are values of qb.place: {section, name, row_bytes, rows = "all" | "tail"}, with {shift, width} some bytes of
 * each row.
 */
#ifndef QBC_OUTLINE_H
#define QBC_OUTLINE_H

#include "kernel.h"

enum {
    QBC_MOST_OPERANDS = 16, /* of a launch */
    QBC_FLOAT_BYTES = 4
};

struct outline {
    struct qbc *q;
    struct qbc_build b; /* end of @step */
    MlirBlock weights;  /* of @weights */
    struct {
        MlirValue value, place;
    } *known;
    size_t n_known, capacity;
    size_t n_buffers;
    int64_t context, chunk;
    MlirValue result; /* what @main returns: the logits */
    MlirOperation last_rope; /* whose angles are at hand */
    MlirValue angles;
};

#define OUTLINE(operation, name) void qbc_outline_##name(struct outline *o, MlirOperation op);
#include "outline.def"
#undef OUTLINE

/* --- rows.c: rows that the host brings instead of tokens, where a part of a model is run: padded as in the arena */
void qbc_outline_input(struct outline *o, MlirValue argument);

/* --- place.c */
void qbc_place_remember(struct outline *o, MlirValue value, MlirValue place);
MlirValue qbc_place_of(struct outline *o, MlirValue value); /* null: nobody gave it one */
MlirOperation qbc_place_new(struct outline *o, const char *section);
MlirValue qbc_place_buffer(struct outline *o, int64_t row_bytes, const char *rows); /* of the arena */
MlirValue qbc_place_logits(struct outline *o); /* the host's: rows end exactly, and only those that it asked for */
bool qbc_place_is_logits(struct outline *o, MlirValue place);
const char *qbc_place_rows(struct outline *o, MlirValue place);
int64_t qbc_place_row_bytes(MlirValue place);
/* From byte `shift` of each row on, `width` bytes of it. */
MlirValue qbc_place_part(struct outline *o, MlirValue place, int64_t shift, int64_t width);
/* The same buffer, from the first row whose logits are wanted. */
MlirValue qbc_place_tail(struct outline *o, MlirValue x);
int64_t qbc_padded_row(int64_t columns); /* bytes of floats */
void qbc_copy_attribute(MlirOperation from, MlirOperation to, const char *name);
MlirValue qbc_only_result(MlirOperation op);

/* --- output.c */
/* Where the result of op goes, which is remembered: a buffer for its columns, the logits if it is nothing but these, or
 * its part of a join. */
MlirValue qbc_place_output(struct outline *o, MlirOperation op, const char *rows);
const char *qbc_outline_format(struct outline *o, MlirValue w);
struct qbc_layout qbc_outline_layout(struct outline *o, const struct qbc_format *f, MlirValue w);

/* --- launch.c */
MlirOperation qbc_launch(struct outline *o, const char *kernel, const char *rows, size_t n, const MlirValue *operands);
/* n, k, format and panel of the matrix that a launch reads. */
void qbc_launch_matrix(struct outline *o, MlirOperation op, MlirValue w);
MlirValue qbc_place_weight(struct outline *o, MlirOperation weight);
/* Numbers that no model stores become a vector of weights. */
MlirValue qbc_place_vector(struct outline *o, const char *role, const float *numbers, int64_t n);

#endif
