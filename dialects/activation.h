/* activation.h: how activations are rounded where codes are multiplied. A name is a description:
 *
 *     i8g32     8 bits, a scale for each 32 columns (or another multiple of 32) of a token
 *     i8t       a scale for the token
 *     i8s       static: a scale for all tokens, from what calibration saw
 *     i4tz      with a zero point: 2^bits codes between the least and the greatest, 0 being one of them
 *     i4g128q   2^bits odd multiples, none of them 0, of a scale that is the root of the mean square times what is best for a normal
 *               distribution: D = 2 alpha rms / (2^bits - 1), D (floor(x / D) + 1/2) (QuEST, arXiv 2502.05003)
 *
 * Kernels multiply signed bytes: a code with its zero taken off is one, so bits are 2 .. 8, and 2 .. 7 with a zero point or by rms.
 */
#ifndef QBC_ACTIVATION_H
#define QBC_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

enum { QBC_ACT_TOKEN = 0, QBC_ACT_TENSOR = -1 };

struct qbc_activation {
    int bits;
    int group; /* columns that share a scale, or QBC_ACT_TOKEN, QBC_ACT_TENSOR */
    bool zero, rms;
    float clip_low, clip_high; /* of a row's own range: how much of it, below and above 0, codes are spread over; 1: all */
};
/* Of the root of the mean square: half of the outermost levels' distance, the least squared error of a normal distribution. */
float qbc_activation_reach(int bits);

/* False: it is no such name. All of a row's range is used. */
bool qbc_activation_parse(const char *name, struct qbc_activation *out);
/* Is it rounded between ends that each row has of its own, so that these can be clipped? */
bool qbc_activation_clips(const struct qbc_activation *a);

/* The slow reference: what a row x [n] is rounded to. low, high: the range of a static one, else not used. */
void qbc_activation_round(const struct qbc_activation *a, int64_t n, float low, float high, const float *x, float *y);

#endif
