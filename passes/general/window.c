/* window: sizes of what slides. */
#include "window.h"

#include <string.h>

static void list_or(struct g_op *o, const char *name, int64_t fallback, size_t n, int64_t *out)
{
    const int64_t *list = NULL;
    size_t have = g_attr_ints(o, name, &list);
    for (size_t i = 0; i < n; ++i)
        out[i] = i < have ? list[i] : fallback;
}

static int64_t reach(const struct window *w, size_t i)
{
    return (w->kernel[i] - 1) * w->dilation[i] + 1;
}

static void same_padding(struct window *w, size_t i, bool lower)
{
    w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
    int64_t all = (w->out[i] - 1) * w->stride[i] + reach(w, i) - w->in[i];
    all = all < 0 ? 0 : all;
    w->before[i] = (all + lower) / 2;
    w->after[i] = all - w->before[i];
}

/* Windows that would begin in the padding behind are left out. */
static void count_windows(struct window *w, size_t i, bool ceil)
{
    int64_t room = w->in[i] + w->before[i] + w->after[i] - reach(w, i);
    w->out[i] = room < 0 ? 0 : (room + (ceil ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
    if (ceil && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->before[i])
        --w->out[i];
}

bool g_window(struct g_op *o, const struct g_tensor *x, const struct g_tensor *weight, struct window *w)
{
    const char *automatic = g_attr_text(o, "auto_pad", "NOTSET");
    int64_t pads[2 * QBC_MAX_RANK];
    if (x->rank < 3) {
        g_refuse(o, "its operand has rank %zu; batch, channels and at least one axis are needed", x->rank);
        return false;
    }
    *w = (struct window){.axes = x->rank - 2};
    list_or(o, "kernel_shape", 1, w->axes, w->kernel);
    list_or(o, "strides", 1, w->axes, w->stride);
    list_or(o, "dilations", 1, w->axes, w->dilation);
    list_or(o, "pads", 0, 2 * w->axes, pads);
    for (size_t i = 0; i < w->axes; ++i) {
        bool known = g_is_known(x->size[2 + i]) && (!weight || g_is_known(weight->size[2 + i]));
        if (!known || w->stride[i] < 1 || w->dilation[i] < 1) {
            g_refuse(o, known ? "a stride or dilation is not positive" : "sizes of its operand are not known before it runs");
            return false;
        }
        w->in[i] = x->size[2 + i].n;
        w->kernel[i] = weight ? weight->size[2 + i].n : w->kernel[i];
        if (!strncmp(automatic, "SAME", 4)) {
            same_padding(w, i, !strcmp(automatic, "SAME_LOWER"));
            continue;
        }
        bool valid = !strcmp(automatic, "VALID");
        w->before[i] = valid ? 0 : pads[i];
        w->after[i] = valid ? 0 : pads[w->axes + i];
        count_windows(w, i, g_attr_int(o, "ceil_mode", 0) != 0);
    }
    return true;
}

MlirValue g_window_at(struct general *g, const struct window *w, size_t axis, MlirValue out, MlirValue kernel, MlirValue *inside)
{
    struct qbc_kernel *k = &g->k;
    MlirValue at = k_add(k, k_mul_i(k, out, w->stride[axis]), k_mul_i(k, kernel, w->dilation[axis]));
    at = k_add_i(k, at, -w->before[axis]);
    MlirValue in = k_op2(k, "arith.andi", k_cmp(k, QBC_GE, at, k_i64(k, 0)), k_cmp(k, QBC_LT, at, k_i64(k, w->in[axis])));
    *inside = mlirValueIsNull(*inside) ? in : k_op2(k, "arith.andi", *inside, in);
    return at;
}
