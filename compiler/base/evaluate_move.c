/* evaluate_move: parts of an array, and arrays joined. */
#include "evaluate_ops.h"

#include <stdlib.h>
#include <string.h>

/* --- Concat */

static bool concat_dims(struct qbc_ev *c, int64_t *axis, int64_t *dims)
{
    const struct qbc_array *x = c->in[0];
    memcpy(dims, x->dims, x->rank * sizeof *dims);
    if (!qbc_ev_axis(axis, x->rank))
        return qbc_ev_fail(c, "axis %lld is outside %s", (long long)*axis,
                           qbc_ev_dims_text(c->e, x));
    dims[*axis] = 0;
    for (size_t k = 0; k < c->n_in; ++k) {
        const struct qbc_array *y = c->in[k];
        bool fits = y->rank == x->rank && qbc_is_float(y->element) == qbc_is_float(x->element);
        for (size_t d = 0; fits && d < x->rank; ++d)
            fits = (int64_t)d == *axis || y->dims[d] == x->dims[d];
        if (!fits)
            return qbc_ev_fail(c, "operand %zu %s does not fit to %s", k, qbc_ev_dims_text(c->e, y),
                               qbc_ev_dims_text(c->e, x));
        dims[*axis] += y->dims[*axis];
    }
    return true;
}

/* Runs of `inner` elements, one from each operand in turn. */
static void concat_numbers(struct qbc_ev *c, int64_t axis)
{
    size_t inner = 1, outer = 1, to = 0;
    for (size_t d = 0; d < c->out->rank; ++d)
        *((int64_t)d < axis ? &outer : &inner) *=
            (size_t)((int64_t)d == axis ? 1 : c->out->dims[d]);
    for (size_t o = 0; o < outer; ++o)
        for (size_t k = 0; k < c->n_in; ++k) {
            size_t run = inner * (size_t)c->in[k]->dims[axis];
            for (size_t i = 0; i < run; ++i)
                qbc_ev_copy(c->out, to++, c->in[k], o * run + i);
        }
}

bool qbc_ev_concat(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", 0), dims[QBC_MAX_RANK];
    if (!qbc_ev_wants(c, c->n_in ? c->n_in : 1) || !concat_dims(c, &axis, dims) ||
        !qbc_ev_shape(c, 0, c->in[0]->element, c->in[0]->rank, dims))
        return false;
    if (qbc_ev_all_known(c) && qbc_ev_numbers(c, 0))
        concat_numbers(c, axis);
    return true;
}

/* --- Slice */

struct cut {
    int64_t start, step, n;
};

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* ONNX's rules: negative from the end, clamped, the end excluded. */
static struct cut cut_of(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    start = start < 0 ? start + dim : start; /* INT64_MIN + dim does not overflow */
    end = end < 0 ? end + dim : end;
    if (step > 0) {
        start = clamp(start, 0, dim);
        end = clamp(end, 0, dim);
        return (struct cut){start, step, end > start ? (end - start - 1) / step + 1 : 0};
    }
    start = clamp(start, -1, dim - 1);
    end = clamp(end, -1, dim - 1);
    return (struct cut){start, step, start > end ? (start - end - 1) / -step + 1 : 0};
}

static bool slice_cuts(struct qbc_ev *c, struct cut *cuts)
{
    int64_t starts[QBC_EV_MOST_OPERANDS], ends[QBC_EV_MOST_OPERANDS];
    int64_t axes[QBC_EV_MOST_OPERANDS], steps[QBC_EV_MOST_OPERANDS];
    size_t n, n_ends, n_axes, n_steps;
    const struct qbc_array *x = c->in[0];
    if (!qbc_ev_list(c, 1, "starts", starts, &n) || !qbc_ev_list(c, 2, "ends", ends, &n_ends) ||
        !qbc_ev_list(c, 3, "axes", axes, &n_axes) || !qbc_ev_list(c, 4, "steps", steps, &n_steps))
        return false;
    if (n == SIZE_MAX || n_ends != n || (n_axes != SIZE_MAX && n_axes != n) ||
        (n_steps != SIZE_MAX && n_steps != n))
        return qbc_ev_fail(c, "starts, ends, axes and steps differ in length");
    for (size_t d = 0; d < x->rank; ++d)
        cuts[d] = (struct cut){0, 1, x->dims[d]};
    for (size_t i = 0; i < n; ++i) {
        int64_t axis = n_axes == SIZE_MAX ? (int64_t)i : axes[i];
        int64_t step = n_steps == SIZE_MAX ? 1 : steps[i];
        if (!qbc_ev_axis(&axis, x->rank) || step == 0 || step < -INT32_MAX)
            return qbc_ev_fail(c, "axis %lld with step %lld does not fit %s", (long long)axis,
                               (long long)step, qbc_ev_dims_text(c->e, x));
        cuts[axis] = cut_of(x->dims[axis], starts[i], ends[i], step);
    }
    return true;
}

bool qbc_ev_slice(struct qbc_ev *c)
{
    struct cut cuts[QBC_MAX_RANK];
    int64_t dims[QBC_MAX_RANK], strides[QBC_MAX_RANK], offset = 0;
    if (!qbc_ev_wants(c, 1) || !slice_cuts(c, cuts))
        return false;
    const struct qbc_array *x = c->in[0];
    qbc_ev_strides(x, strides);
    for (size_t d = 0; d < x->rank; ++d) {
        dims[d] = cuts[d].n;
        offset += cuts[d].n ? cuts[d].start * strides[d] : 0;
        strides[d] = cuts[d].n > 1 ? strides[d] * cuts[d].step : 0;
    }
    if (!qbc_ev_shape(c, 0, x->element, x->rank, dims))
        return false;
    if (qbc_ev_known(c, 0) && qbc_ev_numbers(c, 0))
        qbc_ev_strided(c, 0, offset, strides);
    return true;
}

/* --- Split */

/* The sizes: a list, or equal parts of which the last may be smaller. */
static bool split_sizes(struct qbc_ev *c, int64_t dim, int64_t *sizes)
{
    size_t n;
    int64_t sum = 0, parts = (int64_t)c->n_out;
    if (c->n_out > QBC_EV_MOST_OPERANDS)
        return qbc_ev_fail(c, "more than %d parts", QBC_EV_MOST_OPERANDS);
    if (!qbc_ev_list(c, 1, "split", sizes, &n))
        return false;
    if (n == SIZE_MAX) {
        int64_t part = (dim + parts - 1) / parts;
        for (int64_t i = 0; i < parts; ++i)
            sizes[i] = clamp(dim - i * part, 0, part);
        n = c->n_out;
    }
    for (size_t i = 0; i < n && n == c->n_out; ++i)
        sum = sizes[i] < 0 || sizes[i] > dim - sum ? INT64_MAX - dim : sum + sizes[i];
    return (n == c->n_out && sum == dim) ||
           qbc_ev_fail(c, "the sizes of its parts do not add up to %lld", (long long)dim);
}

bool qbc_ev_split(struct qbc_ev *c)
{
    int64_t axis = qbc_ev_int(c, "axis", 0), sizes[QBC_EV_MOST_OPERANDS];
    int64_t dims[QBC_MAX_RANK], strides[QBC_MAX_RANK], start = 0;
    if (!qbc_ev_wants(c, 1))
        return false;
    const struct qbc_array *x = c->in[0];
    if (!qbc_ev_axis(&axis, x->rank))
        return qbc_ev_fail(c, "its axis is outside %s", qbc_ev_dims_text(c->e, x));
    if (!split_sizes(c, x->dims[axis], sizes))
        return false;
    memcpy(dims, x->dims, x->rank * sizeof *dims);
    qbc_ev_strides(x, strides);
    for (size_t k = 0; k < c->n_out; ++k, start += sizes[k - 1]) {
        dims[axis] = sizes[k];
        if (!qbc_ev_shape(c, k, x->element, x->rank, dims))
            return false;
        if (qbc_ev_known(c, 0) && qbc_ev_numbers(c, k))
            qbc_ev_strided(c, k, start * strides[axis], strides);
    }
    return true;
}

/* --- Tile, Pad: indices that wrap around or leave the array */

bool qbc_ev_tile(struct qbc_ev *c)
{
    int64_t repeats[QBC_EV_MOST_OPERANDS], dims[QBC_MAX_RANK], strides[QBC_MAX_RANK];
    size_t n;
    if (!qbc_ev_wants(c, 1) || !qbc_ev_list(c, 1, "repeats", repeats, &n))
        return false;
    const struct qbc_array *x = c->in[0];
    if (n != x->rank)
        return qbc_ev_fail(c, "%zu repeats for %s", n, qbc_ev_dims_text(c->e, x));
    for (size_t d = 0; d < n; ++d) {
        if (repeats[d] < 0 || repeats[d] > INT32_MAX || x->dims[d] > INT32_MAX)
            return qbc_ev_fail(c, "repeat %lld", (long long)repeats[d]);
        dims[d] = x->dims[d] * repeats[d];
    }
    if (!qbc_ev_shape(c, 0, x->element, n, dims))
        return false;
    if (!qbc_ev_known(c, 0) || !qbc_ev_numbers(c, 0))
        return true;
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, n, dims);
    qbc_ev_strides(x, strides);
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w)) {
        int64_t from = 0;
        for (size_t d = 0; d < n; ++d)
            from += w.index[d] % x->dims[d] * strides[d];
        qbc_ev_copy(c->out, i, x, (size_t)from);
    }
    return true;
}

enum pad_mode { PAD_CONSTANT, PAD_EDGE, PAD_REFLECT, PAD_WRAP };

/* Where index i of the padded array comes from in [0, dim), or -1 for the constant. */
static int64_t padded_index(int64_t i, int64_t dim, enum pad_mode mode)
{
    if (i >= 0 && i < dim)
        return i;
    switch (mode) {
    case PAD_EDGE:
        return clamp(i, 0, dim - 1);
    case PAD_WRAP:
        return (i % dim + dim) % dim;
    case PAD_REFLECT:
        if (dim == 1)
            return 0;
        i = (i % (2 * dim - 2) + 2 * dim - 2) % (2 * dim - 2);
        return i < dim ? i : 2 * dim - 2 - i;
    default:
        return -1;
    }
}

static void pad_numbers(struct qbc_ev *c, const int64_t *before, enum pad_mode mode)
{
    const struct qbc_array *x = c->in[0], *value = qbc_ev_has(c, 2) ? c->in[2] : NULL;
    struct qbc_array zero = qbc_array_create(c->e, x->element, 0, NULL);
    int64_t strides[QBC_MAX_RANK];
    struct qbc_ev_walk w;
    qbc_ev_walk_start(&w, c->out->rank, c->out->dims);
    qbc_ev_strides(x, strides);
    for (size_t i = 0; i < c->out->n; ++i, qbc_ev_walk_next(&w)) {
        int64_t from = 0;
        for (size_t d = 0; d < x->rank && from >= 0; ++d) {
            int64_t index = padded_index(w.index[d] - before[d], x->dims[d], mode);
            from = index < 0 ? -1 : from + index * strides[d];
        }
        if (from >= 0)
            qbc_ev_copy(c->out, i, x, (size_t)from);
        else
            qbc_ev_copy(c->out, i, value && value->n ? value : &zero, 0);
    }
}

static bool pad_amounts(struct qbc_ev *c, int64_t *before, int64_t *after)
{
    int64_t pads[QBC_EV_MOST_OPERANDS], axes[QBC_EV_MOST_OPERANDS];
    size_t n, n_axes;
    const struct qbc_array *x = c->in[0];
    if (!qbc_ev_list(c, 1, "pads", pads, &n) || !qbc_ev_list(c, 3, "axes", axes, &n_axes))
        return false;
    for (size_t d = 0; n_axes == SIZE_MAX && d < x->rank; ++d)
        axes[d] = (int64_t)d;
    n_axes = n_axes == SIZE_MAX ? x->rank : n_axes;
    if (n != 2 * n_axes)
        return qbc_ev_fail(c, "%zu pads for %zu axes", n, n_axes);
    memset(before, 0, x->rank * sizeof *before);
    memset(after, 0, x->rank * sizeof *after);
    for (size_t i = 0; i < n_axes; ++i) {
        if (!qbc_ev_axis(&axes[i], x->rank) || llabs(pads[i]) > INT32_MAX ||
            llabs(pads[n_axes + i]) > INT32_MAX)
            return qbc_ev_fail(c, "its pads do not fit %s", qbc_ev_dims_text(c->e, x));
        before[axes[i]] = pads[i];
        after[axes[i]] = pads[n_axes + i];
    }
    return true;
}

bool qbc_ev_pad(struct qbc_ev *c)
{
    static const char *const modes[] = {"constant", "edge", "reflect", "wrap"};
    int64_t before[QBC_MAX_RANK], after[QBC_MAX_RANK], dims[QBC_MAX_RANK];
    const char *name = qbc_string(qbc_ev_context(c->e), c->op, "mode", modes[0]);
    int mode = PAD_WRAP;
    if (!qbc_ev_wants(c, 1) || !pad_amounts(c, before, after))
        return false;
    while (mode > PAD_CONSTANT && strcmp(modes[mode], name))
        --mode;
    const struct qbc_array *x = c->in[0];
    for (size_t d = 0; d < x->rank; ++d) {
        dims[d] = x->dims[d] + before[d] + after[d];
        if (x->dims[d] == 0 && mode != PAD_CONSTANT && dims[d])
            return qbc_ev_fail(c, "nothing to repeat in %s", qbc_ev_dims_text(c->e, x));
    }
    if (!qbc_ev_shape(c, 0, x->element, x->rank, dims))
        return false;
    if (qbc_ev_all_known(c) && qbc_ev_numbers(c, 0))
        pad_numbers(c, before, (enum pad_mode)mode);
    return true;
}

/* --- Trilu: upper = 1 keeps columns j >= i + k, upper = 0 columns j <= i + k */

bool qbc_ev_trilu(struct qbc_ev *c)
{
    if (!qbc_ev_wants(c, 1) || !qbc_ev_shape_like(c, 0, c->in[0]->element, c->in[0]))
        return false;
    const struct qbc_array *x = c->in[0];
    if (x->rank < 2)
        return qbc_ev_fail(c, "%s is no matrix", qbc_ev_dims_text(c->e, x));
    if (!qbc_ev_all_known(c) || !qbc_ev_numbers(c, 0))
        return true;
    int64_t k = qbc_ev_has(c, 1) && c->in[1]->n ? c->in[1]->i[0] : 0;
    int64_t rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1];
    bool upper = qbc_ev_int(c, "upper", 1) != 0;
    k = clamp(k, -rows, cols);
    for (size_t n = 0; n < x->n; ++n) {
        int64_t i = (int64_t)n / cols % rows, j = (int64_t)n % cols;
        if (upper ? j >= i + k : j <= i + k)
            qbc_ev_copy(c->out, n, x, n);
    }
    return true;
}
