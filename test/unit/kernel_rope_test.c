/* kernel_rope_test: rotary position embedding, and rotation by Hadamard matrices, against f64.
 *
 *   angles   sin and cos of position times frequency, up to 2^29: the absolute error that kernel.h promises
 *   rope     both pairings, whole and partial, several heads; what is not rotated is copied bit for bit
 *   heads    put together of columns of two rows, one of which all heads have, and of every second column: bit for bit
 *   hadamard runs of a vector's part, of one, of several, of more than registers hold; orders that are no powers of two
 */
#include "hadamard.h"
#include "kernel_graph.h"
#include "kernel_machines.h"

#include <math.h>

enum { VOCABULARY = 40, CHUNK = 33, CONTEXT = 1 << 20, N_FREQUENCIES = 250 };

static const struct rope {
    const char *name, *attributes;
    int heads, head_dim, rotary_dim;
    bool adjacent;
    double theta, scale;
    const char *angles; /* whose: those of equal angles share them */
} ropes[] = {
    {"half", "theta = 10000.0 : f32", 3, 64, 64, false, 1e4, 1, "half"},
    {"adjacent", "theta = 10000.0 : f32", 2, 64, 64, true, 1e4, 1, "half"},
    {"partial", "theta = 500000.0 : f32", 2, 80, 20, false, 5e5, 1, "partial"},
    {"scaled", "theta = 100.0 : f32, scale = 1.25 : f32", 5, 20, 6, true, 100, 1.25, "scaled"},
    {"small", "theta = 10000.0 : f32", 1, 8, 8, false, 1e4, 1, "small"},
    {"whole", "theta = 1000000.0 : f32", 4, 128, 128, false, 1e6, 1, "whole"},
};
enum { N_ROPES = sizeof ropes / sizeof *ropes };

static double frequency(const struct rope *r, int i)
{
    return (double)(float)pow(r->theta, -2.0 * i / r->rotary_dim);
}

static void add_rope(struct lab *lab, const struct rope *r, uint64_t *seed)
{
    const char *x = qbc_text(lab->q, "x_%s", r->name);
    long columns = r->heads * r->head_dim;
    lab_fill(lab_table(lab, x, qbc_find_format(lab->q, "f32"), VOCABULARY, columns), seed);
    lab_say(lab,
            "%%%s = \"qb.rope\"(%%%s) {head_dim = %d : i64, rotary_dim = %d : i64, pairing = \"%s\", %s} : "
            "(tensor<?x%ldxf32>) -> tensor<?x%ldxf32> loc(\"%s\")\n",
            r->name, x, r->head_dim, r->rotary_dim, r->adjacent ? "adjacent" : "half", r->attributes, columns,
            columns, r->name);
}

static void check_angle(float got, double want, double scale, double *worst)
{
    double error = fabs((double)got - want * scale) / scale;
    *worst = error > *worst || isnan(error) ? error : *worst;
}

/* One pair: (a cos - b sin, b cos + a sin), from the table as it is. */
static void check_pair(const struct rope *r, const float *x, const float *y, const float *angles, int i)
{
    int pairs = r->rotary_dim / 2, first = r->adjacent ? 2 * i : i, second = r->adjacent ? 2 * i + 1 : i + pairs;
    double a = (double)x[first], b = (double)x[second];
    double cosine = (double)angles[i], sine = (double)angles[i + pairs];
    double bound = 2 * 0x1p-24 * (fabs(a) + fabs(b)) * r->scale;
    CHECK(fabs((double)y[first] - (a * cosine - b * sine)) <= bound, "%s pair %d: %g", r->name, i,
          (double)y[first]);
    CHECK(fabs((double)y[second] - (b * cosine + a * sine)) <= bound, "%s pair %d: %g", r->name, i,
          (double)y[second]);
}

static void check_row(struct lab *lab, const struct rope *r, size_t run, int64_t t, double *worst)
{
    const float *angles = lab_row(lab, run, "angles", r->angles, t), *y = lab_row(lab, run, "rope", r->name, t);
    const float *x = lab_row(lab, run, "embed", qbc_text(lab->q, "x_%s", r->name), t);
    double position = (double)(lab->runs[run].pos + t);
    for (int i = 0; i < r->rotary_dim / 2; ++i) {
        check_angle(angles[i], cos(position * frequency(r, i)), r->scale, worst);
        check_angle(angles[i + r->rotary_dim / 2], sin(position * frequency(r, i)), r->scale, worst);
    }
    for (int head = 0; head < r->heads; ++head, x += r->head_dim, y += r->head_dim) {
        for (int i = 0; i < r->rotary_dim / 2; ++i)
            check_pair(r, x, y, angles, i);
        CHECK(!memcmp(x + r->rotary_dim, y + r->rotary_dim,
                      (size_t)(r->head_dim - r->rotary_dim) * sizeof *x),
              "%s: what is not rotated changes", r->name);
    }
}

/* --- angles of many sizes */

static float dense_frequency(int i)
{
    return ldexpf(1 + (float)i * 0x1.3p-8f, i % 18 - 8); /* up to 2^10: with positions, 2^30 */
}

static void add_dense(struct lab *lab)
{
    lab_input(lab, "dense_x", VOCABULARY, 2 * N_FREQUENCIES);
    lab_say(lab, "%%dense = \"qb.rope\"(%%dense_x) {head_dim = %d : i64, frequencies = array<f32: ",
            2 * N_FREQUENCIES);
    for (int i = 0; i < N_FREQUENCIES; ++i)
        lab_say(lab, "%s%.9e", i ? ", " : "", (double)dense_frequency(i));
    lab_say(lab, ">} : (tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"dense\")\n", 2 * N_FREQUENCIES,
            2 * N_FREQUENCIES);
}

static void check_dense(struct lab *lab)
{
    double worst = 0;
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            const float *angles = lab_row(lab, run, "angles", "dense", t);
            for (int i = 0; i < N_FREQUENCIES; ++i) {
                double angle = (double)(lab->runs[run].pos + t) * (double)dense_frequency(i);
                check_angle(angles[i], cos(angle), 1, &worst);
                check_angle(angles[i + N_FREQUENCIES], sin(angle), 1, &worst);
            }
        }
    printf("%s: sin, cos: largest absolute error 2^%.2f\n", lab->q->target->name, log2(worst));
    CHECK(worst < 0x1p-23, "%s: an angle's error is %g", lab->q->target->name, worst);
}

/* --- heads: two of 20 columns, three of them b's, nine every second of a's, eight others of a's */

enum { A_COLUMNS = 40, B_COLUMNS = 5, HEAD = 20, OF_B = 3, ODD = 9 };

static void add_heads(struct lab *lab, uint64_t *seed)
{
    const struct qbc_format *f32 = qbc_find_format(lab->q, "f32");
    lab_fill(lab_table(lab, "heads_a", f32, VOCABULARY, A_COLUMNS), seed);
    lab_fill(lab_table(lab, "heads_b", f32, VOCABULARY, B_COLUMNS), seed);
    lab_say(lab, "%%heads = \"qb.heads\"(%%heads_a, %%heads_b) {heads = 2 : i64, head_dim = %d : i64, runs = array<i64: 1, 1, 0, 1, %d, "
                 "0, 0, 20, 2, %d, 0, 12, 20, 1, 8>} : (tensor<?x%dxf32>, tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"heads\")\n",
            HEAD, OF_B, ODD, A_COLUMNS, B_COLUMNS, 2 * HEAD);
}

static void check_heads(struct lab *lab, size_t run, int64_t t)
{
    const float *y = lab_row(lab, run, "heads", "heads", t);
    const float *a = lab_row(lab, run, "embed", "heads_a", t), *b = lab_row(lab, run, "embed", "heads_b", t);
    for (int i = 0; i < 2 * HEAD; ++i) {
        int column = i % HEAD, first = i / HEAD * 20;
        float want = column < OF_B ? b[column + 1] : column < OF_B + ODD ? a[first + 2 * (column - OF_B)] : a[first + column];
        CHECK(y[i] == want, "%s: heads: column %d is %g, not %g", lab->q->target->name, i, (double)y[i], (double)want);
    }
}

/* --- Hadamard */

static const struct turn {
    const char *name;
    int columns, run;
    bool transposed;
} turns[] = {{"two", 12, 4}, {"one", 48, 16}, {"many", 128, 64}, {"long", 1024, 1024}, {"none", 5, 1},
    {"longer", 4096, 4096}, {"twelve", 96, 48, false}, {"back", 96, 48, true}, {"twenty", 40, 20, true}, {"even", 28, 28, false}};
enum { N_TURNS = sizeof turns / sizeof *turns };

static void add_turn(struct lab *lab, const struct turn *turn, uint64_t *seed)
{
    float *x = lab_input(lab, qbc_text(lab->q, "turn_%s", turn->name), VOCABULARY, turn->columns);
    for (int i = 0; i < VOCABULARY * turn->columns; ++i)
        x[i] = check_normal(seed);
    lab_say(lab, "%%%s = \"qb.hadamard\"(%%turn_%s) {run = %d : i64%s} : (tensor<?x%dxf32>) -> tensor<?x%dxf32> loc(\"%s\")\n",
            turn->name, turn->name, turn->run, turn->transposed ? ", transposed = true" : "", turn->columns, turn->columns, turn->name);
}

/* Of v Q: a factor H by H, for each bit of the rest of the run a 2 x 2 one. */
struct signs {
    int64_t power;
    int8_t h[QBC_HADAMARD_ONLINE * QBC_HADAMARD_ONLINE]; /* [element of v][element of v Q] of the factor */
};

static struct signs signs_of(const struct turn *turn)
{
    int64_t m = qbc_hadamard_factor(turn->run);
    struct signs signs = {.power = turn->run / m};
    int8_t h[QBC_HADAMARD_ONLINE * QBC_HADAMARD_ONLINE];
    qbc_hadamard_fill(m, h);
    for (int64_t from = 0; from < m; ++from)
        for (int64_t to = 0; to < m; ++to)
            signs.h[from * m + to] = turn->transposed ? h[to * m + from] : h[from * m + to];
    return signs;
}

/* Column i of one run of v Q, and the sum of magnitudes in *size. */
static double turned(const struct turn *turn, const struct signs *signs, const float *v, int64_t i, double *size)
{
    int64_t m = turn->run / signs->power, to = i / signs->power;
    double sum = 0;
    *size = 0;
    for (int64_t from = 0; from < m; ++from) {
        const float *part = v + from * signs->power;
        double partial = 0;
        for (int64_t k = 0; k < signs->power; ++k) {
            double value = (double)part[k];
            partial += __builtin_parityll((unsigned long long)(i % signs->power & k)) ? -value : value;
            *size += fabs(value);
        }
        sum += signs->h[from * m + to] < 0 ? -partial : partial;
    }
    return sum;
}

/* A rounding for each bit of the run's length and one for the factor. */
static void check_turn(struct lab *lab, const struct turn *turn, const struct signs *signs, size_t run, int64_t t)
{
    const float *x = lab_values(lab, qbc_text(lab->q, "tturn_%s", turn->name)) + (int64_t)lab->tokens[run][t] * turn->columns;
    const float *y = lab_row(lab, run, "hadamard", turn->name, t);
    double root = sqrt(turn->run), roundings = log2(turn->run) + 2 + qbc_hadamard_factor(turn->run), size;
    for (int i = 0; i < turn->columns; ++i) {
        double want = turned(turn, signs, x + i / turn->run * turn->run, i % turn->run, &size) / root;
        CHECK(fabs((double)y[i] - want) <= roundings * 0x1p-24 * size / root, "%s: hadamard %s: column %d is %g, not %g",
              lab->q->target->name, turn->name, i, (double)y[i], want);
    }
}

/* Every column is the sum of a run: of long ones the first and the last token do. */
static void check_turns(struct lab *lab, const struct turn *turn)
{
    struct signs signs = signs_of(turn);
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t last = lab->runs[run].n_tokens - 1, t = 0; t <= last; ++t)
            if (turn->run < 1024 || t == 0 || t == last)
                check_turn(lab, turn, &signs, run, t);
}

static void add_runs(struct lab *lab)
{
    static const struct {
        int count, pos;
    } runs[] = {{1, 0}, {1, 5}, {33, 0}, {3, 1000}, {2, 4095}, {33, 131071}, {1, CONTEXT - 1}, {33, CONTEXT - 33}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < runs[i].count; ++t)
            tokens[t] = (int32_t)((t * 7 + (int)i) % VOCABULARY);
        lab_run(lab, i % 3 == 0 && runs[i].count == 1, runs[i].count, tokens, runs[i].pos, 0);
    }
}

static void check_all(struct lab *lab)
{
    double worst = 0;
    for (int i = 0; i < N_ROPES; ++i)
        for (size_t run = 0; run < lab->job.runs; ++run)
            for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
                check_row(lab, &ropes[i], run, t, &worst);
    CHECK(worst < 0x1p-23, "%s: an angle's error is %g", lab->q->target->name, worst);
    check_dense(lab);
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
            check_heads(lab, run, t);
    for (int i = 0; i < N_TURNS; ++i)
        if (lab_takes(lab->machine, (size_t)i, 3))
            check_turns(lab, &turns[i]);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    struct lab lab;
    uint64_t seed = 9;
    lab_begin(&lab, q, machine);
    for (int i = 0; i < N_ROPES; ++i)
        add_rope(&lab, &ropes[i], &seed);
    add_dense(&lab);
    add_heads(&lab, &seed);
    for (int i = 0; i < N_TURNS; ++i)
        if (lab_takes(machine, (size_t)i, 3))
            add_turn(&lab, &turns[i], &seed);
    lab_binary(&lab, "arith.addf", "end", "x_small", "small", 8);
    add_runs(&lab);
    bool good = lab_build(&lab, "end", 8) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    if (good)
        check_all(&lab);
    lab_end(&lab);
}

/* kernel_rope_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
