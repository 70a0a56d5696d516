/* kernel_composite_test: products with composite weights, and rows of composite embeddings, against what their blocks mean.
 *
 * The passes take the formats apart, as in the compiler; weights are fitted to random ones, whole, and each piece is packed.
 * The reference multiplies with the blocks' parts in f64, with activations quantized where a part has codes.
 */
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"
#include "parts.h"

enum { VOCABULARY = 37, CHUNK = 33, CONTEXT = 64, LAST = 7 /* split by rows */ };

static const char *const formats[] = {
    "i4g32+i2g64",
    "i4g32@25%p|i3g64",
    "i4g32@30%|f16@20%|i3g128z",
    "i3g64+sparse1.5%",
    "i3g64+lr3",
    "i4g32*uv",
    "(i4g32@25%|i3g32)+sparse0.5%",
    "i8g32@40%r|f16@20%|i3g64+lr2",
    "(i8g32@40%p|i2g32z+i2g32)*uv",
    "(i4g32+sparse2%)@33%p|i4g64+i2g32z",
    "(i8g32@30%r|i4g32)@60%r|i3g64+i2g32",
    "i4g32m.u6x8@50%p|nf3g64+bp2g32",
};
/* The first size is tried with half of the formats, which half depends on the machine, or with a share (kernel_machines.h);
 * the others with some. QBC_TEST_ALL asks for everything. */
static const struct size {
    int64_t rows, cols;
} sizes[] = {{17, 172}, {509, 344}};
enum { N_FORMATS = sizeof formats / sizeof *formats, N_SIZES = sizeof sizes / sizeof *sizes };

static bool is_tried(const struct lab *lab, int format, int size)
{
    size_t turn = (size_t)format + lab->machine->rank;
    bool taken = size == 0 ? turn % 2 == 0 && lab_takes(lab->machine, turn / 2, 3) : format % 6 == 1 && lab_takes(lab->machine, turn / 6, 3);
    return taken || getenv("QBC_TEST_ALL");
}

/* --- the reference */

static void dot_rows(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    struct reference_input in = reference_input(x, b->cols, b->format->codebook != QBC_CODE_FLOAT);
    for (int64_t n = 0; n < b->rows; ++n) {
        struct reference_weights w = reference_weights(b, n);
        struct reference_sum sum = reference_product(&w, &in);
        y[n].value += sum.value;
        y[n].size += sum.size;
        reference_weights_free(&w);
    }
    reference_input_free(&in);
}

static void multiply(const struct qbc_blocks *b, const float *x, struct reference_sum *y);

static void multiply_columns(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    float *moved = malloc((size_t)b->cols * sizeof *moved), *at = moved;
    for (int64_t k = 0; k < b->cols; ++k)
        moved[k] = x[b->left ? b->left[k] : k];
    for (int i = 0; i < b->format->n_parts; at += b->parts[i++].cols)
        multiply(&b->parts[i], at, y);
    free(moved);
}

static void multiply_scaled(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    float *scaled = malloc((size_t)b->cols * sizeof *scaled);
    struct reference_sum *sums = calloc((size_t)b->rows, sizeof *sums);
    for (int64_t k = 0; k < b->cols; ++k)
        scaled[k] = x[k] * qbc_half_to_float(b->right[k]);
    multiply(&b->parts[0], scaled, sums);
    for (int64_t n = 0; n < b->rows; ++n) {
        double u = (double)qbc_half_to_float(b->left[n]);
        y[n].value += sums[n].value * u;
        y[n].size += sums[n].size * fabs(u);
    }
    free(scaled);
    free(sums);
}

static void add_sparse(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    int64_t count = qbc_format_sparse(b->format, b->cols);
    for (int64_t i = 0; i < b->rows * count; ++i) {
        double term = (double)qbc_half_to_float(b->left[i]) * (double)x[b->right[i]];
        y[i / count].value += term;
        y[i / count].size += fabs(term);
    }
}

static void add_rank(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    int64_t rank = b->format->rank;
    for (int64_t r = 0; r < rank; ++r) {
        struct reference_sum inner = {0, 0};
        for (int64_t k = 0; k < b->cols; ++k) {
            double term = (double)qbc_half_to_float(b->right[r * b->cols + k]) * (double)x[k];
            inner.value += term;
            inner.size += fabs(term);
        }
        for (int64_t n = 0; n < b->rows; ++n) {
            double a = (double)qbc_half_to_float(b->left[n * rank + r]);
            y[n].value += a * inner.value;
            y[n].size += fabs(a) * inner.size;
        }
    }
}

/* y[n] += x times row n of b */
static void multiply(const struct qbc_blocks *b, const float *x, struct reference_sum *y)
{
    const struct qbc_format *f = b->format;
    if (b->rows < 1 || b->cols < 1)
        return;
    if (!qbc_is_composite(f)) {
        dot_rows(b, x, y);
    } else if (f->codebook == QBC_CODE_SPLIT && !f->by_rows) {
        multiply_columns(b, x, y);
    } else if (f->codebook == QBC_CODE_SCALED) {
        multiply_scaled(b, x, y);
    } else {
        int64_t first = 0;
        for (int i = 0; i < f->n_parts; first += f->by_rows ? b->parts[i].rows : 0, ++i)
            multiply(&b->parts[i], x, y + first);
    }
    if (f->codebook == QBC_CODE_SPARSE)
        add_sparse(b, x, y);
    else if (f->codebook == QBC_CODE_LOWRANK)
        add_rank(b, x, y);
}

/* --- the graph */

static void fit(struct qbc_blocks *b, uint64_t *seed)
{
    int64_t n = b->rows * b->cols;
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; ++i)
        w[i] = 0.1f * check_normal(seed) * (i % b->cols % 7 ? 1 : 4);
    qbc_format_prepare(b, b->rows, w, NULL);
    CHECK(qbc_format_fit(QBC_FIT_RTN, b, 0, b->rows, w) < 0, "%s is not fitted", b->format->name);
    free(w);
}

static void fill(float *values, int64_t n, uint64_t *seed)
{
    for (int64_t i = 0; i < n; ++i)
        values[i] = check_normal(seed);
}

/* %NAME = x w^T + r: the sum may be taken into the last of the products, or stay beside them. */
static void add_product(struct lab *lab, const char *name, const char *x, const char *r, const struct qbc_format *f,
                        struct size s, uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", name), *product = qbc_text(lab->q, "p%s", name);
    fit(lab_matrix(lab, w, f, s.rows, s.cols), seed);
    lab_linear(lab, product, x, w, s.rows, s.cols);
    lab_binary(lab, "arith.addf", name, product, r, s.rows);
}

static const char *name_of(struct lab *lab, char kind, int format, int size)
{
    return qbc_text(lab->q, "%c%d_%d", kind, format, size);
}

static const char *x_of(struct lab *lab, int size)
{
    return qbc_text(lab->q, "x%d", size);
}

static const char *r_of(struct lab *lab, int size)
{
    return qbc_text(lab->q, "r%d", size);
}

static void add_format(struct lab *lab, int format, int size, uint64_t *seed)
{
    const struct qbc_format *f = qbc_find_format(lab->q, formats[format]);
    struct size s = sizes[size];
    add_product(lab, name_of(lab, 'y', format, size), x_of(lab, size), r_of(lab, size), f, s, seed);
    const char *e = name_of(lab, 'e', format, size);
    fit(lab_table(lab, e, f, VOCABULARY, s.cols), seed);
    lab_binary(lab, "arith.addf", qbc_text(lab->q, "s%s", e), e, x_of(lab, size), s.cols);
}

/* All in one module, so that LLVM starts once. The logits are a product whose rows end exactly. */
static void build(struct lab *lab, uint64_t *seed)
{
    for (int i = 0; i < N_SIZES; ++i) {
        fill(lab_input(lab, x_of(lab, i), VOCABULARY, sizes[i].cols), VOCABULARY * sizes[i].cols, seed);
        fill(lab_input(lab, r_of(lab, i), VOCABULARY, sizes[i].rows), VOCABULARY * sizes[i].rows, seed);
        for (int f = 0; f < N_FORMATS; ++f)
            if (is_tried(lab, f, i))
                add_format(lab, f, i, seed);
    }
    fit(lab_matrix(lab, "wlast", qbc_find_format(lab->q, formats[LAST]), sizes[0].rows, sizes[0].cols), seed);
    lab_tail(lab, "tail", x_of(lab, 0), sizes[0].cols);
    lab_linear(lab, "last", "tail", "wlast", sizes[0].rows, sizes[0].cols);
}

/* --- checking */

static void check_row(struct lab *lab, const struct qbc_blocks *w, const float *x, const float *r, const float *y, int token)
{
    struct reference_sum *want = calloc((size_t)w->rows, sizeof *want);
    int bad = 0;
    multiply(w, x, want);
    for (int64_t n = 0; n < w->rows; ++n) {
        want[n].value += r ? (double)r[n] : 0;
        want[n].size += r ? fabs((double)r[n]) : 0;
        if (!reference_agrees(y[n], want[n], (double)w->cols + 16) && !bad++)
            CHECK(false, "%s %s %ldx%ld token %d row %ld: got %.9g, want %.9g, size %g", lab->q->target->name,
                  w->format->name, (long)w->rows, (long)w->cols, token, (long)n, (double)y[n], want[n].value, want[n].size);
    }
    free(want);
}

static const float *values_of(struct lab *lab, const char *input, int token, int64_t cols)
{
    return lab_values(lab, qbc_text(lab->q, "t%s", input)) + token * cols;
}

static void check_product(struct lab *lab, int format, int size, size_t run)
{
    const char *y = name_of(lab, 'y', format, size);
    const struct qbc_blocks *w = &lab_tensor(lab, qbc_text(lab->q, "w%s", y))->blocks;
    const char *kernel = w->format->by_rows ? "elementwise" : "linear";
    for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
        int token = lab->tokens[run][t];
        check_row(lab, w, values_of(lab, x_of(lab, size), token, w->cols), values_of(lab, r_of(lab, size), token, w->rows),
                  lab_row(lab, run, kernel, y, t), token);
    }
}

static void check_embedding(struct lab *lab, int format, int size, size_t run)
{
    const char *e = name_of(lab, 'e', format, size);
    const struct qbc_blocks *table = &lab_tensor(lab, qbc_text(lab->q, "t%s", e))->blocks;
    bool product = table->format->codebook == QBC_CODE_LOWRANK; /* which takes the sum into its epilogue */
    float *want = malloc((size_t)table->cols * sizeof *want);
    for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
        int token = lab->tokens[run][t], bad = 0;
        const float *got = lab_row(lab, run, product ? "linear" : "elementwise", qbc_text(lab->q, "s%s", e), t);
        const float *x = values_of(lab, x_of(lab, size), token, table->cols);
        qbc_format_decode_rows(table, token, 1, want);
        for (int64_t k = 0; k < table->cols; ++k)
            if (!(fabs((double)got[k] - (double)want[k] - (double)x[k]) < 4e-6) && !bad++)
                CHECK(false, "%s %s embedding, token %d column %ld: got %.9g, want %.9g", lab->q->target->name,
                      table->format->name, token, (long)k, (double)got[k], (double)want[k] + (double)x[k]);
    }
    free(want);
}

static void check_logits(struct lab *lab, size_t run)
{
    const struct qbc_blocks *w = &lab_tensor(lab, "wlast")->blocks;
    int64_t first = lab->runs[run].first_logit;
    for (int64_t t = first; t < lab->runs[run].n_tokens; ++t) {
        int token = lab->tokens[run][t];
        check_row(lab, w, values_of(lab, x_of(lab, 0), token, w->cols), NULL, lab_logits(lab, run) + (t - first) * w->rows,
                  token);
    }
}

static void check_run(struct lab *lab, size_t run)
{
    for (int i = 0; i < N_SIZES; ++i)
        for (int f = 0; f < N_FORMATS; ++f) {
            if (!is_tried(lab, f, i))
                continue;
            check_product(lab, f, i, run);
            check_embedding(lab, f, i, run);
        }
    check_logits(lab, run);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    struct lab lab;
    uint64_t seed = 5;
    lab_begin(&lab, q, machine);
    build(&lab, &seed);
    lab_run_counts(&lab, 3, (int[]){1, 5, CHUNK}, VOCABULARY);
    lab.runs[1].first_logit = 3;
    bool good = lab_build(&lab, "last", sizes[0].rows) && lab_execute(&lab);
    CHECK(good, "%s is not built or does not run", machine->target->name);
    for (size_t run = 0; run < lab.job.runs && good; ++run)
        check_run(&lab, run);
    lab_end(&lab);
}

/* kernel_composite_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
