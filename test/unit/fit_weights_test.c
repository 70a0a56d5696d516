/* Weights from a source to packed bytes: any strides and element types, any number of threads, and
 * the faults of a tensor. What is expected is fitted and packed in one piece. */
#include "check.h"
#include "fit_weights.h"
#include "half.h"
#include "said.h"

#include <math.h>
#include <mlir-c/BuiltinTypes.h>
#include <mlir-c/Diagnostics.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2100, COLS = 344 }; /* more than one slab in f32, tails everywhere */

struct sink {
    uint8_t *bytes;
    int64_t size;
};

/* `user` is an array of sinks, one for each way to pack. */
static void put(void *user, size_t which, int64_t offset, const void *bytes, size_t n)
{
    struct sink *s = (struct sink *)user + which;
    if (offset >= 0 && offset + (int64_t)n <= s->size)
        memcpy(s->bytes + offset, bytes, n);
    else
        abort();
}

/* A module with one weight: source "t", rows x cols, strides as given. */
static MlirModule module_of(struct qbc *q, const char *format, const char *element,
                            int64_t row_stride, int64_t col_stride)
{
    const char *text = qbc_text(q,
                                "module { %%w = \"qb.weight\"() {name = \"0.up\", source = \"t\", "
                                "offset = 0 : i64, strides = array<i64: %ld, %ld>%s} : () -> "
                                "tensor<%dx%dx%s> }",
                                (long)row_stride, (long)col_stride, format, ROWS, COLS, element);
    return mlirModuleCreateParse(q->mlir, qbc_str(text));
}

static MlirOperation weight_of(struct qbc *q, MlirModule module)
{
    struct qbc_ops ops = qbc_collect(q, mlirModuleGetOperation(module), "qb.weight");
    CHECK(ops.n == 1, "%zu weights", ops.n);
    return ops.op[0];
}

static uint8_t *expected(struct qbc *q, const char *format, enum qbc_fit how, struct qbc_packing p,
                         const float *w, int64_t *bytes)
{
    struct qbc_blocks b;
    const struct qbc_format *f = qbc_find_format(q, format);
    CHECK(qbc_blocks_create(&b, f, ROWS, COLS), "memory");
    CHECK(qbc_format_fit(how, &b, 0, ROWS, w) == -1, "a good weight is refused");
    *bytes = qbc_layout(f, p, ROWS, COLS).bytes;
    uint8_t *packed = malloc((size_t)*bytes);
    qbc_pack(&b, p, 0, ROWS, packed);
    qbc_blocks_destroy(&b);
    return packed;
}

static void compare(struct qbc *q, const char *format, struct qbc_packing p, const float *w,
                    bool transposed)
{
    bool is_float = format[0] == 'f';
    const char *element = is_float ? "f32" : qbc_text(q, "!qb.block<\"%s\">", format);
    const char *attribute = is_float ? qbc_text(q, ", format = \"%s\"", format) : "";
    MlirModule module =
        module_of(q, attribute, element, transposed ? 1 : COLS, transposed ? ROWS : 1);
    CHECK(!mlirModuleIsNull(module), "the module does not parse");
    enum { WAYS = 2 };
    const struct qbc_packing ways[WAYS] = {p, {12, p.depth, p.is_signed}};
    struct sink sinks[WAYS];
    uint8_t *want[WAYS];
    enum qbc_fit how = strcmp(q->options.fit, "range") ? QBC_FIT_RTN : QBC_FIT_RANGE;
    for (int i = 0; i < WAYS; ++i) {
        want[i] = expected(q, format, how, ways[i], w, &sinks[i].size);
        sinks[i].bytes = malloc((size_t)sinks[i].size);
    }
    for (q->options.threads = 1; q->options.threads <= 3; ++q->options.threads) {
        for (int i = 0; i < WAYS; ++i)
            memset(sinks[i].bytes, 0x5a, (size_t)sinks[i].size);
        CHECK(qbc_fit_and_pack(q, weight_of(q, module), ways, WAYS, put, sinks), "%s fails", format);
        for (int i = 0; i < WAYS; ++i)
            CHECK(!memcmp(sinks[i].bytes, want[i], (size_t)sinks[i].size),
                  "%s, %d threads, %s: other bytes in panels of %d", format, q->options.threads,
                  transposed ? "transposed" : "rows", ways[i].rows);
    }
    for (int i = 0; i < WAYS; ++i) {
        free(sinks[i].bytes);
        free(want[i]);
    }
    mlirModuleDestroy(module);
}

static void *stored(const float *w, enum qbc_element element, bool transposed)
{
    size_t size = qbc_element_bytes(element);
    char *data = malloc(ROWS * COLS * size + 1);
    for (int64_t row = 0; row < ROWS; ++row)
        for (int64_t col = 0; col < COLS; ++col) {
            float value = w[row * COLS + col];
            uint16_t half = qbc_float_to_half(value);
            double wide = (double)value;
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            uint16_t top = (uint16_t)(bits >> 16);
            const void *from = element == QBC_F32   ? (const void *)&value
                               : element == QBC_F64 ? (const void *)&wide
                               : element == QBC_F16 ? (const void *)&half
                                                    : (const void *)&top;
            /* off by one: in a model file tensors lie at any address */
            memcpy(data + 1 + (size_t)(transposed ? col * ROWS + row : row * COLS + col) * size,
                   from, size);
        }
    return data;
}

/* Multiples of 1/8 below 16: exact in every element type. */
static float *exact_weights(void)
{
    float *w = malloc(ROWS * COLS * sizeof *w);
    uint64_t seed = 11;
    for (int i = 0; i < ROWS * COLS; ++i)
        w[i] = (float)((int)(check_random(&seed) >> 56) - 128) / 8;
    return w;
}

static void layouts_and_elements(struct qbc *q)
{
    static const enum qbc_element elements[] = {QBC_F32, QBC_F16, QBC_BF16, QBC_F64};
    float *w = exact_weights();
    for (int i = 0; i < 8; ++i) {
        bool transposed = i & 1;
        enum qbc_element element = elements[i / 2];
        char *data = stored(w, element, transposed);
        struct qbc_source source = {.name = "t", .element = element, .rank = 2, .data = data + 1};
        source.bytes = ROWS * COLS * qbc_element_bytes(element);
        qbc_store_add(q, source);
        q->options.fit = "rtn";
        compare(q, "i4g32", (struct qbc_packing){8, 4, false}, w, transposed);
        compare(q, "f16", (struct qbc_packing){16, 1, false}, w, transposed);
        if (element == QBC_F32) {
            compare(q, "i8g32", (struct qbc_packing){32, 4, true}, w, transposed);
            compare(q, "f32", (struct qbc_packing){1, 1, false}, w, transposed);
            q->options.fit = "range";
            compare(q, "i4g128z", (struct qbc_packing){16, 4, false}, w, transposed);
        }
        free(data);
    }
    free(w);
}

static char last_message[SAID_MOST];

static void refuses(struct qbc *q, const char *format, float *w, int64_t at, float bad,
                    const char *want)
{
    float kept = w[at];
    w[at] = bad;
    w[ROWS * COLS - 1] = bad; /* the first one is named, not the last */
    MlirModule module = module_of(q, "", qbc_text(q, "!qb.block<\"%s\">", format), COLS, 1);
    struct sink sink = {.size = qbc_format_bytes(qbc_find_format(q, format), ROWS + 8, COLS)};
    sink.bytes = malloc((size_t)sink.size);
    q->options.threads = 2;
    CHECK(!qbc_fit_and_pack(q, weight_of(q, module), &(struct qbc_packing){8, 4, false}, 1, put, &sink),
          "%g is taken", (double)bad);
    CHECK(strstr(last_message, want), "'%s' does not say '%s'", last_message, want);
    free(sink.bytes);
    mlirModuleDestroy(module);
    w[at] = kept;
    w[ROWS * COLS - 1] = 0;
}

static void faults(struct qbc *q)
{
    float *w = exact_weights();
    struct qbc_source source = {.name = "t", .element = QBC_F32, .rank = 2, .data = w};
    source.bytes = ROWS * COLS * sizeof *w;
    qbc_store_add(q, source);
    MlirDiagnosticHandlerID id =
        mlirContextAttachDiagnosticHandler(q->mlir, said_keep, last_message, NULL);
    refuses(q, "i4g32", w, 5 * COLS + 7, NAN, "'0.up' has NaN at row 5, column 7;");
    refuses(q, "i8g32", w, 2099 * COLS + 1, -INFINITY, "has -infinity at row 2099, column 1;");
    refuses(q, "i4g128z", w, 1, 3e6f, "has 3e+06 at row 0, column 1, too large for format i4g128z");
    mlirContextDetachDiagnosticHandler(q->mlir, id);
    free(w);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic, .fit = "rtn"}};
    if (!qbc_open(&q))
        return 1;
    layouts_and_elements(&q);
    CHECK(!q.errors, "%zu errors", q.errors);
    faults(&q);
    qbc_close(&q);
    return check_failures() != 0;
}
