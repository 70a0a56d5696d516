/* window.h: what convolutions and pools share: a window that slides over the axes behind batch and channels. */
#ifndef QBC_GENERAL_WINDOW_H
#define QBC_GENERAL_WINDOW_H

#include "general.h"

struct window {
    size_t axes; /* spatial ones */
    int64_t in[QBC_MAX_RANK], kernel[QBC_MAX_RANK], stride[QBC_MAX_RANK], dilation[QBC_MAX_RANK];
    int64_t before[QBC_MAX_RANK], after[QBC_MAX_RANK], out[QBC_MAX_RANK];
};

/* Attributes kernel_shape (or `kernel`, sizes of a weight), strides, dilations, pads, auto_pad, ceil_mode. False: refused. */
bool g_window(struct g_op *o, const struct g_tensor *x, const struct g_tensor *weight, struct window *w);
/* Where an element of the window lies in x, an i64; *inside: whether it does (i1), joined to what it was before. */
MlirValue g_window_at(struct general *g, const struct window *w, size_t axis, MlirValue out, MlirValue kernel, MlirValue *inside);

#endif
