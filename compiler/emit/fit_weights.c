/* fit_weights: weights stream through here, a slab of rows at a time, and are never held.
 *
 * A tensor is cut into slabs of whole panels, of every way to pack it. Thread t takes slabs t, t + T, t + 2 T, ...; a slab's
 * bytes depend on its rows alone, so the artifact does not depend on the number of threads.
 */
#include "coded.h"
#include "fit_weights.h"
#include "gptq.h"
#include "hessians.h"
#include "sweeps.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SLAB_WEIGHTS = 1 << 20, /* 4 MiB of f32 a thread */
    LEAST_ROWS = 64,        /* transposed sources are read in lines of rows */
    MAX_THREADS = 64,
};

struct fitting {
    struct qbc_view view;
    const struct qbc_format *format;
    const struct qbc_packing *packings; /* [n_packings] */
    size_t n_packings;
    enum qbc_fit how;
    bool import; /* the model's own codes */
    struct qbc_sweep sweep; /* -fit=gptq: what calibration saw of its input; cols 0: nothing */
    const struct qbc_blocks *shared; /* what the whole tensor shares, chosen before; NULL: nothing */
    int64_t slab_rows, slabs;
    int threads;
    qbc_write_packed write;
    void *user;
};

struct worker {
    const struct fitting *fitting;
    int index;
    bool no_memory;
    int64_t bad_row, bad_col; /* bad_row -1: none */
    float bad_value;
    float *weights;
    struct qbc_blocks blocks;
    uint8_t *packed;
};

const struct qbc_format *qbc_weight_format(struct qbc *q, MlirOperation weight)
{
    const struct qbc_format *format = qbc_block_format(q, mlirOperationGetResult(weight, 0));
    const char *name = qbc_string(q, weight, "format", "f32");
    if (!format)
        format = qbc_find_format(q, name);
    if (!format)
        qbc_error(q, weight, "unknown block format '%s'; see dialects/formats.def", name);
    return format;
}

static int64_t rows_of_slab(const struct fitting *f, int64_t slab)
{
    int64_t rest = f->view.rows - slab * f->slab_rows;
    return rest < f->slab_rows ? rest : f->slab_rows;
}

static void pack_slab(struct worker *w, size_t which, int64_t row, int64_t rows)
{
    const struct fitting *f = w->fitting;
    struct qbc_packing packing = f->packings[which];
    struct qbc_layout layout = qbc_layout(f->format, packing, rows, f->view.cols);
    qbc_pack(&w->blocks, packing, 0, rows, w->packed);
    f->write(f->user, which, row / packing.rows * layout.panel_bytes, w->packed, (size_t)layout.tail_offset);
}

/* Codes for `rows` rows of the tensor from `weights`, which is used up. -1, or the index of what cannot be kept. */
static int64_t fit_rows(const struct fitting *f, struct qbc_blocks *b, int64_t rows, float *weights)
{
    if (f->sweep.u && qbc_can_sweep(f->format))
        return qbc_gptq(&f->sweep, b, 0, rows, weights, NULL);
    return qbc_format_fit_weighted(f->how, b, 0, rows, weights, f->sweep.weight);
}

/* false: a weight cannot be kept */
static bool do_slab(struct worker *w, int64_t slab)
{
    const struct fitting *f = w->fitting;
    int64_t row = slab * f->slab_rows, rows = rows_of_slab(f, slab);
    int64_t bad = -1;
    if (f->import) {
        qbc_coded_take(&f->view, row, rows, &w->blocks);
    } else {
        qbc_view_read(&f->view, row, rows, w->weights);
        bad = fit_rows(f, &w->blocks, rows, w->weights);
    }
    if (bad >= 0) {
        w->bad_row = row + bad / f->view.cols;
        w->bad_col = bad % f->view.cols;
        qbc_view_read(&f->view, w->bad_row, 1, w->weights); /* the fit may have used them up */
        w->bad_value = w->weights[w->bad_col];
        return false;
    }
    for (size_t i = 0; i < f->n_packings; ++i)
        pack_slab(w, i, row, rows);
    qbc_view_release_rows(&f->view, row, rows);
    return true;
}

/* The most bytes that a slab takes. */
static size_t packed_bytes(const struct fitting *f, int64_t rows)
{
    int64_t most = 0;
    for (size_t i = 0; i < f->n_packings; ++i) {
        int64_t bytes = qbc_layout(f->format, f->packings[i], rows, f->view.cols).bytes;
        most = bytes > most ? bytes : most;
    }
    return (size_t)most;
}

static void *work(void *user)
{
    struct worker *w = user;
    const struct fitting *f = w->fitting;
    int64_t rows = rows_of_slab(f, 0), cols = f->view.cols;
    w->weights = malloc((size_t)(rows * cols) * sizeof *w->weights);
    w->packed = malloc(packed_bytes(f, rows));
    w->no_memory =
        !qbc_blocks_create(&w->blocks, f->format, rows, cols) || !w->weights || !w->packed;
    if (f->shared && !w->no_memory)
        qbc_blocks_share(&w->blocks, f->shared);
    for (int64_t slab = w->index; slab < f->slabs && !w->no_memory; slab += f->threads)
        if (!do_slab(w, slab))
            break;
    qbc_blocks_destroy(&w->blocks);
    free(w->weights);
    free(w->packed);
    return NULL;
}

/* What is left undone when a thread does not start is done here: the same slabs, the same bytes. */
void qbc_work_together(void *(*work)(void *), void *workers, size_t size, int n)
{
    pthread_t threads[MAX_THREADS];
    bool started[MAX_THREADS] = {false};
    char *worker = workers;
    for (int i = 1; i < n; ++i)
        started[i] = !pthread_create(&threads[i], NULL, work, worker + (size_t)i * size);
    work(worker);
    for (int i = 1; i < n; ++i)
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            work(worker + (size_t)i * size);
}

int qbc_count_threads(const struct qbc *q, int64_t slabs)
{
    int64_t n = q->options.threads > 0 ? q->options.threads : sysconf(_SC_NPROCESSORS_ONLN);
    n = n < MAX_THREADS ? n : MAX_THREADS;
    n = n < slabs ? n : slabs;
    return n < 1 ? 1 : (int)n;
}

void qbc_report_misfit(struct qbc *q, MlirOperation weight, const struct qbc_format *format, struct qbc_misfit misfit)
{
    const char *name = qbc_string(q, weight, "whole", qbc_string(q, weight, "name", "?"));
    const char *what = isnan(misfit.value) ? "NaN" : misfit.value > 0 ? "infinity" : "-infinity";
    if (isfinite(misfit.value))
        qbc_error(
            q, weight,
            "weight '%s' has %g at row %ld, column %ld, too large for format %s, whose f16 numbers "
            "end at 65504; give this tensor another format with -quant-tensor='^%s$=f32'",
            name, (double)misfit.value, (long)misfit.row, (long)misfit.col, format->name, name);
    else
        qbc_error(
            q, weight,
            "weight '%s' has %s at row %ld, column %ld; the model file is damaged or its training "
            "diverged: export it again",
            name, what, (long)misfit.row, (long)misfit.col);
}

/* The first fault in the order of rows, whoever found it. */
static bool judge(struct qbc *q, MlirOperation weight, const struct fitting *f,
                  const struct worker *w)
{
    const struct worker *first = NULL;
    for (int i = 0; i < f->threads; ++i) {
        if (w[i].no_memory) {
            qbc_error(q, weight, "there is no memory to fit this weight");
            return false;
        }
        if (w[i].bad_row >= 0 && (!first || w[i].bad_row < first->bad_row))
            first = &w[i];
    }
    if (first)
        qbc_report_misfit(q, weight, f->format, (struct qbc_misfit){first->bad_row, first->bad_col, first->bad_value});
    return !first;
}

/* Whole panels of all packings; or the whole tensor, where that is less. */
static int64_t choose_slab(const struct fitting *f)
{
    int64_t rows = SLAB_WEIGHTS / f->view.cols, panel = 1;
    for (size_t i = 0; i < f->n_packings && panel < f->view.rows; ++i)
        panel = qbc_common_multiple(panel, f->packings[i].rows);
    rows = rows < LEAST_ROWS ? LEAST_ROWS : rows;
    rows = (rows + panel - 1) / panel * panel;
    return rows < f->view.rows ? rows : f->view.rows;
}

/* False: no memory. */
static bool prepare_sweep(struct qbc *q, MlirOperation weight, struct fitting *f)
{
    const char *name = qbc_string(q, weight, "name", "");
    bool wanted = qbc_fit_sweeps(q->options.fit) && strcmp(qbc_string(q, weight, "fit", ""), "exact") && !f->import &&
                  f->format->codebook != QBC_CODE_FLOAT;
    struct qbc_sweep_kind kind = qbc_sweep_kind(q->options.fit);
    bool ordered = kind.ordered && qbc_can_sweep(f->format);
    if (!wanted || qbc_sweep_of(q, name, qbc_string(q, weight, "role", ""), f->view.cols, ordered, &f->sweep)) {
        f->sweep.how = kind.how;
        f->sweep.h = wanted && kind.refined ? qbc_hessian_find(q, name, f->view.cols) : NULL;
        return true;
    }
    qbc_error(q, weight, "there is no memory to fit this weight");
    return false;
}

/* What the tensor shares, where each packing has it; false: no memory. */
static bool write_tails(const struct fitting *f)
{
    for (size_t i = 0; i < f->n_packings; ++i) {
        struct qbc_layout layout = qbc_layout(f->format, f->packings[i], f->view.rows, f->view.cols);
        uint8_t *tail = layout.tail_bytes ? malloc((size_t)layout.tail_bytes) : NULL;
        if (layout.tail_bytes && !tail)
            return false;
        if (tail) {
            qbc_pack_tail(f->shared, f->packings[i], tail);
            f->write(f->user, i, layout.tail_offset, tail, (size_t)layout.tail_bytes);
        }
        free(tail);
    }
    return true;
}

bool qbc_fit_and_pack(struct qbc *q, MlirOperation weight, const struct qbc_packing *packings, size_t n,
                      qbc_write_packed write, void *user)
{
    struct fitting f = {.packings = packings, .n_packings = n, .write = write, .user = user};
    f.format = qbc_weight_format(q, weight);
    if (!f.format || !qbc_view_of(q, weight, &f.view))
        return false;
    bool exact = !strcmp(qbc_string(q, weight, "fit", ""), "exact");
    f.how = exact || (q->options.fit && strcmp(q->options.fit, "rtn")) ? QBC_FIT_RANGE : QBC_FIT_RTN;
    f.import = f.view.source->coded && !strncmp(qbc_string(q, weight, "fit", ""), "import", 6);
    if (!prepare_sweep(q, weight, &f))
        return false;
    f.slab_rows = choose_slab(&f);
    f.slabs = (f.view.rows + f.slab_rows - 1) / f.slab_rows;
    f.threads = qbc_count_threads(q, f.slabs);
    struct qbc_blocks shared = {0};
    bool is_shared = f.format->codebook < QBC_CODE_SUM && qbc_format_is_shared(f.format);
    struct worker workers[MAX_THREADS];
    for (int i = 0; i < f.threads; ++i)
        workers[i] = (struct worker){.fitting = &f, .index = i, .bad_row = -1};
    if (is_shared) {
        f.shared = &shared;
        bool good = f.import ? qbc_coded_share(&f.view, f.format, &shared) : qbc_prepare_weight(&f.view, f.format, &shared);
        workers[0].no_memory = !good || !write_tails(&f);
    }
    if (!workers[0].no_memory)
        qbc_work_together(work, workers, sizeof *workers, f.threads);
    qbc_blocks_destroy(&shared);
    qbc_view_release(&f.view);
    qbc_sweep_destroy(&f.sweep);
    return judge(q, weight, &f, workers);
}
