/* kernel_walk_test: every format that has kernels x every machine x awkward sizes, against the meaning of the format.
 *
 * kernel_formats.h makes the formats from the grammar. Each size is code of its own, and compiling takes the time, so:
 *
 *                       examples                    the others
 *     this CPU          each N and each K, all M    one N x K, three M
 *     the rest of       one N x K and three M;      every other on one of these machines
 *     `most`            each on two of these
 *     other machines    a share                     a share
 *
 * QBC_TEST_ALL asks for all of M x N x K for all formats on all machines.
 *
 * Where f32 has nothing to round (kernel_blocks.h sees to it that there are such rows and tokens) the result must be the
 * same to the last bit, which a wrong code, zero point or table does not survive; elsewhere the bound of
 * kernel_reference.h holds. A row of the table of embeddings is what the decoder says, bit for bit.
 *
 * What no kernel can do yet is listed in `lacking`, which can only become shorter: a format without kernels must have
 * one of these traits, and none that has it may have kernels.
 */
#include "kernel_blocks.h"
#include "kernel_formats.h"
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"
#include "linear.h"

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, BATCH = 12, SIZES = 3, SHAPES = SIZES * SIZES, AT_ONCE = 2 };

static const int64_t depths[SIZES] = {256, 344, 1000}, widths[SIZES] = {1, 17, 509};
static const char *const most[] = {"native", "x86-64-v3",   "armv8",       "armv8.2+dotprod",
                                   "rv64gcv@128", "rv64gcv@256", "rv64gcv@1024"};
enum { N_MOST = sizeof most / sizeof *most };

/* --- what lacks kernels */

enum trait {
    BRAIN_FLOATS, TABLES, SELECTORS, LEARNED, PLANES, VECTORS, COMPUTED, SUMS, SPLITS, SCALED, SPARSE, LOW_RANK,
    DIGITS, GROUPS_OF_ROWS, ODD_GROUPS, MINIMA, SCALES_BF16, SCALES_F32, SCALES_E8M0, SCALES_E4M3, SCALE_CODES,
    OUTER_SCALES, FLOORS,
};

static const struct {
    enum trait trait;
    const char *name;
} lacking[] = {
    {BRAIN_FLOATS, "bf16"},
};
enum { N_LACKING = sizeof lacking / sizeof *lacking };

static bool has_trait(const struct qbc_format *f, enum trait trait)
{
    switch (trait) {
    case BRAIN_FLOATS:
        return f->brain;
    case TABLES:
        return f->codebook == QBC_CODE_TABLE && !f->selector_bits;
    case SELECTORS:
        return f->selector_bits > 0;
    case LEARNED: case PLANES: case VECTORS: case COMPUTED:
    case SUMS: case SPLITS: case SCALED: case SPARSE: case LOW_RANK:
        return (int)f->codebook - QBC_CODE_LEARNED == (int)trait - LEARNED;
    case DIGITS:
        return f->digits > 0;
    case GROUPS_OF_ROWS:
        return f->group_rows > 1;
    case ODD_GROUPS:
        return f->codebook != QBC_CODE_FLOAT && !qbc_is_composite(f) && f->group % 32 && f->group_rows < 2;
    case MINIMA:
        return f->offset == QBC_OFFSET_MIN;
    case SCALES_BF16: case SCALES_F32: case SCALES_E8M0: case SCALES_E4M3:
        return (int)f->scale - QBC_SCALE_BF16 == (int)trait - SCALES_BF16;
    case SCALE_CODES:
        return qbc_scale_is_code(f->scale);
    case OUTER_SCALES:
        return f->outer != QBC_SCALE_NONE;
    default:
        return f->floor;
    }
}

/* Also prints how many there are. */
static void check_lacking(const struct formats *all)
{
    size_t n = 0, with[N_LACKING] = {0}, of[N_LACKING] = {0};
    for (size_t i = 0; i < all->n; ++i) {
        const char *lacks = qbc_format_lacks_kernel(all->list[i]);
        bool known = !lacks;
        n += lacks != NULL;
        for (size_t t = 0; t < N_LACKING; ++t)
            if (has_trait(all->list[i], lacking[t].trait)) {
                ++of[t];
                with[t] += !lacks;
                known = true;
            }
        CHECK(known, "%s has no kernels (%s), which nothing in `lacking` tells", all->list[i]->name, lacks);
    }
    for (size_t t = 0; t < N_LACKING; ++t) {
        CHECK(of[t], "no format has %s: the walk does not go there", lacking[t].name);
        CHECK(!with[t], "formats with %s have kernels now: strike it off `lacking`", lacking[t].name);
    }
    printf("%zu formats, %zu of them examples: %zu walked, %zu without kernels yet\n", all->n, all->examples,
           all->n - n, n);
}

/* --- tokens */

enum { ZERO, TINY, SUBNORMAL, NOT_A_NUMBER, INFINITE, HIGHEST, LOWEST, ALTERNATING, WHOLE, FEW = 20, ANY = 32 };

static float special(int row, int64_t column, uint64_t *seed)
{
    switch (row) {
    case ZERO:
        return column % 5 ? 0 : -0.0f;
    case TINY:
        return ldexpf(column % 2 ? 1 : -1, -101);
    case SUBNORMAL:
        return ldexpf((float)(column % 100), -140);
    case NOT_A_NUMBER:
        return column == 17 ? NAN : check_normal(seed);
    case INFINITE:
        return column == 20 ? -INFINITY : 1;
    default:
        return row == HIGHEST || (row == ALTERNATING && column % 2) ? 1 : -1;
    }
}

/* Whole numbers times a power of two; the largest of each run is 127, so that they are their own codes. Rows WHOLE ..
 * FEW - 1 have any of them, the next ones small ones, whose sums stay small too. */
static float whole(int row, int64_t column, int64_t columns, uint64_t *seed)
{
    int code = blocks_below(seed, row < FEW ? 128 : 2);
    bool largest = column % REFERENCE_RUN == row % 16 || column == columns - 1;
    code = largest ? 127 : code;
    return ldexpf((float)(column % 3 ? code : -code), row % 3 - 2);
}

static void fill_tokens(float *x, int64_t columns, uint64_t *seed)
{
    for (int row = 0; row < VOCABULARY; ++row)
        for (int64_t c = 0; c < columns; ++c) {
            float any = ldexpf(check_normal(seed), (int)(c / 50) % 9 - 4);
            x[row * columns + c] = row < WHOLE ? special(row, c, seed)
                                   : row < ANY ? whole(row, c, columns, seed)
                                               : any;
        }
}

/* --- one module for several formats */

struct batch {
    const struct qbc_format *format[BATCH];
    int number[BATCH]; /* among all formats */
    int n, shapes;     /* each has so many: all, SIZES or 1 */
};

struct walk {
    struct lab lab;
    const struct batch *batch;
    int rank; /* of the machine */
    struct reference_input input[SIZES][2][VOCABULARY]; /* of depths: floats, codes */
    long exact[BATCH], all[BATCH];                      /* results that were compared */
};

/* Shapes are numbered, depth within width: does format i have this one? From machine to machine it has them all. */
static bool has_shape(const struct walk *w, int i, int shape)
{
    int turn = w->batch->number[i] + w->rank, width = shape / SIZES, depth = shape % SIZES;
    if (w->batch->shapes == SHAPES)
        return true;
    return (width + turn + w->rank / SIZES) % SIZES == depth && (w->batch->shapes > 1 || width == turn % SIZES);
}

static const char *name_of(struct walk *w, const char *what, int i, int shape)
{
    return qbc_text(w->lab.q, "%s%d_%d", what, i, shape);
}

static const char *input_of(struct walk *w, int shape)
{
    return qbc_text(w->lab.q, "x%ld", (long)depths[shape % SIZES]);
}

static const struct qbc_blocks *blocks_of(const struct walk *w, const char *name)
{
    return &lab_tensor(&w->lab, name)->blocks;
}

/* With all shapes, those of a diagonal; else one of each format. */
static bool has_embed(const struct walk *w, int i, int shape)
{
    if (w->batch->shapes == SHAPES)
        return shape % SIZES == shape / SIZES;
    return w->batch->shapes == 1 || shape / SIZES == (w->batch->number[i] + w->rank) % SIZES;
}

/* The rows of a table, which are the product's weights where these are enough. */
static void add_embed(struct walk *w, int i, int shape, const char *weight, uint64_t *seed)
{
    const struct qbc_format *f = w->batch->format[i];
    int64_t n = widths[shape / SIZES], k = depths[shape % SIZES];
    if (n < VOCABULARY) {
        n = VOCABULARY;
        weight = name_of(w, "t", i, shape);
        blocks_fill(lab_matrix(&w->lab, weight, f, n, k), shape, seed);
    }
    lab_embed(&w->lab, name_of(w, "e", i, shape), weight, n, k);
}

static void add_product(struct walk *w, int i, int shape, uint64_t *seed)
{
    int64_t n = widths[shape / SIZES], k = depths[shape % SIZES];
    const char *weight = name_of(w, "w", i, shape);
    blocks_fill(lab_matrix(&w->lab, weight, w->batch->format[i], n, k), i + shape, seed);
    lab_linear(&w->lab, name_of(w, "y", i, shape), input_of(w, shape), weight, n, k);
    if (has_embed(w, i, shape))
        add_embed(w, i, shape, weight, seed);
}

/* M: all, or one token and two others. */
static void add_runs(struct walk *w)
{
    static const int some[][4] = {{1, 2, 33}, {1, 5, 8}}, all[] = {1, 1, 2, 5, 8, 33, 0};
    const int *counts = w->batch->shapes > 1 ? all : some[w->rank % 2];
    int next = w->batch->shapes > 1 ? 0 : w->rank * 5;
    for (int i = 0; counts[i]; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < counts[i]; ++t)
            tokens[t] = (int32_t)(next++ * 11 % VOCABULARY);
        lab_run(&w->lab, i == 0, counts[i], tokens, 0, 0);
    }
}

static void add_inputs(struct walk *w, uint64_t *seed)
{
    for (int i = 0; i < SIZES; ++i) {
        float *x = lab_input(&w->lab, input_of(w, i), VOCABULARY, depths[i]);
        fill_tokens(x, depths[i], seed);
        for (int token = 0; token < VOCABULARY; ++token)
            for (int quantized = 0; quantized < 2; ++quantized)
                w->input[i][quantized][token] = reference_input(x + token * depths[i], depths[i], quantized);
    }
}

static bool build(struct walk *w, uint64_t *seed)
{
    add_inputs(w, seed);
    for (int i = 0; i < w->batch->n; ++i)
        for (int shape = 0; shape < SHAPES; ++shape)
            if (has_shape(w, i, shape))
                add_product(w, i, shape, seed);
    add_runs(w);
    lab_tail(&w->lab, "tail", input_of(w, 1), depths[1]); /* what the host sees must end exactly */
    blocks_fill(lab_matrix(&w->lab, "w", w->batch->format[0], widths[2], depths[1]), 0, seed);
    lab_linear(&w->lab, "y", "tail", "w", widths[2], depths[1]);
    return lab_build(&w->lab, "y", widths[2]) && lab_execute(&w->lab);
}

/* --- checking */

struct product {
    const struct qbc_blocks *b;
    const char *name;
    double roundings;
    int format, depth; /* numbers */
    bool is_result;
};

static const float *results(struct walk *w, const struct product *p, size_t run, int64_t token)
{
    if (p->is_result)
        return lab_logits(&w->lab, run) + token * p->b->rows;
    return lab_row(&w->lab, run, "linear", p->name, token);
}

static void check_row(struct walk *w, const struct product *p, int64_t row)
{
    const struct qbc_format *f = p->b->format;
    struct reference_weights weights = reference_weights(p->b, row);
    int bad = 0;
    for (size_t run = 0; run < w->lab.job.runs; ++run)
        for (int64_t t = 0; t < w->lab.runs[run].n_tokens; ++t) {
            int token = w->lab.tokens[run][t];
            const struct reference_input *x = &w->input[p->depth][f->codebook != QBC_CODE_FLOAT][token];
            struct reference_sum want = reference_product(&weights, x);
            float got = results(w, p, run, t)[row];
            w->exact[p->format] += want.exact && want.value != 0;
            ++w->all[p->format];
            if (!reference_agrees(got, want, p->roundings) && !bad++)
                CHECK(false, "%s %s %ldx%ld row %ld, token %d of %ld: got %.9g, want %.9g%s, size %g",
                      w->lab.q->target->name, f->name, (long)p->b->rows, (long)p->b->cols, (long)row, token,
                      (long)w->lab.runs[run].n_tokens, (double)got, want.value, want.exact ? " to the last bit" : "",
                      want.size);
        }
    reference_weights_free(&weights);
}

static void check_product(struct walk *w, int format, int depth, const char *name, const char *weight, bool is_result)
{
    const struct qbc_format *f = w->batch->format[format];
    bool by_columns = f->codebook == QBC_CODE_FLOAT || qbc_strategy_for(w->lab.q->target, f) != QBC_STRATEGY_INTEGERS;
    struct product p = {
        .b = blocks_of(w, weight),
        .name = name,
        .roundings = reference_roundings(f, depths[depth], by_columns),
        .format = format,
        .depth = depth,
        .is_result = is_result,
    };
    for (int64_t row = 0; row < p.b->rows; ++row)
        check_row(w, &p, row);
}

static void check_embed(struct walk *w, int format, int shape)
{
    const char *name = name_of(w, "e", format, shape);
    bool is_tied = widths[shape / SIZES] >= VOCABULARY;
    const struct qbc_blocks *b = blocks_of(w, name_of(w, is_tied ? "w" : "t", format, shape));
    float *want = malloc((size_t)b->cols * sizeof *want);
    int bad = 0;
    for (size_t run = 0; run < w->lab.job.runs; ++run)
        for (int64_t t = 0; t < w->lab.runs[run].n_tokens; ++t) {
            int row = w->lab.tokens[run][t];
            qbc_format_decode_rows(b, row, 1, want);
            bool same = !memcmp(lab_row(&w->lab, run, "embed", name, t), want, (size_t)b->cols * sizeof *want);
            if (!same && !bad++)
                CHECK(false, "%s: embed of %s differs from the decoder in row %d", w->lab.q->target->name,
                      b->format->name, row);
        }
    free(want);
}

static void check_shape(struct walk *w, int i, int shape)
{
    check_product(w, i, shape % SIZES, name_of(w, "y", i, shape), name_of(w, "w", i, shape), false);
    if (has_embed(w, i, shape))
        check_embed(w, i, shape);
}

static void check_all(struct walk *w)
{
    for (int i = 0; i < w->batch->n; ++i)
        for (int shape = 0; shape < SHAPES; ++shape)
            if (has_shape(w, i, shape))
                check_shape(w, i, shape);
    check_product(w, 0, 1, "y", "w", true);
    for (int i = 0; i < w->batch->n && w->batch->shapes > 1; ++i)
        CHECK(w->exact[i] || w->batch->format[i]->floor, "%s %s: f32 rounds all %ld results", w->lab.q->target->name,
              w->batch->format[i]->name, w->all[i]);
}

static void walk_batch(struct qbc *q, const struct lab_machine *machine, int rank, const struct batch *batch)
{
    struct walk *w = calloc(1, sizeof *w);
    uint64_t seed = 7 + (uint64_t)rank;
    lab_begin(&w->lab, q, machine);
    w->batch = batch;
    w->rank = rank;
    bool good = build(w, &seed);
    CHECK(good, "%s: %s .. %s are not built or do not run", machine->target->name, batch->format[0]->name,
          batch->format[batch->n - 1]->name);
    if (good)
        check_all(w);
    for (int i = 0; i < SIZES * 2 * VOCABULARY; ++i)
        reference_input_free(&w->input[i / 2 / VOCABULARY][i / VOCABULARY % 2][i % VOCABULARY]);
    lab_end(&w->lab);
    free(w);
}

/* --- machines: which formats each takes */

struct share {
    int rank;             /* of the machine */
    int examples, others; /* every so manieth of them, */
    int shapes, other_shapes;
    const char *only; /* this one; NULL: all */
};

static struct share share_of(int rank, int machines)
{
    int rest = machines - N_MOST;
    if (getenv("QBC_TEST_ALL"))
        return (struct share){rank, 1, 1, SHAPES, SHAPES, NULL};
    if (rank == 0)
        return (struct share){rank, 1, 1, SIZES, 1, NULL};
    if (rank < N_MOST)
        return (struct share){rank, 3, 2 * (N_MOST - 1), 1, 1, NULL};
    return (struct share){rank, rest, 2 * rest, 1, 1, NULL};
}

static bool is_mine(const struct share *s, const struct formats *all, size_t i)
{
    if (s->only && strcmp(s->only, all->list[i]->name))
        return false;
    int every = i < all->examples ? s->examples : s->others;
    bool is_leaf = all->list[i]->codebook < QBC_CODE_SUM; /* composites are taken apart before kernels: composite_test */
    return is_leaf && !qbc_format_lacks_kernel(all->list[i]) && (int)i % every == s->rank % every;
}

/* Formats from .. to - 1, which have as many shapes. */
static int walk_some(struct qbc *q, const struct lab_machine *machine, const struct share *share,
                     const struct formats *all, size_t from, size_t to)
{
    struct batch batch = {.shapes = from < all->examples ? share->shapes : share->other_shapes};
    int walked = 0;
    for (size_t i = from; i < to; ++i) {
        if (is_mine(share, all, i)) {
            batch.number[batch.n] = (int)i;
            batch.format[batch.n++] = all->list[i];
            ++walked;
        }
        if (batch.n == BATCH || (batch.n && i + 1 == to)) {
            walk_batch(q, machine, share->rank, &batch);
            batch.n = 0;
        }
    }
    return walked;
}

static void walk_machine(struct qbc *q, const struct lab_machine *machine, const struct share *share)
{
    struct formats all;
    formats_make(q, &all);
    int examples = walk_some(q, machine, share, &all, 0, all.examples);
    int others = walk_some(q, machine, share, &all, all.examples, all.n);
    printf("%s: %d examples, %d other formats\n", machine->target->name, examples, others);
}

/* --- a process for each machine, so that all cores have something to do */

static const char *names[LAB_MOST_MACHINES + N_MOST];

static bool is_named(int n, const char *name)
{
    for (int i = 0; i < n; ++i)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* Those of `most` first, where they are. */
static int find_names(struct qbc *q)
{
    struct lab_machine machines[LAB_MOST_MACHINES];
    size_t n_machines = lab_machines(q, NULL, machines);
    int n = 0;
    for (; n < N_MOST; ++n)
        names[n] = n ? most[n] : lab_native_name();
    for (size_t i = 0; i < n_machines; ++i) {
        const char *name = machines[i].target->name;
        name = qbc_copy(q, name, strcspn(name, "("));
        if (!is_named(n, name))
            names[n++] = name;
    }
    return n;
}

/* kernel_walk_test of one machine, as its number `rank` of `machines`. */
static pid_t start(int rank, int machines)
{
    char number[16], of[16];
    snprintf(number, sizeof number, "%d", rank);
    snprintf(of, sizeof of, "%d", machines);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "kernel_walk_test", names[rank], number, of, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void walk_machines(int n)
{
    for (int next = 0, running = 0; next < n || running;) {
        int status = 0;
        if (next < n && running < AT_ONCE) {
            running += start(next++, n) > 0;
            continue;
        }
        CHECK(wait(&status) > 0 && status == 0, "a machine fails");
        --running;
    }
}

static void walk_one(struct qbc *q, const char *name, struct share share)
{
    struct lab_machine machines[LAB_MOST_MACHINES];
    size_t n = lab_machines(q, name, machines);
    for (size_t i = 0; i < n; ++i)
        walk_machine(q, &machines[i], &share);
    CHECK(n, "no machine '%s'", name);
}

/* kernel_walk_test [TARGET [FORMAT]] */
int main(int argc, char **argv)
{
    struct qbc q = {.options = {.context = CONTEXT, .chunk = CHUNK, .diagnose = qbc_print_diagnostic}};
    struct formats all;
    if (!qbc_open(&q))
        return 1;
    if (argc > 1) {
        struct share alone = {0, 1, 1, SIZES, SIZES, argc == 3 ? argv[2] : NULL};
        walk_one(&q, argv[1], argc == 4 ? share_of(atoi(argv[2]), atoi(argv[3])) : alone);
    } else {
        formats_make(&q, &all);
        check_lacking(&all);
        walk_machines(find_names(&q));
    }
    CHECK(!q.errors, "%zu errors", q.errors);
    qbc_close(&q);
    return check_failures() != 0;
}
