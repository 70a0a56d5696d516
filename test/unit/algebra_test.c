/* The algebra of formats: names, sizes, meanings against hand-made numbers, and fits of every kind. */
#include "half.h"
#include "named.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- names */

static void spelled(const char *name, const char *printed)
{
    CHECK(!strcmp(named(name)->name, printed), "%s is printed as %s, not %s", name, named(name)->name, printed);
    CHECK(!strcmp(named(printed)->name, printed), "%s is printed as %s", printed, named(printed)->name);
}

static void refused(const char *name, const char *says)
{
    struct qbc_format f;
    char why[QBC_FORMAT_WHY] = "";
    CHECK(!qbc_format_parse(name, &f, why), "'%s' is read as %s", name, f.name);
    CHECK(strstr(why, says), "'%s': '%s' does not say '%s'", name, why, says);
}

static void names(void)
{
    spelled("q4_0", "i4g32");
    spelled("i4g32.f16", "i4g32");
    spelled("i4g32m.u6x8", "q4_k");
    spelled("iq4g32", "iq4_nl");
    spelled("e2m1g16.e4m3", "nvfp4");
    spelled("i1g128", "b1g128");
    spelled("i4row.bf16", "i4row.bf16");
    spelled("nf4g64.u8x64o", "nf4g64.u8x64o");
    spelled("pow4a0.5g64", "pow4a0.5g64");
    spelled("q4_0@25%p|i2g32m.f16", "i4g32@25%p|i2g32m");
    spelled("i3g64+lr16", "i3g64+lr16");
    spelled("(i4g32@25%|i2g32)", "i4g32@25%|i2g32");
    spelled("(i4g32@25%|i2g32)+sparse0.5%", "(i4g32@25%|i2g32)+sparse0.5%");
    spelled("b1row*uv+b1g64+sparse1%", "b1row*uv+b1g64+sparse1%");
    refused("", "missing");
    refused("i4", "say who shares a scale");
    refused("i9g32", "character 2: the number of bits is from 1 to 8");
    refused("i4g032", "missing");
    refused("i4g2000", "character 4: the length of a group is from 1 to 1024");
    refused("i4g32q", "character 6: 'q' means nothing here");
    refused("i4g32.f17", "character 7: no type of scales");
    refused("i4g32.u6", "say how many");
    refused("nf4g64z", "no zero point");
    refused("e3m2g32", "no 8-bit multiples");
    refused("vq8x100g32", "power of two");
    refused("vq8x256g20", "do not divide");
    refused("(i4g32)", "needless parentheses");
    refused("i4g32@25%", "'|' and the format of the rest");
    refused("i4g32@60%|i3g32@50%|i2g32", "leave nothing");
    refused("i4g32+sparse80%", "at most half");
    refused("i4g32|i2g32", "means nothing here");
    refused("i4g32+zz", "no kind of codes");
}

/* --- sizes: the table of block formats, in bytes of so many weights */

static void size_of(const char *name, int64_t rows, int64_t cols, int64_t bytes)
{
    int64_t have = qbc_format_bytes(named(name), rows, cols);
    CHECK(have == bytes, "%s %ld x %ld: %ld bytes, not %ld", name, (long)rows, (long)cols, (long)have, (long)bytes);
}

static void sizes(void)
{
    size_of("i3g64", 1, 64, 26);
    size_of("i4g32m", 1, 32, 20);
    size_of("q2_k", 1, 256, 84);
    size_of("q3_k", 1, 256, 110);
    size_of("q4_k", 1, 256, 144);
    size_of("q5_k", 1, 256, 176);
    size_of("q6_k", 1, 256, 210);
    size_of("iq4_xs", 1, 256, 136);
    size_of("mxfp4", 1, 32, 17);
    size_of("nvfp4", 3, 16, 3 * 9 + 4);
    size_of("t2g128", 1, 128, 34);
    size_of("t1.6g160", 1, 160, 34);
    size_of("t1.67g96", 1, 96, 22);
    size_of("b1g128", 1, 128, 18);
    size_of("b1g128m", 1, 128, 20);
    size_of("l5g96", 1, 96, 30);
    size_of("p9g160", 1, 160, 68);
    size_of("t2g128+t2g128", 1, 128, 68);
    size_of("bp2g128", 1, 128, 38); /* 2.375 bits */
    size_of("bp2g64", 1, 64, 22);
    size_of("bp3g128", 1, 128, 56);
    size_of("fdb2g128", 1, 128, 36);
    size_of("bitmod3g128", 1, 128, 51);
    size_of("lut4row", 2, 64, 2 * (32 + 32));
    size_of("vq8x256row", 4, 64, 4 * 8 + 4 * 2 + 256 * 8 * 2);
    size_of("vq4x16nrow", 4, 64, 32 + 4 * 2 + 16 * 4 * 2);
    size_of("i4row", 3, 64, 3 * (32 + 2));
    size_of("i4c128", 256, 32, 256 * 16 + 2 * 32 * 2);
    size_of("nf4g64.u8x4o", 1, 256, 128 + 4 + 2 + 4);
    size_of("trellis2g256", 1, 256, 66);
    size_of("i4g32@25%|i2g32", 2, 128, 2 * (18 + 30));
    size_of("i4g32@25%p|i2g32", 2, 128, 2 * (18 + 30) + 256);
    size_of("i4g32+sparse0.5%", 2, 400, 2 * (13 * 18 + 2 * 4));
    size_of("i4g32+lr16", 3, 64, 3 * 36 + 2 * 16 * 67);
    size_of("b1row*uv", 3, 64, 3 * (8 + 2) + 4 * 67);
    size_of("q4_k", 2, 257, 2 * 2 * 144);
}

/* --- meanings */

static struct qbc_blocks blocks(const char *name, int64_t rows, int64_t cols)
{
    struct qbc_blocks b;
    REQUIRE(qbc_blocks_create(&b, named(name), rows, cols));
    return b;
}

static void expect(const char *what, const struct qbc_blocks *b, const float *want)
{
    float got[64];
    REQUIRE(b->rows * b->cols <= 64);
    qbc_format_decode(b, got);
    for (int64_t i = 0; i < b->rows * b->cols; ++i)
        CHECK(got[i] == want[i], "%s: weight %ld is %g, not %g", what, (long)i, (double)got[i], (double)want[i]);
}

enum { ONE = 0x3c00, TWO = 0x4000, HALF = 0x3800, MINUS = 0xbc00 };

static void meanings_of_leaves(void)
{
    struct qbc_blocks b = blocks("bp2g4", 1, 4); /* 1 + 2 b0 + 0.5 b1 */
    memcpy(b.scales, (uint16_t[]){TWO, HALF}, 4);
    b.mins[0] = ONE;
    memcpy(b.codes, (uint8_t[]){0, 1, 2, 3}, 4);
    expect("bp2", &b, (float[]){1, 3, 1.5f, 3.5f});
    qbc_blocks_destroy(&b);
    b = blocks("p9g3", 1, 3); /* code 3 (t1 + 1) + t2 + 1; the second scale is t1's */
    memcpy(b.scales, (uint16_t[]){HALF, TWO}, 4);
    memcpy(b.codes, (uint8_t[]){0, 5, 7}, 3);
    expect("p9", &b, (float[]){-2.5f, 0.5f, 2});
    qbc_blocks_destroy(&b);
    b = blocks("bitmod3g2", 1, 4);
    memcpy(b.scales, (uint16_t[]){TWO, ONE}, 4);
    memcpy(b.selectors, (uint8_t[]){3, 0}, 2);
    memcpy(b.codes, (uint8_t[]){4, 7, 4, 3}, 4);
    expect("bitmod3", &b, (float[]){-12, -8, 3, 4});
    qbc_blocks_destroy(&b);
    b = blocks("nvfp4", 1, 16);
    b.scales[0] = 0x39; /* 1.125 */
    memcpy(b.outer, (uint16_t[]){0, 0x4000}, 4); /* 2 */
    memcpy(b.codes, (uint8_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 16);
    expect("nvfp4", &b,
           (float[]){0, 1.125f, 2.25f, 3.375f, 4.5f, 6.75f, 9, 13.5f, -0.f, -1.125f, -2.25f, -3.375f, -4.5f, -6.75f, -9, -13.5f});
    qbc_blocks_destroy(&b);
    b = blocks("vq2x2x4tensor", 2, 4); /* 2 rows x 2 columns */
    b.outer[0] = TWO;
    memcpy(b.tables + 4, (uint16_t[]){ONE, TWO, HALF, MINUS}, 8);
    memcpy(b.codes, (uint8_t[]){1, 0}, 2);
    expect("vq2x2x4", &b, (float[]){2, 4, 0, 0, 1, -2, 0, 0});
    qbc_blocks_destroy(&b);
    b = blocks("i4c2z", 3, 2); /* rows 0 and 1 share the scales of columns */
    memset(b.codes, 5, (size_t)(3 * 32));
    b.scales[0] = ONE, b.scales[1] = TWO, b.scales[32] = HALF, b.scales[33] = MINUS;
    b.zeros[0] = 5, b.zeros[1] = 3, b.zeros[32] = 1, b.zeros[33] = 0;
    expect("i4c2z", &b, (float[]){0, 4, 0, 4, 2, -5});
    qbc_blocks_destroy(&b);
    b = blocks("nf2g2.u8x2o", 1, 4); /* scale = c * outer / 255 + floor, levels over 127 */
    b.outer[0] = 0x5bf8; /* 255 */
    b.floor = 127;
    b.scales[0] = 127, b.scales[1] = 0;
    memcpy(b.codes, (uint8_t[]){0, 2, 3, 1}, 4);
    float unit = 1.0f / 127, large = 254 * unit, small = 127 * unit;
    expect("nf2 with a floor", &b, (float[]){large * -127, large * 43, small * 127, 0});
    qbc_blocks_destroy(&b);
}

/* 3INST by another road: the window of 16 bits is taken from the codes written out as bits, twice. */
static void meaning_of_trellis(int k)
{
    enum { N = 64 };
    char name[32], bits[2 * 4 * N];
    float got[N];
    snprintf(name, sizeof name, "trellis%dg64", k);
    struct qbc_blocks b = blocks(name, 1, N);
    uint64_t seed = 5;
    b.scales[0] = TWO;
    for (int i = 0; i < N; ++i) {
        b.codes[i] = (uint8_t)(check_random(&seed) >> 20 & ((1u << k) - 1));
        for (int j = 0; j < k; ++j)
            bits[i * k + j] = bits[(N + i) * k + j] = (char)(b.codes[i] >> (k - 1 - j) & 1);
    }
    qbc_format_decode(&b, got);
    for (int i = 0; i < N; ++i) {
        uint32_t state = 0;
        for (int j = 0; j < 16; ++j)
            state = state * 2 + (uint32_t)bits[(N + i + 1) * k - 16 + j];
        uint64_t product = (uint64_t)state * 89226354 + 64248484;
        uint32_t x = ((uint32_t)product & 0x8fff8fff) ^ 0x3b603b60;
        float want = 2 * (qbc_half_to_float(x & 0xffff) + qbc_half_to_float((uint16_t)(x >> 16)));
        CHECK(got[i] == want, "%s: weight %d is %g, not %g", name, i, (double)got[i], (double)want);
    }
    qbc_blocks_destroy(&b);
}

static void meanings_of_composites(void)
{
    struct qbc_blocks b = blocks("i8row@50%p|i8g32", 1, 64);
    float want[64];
    b.parts[0].outer[0] = ONE;
    b.parts[1].scales[0] = TWO;
    for (int i = 0; i < 64; ++i) {
        b.left[i] = (uint16_t)(i * 7 % 64);
        b.parts[i / 32].codes[i % 32] = (uint8_t)(100 + i);
        want[i * 7 % 64] = (float)(i / 32 + 1) * (float)(100 + i - 128);
    }
    expect("split", &b, want);
    qbc_blocks_destroy(&b);
    b = blocks("i8g4+sparse25%", 1, 4);
    b.parts[0].scales[0] = ONE;
    memcpy(b.parts[0].codes, (uint8_t[]){129, 128, 127, 131}, 4);
    b.left[0] = TWO, b.right[0] = 2;
    expect("sparse", &b, (float[]){1, 0, 1, 3});
    qbc_blocks_destroy(&b);
    b = blocks("i8g2+lr1", 2, 2);
    memset(b.parts[0].codes, 129, 4);
    b.parts[0].scales[0] = b.parts[0].scales[1] = ONE;
    memcpy(b.left, (uint16_t[]){TWO, HALF}, 4);
    memcpy(b.right, (uint16_t[]){ONE, MINUS}, 4);
    expect("low rank", &b, (float[]){3, -1, 1.5f, 0.5f});
    qbc_blocks_destroy(&b);
    b = blocks("b1row*uv+b1g2", 1, 2);
    b.parts[0].left[0] = TWO;
    memcpy(b.parts[0].right, (uint16_t[]){ONE, HALF}, 4);
    b.parts[0].parts[0].outer[0] = ONE;
    b.parts[0].parts[0].codes[1] = 1;
    b.parts[1].scales[0] = HALF;
    expect("scaled and summed", &b, (float[]){-2.5f, 0.5f});
    qbc_blocks_destroy(&b);
}

/* --- fits */

struct fitted {
    struct qbc_blocks b;
    float *decoded;
    double error; /* weighted, over the weighted sum of squares */
};

static double error_of(const float *w, const float *x, const float *h, int64_t rows, int64_t cols)
{
    double error = 0, all = 0;
    for (int64_t i = 0; i < rows * cols; ++i) {
        double weight = h ? (double)h[i % cols] : 1, e = (double)w[i] - (double)x[i];
        error += weight * e * e;
        all += weight * (double)w[i] * (double)w[i];
    }
    return all > 0 ? error / all : error;
}

static struct fitted fit(const char *name, enum qbc_fit how, int64_t rows, int64_t cols, const float *w, const float *h)
{
    struct fitted t = {.b = blocks(name, rows, cols), .decoded = malloc((size_t)(rows * cols) * sizeof *w)};
    qbc_format_prepare(&t.b, rows, w, h);
    int64_t bad = qbc_format_fit_weighted(how, &t.b, 0, rows, w, h);
    CHECK(bad == -1, "%s: weight %ld is refused", name, (long)bad);
    qbc_format_decode(&t.b, t.decoded);
    t.error = error_of(w, t.decoded, h, rows, cols);
    return t;
}

static void done(struct fitted *t)
{
    qbc_blocks_destroy(&t->b);
    free(t->decoded);
}

/* Mean squared error that normal weights may have left, of their variance. */
static const struct {
    const char *name;
    double rtn, range;
} kinds[] = {
    {"bf16", 1e-5, 1e-5},          {"i8row", 2e-4, 2e-4},         {"i6g32.bf16", 2e-3, 1.5e-3},  {"i5g32.f32", 4e-3, 4e-3},
    {"i4g32m", .012, .009},        {"i4g64m.bf16", .014, .012},   {"i3g16.i6x16", .05, .035},
    {"q2_k", .14, .11},            {"q3_k", .05, .04},            {"q4_k", .012, .01},
    {"q5_k", .003, .0025},         {"q6_k", .001, .001},          {"iq4_nl", .012, .009},
    {"iq4_xs", .015, .012},        {"mxfp4", .025, .02},          {"nvfp4", .02, .015},
    {"i4g32z.f32", .013, .01},     {"i4rowz", .04, .03},          {"i2g64m", .2, .14},
    {"t2g128", .4, .25},           {"t1.6g40", .4, .25},          {"t1.67g48", .4, .25},
    {"b1g128", .4, .4},            {"b1g64m", .4, .4},            {"l5g64", .15, .12},
    {"l5g64z", .15, .12},          {"nf4g64", .012, .011},        {"nf3g64", .05, .04},
    {"nf2g64", .35, .2},          {"nf5g128", .01, .005},        {"lm3g64", .06, .045},
    {"lm2g64", .25, .14},          {"lm1g64", .7, .4},            {"e3m0g32", .05, .05},
    {"e2m3g32", .003, .002},       {"bitmod3g128", .06, .045},    {"bitmod4g128", .016, .014},
    {"pow4a0.7g64", .02, .02},     {"lut3row", .04, .04},         {"lut2g128", .12, .12},
    {"lut4tensor", .012, .012},    {"bp2g64", .3, .13},           {"bp3g128", .08, .04},
    {"bp4g64", .03, .012},         {"bcq2g64", .14, .12},         {"fdb2g64", 1, .3},
    {"p9g128", .2, .06},           {"vq4x256row", .14, .14},      {"vq4x16nrow", .6, .6},
    {"vq2x2x256g32", .16, .16},    {"i4c8", .014, .011},          {"i3c8m", .05, .04},
    {"nf4g64.u8x4", .013, .012},   {"nf4g64.u8x4o", .012, .012},  {"nf4g64.u8tensoro", .013, .012},
    {"i4g64.u8row", .02, .016},    {"i4g32m.u6row", .012, .011},  {"i4g32m.u6tensor", .012, .011},
    {"i4tensor", .03, .03},        {"i2g64+i2g64", .03, .02},     {"b1g64+b1g64+b1g64", .1, .08},
    {"i4g32@25%|i2g32", .2, .1},   {"i4g32@25%p|i2g32", .2, .1},  {"i4g32@50%r|i2g32", .2, .1},
    {"b1row*uv", .45, .45},        {"i3g64+sparse2%", .05, .03},  {"i3g64+lr2", .07, .05},
    {"nf3g64+lr2+sparse1%", .05, .04},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds, ROWS = 8, COLS = 344 };

static float *normal(int64_t n, float scale, uint64_t seed)
{
    float *w = malloc((size_t)n * sizeof *w);
    for (int64_t i = 0; i < n; ++i)
        w[i] = scale * check_normal(&seed);
    return w;
}

static void fits_are_good(const char *name, double rtn, double range)
{
    float *w = normal(ROWS * COLS, 0.02f, 3);
    struct fitted plain = fit(name, QBC_FIT_RTN, ROWS, COLS, w, NULL),
                  better = fit(name, QBC_FIT_RANGE, ROWS, COLS, w, NULL);
    CHECK(plain.error <= rtn, "%s: nearest leaves %.4f of the variance, not %.4f", name, plain.error, rtn);
    CHECK(better.error <= range, "%s: range leaves %.4f of the variance, not %.4f", name, better.error, range);
    CHECK(better.error <= plain.error * 1.001, "%s: range (%g) is worse than nearest (%g)", name, better.error, plain.error);
    if (getenv("VERBOSE"))
        printf("%-22s %8.5f %8.5f %7.3f bits\n", name, plain.error, better.error, qbc_format_bits(plain.b.format));
    done(&plain);
    done(&better);
    free(w);
}

/* Errors of some columns count more: there they must get less, all in all. */
static void weights_of_errors_count(const char *name)
{
    float h[COLS], *w = normal(ROWS * COLS, 1, 11);
    uint64_t seed = 4;
    for (int k = 0; k < COLS; ++k)
        h[k] = expf(2 * check_normal(&seed));
    struct fitted blind = fit(name, QBC_FIT_RANGE, ROWS, COLS, w, NULL), aware = fit(name, QBC_FIT_RANGE, ROWS, COLS, w, h);
    double before = error_of(w, blind.decoded, h, ROWS, COLS);
    CHECK(aware.error <= before * 1.001, "%s: weighted errors %g, unweighted %g", name, aware.error, before);
    done(&blind);
    done(&aware);
    free(w);
}

static void zeros_stay(const char *name)
{
    float *w = calloc(ROWS * COLS, sizeof *w);
    struct fitted t = fit(name, QBC_FIT_RANGE, ROWS, COLS, w, NULL);
    int64_t wrong = 0;
    for (int i = 0; i < ROWS * COLS; ++i)
        wrong += t.decoded[i] != 0;
    CHECK(!wrong, "%s: %ld zeros are not", name, (long)wrong);
    done(&t);
    free(w);
}

static void faults_are_found(const char *name)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float *w = normal(ROWS * COLS, 1, 5);
    struct qbc_blocks b = blocks(name, ROWS, COLS);
    qbc_format_prepare(&b, ROWS, w, NULL);
    for (int i = 0; i < 3; ++i) {
        int64_t at = 5 * COLS + 17 + i;
        float kept = w[at];
        w[at] = bad[i];
        int64_t found = qbc_format_fit(QBC_FIT_RTN, &b, 0, ROWS, w);
        CHECK(found == at, "%s: %g at %ld is found at %ld", name, (double)bad[i], (long)at, (long)found);
        w[at] = kept;
    }
    qbc_blocks_destroy(&b);
    free(w);
}

/* What GPTQ does: parameters of a unit, then weights one by one. The same codes as the whole fit's. */
static void units(const char *name)
{
    float *w = normal(COLS, 1, 6);
    struct fitted whole = fit(name, QBC_FIT_RANGE, 1, COLS, w, NULL);
    struct qbc_blocks b = blocks(name, 1, COLS);
    const struct qbc_format *f = b.format;
    int unit = f->block ? f->block : f->group, wrong = 0;
    qbc_format_prepare(&b, 1, w, NULL);
    for (int64_t u = 0; u * unit < COLS; ++u) {
        int n = COLS - u * unit < unit ? (int)(COLS - u * unit) : unit;
        CHECK(qbc_fit_unit(QBC_FIT_RANGE, &b, 0, u, n, w + u * unit, NULL) == -1, "%s: unit %ld", name, (long)u);
        for (int64_t k = u * unit; k < u * unit + n; ++k) {
            struct qbc_grid grid;
            qbc_unit_grid(&b, 0, k / f->group, &grid);
            float value = grid.value[qbc_grid_round(&grid, w[k])];
            wrong += fabsf(value - w[k]) > fabsf(whole.decoded[k] - w[k]) * 1.0001f + 1e-6f;
        }
    }
    CHECK(!wrong, "%s: %d weights are farther than the whole fit's", name, wrong);
    qbc_blocks_destroy(&b);
    done(&whole);
    free(w);
}

/* A tensor that the format can say is kept: planes, tables and scales are found again. */
static void finds_what_is_there(void)
{
    enum { N = 128 };
    float w[N];
    uint64_t seed = 8;
    for (int i = 0; i < N; ++i) {
        int code = (int)(check_random(&seed) >> 40 & 3);
        w[i] = -0.75f + 0.5f * (float)(code & 1) + 1.75f * (float)(code >> 1);
    }
    static const char *const able[] = {"bp2g128", "lut2g128", "i8g128m.f32"};
    for (int i = 0; i < 3; ++i) {
        struct fitted t = fit(able[i], QBC_FIT_RANGE, 1, N, w, NULL);
        CHECK(t.error < (i < 2 ? 1e-6 : 1e-4), "%s leaves %g of four levels", able[i], t.error);
        done(&t);
    }
    for (int i = 0; i < N; ++i)
        w[i] = (i % 3 ? 1 : -1) * (i == 77 ? 100 : 2);
    struct fitted t = fit("b1g128+sparse0.5%", QBC_FIT_RANGE, 1, N, w, NULL);
    CHECK(t.error < 1e-5, "one outlier and signs: %g", t.error);
    done(&t);
    for (int i = 0; i < 64; ++i)
        w[i] = (float)(i / 8 + 1) * (float)(i % 8 - 3);
    t = fit("i2g8+lr1", QBC_FIT_RANGE, 8, 8, w, NULL);
    CHECK(t.error < 1e-4, "a matrix of rank 1: %g", t.error);
    done(&t);
}

int main(void)
{
    names();
    sizes();
    meanings_of_leaves();
    for (int k = 1; k <= 4; ++k)
        meaning_of_trellis(k);
    meanings_of_composites();
    for (size_t i = 0; i < N_KINDS; ++i) {
        fits_are_good(kinds[i].name, kinds[i].rtn, kinds[i].range);
        zeros_stay(kinds[i].name);
        faults_are_found(kinds[i].name);
    }
    static const char *const weighted[] = {"i4g32", "i3g64m", "nf3g64", "q4_k", "bp2g64", "t2g128", "lut3row", "i3g64+sparse2%"};
    for (int i = 0; i < 8; ++i)
        weights_of_errors_count(weighted[i]);
    static const char *const by_unit[] = {"i4g32.bf16", "q4_k", "q3_k", "mxfp4", "bp3g64", "bitmod3g128", "i3g64m"};
    for (int i = 0; i < 7; ++i)
        units(by_unit[i]);
    finds_what_is_there();
    CHECK(!qbc_format_can_fit(named("trellis2g256")) && qbc_format_can_fit(named("i3g64+lr16")), "what can be fitted");
    return check_failures() != 0;
}
