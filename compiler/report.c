/* report: what was learned and chosen, as JSON, or as a page that holds the same JSON and draws it. Sizes and formats are what
 * the artifact itself says. "tensors" is what -precision reads.
 */
#include "json.h"
#include "make.h"
#include "qbrt.h"

#include <stdlib.h>
#include <string.h>

extern const char qbc_report_page[]; /* report.html */
static const char HOLE[] = "@REPORT@";

static cJSON *candidates_of(const struct qbc_item *item)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < item->n && item->n > 1; ++i) {
        const struct qbc_candidate *c = &item->candidate[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "format", c->format->name);
        cJSON_AddNumberToObject(row, "bytes", (double)c->bytes);
        cJSON_AddNumberToObject(row, "loss", c->loss);
        cJSON_AddBoolToObject(row, "measured", c->is_measured);
        if (c->is_measured && c->measured < 0)
            cJSON_AddNumberToObject(row, "change", c->measured); /* it got better: the loss is 0 */
        cJSON_AddItemToArray(list, row);
    }
    return list;
}

static const struct qbc_item *item_of(const struct qbc_choice *choice, const char *name)
{
    for (size_t i = 0; i < choice->items.n; ++i)
        if (!strcmp(choice->items.item[i].name, name))
            return &choice->items.item[i];
    return NULL;
}

/* Of the artifact; of those that were chosen also what there was to choose from. */
static void add_tensors(cJSON *report, const struct qbrt_model *model, const struct qbc_choice *choice)
{
    cJSON *formats = cJSON_AddObjectToObject(report, "tensors"), *rows = cJSON_AddArrayToObject(report, "details");
    for (size_t i = 0; i < qbrt_facts(model)->n_tensors; ++i) {
        struct qbrt_tensor_facts t = qbrt_tensor(model, i);
        const struct qbc_item *item = item_of(choice, t.name);
        if (t.rows < 2)
            continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(formats, t.name, t.format);
        cJSON_AddStringToObject(row, "name", t.name);
        cJSON_AddStringToObject(row, "role", t.role);
        cJSON_AddStringToObject(row, "format", t.format);
        cJSON_AddNumberToObject(row, "block", t.block);
        cJSON_AddNumberToObject(row, "rows", (double)t.rows);
        cJSON_AddNumberToObject(row, "cols", (double)t.cols);
        cJSON_AddNumberToObject(row, "bytes", (double)t.size);
        if (item) {
            cJSON_AddNumberToObject(row, "loss", item->loss);
            cJSON_AddItemToObject(row, "candidates", candidates_of(item));
            if (choice->items.metric->kind == QBC_METRIC_IMPORTANCE)
                cJSON_AddNumberToObject(row, "importance", item->importance);
        }
        cJSON_AddItemToArray(rows, row);
    }
}

static void add_facts(cJSON *report, const struct qbrt_model *model)
{
    const struct qbrt_facts *f = qbrt_facts(model);
    cJSON *record = cJSON_AddObjectToObject(report, "record");
    double weights = (double)(f->file_bytes - f->code_bytes - f->tokenizer_bytes);
    for (size_t i = 0; i < f->n_record; ++i)
        cJSON_AddStringToObject(record, qbrt_record_key(model, i), qbrt_record_value(model, i));
    cJSON_AddNumberToObject(report, "parameters", (double)f->parameters);
    cJSON_AddNumberToObject(report, "file_bytes", (double)f->file_bytes);
    cJSON_AddNumberToObject(report, "weight_bytes", weights);
    cJSON_AddNumberToObject(report, "bits_per_weight", 8 * weights / (double)f->parameters);
}

static void add_quality(struct qbc *q, cJSON *report, const struct qbc_learned *l)
{
    const struct qbc_quality *x = &l->quality;
    if (!l->calibration.judges)
        return;
    cJSON *to = cJSON_AddObjectToObject(report, "quality");
    cJSON_AddStringToObject(to, "text", q->judged);
    cJSON_AddNumberToObject(to, "predictions", (double)x->predictions);
    cJSON_AddNumberToObject(to, "perplexity", x->perplexity);
    cJSON_AddNumberToObject(to, "float_perplexity", x->float_perplexity);
    cJSON_AddNumberToObject(to, "kl_mean", x->divergence);
    cJSON_AddNumberToObject(to, "kl_median", x->median);
    cJSON_AddNumberToObject(to, "kl_99", x->high);
    cJSON_AddNumberToObject(to, "same_top", x->same_top);
    if (l->bounds.option) {
        cJSON_AddStringToObject(to, "bound", l->bounds.option);
        cJSON_AddBoolToObject(to, "missed", q->missed);
    }
}

static const struct qbc_peak *peak_before(const struct qbc_learned *l, const struct qbc_peak *p)
{
    for (size_t i = 0; i < l->n_before && p->n_weights; ++i)
        for (size_t w = 0; w < l->before[i].n_weights; ++w)
            if (!strcmp(l->before[i].weights[w], p->weights[0]))
                return &l->before[i];
    return NULL;
}

static void add_peaks(cJSON *report, const struct qbc_learned *l)
{
    const struct qbc_calibration *c = &l->calibration;
    cJSON *rows = cJSON_AddArrayToObject(report, "activations");
    for (size_t i = 0; i < c->n_peaks; ++i) {
        const struct qbc_peak *p = &c->peaks[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "reader", p->n_weights ? p->weights[0] : "");
        cJSON_AddNumberToObject(row, "columns", (double)p->cols);
        cJSON_AddNumberToObject(row, "peak", p->most);
        cJSON_AddNumberToObject(row, "median", p->median);
        cJSON_AddNumberToObject(row, "entropy", p->entropy);
        const struct qbc_peak *before = peak_before(l, p);
        if (before) {
            cJSON_AddNumberToObject(row, "peak_before", before->most);
            cJSON_AddNumberToObject(row, "median_before", before->median);
        }
        cJSON_AddItemToArray(rows, row);
    }
}

/* The best that the solver can do for budgets from the least to the most bytes, and what it chose. */
static bool add_frontier(struct qbc *q, cJSON *report, struct qbc_choice *choice)
{
    enum { POINTS = 65 };
    struct qbc_frontier_point points[POINTS];
    if (!choice->budget)
        return true;
    if (!qbc_choice_frontier(q, choice, points, POINTS))
        return false;
    double bits = 8 / (double)choice->parameters, others = (double)choice->others;
    cJSON *rows = cJSON_AddArrayToObject(report, "frontier");
    for (int i = 0; i < POINTS; ++i) {
        const double point[] = {((double)points[i].bytes + others) * bits, points[i].loss};
        cJSON_AddItemToArray(rows, cJSON_CreateDoubleArray(point, 2));
    }
    const double chosen[] = {((double)qbc_choice_item_bytes(choice) + others) * bits, choice->predicted};
    cJSON_AddItemToObject(report, "chosen", cJSON_CreateDoubleArray(chosen, 2));
    return true;
}

/* What it was chosen by. */
static void add_rule(cJSON *report, const struct qbc *q, const struct qbc_choice *choice)
{
    const char *allocator = q->options.allocator ? q->options.allocator : qbc_allocator_at(0)->name;
    if (!choice->budget)
        return;
    cJSON *to = cJSON_AddObjectToObject(report, "rule");
    cJSON_AddStringToObject(to, "budget", choice->budget);
    cJSON_AddStringToObject(to, "allocator", allocator);
    cJSON_AddStringToObject(to, "metric", choice->items.metric->name);
    cJSON_AddStringToObject(to, "granularity", qbc_granularities[choice->items.granularity]);
    cJSON_AddStringToObject(to, "unit", choice->items.alone ? "squared error" : "nats a token");
}

static void add_times(cJSON *report, const struct qbc_learned *l)
{
    static const char *const names[QBC_PHASES] = {"calibrate, measure, choose", "fit and write", "judge"};
    cJSON *to = cJSON_AddObjectToObject(report, "seconds");
    for (int i = 0; i < QBC_PHASES; ++i)
        cJSON_AddNumberToObject(to, names[i], l->seconds[i]);
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* JSON inside of a page: "</" would end the script that it is in. */
static char *page_of(struct qbc *q, const char *json)
{
    const char *hole = strstr(qbc_report_page, HOLE);
    char *page = qbc_alloc(q, strlen(qbc_report_page) + 2 * strlen(json) + 1);
    char *at = page + (hole - qbc_report_page);
    memcpy(page, qbc_report_page, (size_t)(hole - qbc_report_page));
    for (; *json; *at++ = *json++)
        if (json[0] == '/' && at[-1] == '<')
            *at++ = '\\';
    strcpy(at, hole + strlen(HOLE));
    return page;
}

static bool write(struct qbc *q, const cJSON *report)
{
    const char *path = q->options.report;
    char *json = cJSON_Print(report);
    const char *text = !json ? NULL : ends_in(path, ".html") ? page_of(q, json) : json;
    bool good = text && qbc_write_file(q, path, text, strlen(text));
    free(json);
    return good;
}

bool qbc_write_report(struct qbc *q, struct qbc_learned *l)
{
    char detail[QBRT_DETAIL] = "";
    struct qbrt_model *model;
    void *memory = qbc_alloc(q, qbrt_model_size() + QBRT_ALIGN);
    memory = (void *)(((uintptr_t)memory + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
    if (qbrt_open_facts(q->options.output, memory, qbrt_model_size(), &model, detail)) {
        qbc_error_in(q, "-report", "the artifact cannot be read back: %s", detail);
        return false;
    }
    cJSON *report = cJSON_CreateObject();
    const char *slash = strrchr(q->options.input, '/');
    cJSON_AddStringToObject(report, "model", slash ? slash + 1 : q->options.input);
    add_facts(report, model);
    add_quality(q, report, l);
    add_tensors(report, model, &l->choice);
    add_peaks(report, l);
    add_rule(report, q, &l->choice);
    add_times(report, l);
    bool good = add_frontier(q, report, &l->choice) && write(q, report);
    cJSON_Delete(report);
    qbrt_close(model);
    return good;
}
