/* choose: from what was measured to a format for each tensor. */
#include "choose.h"
#include "allocator.h"
#include "kernel.h"
#include "pattern.h"
#include "target.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

/* What there are kernels for, from two to eight bits; small groups cost metadata, zero points pay where codes are few. */
static const char DEFAULT_FORMATS[] =
    "i2g32,i2g64,i2g32z,i2g64z,i2g128z,i3g32,i3g64,i3g128,i3g32z,i3g64z,i3g128z,i4g32,i4g64,i4g128,i4g32z,i4g64z,i4g128z,"
    "i5g32,i5g64,i5g128,i5g64z,i5g128z,i6g32,i6g64,i6g128,i6g64z,i7g32,i7g64,i7g128,i8g32,i8g64,i8g128";

enum { ALIGN = 64, MOST_FORMATS = 256 };

bool qbc_choice_wanted(const struct qbc *q)
{
    const struct qbc_options *o = &q->options;
    return o->bpw || o->size || ((o->max_ppl || o->max_kld) && !o->quant);
}

/* --- the budget */

/* "900M", "1.5G", "123456": bytes; 0 after an error. */
static int64_t read_size(struct qbc *q, const char *text)
{
    static const char units[] = "kMG";
    char *end;
    double n = strtod(text, &end), unit = 1;
    const char *found = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    for (const char *u = units; found && u <= found; ++u)
        unit *= 1000;
    bool good = end != text && n > 0 && n * unit < 9e18 && (!*end || (found && (!end[1] || !strcmp(end + 1, "B"))));
    if (!good)
        qbc_error_in(q, "-size", "'%s' is no size; write bytes, or a number with k, M or G: -size=900M", text);
    return good ? (int64_t)(n * unit) : 0;
}

static bool read_budget(struct qbc *q, struct qbc_choice *c)
{
    const char *bpw = q->options.bpw, *size = q->options.size;
    char *end = NULL;
    if (bpw && size) {
        qbc_error_in(q, "-size", "-bpw=%s is a budget already; give one of them", bpw);
        return false;
    }
    c->whole_file = size;
    c->bounded = !bpw && !size;
    if (c->bounded) {
        c->budget = q->options.max_ppl ? qbc_text(q, "-max-ppl=%s", q->options.max_ppl) : qbc_text(q, "-max-kld=%s", q->options.max_kld);
        return true;
    }
    c->budget = bpw ? qbc_text(q, "-bpw=%s", bpw) : qbc_text(q, "-size=%s", size);
    c->bits = bpw ? strtod(bpw, &end) : 0;
    if (bpw && (*end || end == bpw || !(c->bits > 0 && c->bits <= 64)))
        qbc_error_in(q, "-bpw", "'%s' is no number of bits a weight, as 4.25", bpw);
    c->bytes = size ? read_size(q, size) : (int64_t)(c->bits * (double)c->parameters / 8);
    return !q->errors;
}

/* --- items */

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

/* In the sections of all targets; those that pack it alike share one. */
static int64_t bytes_of(const struct qbc *q, const struct qbc_format *f, const struct qbc_view *view)
{
    struct qbc_packing seen[64];
    size_t n = 0;
    int64_t bytes = 0;
    for (size_t t = 0; t < q->n_targets; ++t) {
        struct qbc_packing p = qbc_packing_for(q->targets[t], f, view->rows);
        size_t i = 0;
        while (i < n && !qbc_same_packing(seen[i], p))
            ++i;
        if (i < n || n == sizeof seen / sizeof *seen)
            continue;
        seen[n++] = p;
        bytes += (qbc_layout(f, p, view->rows, view->cols).bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    return bytes;
}

static int by_bytes(const void *a, const void *b)
{
    const struct qbc_candidate *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->format->name, y->format->name);
}

static size_t read_formats(struct qbc *q, const struct qbc_format **formats)
{
    const char *list = q->options.formats ? q->options.formats : DEFAULT_FORMATS;
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
        item->candidate[i] = (struct qbc_candidate){.format = f, .bytes = bytes_of(q, f, &item->view), .measured = -1};
    }
    qsort(item->candidate, item->n, sizeof *item->candidate, by_bytes);
    ++items->n;
}

static bool find_items(struct qbc *q, MlirOperation graph, struct qbc_choice *c)
{
    const struct qbc_format *formats[MOST_FORMATS];
    size_t n = read_formats(q, formats);
    struct qbc_ops weights = qbc_collect(q, graph, "qb.weight");
    c->items.item = qbc_alloc(q, (weights.n + 1) * sizeof *c->items.item);
    for (size_t i = 0; i < weights.n && !q->errors; ++i) {
        MlirValue w = mlirOperationGetResult(weights.op[i], 0);
        int64_t size = qbc_rank(w) == 2 ? qbc_dim(w, 0) * qbc_dim(w, 1) : qbc_rank(w) == 1 ? qbc_dim(w, 0) : 0;
        c->parameters += size;
        if (is_matrix(weights.op[i]))
            add_item(q, &c->items, weights.op[i], formats, n);
        else
            c->others += (size * 4 + ALIGN - 1) / ALIGN * ALIGN;
    }
    c->others += 4096 + 128 * (int64_t)weights.n; /* the root, about; what it is turns out later */
    if (!q->errors && !c->items.n)
        qbc_error_in(q, c->budget, "the model has no floats to choose formats for");
    return !q->errors;
}

/* --- learning and choosing */

static bool learn(struct qbc *q, MlirOperation graph, struct qbc_calibration *calibration, struct qbc_choice *c)
{
    enum { LONGEST = 256 };
    size_t anchors;
    calibration->n_measure = qbc_measure_windows(&c->items, LONGEST, &anchors);
    if (!qbc_calibrate(q, graph, calibration))
        return false;
    bool good = qbc_measure(q, calibration, &c->items);
    c->measured_tokens = calibration->n_measure * calibration->windows.length;
    qbc_calibration_forget(calibration);
    return good;
}

bool qbc_choice_learn(struct qbc *q, MlirOperation graph, struct qbc_calibration *calibration, struct qbc_choice *c)
{
    *c = (struct qbc_choice){.budget = "-bpw"};
    if (!find_items(q, graph, c) || !read_budget(q, c) || !learn(q, graph, calibration, c))
        return false;
    c->target = c->bytes - c->others;
    c->high = INT64_MAX;
    return true;
}

static struct qbc_problem problem_of(struct qbc *q, struct qbc_choice *c)
{
    size_t n = c->items.n, options = 0;
    for (size_t i = 0; i < n; ++i)
        options += c->items.item[i].n;
    size_t *first = qbc_alloc(q, (n + 1) * sizeof *first), at = 0;
    double *loss = qbc_alloc(q, options * sizeof *loss);
    int64_t *bytes = qbc_alloc(q, options * sizeof *bytes);
    for (size_t i = 0; i < n; ++i) {
        first[i] = at;
        for (size_t k = 0; k < c->items.item[i].n; ++k, ++at) {
            loss[at] = c->items.item[i].candidate[k].loss;
            bytes[at] = c->items.item[i].candidate[k].bytes;
        }
    }
    first[n] = at;
    return (struct qbc_problem){.n = n, .first = first, .loss = loss, .bytes = bytes, .budget = c->target};
}

bool qbc_choice_make(struct qbc *q, struct qbc_choice *c)
{
    struct qbc_problem p = problem_of(q, c);
    size_t *choice = qbc_alloc(q, (p.n + 1) * sizeof *choice);
    const struct qbc_allocator *allocator = qbc_find_allocator(q->options.allocator ? q->options.allocator : "mckp");
    if (!allocator->solve(&p, choice) || qbc_choice_bytes(&p, choice) > p.budget) {
        qbc_choose_smallest(&p, choice);
        int64_t least = qbc_choice_bytes(&p, choice) + c->bytes - c->target;
        qbc_error_in(q, c->budget, "cannot be met: with the smallest formats of -formats there are %lld bytes, %.3f bits a "
                     "weight", (long long)least, 8 * (double)least / (double)c->parameters);
        return false;
    }
    c->predicted = 0;
    for (size_t i = 0; i < p.n; ++i) {
        struct qbc_item *item = &c->items.item[i];
        item->chosen = choice[i] - p.first[i];
        c->predicted += p.loss[choice[i]];
        qbc_set_string(q, item->weight, "assigned", item->candidate[item->chosen].format->name);
    }
    q->chosen = qbc_text(q, "%s by %s, measured on %zu tokens; %.4f nats a token are expected", c->budget, allocator->name,
                         c->measured_tokens, c->predicted);
    return true;
}

bool qbc_choice_frontier(struct qbc *q, struct qbc_choice *c, struct qbc_frontier_point *points, int n)
{
    struct qbc_problem p = problem_of(q, c);
    size_t *choice = qbc_alloc(q, (p.n + 1) * sizeof *choice);
    qbc_choose_smallest(&p, choice);
    int64_t least = qbc_choice_bytes(&p, choice), most = 0;
    for (size_t i = 0; i < p.n; ++i)
        most += p.bytes[qbc_largest_option(&p, i)];
    for (int i = 0; i < n; ++i) {
        p.budget = least + (int64_t)((double)(most - least) * i / (n - 1));
        if (!qbc_allocate_mckp(&p, choice))
            return false;
        points[i] = (struct qbc_frontier_point){p.budget, qbc_choice_loss(&p, choice)};
    }
    return true;
}

int64_t qbc_choice_item_bytes(const struct qbc_choice *c)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < c->items.n; ++i)
        bytes += c->items.item[i].candidate[c->items.item[i].chosen].bytes;
    return bytes;
}

/* What is beside the items (code, for one) depends on the choice, so the bytes for items are searched: between the most that
 * came out within the budget and the least that did not. */
bool qbc_choice_settled(struct qbc_choice *c, int64_t bytes)
{
    int64_t next = c->bytes - (bytes - qbc_choice_item_bytes(c));
    bool fits = bytes <= c->bytes, used = 1000 * (c->bytes - bytes) < c->bytes;
    if (fits)
        c->low = c->target;
    else
        c->high = c->target;
    bool settled = fits && (used || next <= c->target || c->high - c->low < c->bytes / 4000);
    if (next <= c->low || next >= c->high)
        next = c->low ? c->low + (c->high - c->low) / 2 : c->high - (bytes - c->bytes);
    c->target = settled ? c->target : next;
    return settled;
}

bool qbc_choice_fall_back(struct qbc_choice *c)
{
    c->target = c->low;
    return c->low;
}
