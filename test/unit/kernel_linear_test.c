/* kernel_linear_test: products, for every format and machine, against the meaning of the format.
 *
 * A module for each format has all sizes, so that LLVM starts once. Rows of the tables alternate between
 * scales that are powers of two and any scales, and between random codes and the extremes; some tokens are
 * whole numbers that quantize without error. Where both meet, f32 has nothing to round and the result
 * must be the same to the last bit.
 */
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, LAST_K = 172, LAST_N = 509 };

static const int64_t depths[] = {32, 172, 256, 344, 1000}, widths[] = {1, 17, 64, 509};
enum { N_DEPTHS = sizeof depths / sizeof *depths, N_WIDTHS = sizeof widths / sizeof *widths };

/* --- inputs */

static float power(int exponent)
{
    return ldexpf(1, exponent);
}

/* Weights: row r has scales that are powers of two if r is even; codes all high, all low, or random. */
static void fill_codes(struct qbc_blocks *b, uint64_t *seed)
{
    const struct qbc_format *f = b->format;
    for (int64_t row = 0; row < b->rows; ++row) {
        for (int64_t i = row * b->groups * f->group; i < (row + 1) * b->groups * f->group; ++i) {
            int code = f->low + (int)(check_random(seed) >> 32) % (f->high - f->low + 1);
            code = code < f->low ? code + f->high - f->low + 1 : code;
            b->codes[i] = (uint8_t)(row % 7 == 1 ? f->high : row % 7 == 2 ? f->low : code);
        }
        for (int64_t i = row * b->groups; i < (row + 1) * b->groups; ++i) {
            uint64_t bits = check_random(seed);
            float scale = row % 2 ? 0.01f * check_normal(seed) : power((int)(bits % 3) - 4) * (bits & 8 ? -1 : 1);
            b->scales[i] = qbc_float_to_half(bits % 61 == 7 ? 0 : bits % 61 == 8 ? 0x1p-24f : scale);
            if (row % 2 == 0)
                b->scales[i] = qbc_float_to_half(scale);
            if (f->offset == QBC_OFFSET_ZERO)
                b->zeros[i] = (uint8_t)(f->low + (int)(bits >> 40) % (f->high - f->low + 1));
        }
    }
}

static void fill_values(struct qbc_blocks *b, uint64_t *seed)
{
    for (int64_t i = 0; i < b->rows * b->cols; ++i) {
        float any = 0.1f * check_normal(seed), whole = (float)(int)(check_random(seed) >> 56) / 128 - 1;
        float value = i / b->cols % 2 ? any : whole;
        if (b->format->bits == 16)
            ((uint16_t *)b->values)[i] = qbc_float_to_half(value);
        else
            ((float *)b->values)[i] = value;
    }
}

static void fill(struct qbc_blocks *b, uint64_t *seed)
{
    if (b->format->codebook == QBC_CODE_FLOAT)
        fill_values(b, seed);
    else
        fill_codes(b, seed);
}

enum { ZERO, TINY, SUBNORMAL, NOT_A_NUMBER, INFINITE, HIGHEST, LOWEST, ALTERNATING, WHOLE, ANY = 24 };

static float special(int row, int64_t column, uint64_t *seed)
{
    switch (row) {
    case ZERO:
        return column % 5 ? 0 : -0.0f;
    case TINY:
        return power(-101) * (column % 2 ? 1 : -1);
    case SUBNORMAL:
        return power(-140) * (float)(column % 100);
    case NOT_A_NUMBER:
        return column == 17 ? NAN : check_normal(seed);
    case INFINITE:
        return column == 20 ? -INFINITY : 1;
    default:
        return row == HIGHEST || (row == ALTERNATING && column % 2) ? 1 : -1;
    }
}

/* Row WHOLE .. ANY - 1: whole numbers times a power of two, the largest of each run 127. */
static float whole(int row, int64_t column, uint64_t *seed)
{
    int code = (int)(check_random(seed) >> 32) % 128;
    code = column % REFERENCE_RUN == row % 16 ? 127 : code;
    return (float)(column % 3 ? code : -code) * power(row % 3 - 2);
}

/* The last run may lack the column with 127, and then it does round: give it one. */
static void fill_tokens(float *x, int64_t columns, uint64_t *seed)
{
    for (int row = 0; row < VOCABULARY; ++row)
        for (int64_t c = 0; c < columns; ++c) {
            float any = check_normal(seed) * power((int)(c / 50) % 9 - 4);
            x[row * columns + c] = row < WHOLE ? special(row, c, seed)
                                   : row < ANY ? whole(row, c, seed)
                                               : any;
        }
    for (int row = WHOLE; row < ANY; ++row)
        x[(row + 1) * columns - 1] = 127 * power(row % 3 - 2);
}

/* %NAME = %INPUT times a new weight wNAME. */
static void add_linear(struct lab *lab, const char *name, const char *input, const struct qbc_format *f,
                       int64_t n, int64_t k, uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", name);
    fill(lab_matrix(lab, w, f, n, k), seed);
    lab_linear(lab, name, input, w, n, k);
}

static void add_runs(struct lab *lab)
{
    static const int counts[] = {1, 2, 3, 5, 8, 9, 33, 1};
    int next = 0;
    for (int i = 0; i < 8; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < counts[i]; ++t)
            tokens[t] = (int32_t)(next++ % VOCABULARY);
        lab_run(lab, i == 0, counts[i], tokens, 0, i == 6 ? 29 : i == 3 ? 2 : 0);
    }
}

/* Products of products of the same height, with no quantize between them: every thread reads what all of them
 * wrote. */
static int chain_length(const struct qbc_format *f)
{
    return f->codebook == QBC_CODE_FLOAT ? 3 : 0;
}

static void add_chain(struct lab *lab, const struct qbc_format *f, uint64_t *seed)
{
    const char *from = "x256";
    for (int i = 0; i < chain_length(f); ++i) {
        const char *name = qbc_text(lab->q, "chain%d", i);
        add_linear(lab, name, from, f, 256, 256, seed);
        from = name;
    }
}

/* --- checking */

struct product {
    const struct qbc_blocks *w;
    const char *name;
};

static bool is_code(const struct product *p)
{
    return p->w->format->codebook != QBC_CODE_FLOAT;
}

/* How often a term is rounded at most on its way into the sum. */
static double roundings(const struct product *p)
{
    double runs = (double)((p->w->cols + REFERENCE_RUN - 1) / REFERENCE_RUN);
    return is_code(p) ? runs + 4 : (double)p->w->cols + 2;
}

static void check_row(const struct lab *lab, const struct product *p, const float *x, int token, const float *y)
{
    struct reference_row codes = reference_row(x, p->w->cols);
    bool is_whole = token == ZERO || (token >= HIGHEST && token < ANY);
    int bad = 0;
    for (int64_t n = 0; n < p->w->rows; ++n) {
        struct reference_sum want =
            is_code(p) ? reference_dot(p->w, n, &codes) : reference_float_dot(p->w, n, x);
        bool multiples = is_whole && n % 2 == 0 && (token >= WHOLE || !is_code(p));
        if (!reference_agrees(y[n], want, multiples, roundings(p)) && !bad++)
            CHECK(false, "%s %s %s %ldx%ld token %d row %ld: got %.9g, want %.9g, size %g", lab->q->target->name,
                  p->w->format->name, p->name, (long)p->w->rows, (long)p->w->cols, token, (long)n, (double)y[n],
                  want.value, want.size);
    }
    reference_row_free(&codes);
}

static const float *token_row(struct lab *lab, int64_t columns, int token)
{
    return lab_values(lab, qbc_text(lab->q, "tx%ld", (long)columns)) + token * columns;
}

static void check_product(struct lab *lab, const char *name, bool is_result)
{
    struct product p = {&lab_tensor(lab, qbc_text(lab->q, "w%s", name))->blocks, name};
    for (size_t run = 0; run < lab->job.runs; ++run) {
        int64_t first = is_result ? lab->runs[run].first_logit : 0;
        for (int64_t t = first; t < lab->runs[run].n_tokens; ++t) {
            const float *y = is_result ? lab_logits(lab, run) + (t - first) * p.w->rows
                                       : lab_row(lab, run, "linear", name, t);
            int token = lab->tokens[run][t];
            check_row(lab, &p, token_row(lab, p.w->cols, token), token, y);
        }
    }
}

static void check_chain(struct lab *lab, const struct qbc_format *f)
{
    for (int i = 1; i < chain_length(f); ++i) {
        struct product p = {&lab_tensor(lab, qbc_text(lab->q, "wchain%d", i))->blocks, "chain"};
        for (size_t run = 0; run < lab->job.runs; ++run)
            for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
                check_row(lab, &p, lab_row(lab, run, "linear", qbc_text(lab->q, "chain%d", i - 1), t), ANY,
                          lab_row(lab, run, "linear", qbc_text(lab->q, "chain%d", i), t));
    }
}

static const char *name_of(struct lab *lab, int64_t n, int64_t k)
{
    return qbc_text(lab->q, "y%ldx%ld", (long)n, (long)k);
}

/* Every third pair of sizes, so that each size is there; QBC_TEST_ALL asks for all. */
static bool is_tried(int depth, int width)
{
    return getenv("QBC_TEST_ALL") || (depth + width) % 3 == 0;
}

static void all_sizes(struct qbc *q, const struct lab_machine *machine, const struct qbc_format *f)
{
    struct lab lab;
    uint64_t seed = 7;
    lab_begin(&lab, q, machine);
    for (int i = 0; i < N_DEPTHS; ++i) {
        const char *x = qbc_text(q, "x%ld", (long)depths[i]);
        fill_tokens(lab_input(&lab, x, VOCABULARY, depths[i]), depths[i], &seed);
        for (int j = 0; j < N_WIDTHS; ++j)
            if (is_tried(i, j))
                add_linear(&lab, name_of(&lab, widths[j], depths[i]), x, f, widths[j], depths[i], &seed);
    }
    add_chain(&lab, f, &seed);
    lab_tail(&lab, "tail", qbc_text(q, "x%d", LAST_K), LAST_K);
    add_linear(&lab, "last", "tail", f, LAST_N, LAST_K, &seed);
    add_runs(&lab);
    bool good = lab_build(&lab, "last", LAST_N) && lab_execute(&lab);
    CHECK(good, "%s %s is not built or does not run", machine->target->name, f->name);
    for (int i = 0; i < N_DEPTHS && good; ++i)
        for (int j = 0; j < N_WIDTHS; ++j)
            if (is_tried(i, j))
                check_product(&lab, name_of(&lab, widths[j], depths[i]), false);
    if (good) {
        check_chain(&lab, f);
        check_product(&lab, "last", true);
    }
    lab_end(&lab);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    for (size_t f = 0; lab_format(q, f); ++f)
        all_sizes(q, machine, lab_format(q, f));
}

/* kernel_linear_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
