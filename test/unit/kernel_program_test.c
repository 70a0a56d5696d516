/* kernel_program_test: whole steps. Buffers that share memory, and the barriers between kernels, change no bit.
 *
 * Two transformer blocks are built with every buffer in a place of its own, and as plan-memory wants
 * them; the logits of a prompt, of more tokens and of single ones must be the same bits, each with 1, 2 and
 * 3 threads. A prompt in one step, in pieces, and token by token agrees as far as rounding lets it: kernels may
 * add in another order for other numbers of tokens, and an activation near a tie may get the neighbouring code.
 */
#include "kernel_graph.h"
#include "kernel_machines.h"

#include <math.h>

enum { VOCABULARY = 130, CHUNK = 33, CONTEXT = 90, C = 96, HEADS = 6, KV_HEADS = 2, HEAD = 16, FFN = 200, BLOCKS = 2 };

static const char *in_block(struct lab *lab, int block, const char *name)
{
    return qbc_text(lab->q, "%s%d", name, block);
}

/* %NAME = %X times a new random weight. */
static const char *product(struct lab *lab, const char *name, const char *x, const struct qbc_format *f, int64_t n,
                           int64_t k, uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", name);
    struct qbc_blocks *b = lab_matrix(lab, w, f, n, k);
    lab_fill(b, seed);
    for (int64_t i = 0; f->codebook == QBC_CODE_FLOAT && f->bits == 32 && i < n * k; ++i)
        ((float *)b->values)[i] *= 0.1f;
    lab_linear(lab, name, x, w, n, k);
    return name;
}

static const char *rotated(struct lab *lab, const char *name, const char *x, int heads)
{
    lab_say(lab,
            "%%%s = \"qb.rope\"(%%%s) {head_dim = %d : i64, theta = 10000.0 : f32} : (tensor<?x%dxf32>) -> "
            "tensor<?x%dxf32>\n",
            name, x, HEAD, heads * HEAD, heads * HEAD);
    return name;
}

static const char *kept(struct lab *lab, const char *name, const char *x)
{
    enum { KV = KV_HEADS * HEAD };
    lab_say(lab, "%%s%s = \"qb.state\"() {name = \"%s\"} : () -> tensor<?x%dxf32>\n", name, name, KV);
    lab_say(lab, "%%%s = \"qb.append\"(%%s%s, %%%s) : (tensor<?x%dxf32>, tensor<?x%dxf32>) -> tensor<?x%dxf32>\n", name,
            name, x, KV, KV, KV);
    return name;
}

static const char *attend(struct lab *lab, const char *name, const char *q, const char *k, const char *v)
{
    lab_say(lab,
            "%%%s = \"qb.attention\"(%%%s, %%%s, %%%s) {heads = %d : i64, kv_heads = %d : i64, head_dim = %d : i64, "
            "scale = 0.25 : f32} : (tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>) -> tensor<?x%dxf32>\n",
            name, q, k, v, HEADS, KV_HEADS, HEAD, C, KV_HEADS * HEAD, KV_HEADS * HEAD, C);
    return name;
}

static const char *add_block(struct lab *lab, int i, const char *x, const struct qbc_format *f, uint64_t *seed)
{
#define NAME(text) in_block(lab, i, text)
    lab_norm(lab, NAME("n"), x, C, C, 1e-5, seed);
    const char *q = product(lab, NAME("q"), NAME("n"), f, C, C, seed);
    const char *k = product(lab, NAME("k"), NAME("n"), f, KV_HEADS * HEAD, C, seed);
    const char *v = product(lab, NAME("v"), NAME("n"), f, KV_HEADS * HEAD, C, seed);
    q = rotated(lab, NAME("qr"), q, HEADS);
    k = kept(lab, NAME("sk"), rotated(lab, NAME("kr"), k, KV_HEADS));
    v = kept(lab, NAME("sv"), v);
    const char *o = product(lab, NAME("o"), attend(lab, NAME("a"), q, k, v), f, C, C, seed);
    lab_binary(lab, "arith.addf", NAME("x"), x, o, C);
    lab_norm(lab, NAME("m"), NAME("x"), C, C, 1e-5, seed);
    const char *gate = product(lab, NAME("g"), NAME("m"), f, FFN, C, seed);
    const char *up = product(lab, NAME("u"), NAME("m"), f, FFN, C, seed);
    lab_binary(lab, "qb.glu", NAME("h"), gate, up, FFN);
    const char *down = product(lab, NAME("d"), NAME("h"), f, C, FFN, seed);
    lab_binary(lab, "arith.addf", NAME("y"), NAME("x"), down, C);
    return NAME("y");
#undef NAME
}

struct step {
    bool decode;
    int n_tokens, pos, first_logit;
};

/* The same 35 tokens in three ways, from position 0. */
static const struct step steps[] = {
    {0, 33, 0, 0}, {0, 2, 33, 0},
    {0, 5, 0, 0},  {0, 1, 5, 0}, {1, 1, 6, 0},  {0, 3, 7, 0}, {0, 25, 10, 24}, {1, 1, 35 - 1, 0},
};
enum { N_STEPS = sizeof steps / sizeof *steps };

static int token_at(int position)
{
    return position * 37 % VOCABULARY;
}

static bool build(struct lab *lab, struct qbc *q, const struct lab_machine *machine, const struct qbc_format *f,
                  bool shares)
{
    uint64_t seed = 77;
    lab_begin(lab, q, machine);
    lab->shares = shares;
    lab_fill(lab_table(lab, "x", qbc_find_format(q, "f16"), VOCABULARY, C), &seed);
    const char *x = "x";
    for (int i = 0; i < BLOCKS; ++i)
        x = add_block(lab, i, x, f, &seed);
    lab_tail(lab, "tail", x, C);
    lab_norm(lab, "last", "tail", C, C, 1e-5, &seed);
    product(lab, "logits", "last", f, VOCABULARY, C, &seed);
    for (int i = 0; i < N_STEPS; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < steps[i].n_tokens; ++t)
            tokens[t] = (int32_t)token_at(steps[i].pos + t);
        lab_run(lab, steps[i].decode, steps[i].n_tokens, tokens, steps[i].pos, steps[i].first_logit);
    }
    return lab_build(lab, "logits", VOCABULARY) && lab_execute(lab);
}

/* The largest difference, of the largest magnitude; NaN when there is one. */
static double difference(const float *a, const float *b)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < VOCABULARY; ++i) {
        double d = fabs((double)a[i] - (double)b[i]), size = fabs((double)a[i]);
        worst = d > worst || isnan(d) ? d : worst;
        largest = size > largest ? size : largest;
    }
    return worst / largest;
}

/* Logits of every position in the order that the steps give them, against the first time it was computed. */
static void check_positions(const struct lab *lab, const struct qbc_format *f)
{
    const float *first[CONTEXT] = {NULL};
    double most = f->codebook == QBC_CODE_FLOAT ? 1e-5 : 0.05;
    for (size_t run = 0; run < N_STEPS; ++run)
        for (int64_t t = lab->runs[run].first_logit; t < lab->runs[run].n_tokens; ++t) {
            const float *row = lab_logits(lab, run) + (t - lab->runs[run].first_logit) * VOCABULARY;
            int64_t position = lab->runs[run].pos + t;
            if (!first[position])
                first[position] = row;
            double error = difference(first[position], row);
            CHECK(error <= most, "%s %s: position %ld in run %zu: relative difference %g", lab->q->target->name,
                  f->name, (long)position, run, error);
        }
}

static void test_format(struct qbc *q, const struct lab_machine *machine, const struct qbc_format *f)
{
    struct lab spread, shared;
    bool good = build(&spread, q, machine, f, false);
    good = build(&shared, q, machine, f, true) && good;
    CHECK(good, "%s %s is not built or does not run", machine->target->name, f->name);
    CHECK(!good || shared.job.arena_bytes < spread.job.arena_bytes, "nothing shares memory");
    for (size_t run = 0; run < N_STEPS && good; ++run) {
        size_t bytes = (size_t)(steps[run].n_tokens - steps[run].first_logit) * VOCABULARY * sizeof(float);
        CHECK(!memcmp(lab_logits(&spread, run), lab_logits(&shared, run), bytes),
              "%s %s: run %zu differs where buffers share memory", machine->target->name, f->name, run);
    }
    if (good)
        check_positions(&shared, f);
    lab_end(&spread);
    lab_end(&shared);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static const char *const formats[] = {"f32", "i8g32"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        if (lab_takes(machine, i, 2))
            test_format(q, machine, qbc_find_format(q, formats[i]));
}

/* kernel_program_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
