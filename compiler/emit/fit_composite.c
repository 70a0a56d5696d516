/* fit_composite: a tensor of a composite format, fitted as a whole.
 *
 * What its parts share (a permutation, scales of columns, the rows of B) is chosen from the tensor or, of a large one, from a
 * sample of its rows; then slabs of rows are fitted by threads, into blocks of the whole tensor, and pieces of these packed.
 * With -fit=gptq codes are chosen column by column where the format can be swept (compiler/fit/swept.c); of others errors are
 * weighed with what calibration saw of the input, the diagonal of its H. The parts of a format that is split by rows, outermost, share nothing: each is fitted as a tensor of its own.
 */
#include "fit_composite.h"
#include "gptq.h"
#include "hessians.h"
#include "sweeps.h"
#include "parts.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLAB_WEIGHTS = 1 << 20,
    SAMPLE_WEIGHTS = 1 << 25, /* 128 MiB of f32 */
    LEAST_ROWS = 64,
    MAX_THREADS = 64,
};

struct whole {
    const char *name, *role; /* of the tensor */
    struct qbc_view view;
    const struct qbc_format *format;
    int64_t first_row, rows; /* of the view: those to be fitted */
    enum qbc_fit how;
    float *importance; /* [cols] of columns, or NULL */
    struct qbc_blocks *blocks;
    struct qbc_sweep sweep; /* in the order of the columns' parts; u NULL: codes are not chosen column by column */
    struct qbc_swept swept;
    int64_t slab_rows, slabs;
    atomic_llong next; /* slab to be done */
};

struct worker {
    struct whole *whole;
    bool no_memory;
    struct qbc_misfit misfit; /* row -1: none */
};

/* --- what is fitted together */

/* The part of the outermost formats that are split by rows that `path` is in; what is left of the path. */
static const char *peel(struct qbc *q, struct whole *w, const char *path)
{
    while (w->format->codebook == QBC_CODE_SPLIT && w->format->by_rows) {
        struct qbc_format part;
        int i = qbc_part_of_path(w->format, &path);
        if (i < 0 || !qbc_format_part(w->format, i, &part))
            return path;
        int64_t first = qbc_format_cut(w->format, i, w->rows);
        w->rows = qbc_format_cut(w->format, i + 1, w->rows) - first;
        w->first_row += first;
        w->format = qbc_find_format(q, part.name);
    }
    return path;
}

static const struct qbc_format *composite_of(struct qbc *q, MlirOperation weight)
{
    return qbc_find_format(q, qbc_string(q, weight, "composite", ""));
}

const char *qbc_piece_group(struct qbc *q, MlirOperation weight)
{
    const char *path = qbc_string(q, weight, "part", "");
    struct whole w = {.format = composite_of(q, weight)};
    if (!qbc_has(weight, "whole") || !w.format)
        return NULL;
    int length = (int)(peel(q, &w, path) - path);
    return qbc_text(q, "%s/%.*s", qbc_string(q, weight, "whole", ""), length, path);
}

/* --- before any row is fitted */

/* Is something inside cut by rows, so that where a row lies says what part has it? */
static bool is_cut_by_rows(const struct qbc_format *f)
{
    struct qbc_format part;
    bool cut = f->codebook == QBC_CODE_SPLIT && f->by_rows;
    for (int i = 0; !cut && qbc_is_composite(f) && qbc_format_part(f, i, &part); ++i)
        cut = is_cut_by_rows(&part);
    return cut;
}

/* n rows in lines of LEAST_ROWS from all over the tensor. */
static void read_sample(const struct whole *w, int64_t n, float *out)
{
    for (int64_t done = 0; done < n; done += LEAST_ROWS) {
        int64_t rows = n - done < LEAST_ROWS ? n - done : LEAST_ROWS;
        int64_t from = n < w->rows ? (int64_t)((double)done / (double)n * (double)(w->rows - rows)) : done;
        qbc_view_read(&w->view, w->first_row + from, rows, out + done * w->view.cols);
    }
}

static bool are_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* A sample that is not finite spoils what is shared; the fit of its row will say where it is. False: no memory. */
static bool prepare(struct whole *w)
{
    int64_t rows = w->rows, most = SAMPLE_WEIGHTS / w->view.cols / LEAST_ROWS * LEAST_ROWS;
    most = most < LEAST_ROWS ? LEAST_ROWS : most;
    int64_t n = rows <= most || is_cut_by_rows(w->format) ? rows : most;
    float *sample = malloc((size_t)(n * w->view.cols) * sizeof *sample);
    if (sample) {
        read_sample(w, n, sample);
        if (are_finite(sample, n * w->view.cols))
            qbc_format_prepare(w->blocks, n, sample, w->importance);
    }
    free(sample);
    return sample;
}

/* --- rows */

/* Rows that must be fitted together. */
static int64_t rows_together(const struct qbc_format *f)
{
    struct qbc_format part;
    int64_t n = 1;
    if (!qbc_is_composite(f))
        return qbc_common_multiple(qbc_group_rows(f), qbc_vector_rows(f));
    for (int i = 0; qbc_format_part(f, i, &part); ++i)
        n = qbc_common_multiple(n, rows_together(&part));
    return n;
}

static void choose_slabs(struct whole *w)
{
    int64_t rows = SLAB_WEIGHTS / w->view.cols, together = rows_together(w->format);
    rows = rows < LEAST_ROWS ? LEAST_ROWS : rows;
    rows = (rows + together - 1) / together * together;
    bool at_once = rows > w->rows || (together > 1 && is_cut_by_rows(w->format));
    w->slab_rows = at_once ? w->rows : rows;
    w->slabs = (w->rows + w->slab_rows - 1) / w->slab_rows;
}

static void do_slab(struct worker *t, float *weights, int64_t slab)
{
    struct whole *w = t->whole;
    int64_t row = slab * w->slab_rows, rest = w->rows - row, rows = rest < w->slab_rows ? rest : w->slab_rows;
    qbc_view_read(&w->view, w->first_row + row, rows, weights);
    int64_t bad = w->sweep.u ? qbc_gptq_swept(&w->sweep, &w->swept, row, rows, weights, NULL)
                             : qbc_format_fit_weighted(w->how, w->blocks, row, rows, weights, w->importance);
    if (bad < 0)
        return;
    if (w->sweep.u) /* the sweep used them up */
        qbc_view_read(&w->view, w->first_row + row, rows, weights);
    int64_t bad_row = w->first_row + row + bad / w->view.cols;
    if (t->misfit.row < 0 || bad_row < t->misfit.row)
        t->misfit = (struct qbc_misfit){bad_row, bad % w->view.cols, weights[bad]};
}

static void *work(void *user)
{
    struct worker *t = user;
    struct whole *w = t->whole;
    float *weights = malloc((size_t)(w->slab_rows * w->view.cols) * sizeof *weights);
    t->no_memory = !weights;
    for (long long slab; weights && (slab = atomic_fetch_add(&w->next, 1)) < w->slabs;)
        do_slab(t, weights, slab);
    free(weights);
    return NULL;
}

/* What the threads found that did start: the first fault in the order of rows. */
static bool judge(struct qbc *q, MlirOperation weight, const struct whole *w, const struct worker *workers, int n)
{
    const struct worker *first = NULL;
    bool worked = false;
    for (int i = 0; i < n; ++i) {
        worked = worked || !workers[i].no_memory;
        if (workers[i].misfit.row >= 0 && (!first || workers[i].misfit.row < first->misfit.row))
            first = &workers[i];
    }
    if (!worked)
        qbc_error(q, weight, "there is no memory to fit this weight");
    else if (first)
        qbc_report_misfit(q, weight, w->format, first->misfit);
    return worked && !first;
}

/* A slab's codes depend on its rows and what was prepared, so it does not matter which thread takes it. */
static bool fit_rows(struct qbc *q, MlirOperation weight, struct whole *w)
{
    struct worker workers[MAX_THREADS];
    int n = qbc_count_threads(q, w->slabs);
    for (int i = 0; i < n; ++i)
        workers[i] = (struct worker){.whole = w, .misfit = {.row = -1}};
    qbc_work_together(work, workers, sizeof *workers, n);
    return judge(q, weight, w, workers, n);
}

/* The diagonal of the input's H, where there is one. */
static float *importance_of(struct qbc *q, const char *weight, int64_t cols)
{
    bool wanted = qbc_fit_sweeps(q->options.fit);
    const float *h = wanted ? qbc_hessian_find(q, weight, cols) : NULL;
    float *diagonal = h ? malloc((size_t)cols * sizeof *diagonal) : NULL;
    for (int64_t k = 0; diagonal && k < cols; ++k)
        diagonal[k] = h[k * (cols + 1)] > 0 ? h[k * (cols + 1)] : 0;
    if (h)
        qbc_hessian_release(h, cols);
    return diagonal;
}

/* What an error in a column costs where others make good for it: 1 / (H^-1)_jj, to rank columns by, instead of H's diagonal. */
static void rank_columns(struct qbc *q, struct whole *w)
{
    int64_t cols = w->view.cols;
    struct qbc_sweep natural = {0};
    bool wanted = w->importance && qbc_can_sweep_parts(w->format);
    if (!wanted || !qbc_sweep_of(q, w->name, w->role, cols, false, &natural))
        return;
    for (int64_t j = 0; j < cols && natural.u; ++j) {
        double sum = 0;
        for (int64_t i = 0; i <= j; ++i)
            sum += (double)natural.u[i * cols + j] * (double)natural.u[i * cols + j];
        w->importance[j] = (float)(1 / sum);
    }
    qbc_sweep_destroy(&natural);
}

/* Behind `prepare`, which says in what order columns are. False: no memory. */
static bool prepare_sweep(struct qbc *q, struct whole *w)
{
    int64_t cols = w->view.cols;
    bool wanted = w->importance && qbc_can_sweep_parts(w->format);
    const float *h = wanted ? qbc_hessian_find(q, w->name, cols) : NULL;
    if (!h)
        return true;
    float *ordered = malloc((size_t)(cols * cols) * sizeof *ordered);
    w->swept = qbc_swept_of(w->blocks);
    if (ordered)
        qbc_swept_hessian(&w->swept, cols, h, ordered);
    bool good = ordered && qbc_sweep_create(&w->sweep, cols, ordered, qbc_damping(w->role), false);
    w->sweep.how = qbc_sweep_kind(q->options.fit).how;
    qbc_hessian_release(h, cols);
    free(ordered);
    return good;
}

/* What is fitted is known: the name, the view, the format and the rows. */
static bool fit_whole(struct qbc *q, MlirOperation weight, struct whole *w)
{
    w->role = qbc_string(q, weight, "role", "");
    w->how = q->options.fit && strcmp(q->options.fit, "rtn") ? QBC_FIT_RANGE : QBC_FIT_RTN;
    w->importance = importance_of(q, w->name, w->view.cols);
    rank_columns(q, w);
    choose_slabs(w);
    bool good = qbc_blocks_create(w->blocks, w->format, w->rows, w->view.cols) && prepare(w) && prepare_sweep(q, w);
    if (!good)
        qbc_error(q, weight, "there is no memory to fit this weight");
    good = good && fit_rows(q, weight, w);
    qbc_view_release(&w->view);
    free(w->importance);
    qbc_sweep_destroy(&w->sweep);
    return good;
}

bool qbc_composite_fit(struct qbc *q, MlirOperation weight, struct qbc_fitted *out)
{
    struct whole w = {.name = qbc_string(q, weight, "whole", ""), .format = composite_of(q, weight), .blocks = &out->blocks};
    *out = (struct qbc_fitted){.blocks.rows = 0};
    if (!w.format || !qbc_view_of(q, weight, &w.view)) {
        if (!w.format)
            qbc_error(q, weight, "unknown block format '%s'", qbc_string(q, weight, "composite", ""));
        return false;
    }
    w.rows = w.view.rows;
    peel(q, &w, qbc_string(q, weight, "part", ""));
    bool good = fit_whole(q, weight, &w);
    if (!good)
        qbc_fitted_destroy(out);
    return good;
}

bool qbc_composite_try(struct qbc *q, MlirOperation weight, const struct qbc_format *f, struct qbc_fitted *out)
{
    struct whole w = {.name = qbc_string(q, weight, "name", ""), .format = f, .blocks = &out->blocks};
    *out = (struct qbc_fitted){.blocks.rows = 0};
    if (!qbc_view_of(q, weight, &w.view))
        return false;
    w.rows = w.view.rows;
    bool good = fit_whole(q, weight, &w);
    if (!good)
        qbc_fitted_destroy(out);
    return good;
}

void qbc_fitted_destroy(struct qbc_fitted *fitted)
{
    qbc_blocks_destroy(&fitted->blocks);
}

/* --- pieces */

static bool pack_one_way(const struct qbc_blocks *b, struct qbc_packing p, size_t which, qbc_write_packed write, void *user)
{
    int64_t rows = SLAB_WEIGHTS / b->cols / p.rows * p.rows;
    rows = rows < p.rows ? p.rows : rows;
    struct qbc_layout l = qbc_layout(b->format, p, rows < b->rows ? rows : b->rows, b->cols);
    uint8_t *packed = malloc((size_t)l.bytes);
    for (int64_t row = 0; packed && row < b->rows; row += rows) {
        int64_t n = b->rows - row < rows ? b->rows - row : rows;
        qbc_pack(b, p, row, n, packed);
        write(user, which, row / p.rows * l.panel_bytes, packed, (size_t)qbc_layout(b->format, p, n, b->cols).tail_offset);
    }
    if (packed && l.tail_bytes) {
        qbc_pack_tail(b, p, packed);
        write(user, which, qbc_layout(b->format, p, b->rows, b->cols).tail_offset, packed, (size_t)l.tail_bytes);
    }
    free(packed);
    return packed;
}

bool qbc_composite_pack(struct qbc *q, const struct qbc_fitted *fitted, MlirOperation weight,
                        const struct qbc_packing *packings, size_t n, qbc_write_packed write, void *user)
{
    struct whole w = {.format = composite_of(q, weight)};
    const char *path = peel(q, &w, qbc_string(q, weight, "part", ""));
    struct qbc_piece piece;
    bool good = qbc_piece_open(&fitted->blocks, path, &piece);
    for (size_t i = 0; i < n && good; ++i)
        good = pack_one_way(&piece.blocks, packings[i], i, write, user);
    qbc_piece_close(&piece);
    if (!good)
        qbc_error(q, weight, "there is no memory to pack this weight");
    return good;
}
