/* kernel_attention_test: attention over the state, against f64.
 *
 * One module has all shapes: grouped heads, head sizes that are no multiple of a vector, windows, later positions, capped
 * scores, slopes, sinks, states of codes: what these stand for is what dialects/formats/ makes of the rows. Steps of
 * 1, 2, 5 and 33 tokens begin at positions 0, 7 and 100; the context ends in the middle of a block of
 * positions. What is not yet filled of the state is NaN.
 */
#include "kernel_graph.h"
#include "kernel_machines.h"

#include <math.h>

enum { VOCABULARY = 64, CHUNK = 33, CONTEXT = 139, MOST_HEAD = 128, VECTORS = 256 };

static const struct shape {
    const char *name;
    int heads, kv_heads, head_dim, window;
    float spread; /* of the scores */
    int ahead;
    double cap;
    bool slopes, sinks;
    const char *keys, *values; /* formats of the state; NULL: f32 */
    int sink, recent;          /* positions that are kept as f16 as well */
    double norm;               /* of scales; 0: by the largest magnitude */
    int value_dim;             /* of heads of values; 0: head_dim */
} shapes[] = {
    {"a", 4, 2, 8, 0, 1},    {"b", 3, 1, 16, 0, 1},  {"c", 8, 8, 20, 0, 3},   {"d", 32, 8, 64, 0, 1},
    {"e", 4, 2, 80, 0, 1},   {"f", 3, 1, 128, 0, 1}, {"g", 4, 2, 64, 17, 1},  {"h", 3, 1, 20, 1, 1},
    {"i", 8, 8, 16, 40, 30}, {"j", 5, 5, 64, 0, 200}, {"k", 10, 2, 16, 16, 1}, {"l", 1, 1, 8, 0, 1},
    {"m", 4, 2, 16, 0, 1, -1, 0, 0, 0}, {"n", 2, 1, 24, 9, 1, 8, 0, 0, 0}, {"o", 4, 1, 32, 0, 20, 0, 5, 0, 0},
    {"p", 6, 6, 16, 0, 1, 0, 0, 1, 0}, {"q", 6, 2, 16, 12, 2, 0, 0, 0, 1}, {"r", 4, 4, 8, 0, 9, 0, 3, 1, 0},
    {"s", 4, 2, 64, 0, 2, 0, 0, 0, 0, "i4g64", "i4g64"},   {"t", 2, 1, 20, 0, 3, 0, 0, 0, 0, "i8g1024", "i3g1024m"},
    {"u", 4, 2, 80, 0, 1, 0, 0, 0, 0, "i5g32z", "f16"},    {"v", 3, 1, 24, 0, 1, 0, 0, 0, 1, "f16", "i6g16m", 4, 0},
    {"w", 4, 1, 48, 17, 1, 0, 0, 0, 0, "nf4g1024", "i2g16m", 17, 16}, {"x", 1, 1, 16, 0, 1, 0, 0, 0, 0, "e2m1g16", "i7g16", 0, 20},
    {"y", 6, 2, 40, 0, 2, 0, 5, 0, 0, "i2g32z", "lm3g32", 4, 32}, {"z", 2, 1, 128, 0, 1, -1, 0, 0, 0, "i4g32m", "e3m0g64"},
    {"0", 2, 1, 72, 0, 2, 0, 0, 0, 0, "lm3g1024", "lm2g1024", 0, 16, 2.1519},
    {"1", 4, 2, 24, 0, 1, .value_dim = 12}, {"2", 3, 1, 20, 9, 1, 0, 0, 0, 0, "i8g32", "i4g32", .value_dim = 40},
    {"3", 4, 2, 64, 0, 1, 0, 0, 0, 0, "vq2x256row", "vq4x256row"}, {"4", 3, 1, 24, 0, 2, 0, 0, 0, 1, "vq8x256row", "vq2x256row", 4, 32},
    {"5", 4, 4, 12, 0, 1, 0, 0, 1, 0, "vq4x256row", "i4g16"},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, ALWAYS = 11 }; /* "l": what the module ends with */

static bool is_taken(const struct lab *lab, int shape)
{
    return shape == ALWAYS || lab_takes(lab->machine, (size_t)shape, 4);
}

static int value_dim(const struct shape *s)
{
    return s->value_dim ? s->value_dim : s->head_dim;
}

/* --- the exponential, seen through the softmax: token t's query is the list of its scores, keys and
 * values are unit vectors, so output j over output 0 is exp(score j - score 0). */
enum { EXP_DIM = 128, EXP_HEADS = 6 };

static float exp_score(int token, int head, int column)
{
    int i = (token * EXP_HEADS + head) * EXP_DIM + column;
    return column ? -86.9f * (float)(i * 7919 % 65536) / 65536 : 0;
}

/* --- tables of vectors: [kv_heads][padded head_dim][256], one for the keys and one for the values of a shape: %mkNAME, %mvNAME */

static bool is_of_vectors(const char *format)
{
    return format && !strncmp(format, "vq", 2);
}

static int64_t padded(int64_t dim)
{
    return (dim + QBC_POSITIONS - 1) / QBC_POSITIONS * QBC_POSITIONS;
}

static void add_table(struct lab *lab, const char *name, const char *format, int kv_heads, int dim, uint64_t *seed)
{
    if (!is_of_vectors(format))
        return;
    float *table = lab_vector(lab, name, kv_heads * padded(dim) * VECTORS);
    for (int64_t i = 0; i < kv_heads * padded(dim) * VECTORS; ++i)
        table[i] = i / VECTORS % padded(dim) < dim ? check_normal(seed) : 0;
}

/* As cache_vectors.c: the first of the nearest. */
static void put_nearest(const float *table, int64_t v, const float *x, float *out)
{
    float least = INFINITY;
    for (int e = 0; e < VECTORS; ++e) {
        float sum = 0;
        for (int64_t i = 0; i < v; ++i) {
            float apart = x[i] - table[i * VECTORS + e];
            sum = fmaf(apart, apart, sum);
        }
        for (int64_t i = 0; i < v && sum < least; ++i)
            out[i] = table[i * VECTORS + e];
        least = sum < least ? sum : least;
    }
}

static void keep_vectors(const struct qbc_format *f, const float *table, int64_t rows, int64_t kv_heads, int64_t dim, const float *w,
                         float *out)
{
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t c = 0; c < dim; c += qbc_vector_cols(f))
            put_nearest(table + (row % kv_heads * padded(dim) + c) * VECTORS, qbc_vector_cols(f), w + row * dim + c, out + row * dim + c);
}

/* sinks: there is a vector %bNAME of them. */
static void say_attention(struct lab *lab, const char *name, int heads, int kv_heads, int head_dim, int values,
                          const char *more, bool sinks, const char *const *formats, const char *kept)
{
    const char *sink = sinks ? qbc_text(lab->q, ", %%b%s", name) : "";
    const char *sink_type = sinks ? qbc_text(lab->q, ", tensor<%dxf32>", heads) : "";
    long q = heads * head_dim, y = heads * values;
    const char *types[] = {qbc_text(lab->q, "tensor<?x%dxf32>", kv_heads * head_dim), qbc_text(lab->q, "tensor<?x%dxf32>", kv_heads * values)};
    const char *n = name;
    for (const char *s = "kv"; *s; ++s, ++formats) {
        const char *kv_type = types[*s == 'v'];
        const char *format = *formats ? qbc_text(lab->q, " {format = \"%s\"%s}", *formats, kept) : "";
        lab_say(lab, "%%s%c%s = \"qb.state\"() {name = \"%s.%c\"} : () -> %s\n", *s, n, n, *s, kv_type);
        bool vectors = is_of_vectors(*formats);
        const struct lab_tensor *t = vectors ? lab_tensor(lab, qbc_text(lab->q, "m%c%s", *s, n)) : NULL;
        const char *table = vectors ? qbc_text(lab->q, ", %%m%c%s", *s, n) : "";
        const char *table_type = vectors ? qbc_text(lab->q, ", tensor<%ldxf32>", (long)t->blocks.cols) : "";
        lab_say(lab, "%%a%c%s = \"qb.append\"(%%s%c%s, %%%c%s%s)%s : (%s, %s%s) -> %s\n", *s, n, *s, n, *s, n, table, format,
                kv_type, kv_type, table_type, kv_type);
    }
    lab_say(lab,
            "%%%s = \"qb.attention\"(%%q%s, %%ak%s, %%av%s%s) {heads = %d : i64, kv_heads = %d : i64, "
            "head_dim = %d : i64, %s} : (tensor<?x%ldxf32>, %s, %s%s) -> tensor<?x%ldxf32> loc(\"%s\")\n",
            n, n, n, n, sink, heads, kv_heads, head_dim, more, q, types[0], types[1], sink_type, y, n);
}

static float slope_of(int head)
{
    return 0.5f / (float)(1 << head);
}

/* What this shape has beyond most, as attributes. */
static const char *more_of(struct lab *lab, const struct shape *s)
{
    const char *text = s->window ? qbc_text(lab->q, ", window = %d : i64", s->window) : "";
    if (s->value_dim)
        text = qbc_text(lab->q, "%s, value_dim = %d : i64", text, s->value_dim);
    if (s->ahead)
        text = qbc_text(lab->q, "%s, ahead = %d : i64", text, s->ahead);
    if (s->cap > 0)
        text = qbc_text(lab->q, "%s, cap = %.9e : f32", text, s->cap);
    for (int i = 0; i < s->heads && s->slopes; ++i)
        text = qbc_text(lab->q, "%s%s%.9e%s", text, i ? ", " : ", slopes = array<f32: ", (double)slope_of(i),
                        i + 1 < s->heads ? "" : ">");
    return text;
}

static void add_shape(struct lab *lab, const struct shape *s, uint64_t *seed)
{
    int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, vs = s->kv_heads * value_dim(s);
    float *queries = lab_input(lab, qbc_text(lab->q, "q%s", s->name), VOCABULARY, q);
    float *keys = lab_input(lab, qbc_text(lab->q, "k%s", s->name), VOCABULARY, kv);
    float *values = lab_input(lab, qbc_text(lab->q, "v%s", s->name), VOCABULARY, vs);
    for (int i = 0; i < VOCABULARY * q; ++i)
        queries[i] = s->spread * check_normal(seed);
    for (int i = 0; i < VOCABULARY * kv; ++i)
        keys[i] = check_normal(seed);
    for (int i = 0; i < VOCABULARY * vs; ++i)
        values[i] = check_normal(seed);
    float *sinks = s->sinks ? lab_vector(lab, qbc_text(lab->q, "b%s", s->name), s->heads) : NULL;
    for (int i = 0; i < s->heads && sinks; ++i)
        sinks[i] = 2 * check_normal(seed);
    add_table(lab, qbc_text(lab->q, "mk%s", s->name), s->keys, s->kv_heads, s->head_dim, seed);
    add_table(lab, qbc_text(lab->q, "mv%s", s->name), s->values, s->kv_heads, value_dim(s), seed);
    say_attention(lab, s->name, s->heads, s->kv_heads, s->head_dim, value_dim(s),
                  qbc_text(lab->q, "scale = %.9e : f32%s", 1 / sqrt(s->head_dim), more_of(lab, s)), s->sinks, (const char *const[]){s->keys, s->values},
                  qbc_text(lab->q, ", sink = %d : i64, recent = %d : i64, norm = %.9e : f32", s->sink, s->recent, s->norm));
}

static void add_exp(struct lab *lab)
{
    float *q = lab_input(lab, "qexp", VOCABULARY, EXP_HEADS * EXP_DIM);
    float *k = lab_input(lab, "kexp", VOCABULARY, EXP_DIM), *v = lab_input(lab, "vexp", VOCABULARY, EXP_DIM);
    for (int token = 0; token < VOCABULARY; ++token) {
        for (int i = 0; i < EXP_HEADS * EXP_DIM; ++i)
            q[token * EXP_HEADS * EXP_DIM + i] = exp_score(token, i / EXP_DIM, i % EXP_DIM);
        k[token * EXP_DIM + token] = v[token * EXP_DIM + token] = 1;
    }
    say_attention(lab, "exp", EXP_HEADS, 1, EXP_DIM, EXP_DIM, "scale = 1.0 : f32", false, (const char *const[]){NULL, NULL}, "");
}

/* --- checking */

struct history {
    int32_t token[CONTEXT]; /* whose keys and values a position has */
};

/* What the state keeps of the rows of a table: [VOCABULARY][kv_heads][head_dim], made of them once. */
struct kept {
    float *keys, *values, *near_keys, *near_values; /* near: of the first and the latest positions */
};

/* Scales by the norm of a group, and the nearest codes. */
static void fit_by_norm(struct qbc_blocks *b, const float *w, double norm)
{
    for (int64_t row = 0; row < b->rows; ++row) {
        struct qbc_grid grid;
        double sum = 0;
        for (int64_t col = 0; col < b->cols; ++col)
            sum += (double)w[row * b->cols + col] * (double)w[row * b->cols + col];
        b->scales[row] = qbc_float_to_half((float)(sqrt(sum / (double)b->cols) * norm));
        qbc_unit_grid(b, row, 0, &grid);
        for (int64_t col = 0; col < b->cols; ++col)
            b->codes[row * b->format->group + col] = (uint8_t)qbc_grid_round(&grid, w[row * b->cols + col]);
    }
}

static float *kept_rows(struct lab *lab, const struct shape *s, const char *table_of, const char *name)
{
    const struct qbc_format *f = qbc_find_format(lab->q, name ? name : "f32");
    int64_t rows = VOCABULARY * s->kv_heads, dim = *table_of == 'k' ? s->head_dim : value_dim(s);
    struct qbc_blocks b;
    float *kept = calloc((size_t)rows, (size_t)dim * sizeof *kept);
    if (is_of_vectors(name)) {
        const float *table = lab_tensor(lab, qbc_text(lab->q, "m%s%s", table_of, s->name))->vector;
        keep_vectors(f, table, rows, s->kv_heads, dim, lab_values(lab, qbc_text(lab->q, "t%s%s", table_of, s->name)), kept);
        return kept;
    }
    bool good = qbc_blocks_create(&b, f, rows, dim);
    const float *w = lab_values(lab, qbc_text(lab->q, "t%s%s", table_of, s->name));
    CHECK(good && qbc_format_fit(QBC_FIT_RTN, &b, 0, rows, w) < 0, "%s cannot keep the rows", f->name);
    if (s->norm > 0 && f->codebook == QBC_CODE_TABLE)
        fit_by_norm(&b, w, s->norm);
    qbc_format_decode(&b, kept);
    qbc_blocks_destroy(&b);
    return kept;
}

/* What it keeps as floats where it has codes. */
static const char *near_format(const char *name)
{
    return name && *name != 'f' ? "f16" : name;
}

static int64_t whole_blocks(int64_t positions)
{
    return (positions + QBC_POSITIONS - 1) / QBC_POSITIONS * QBC_POSITIONS;
}

static bool is_near(const struct shape *s, int64_t own, int64_t position)
{
    int64_t latest = own + 1 - whole_blocks(s->recent);
    latest = latest < 0 ? 0 : latest / QBC_POSITIONS * QBC_POSITIONS;
    return position < whole_blocks(s->sink) || (s->recent && position >= latest);
}

struct scores {
    double p[CONTEXT], total, largest_terms;
    int64_t from, to, own;
};

static struct scores softmax(const struct shape *s, int head, const float *sinks, const float *q,
                             const float *const *keys, struct scores r)
{
    int64_t from = r.from, to = r.to;
    double scale = (double)(float)(1 / sqrt(s->head_dim)), top = -INFINITY;
    for (int64_t j = from; j < to; ++j) {
        double sum = 0, size = 0;
        for (int d = 0; d < s->head_dim; ++d) {
            sum += (double)q[d] * (double)keys[j][d];
            size += fabs((double)q[d] * (double)keys[j][d]);
        }
        r.p[j] = sum * scale;
        if (s->cap > 0) /* whose own error grows with its result */
            r.p[j] = s->cap * tanh(r.p[j] / s->cap), size += s->cap / scale;
        if (s->slopes)
            r.p[j] += (double)slope_of(head) * (double)(j - r.own), size += 100 / scale;
        top = fmax(top, r.p[j]);
        r.largest_terms = fmax(r.largest_terms, size * scale);
    }
    if (sinks)
        top = fmax(top, (double)sinks[head]), r.total = exp((double)sinks[head] - top);
    for (int64_t j = from; j < to; ++j)
        r.total += r.p[j] = exp(r.p[j] - top);
    return r;
}

/* A score's error e multiplies its weight by exp(e); the rest is a sum of weights times values that
 * is scaled once a block. */
static double bound(const struct shape *s, const struct scores *r)
{
    double score = (s->head_dim + 2) * 0x1p-24 * r->largest_terms, n = (double)(r->to - r->from);
    return 2 * score + 2 * 0x1p-22 + (n + n / 16 + 8) * 0x1p-24;
}

static void check_head(struct lab *lab, const struct shape *s, const struct scores *r, const float *const *values,
                       const float *y, const char *where)
{
    for (int d = 0; d < value_dim(s); ++d) {
        double want = 0, size = 0;
        for (int64_t j = r->from; j < r->to; ++j) {
            want += r->p[j] * (double)values[j][d] / r->total;
            size += r->p[j] * fabs((double)values[j][d]) / r->total;
        }
        double error = fabs((double)y[d] - want);
        if (!(error <= 1.1 * bound(s, r) * size + 1e-30)) {
            CHECK(false, "%s %s %s channel %d: got %.9g, want %.9g, bound %g", lab->q->target->name, s->name, where,
                  d, (double)y[d], want, bound(s, r) * size);
            return;
        }
    }
}

static void check_token(struct lab *lab, const struct shape *s, const struct kept *kept, const struct history *h, size_t run,
                        int64_t t)
{
    int64_t own = lab->runs[run].pos + t, end = lab->runs[run].pos + lab->runs[run].n_tokens;
    int64_t from = s->window && own >= s->window ? own + 1 - s->window : 0;
    int64_t to = s->ahead < 0 || own + 1 + s->ahead > end ? end : own + 1 + s->ahead;
    const float *sinks = s->sinks ? lab_tensor(lab, qbc_text(lab->q, "b%s", s->name))->vector : NULL;
    const float *q = lab_values(lab, qbc_text(lab->q, "tq%s", s->name)) + (int64_t)lab->tokens[run][t] * s->heads * s->head_dim;
    const float *y = lab_row(lab, run, "attention", s->name, t);
    const char *where = qbc_text(lab->q, "pos %ld token %ld of %ld", (long)lab->runs[run].pos, (long)t,
                                 (long)lab->runs[run].n_tokens);
    for (int head = 0; head < s->heads; ++head, q += s->head_dim, y += value_dim(s)) {
        int kv_head = head / (s->heads / s->kv_heads);
        const float *keys[CONTEXT], *values[CONTEXT];
        for (int64_t j = from; j < to; ++j) {
            int64_t row = h->token[j] * s->kv_heads + kv_head;
            bool near = is_near(s, own, j);
            keys[j] = (near ? kept->near_keys : kept->keys) + row * s->head_dim;
            values[j] = (near ? kept->near_values : kept->values) + row * value_dim(s);
        }
        struct scores r = softmax(s, head, sinks, q, keys, (struct scores){.from = from, .to = to, .own = own});
        check_head(lab, s, &r, values, y, where);
    }
}

static void check_exp(struct lab *lab, size_t run)
{
    double worst = 0;
    float at = 0;
    for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
        const float *y = lab_row(lab, run, "attention", "exp", t);
        for (int head = 0; head < EXP_HEADS; ++head, y += EXP_DIM)
            for (int64_t j = 1; j <= t; ++j) { /* position j holds token j */
                float score = exp_score((int)t, head, (int)j);
                double error = fabs((double)y[j] / (double)y[0] / exp((double)score) - 1);
                at = error > worst ? score : at;
                worst = error > worst || isnan(error) ? error : worst;
            }
    }
    printf("%s: exp: largest relative error 2^%.2f\n", lab->q->target->name, log2(worst));
    /* exp's own, and a rounding each of the two outputs */
    CHECK(worst < 0x1p-22 + 2 * 0x1p-24, "%s: exp(%g) has a relative error of %g", lab->q->target->name, (double)at,
          worst);
}

/* --- runs */

struct step {
    bool decode;
    int n_tokens, pos;
};

/* Every number of tokens at every position; steps at one position write the same rows again. */
static const struct step steps[] = {
    {0, 33, 0}, {1, 1, 0}, {0, 1, 0},  {0, 2, 0},  {0, 5, 0},   {0, 7, 0},   {1, 1, 7},   {0, 1, 7},    {0, 2, 7},
    {0, 5, 7},  {0, 33, 7}, {0, 33, 40}, {0, 27, 73}, {1, 1, 100}, {0, 1, 100}, {0, 2, 100}, {0, 5, 100}, {0, 33, 100},
    {1, 1, 133}, {0, 5, 134},
};
enum { N_STEPS = sizeof steps / sizeof *steps };

static void add_runs(struct lab *lab)
{
    for (int i = 0; i < N_STEPS; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < steps[i].n_tokens; ++t)
            tokens[t] = (int32_t)((t + 11 * i) % VOCABULARY); /* in step 0: token t at position t */
        lab_run(lab, steps[i].decode, steps[i].n_tokens, tokens, steps[i].pos, 0);
    }
}

static void check_runs(struct lab *lab)
{
    struct history h = {{0}};
    struct kept kept[N_SHAPES] = {{NULL}};
    for (int i = 0; i < N_SHAPES; ++i)
        if (is_taken(lab, i))
            kept[i] = (struct kept){kept_rows(lab, &shapes[i], "k", shapes[i].keys),
                                    kept_rows(lab, &shapes[i], "v", shapes[i].values),
                                    kept_rows(lab, &shapes[i], "k", near_format(shapes[i].keys)),
                                    kept_rows(lab, &shapes[i], "v", near_format(shapes[i].values))};
    for (size_t run = 0; run < N_STEPS; ++run) {
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            h.token[lab->runs[run].pos + t] = lab->tokens[run][t];
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            for (int i = 0; i < N_SHAPES; ++i)
                if (is_taken(lab, i))
                    check_token(lab, &shapes[i], &kept[i], &h, run, t);
    }
    for (int i = 0; i < N_SHAPES; ++i)
        free(kept[i].keys), free(kept[i].values), free(kept[i].near_keys), free(kept[i].near_values);
    check_exp(lab, 0);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    struct lab lab;
    uint64_t seed = 21;
    lab_begin(&lab, q, machine);
    for (int i = 0; i < N_SHAPES; ++i)
        if (is_taken(&lab, i))
            add_shape(&lab, &shapes[i], &seed);
    add_exp(&lab);
    lab_binary(&lab, "arith.addf", "end", "ql", "l", 8);
    add_runs(&lab);
    bool good = lab_build(&lab, "end", 8) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    if (good)
        check_runs(&lab);
    lab_end(&lab);
}

/* kernel_attention_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
