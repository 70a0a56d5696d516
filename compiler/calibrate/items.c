/* items: the tensors that get formats, and what there is to choose from for each. */
#include "kernel.h"
#include "pattern.h"
#include "units.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, MOST_FORMATS = 256 };

/* What there are kernels for, from two to eight bits; small groups cost metadata, zero points pay where codes are few. Floats use
 * up budgets of more. */
static const char MANY_FORMATS[] =
    "i2g32,i2g64,i2g128,i2g32z,i2g64z,i2g128z,i3g32,i3g64,i3g128,i3g32z,i3g64z,i3g128z,i4g32,i4g64,i4g128,i4g32z,i4g64z,i4g128z,"
    "i5g32,i5g64,i5g128,i5g64z,i5g128z,i6g32,i6g64,i6g128,i6g64z,i7g32,i7g64,i7g128,i8g32,i8g64,i8g128,f16";
/* Where each of them is measured on the model; where segments are short; where all combinations in a block are looked at. */
static const char MEASURED_FORMATS[] = "i2g64z,i3g64z,i4g64,i4g32,i5g64,i6g64,i8g32";
static const char SEGMENT_FORMATS[] = "i2g32z,i3g32z,i4g32,i5g32,i6g32,i8g32";
static const char FEW_FORMATS[] = "i2g64z,i3g64z,i4g64,i5g64,i8g32";

static const char *default_formats(const struct qbc *q, const struct qbc_items *items)
{
    if (q->options.allocator && !strcmp(q->options.allocator, "quad_block"))
        return FEW_FORMATS;
    if (items->granularity == QBC_GRAIN_SEGMENT)
        return SEGMENT_FORMATS;
    return items->metric->kind == QBC_METRIC_MODEL ? MEASURED_FORMATS : MANY_FORMATS;
}

static bool is_matrix(MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    for (MlirOpOperand use = mlirValueGetFirstUse(w); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if ((qbc_is(user, "qb.linear") || qbc_is(user, "qb.embed")) && mlirOpOperandGetOperandNumber(use) == 1)
            return qbc_rank(w) == 2;
    }
    return false;
}

/* The format that the last -quant-tensor rule for this name says; NULL: none matches, or it is wrong, which assign-formats
 * will tell. */
static const struct qbc_format *pinned_format(struct qbc *q, const char *name)
{
    const struct qbc_format *format = NULL;
    for (size_t i = 0; i < q->options.n_quant_tensor; ++i) {
        const char *text = q->options.quant_tensor[i], *equals = strrchr(text, '=');
        regex_t regex;
        if (!equals || regcomp(&regex, qbc_copy(q, text, (size_t)(equals - text)), REG_EXTENDED | REG_NOSUB))
            continue;
        if (!regexec(&regex, name, 0, NULL, 0))
            format = qbc_find_format(q, equals + 1);
        regfree(&regex);
    }
    return format;
}

static int by_bytes(const void *a, const void *b)
{
    const struct qbc_candidate *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->format->name, y->format->name);
}

static size_t read_formats(struct qbc *q, const struct qbc_items *items, const struct qbc_format **formats)
{
    const char *list = q->options.formats ? q->options.formats : default_formats(q, items);
    size_t n = 0;
    for (const char *at = list; *at && n < MOST_FORMATS;) {
        size_t length = strcspn(at, ",");
        const struct qbc_format *f = qbc_read_format(q, "-formats", qbc_copy(q, at, length));
        const char *lacking = f ? qbc_format_lacks_kernel(f) : NULL;
        if (lacking)
            qbc_error_in(q, "-formats", "there are no kernels for %s yet (format '%s')", lacking, f->name);
        else if (f && qbc_format_can_fit(f))
            formats[n++] = f;
        at += length + (at[length] == ',');
    }
    if (!n && !q->errors)
        qbc_error_in(q, "-formats", "names no format");
    return n;
}

/* Codes that the model holds stay what they are: assign-formats sees to it. */
static void add_item(struct qbc *q, struct qbc_items *items, MlirOperation weight, const struct qbc_format *const *formats,
                     size_t n)
{
    struct qbc_item *item = &items->item[items->n];
    *item = (struct qbc_item){.weight = weight, .name = qbc_string(q, weight, "name", ""),
                              .role = qbc_string(q, weight, "role", ""), .block = (int)qbc_int(weight, "block", -1)};
    const char *assigned = qbc_string(q, weight, "assigned", qbc_string(q, weight, "keep", NULL));
    const struct qbc_format *rule = pinned_format(q, item->name);
    const struct qbc_format *pin = rule ? rule : assigned ? qbc_find_format(q, assigned) : NULL;
    if (qbc_has(weight, "blocks") || !qbc_view_of(q, weight, &item->view))
        return;
    item->pinned = pin;
    item->n = pin ? 1 : n;
    item->candidate = qbc_alloc(q, item->n * sizeof *item->candidate);
    for (size_t i = 0; i < item->n; ++i) {
        const struct qbc_format *f = pin ? pin : formats[i];
        item->candidate[i] = (struct qbc_candidate){.format = f, .bytes = qbc_packed_bytes(q, f, item->view.rows, item->view.cols)};
    }
    qsort(item->candidate, item->n, sizeof *item->candidate, by_bytes);
    ++items->n;
}

bool qbc_items_find(struct qbc *q, MlirOperation graph, struct qbc_items *items, int64_t *parameters, int64_t *others)
{
    const struct qbc_options *o = &q->options;
    const struct qbc_format *formats[MOST_FORMATS];
    bool pairs = o->allocator && !strcmp(o->allocator, "quad_block"), swaps = o->allocator && !strcmp(o->allocator, "swap_pairs");
    *items = (struct qbc_items){.metric = qbc_find_metric(o->metric), .granularity = qbc_find_granularity(o->granularity)};
    size_t n = read_formats(q, items, formats);
    struct qbc_ops weights = qbc_collect(q, graph, "qb.weight");
    items->item = qbc_alloc(q, (weights.n + 1) * sizeof *items->item);
    for (size_t i = 0; i < weights.n && !q->errors; ++i) {
        MlirValue w = mlirOperationGetResult(weights.op[i], 0);
        int64_t size = qbc_rank(w) == 2 ? qbc_dim(w, 0) * qbc_dim(w, 1) : qbc_rank(w) == 1 ? qbc_dim(w, 0) : 0;
        *parameters += size;
        if (is_matrix(weights.op[i]))
            add_item(q, items, weights.op[i], formats, n);
        else
            *others += (size * 4 + ALIGN - 1) / ALIGN * ALIGN;
    }
    *others += 4096 + 128 * (int64_t)weights.n; /* the root, about; what it is turns out later */
    if (!q->errors && !items->n)
        qbc_error_in(q, "-bpw", "the model has no floats to choose formats for");
    items->alone = items->metric->kind == QBC_METRIC_LOCAL || (!qbc_metric_is_loss(items->metric) && !swaps);
    if (pairs)
        items->pairs = qbc_alloc(q, (items->n * items->n + 1) * sizeof *items->pairs);
    return !q->errors;
}
