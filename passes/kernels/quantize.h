/* quantize.h: what the two ways of quantizing a row share. Records: kernel.h, QBC_ACT_... */
#ifndef QBC_QUANTIZE_H
#define QBC_QUANTIZE_H

#include "activation.h"
#include "kernel.h"

enum { QBC_QUANTIZE_WIDTH = QBC_ACT_GROUP };

struct k_quantize_row {
    MlirValue x, y, gain, inverse; /* gain null: neither norm nor scaling; inverse null: no norm */
};

/* Columns 32 * i .. of the row, normed and scaled; `n` of them exist, the others are 0. */
MlirValue k_quantize_load(struct qbc_kernel *k, const struct k_quantize_row *r, MlirValue i, int64_t n);
/* The row's record i: i32 codes [32], their scale, which is no number where `bad`. */
void k_quantize_put(struct qbc_kernel *k, const struct k_quantize_row *r, MlirValue i, MlirValue codes, MlirValue scale,
                    MlirValue bad);
/* rint of what is within 2^22: by adding 1.5 * 2^23, after which the number is in the low bits; as i32. */
MlirValue k_quantize_round(struct qbc_kernel *k, MlirValue x);

/* quantize_span.c: all of a row of `columns`, where more than a record's columns share a scale, or none is computed */
void k_quantize_spans(struct qbc_kernel *k, const struct k_quantize_row *r, const struct qbc_activation *act, int64_t columns);

#endif
