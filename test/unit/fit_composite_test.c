/* Composites from a source to packed pieces: the whole is fitted once, and each piece is what the reference has there, whatever
 * the number of threads; pieces put together mean what the whole means; faults name the tensor.
 */
#include "check.h"
#include "fit_composite.h"
#include "half.h"
#include "parts.h"
#include "said.h"

#include <math.h>
#include <mlir-c/Diagnostics.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2100, COLS = 1064 }; /* three slabs, tails everywhere */

static const struct {
    const char *format, *paths[6];
} cases[] = {
    {"i4g32+i2g64", {"sum0", "sum1"}},
    {"i4g32@25%p|i3g64", {"order", "columns0", "inverse", "columns1"}},
    {"(i4g32@25%|i3g32)+sparse0.5%", {"values", "dense/columns1", "indices", "dense/columns0"}},
    {"i4g32*uv", {"scaled", "u", "v"}},
    {"i3g64+lr2", {"a", "b", "b_transposed", "rest"}},
    {"i4g32@25%r|i3g64+lr2", {"rows0", "rows1/rest", "rows1/a"}},
};

struct sink {
    uint8_t *bytes;
    int64_t size;
};

static void put(void *user, size_t which, int64_t offset, const void *bytes, size_t n)
{
    struct sink *s = (struct sink *)user + which;
    if (offset >= 0 && offset + (int64_t)n <= s->size)
        memcpy(s->bytes + offset, bytes, n);
    else
        abort();
}

/* The piece as qb.weight; the source is stored transposed. */
static MlirModule module_of(struct qbc *q, const char *format, const char *path)
{
    return mlirModuleCreateParse(
        q->mlir, qbc_str(qbc_text(q,
                                  "module { %%w = \"qb.weight\"() {name = \"0.up/%s\", source = \"t\", offset = 0 : i64, strides = "
                                  "array<i64: 1, %d>, whole = \"0.up\", composite = \"%s\", part = \"%s\", shape = array<i64: "
                                  "%d, %d>} : () -> tensor<1xf32> }",
                                  path, ROWS, format, path, ROWS, COLS)));
}

static MlirOperation weight_of(struct qbc *q, MlirModule module)
{
    struct qbc_ops ops = qbc_collect(q, mlirModuleGetOperation(module), "qb.weight");
    CHECK(ops.n == 1, "%zu weights", ops.n);
    return ops.op[0];
}

/* All of w fitted at once, as if it were one slab: rows do not depend on each other in what these formats have. */
static void fit_reference(struct qbc_blocks *b, const struct qbc_format *f, const float *w)
{
    CHECK(qbc_blocks_create(b, f, ROWS, COLS), "memory");
    qbc_format_prepare(b, ROWS, w, NULL);
    CHECK(qbc_format_fit(QBC_FIT_RTN, b, 0, ROWS, w) == -1, "a good weight is refused");
}

static void check_piece(struct qbc *q, const struct qbc_fitted *fitted, MlirOperation weight, const char *path,
                        const struct qbc_blocks *whole)
{
    enum { WAYS = 2 };
    const struct qbc_packing ways[WAYS] = {{16, 1, false}, {48, 1, false}};
    struct sink sinks[WAYS];
    struct qbc_piece piece;
    CHECK(qbc_piece_open(whole, path, &piece), "there is no %s", path);
    for (int i = 0; i < WAYS; ++i) {
        sinks[i].size = qbc_layout(piece.blocks.format, ways[i], piece.blocks.rows, piece.blocks.cols).bytes;
        sinks[i].bytes = malloc((size_t)sinks[i].size);
        memset(sinks[i].bytes, 0x5a, (size_t)sinks[i].size);
    }
    CHECK(qbc_composite_pack(q, fitted, weight, ways, WAYS, put, sinks), "%s fails", path);
    for (int i = 0; i < WAYS; ++i) {
        uint8_t *want = malloc((size_t)sinks[i].size);
        qbc_pack(&piece.blocks, ways[i], 0, piece.blocks.rows, want);
        CHECK(!memcmp(sinks[i].bytes, want, (size_t)sinks[i].size), "%s %s, %d threads: other bytes in panels of %d",
              whole->format->name, path, q->options.threads, ways[i].rows);
        free(want);
        free(sinks[i].bytes);
    }
    qbc_piece_close(&piece);
}

/* Fitted anew where another group begins: of formats that are split by rows each part is a tensor of its own. */
static void check_case(struct qbc *q, size_t i, const float *w)
{
    struct qbc_blocks whole;
    struct qbc_fitted fitted = {.blocks.rows = 0};
    const char *group = "";
    fit_reference(&whole, qbc_find_format(q, cases[i].format), w);
    for (const char *const *path = cases[i].paths; *path; ++path) {
        MlirModule module = module_of(q, cases[i].format, *path);
        MlirOperation weight = weight_of(q, module);
        if (strcmp(group, qbc_piece_group(q, weight))) {
            qbc_fitted_destroy(&fitted);
            CHECK(qbc_composite_fit(q, weight, &fitted), "%s %s fails", cases[i].format, *path);
        }
        group = qbc_piece_group(q, weight);
        check_piece(q, &fitted, weight, *path, &whole);
        mlirModuleDestroy(module);
    }
    qbc_fitted_destroy(&fitted);
    qbc_blocks_destroy(&whole);
}

static void check_groups(struct qbc *q)
{
    MlirModule a = module_of(q, "i4g32@25%r|i3g64+lr2", "rows1/rest"), b = module_of(q, "i4g32@25%r|i3g64+lr2", "rows1/a");
    MlirModule c = module_of(q, "i4g32@25%r|i3g64+lr2", "rows0"), d = module_of(q, "i3g64+lr2", "a");
    const char *group = qbc_piece_group(q, weight_of(q, a));
    CHECK(!strcmp(group, qbc_piece_group(q, weight_of(q, b))), "pieces of one part are fitted together");
    CHECK(strcmp(group, qbc_piece_group(q, weight_of(q, c))), "parts that are rows are not");
    CHECK(!strcmp("0.up/", qbc_piece_group(q, weight_of(q, d))), "a whole has its name");
    mlirModuleDestroy(a), mlirModuleDestroy(b), mlirModuleDestroy(c), mlirModuleDestroy(d);
}

static char last_message[SAID_MOST];

static void refuses(struct qbc *q, const char *format, const char *path, float *stored, int64_t row, int64_t col,
                    const char *want)
{
    float kept = stored[col * ROWS + row];
    MlirModule module = module_of(q, format, path);
    struct qbc_fitted fitted;
    stored[col * ROWS + row] = NAN;
    CHECK(!qbc_composite_fit(q, weight_of(q, module), &fitted), "NaN is taken");
    CHECK(strstr(last_message, want), "'%s' does not say '%s'", last_message, want);
    mlirModuleDestroy(module);
    stored[col * ROWS + row] = kept;
}

static void faults(struct qbc *q, float *stored)
{
    MlirDiagnosticHandlerID id = mlirContextAttachDiagnosticHandler(q->mlir, said_keep, last_message, NULL);
    refuses(q, "i4g32+i2g64", "sum0", stored, 2099, 7, "weight '0.up' has NaN at row 2099, column 7;");
    refuses(q, "i4g32@25%p|i3g64", "order", stored, 5, 1063, "weight '0.up' has NaN at row 5, column 1063;");
    refuses(q, "i4g32@25%r|i3g64+lr2", "rows1/a", stored, 2000, 3, "weight '0.up' has NaN at row 2000, column 3;");
    mlirContextDetachDiagnosticHandler(q->mlir, id);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic, .fit = "rtn"}};
    if (!qbc_open(&q))
        return 1;
    float *w = malloc(sizeof *w * ROWS * COLS), *stored = malloc(sizeof *w * ROWS * COLS);
    uint64_t seed = 3;
    for (int64_t i = 0; i < (int64_t)ROWS * COLS; ++i)
        stored[i % COLS * ROWS + i / COLS] = w[i] = 0.1f * check_normal(&seed) * (i % COLS % 11 ? 1 : 3);
    qbc_store_add(&q, (struct qbc_source){.name = "t", .element = QBC_F32, .rank = 2, .dims = {COLS, ROWS}, .data = stored,
                                          .bytes = sizeof *w * ROWS * COLS});
    for (q.options.threads = 1; q.options.threads <= 3; q.options.threads += 2)
        for (size_t i = 0; i + (q.options.threads > 1) < sizeof cases / sizeof *cases; ++i)
            check_case(&q, i, w);
    check_groups(&q);
    CHECK(!q.errors, "%zu errors", q.errors);
    faults(&q, stored);
    free(w);
    free(stored);
    qbc_close(&q);
    return check_failures() != 0;
}
