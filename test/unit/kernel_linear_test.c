/* kernel_linear_test: products beside other work, for every machine. (Formats and sizes: kernel_walk_test.)
 *
 *   chain   products of products of the same height, with no quantize between them: every thread reads what all of
 *           them wrote
 *   same    a token's results do not depend on how many others came with it, to the last bit
 *   tail    the last rows of the step only, for the host, where nothing may be written beyond the last column
 */
#include "kernel_blocks.h"
#include "kernel_graph.h"
#include "kernel_machines.h"
#include "kernel_reference.h"

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, CHAIN = 3, WIDE = 256, TAIL = 172, LOGITS = 509 };

static void add_product(struct lab *lab, const char *name, const char *input, const struct qbc_format *f, int64_t n,
                        int64_t k, uint64_t *seed)
{
    const char *w = qbc_text(lab->q, "w%s", name);
    blocks_fill(lab_matrix(lab, w, f, n, k), 0, seed);
    lab_linear(lab, name, input, w, n, k);
}

static const char *link_of(struct lab *lab, int i)
{
    return i < 0 ? "x" : qbc_text(lab->q, "chain%d", i);
}

static void add_inputs(struct lab *lab, uint64_t *seed)
{
    float *x = lab_input(lab, "x", VOCABULARY, WIDE), *tail = lab_input(lab, "short", VOCABULARY, TAIL);
    for (int i = 0; i < VOCABULARY * WIDE; ++i)
        x[i] = check_normal(seed);
    for (int i = 0; i < VOCABULARY * TAIL; ++i)
        tail[i] = check_normal(seed);
}

static void add_runs(struct lab *lab)
{
    static const struct {
        int tokens, first_logit;
    } runs[] = {{1, 0}, {2, 1}, {3, 0}, {5, 2}, {8, 0}, {9, 0}, {33, 29}, {1, 0}};
    int next = 0;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < runs[i].tokens; ++t)
            tokens[t] = (int32_t)(next++ % VOCABULARY);
        lab_run(lab, i == 0, runs[i].tokens, tokens, 0, runs[i].first_logit);
    }
}

/* One row of results against what it was made from. */
static void check_row(const struct lab *lab, const char *name, const float *x, const float *y)
{
    const struct qbc_blocks *b = &lab_tensor(lab, qbc_text(lab->q, "w%s", name))->blocks;
    bool coded = b->format->codebook != QBC_CODE_FLOAT;
    struct reference_input in = reference_input(x, b->cols, coded);
    double roundings = reference_roundings(b->format, b->cols, true);
    int bad = 0;
    for (int64_t n = 0; n < b->rows; ++n) {
        struct reference_weights w = reference_weights(b, n);
        struct reference_sum want = reference_product(&w, &in);
        if (!reference_agrees(y[n], want, roundings) && !bad++)
            CHECK(false, "%s %s %s row %ld: got %.9g, want %.9g, size %g", lab->q->target->name, b->format->name, name,
                  (long)n, (double)y[n], want.value, want.size);
        reference_weights_free(&w);
    }
    reference_input_free(&in);
}

static void check_chain(struct lab *lab)
{
    for (int i = 1; i < CHAIN; ++i)
        for (size_t run = 0; run < lab->job.runs; ++run)
            for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t)
                check_row(lab, link_of(lab, i), lab_row(lab, run, "linear", link_of(lab, i - 1), t),
                          lab_row(lab, run, "linear", link_of(lab, i), t));
}

static void check_same(struct lab *lab, const char *name)
{
    const float *first[VOCABULARY] = {NULL};
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = 0; t < lab->runs[run].n_tokens; ++t) {
            int token = lab->tokens[run][t];
            const float *y = lab_row(lab, run, "linear", name, t);
            CHECK(!first[token] || !memcmp(first[token], y, WIDE * sizeof *y), "%s %s: token %d is another one among %ld",
                  lab->q->target->name, name, token, (long)lab->runs[run].n_tokens);
            first[token] = y;
        }
}

static void check_tail(struct lab *lab)
{
    const float *x = lab_values(lab, "tshort");
    for (size_t run = 0; run < lab->job.runs; ++run)
        for (int64_t t = lab->runs[run].first_logit; t < lab->runs[run].n_tokens; ++t)
            check_row(lab, "last", x + (int64_t)lab->tokens[run][t] * TAIL,
                      lab_logits(lab, run) + (t - lab->runs[run].first_logit) * LOGITS);
}

static void try_format(struct qbc *q, const struct lab_machine *machine, const struct qbc_format *f)
{
    struct lab lab;
    uint64_t seed = 7;
    lab_begin(&lab, q, machine);
    add_inputs(&lab, &seed);
    for (int i = 0; i < CHAIN; ++i)
        add_product(&lab, link_of(&lab, i), link_of(&lab, i - 1), f, WIDE, WIDE, &seed);
    lab_tail(&lab, "tail", "short", TAIL);
    add_product(&lab, "last", "tail", f, LOGITS, TAIL, &seed);
    add_runs(&lab);
    bool good = lab_build(&lab, "last", LOGITS) && lab_execute(&lab);
    CHECK(good, "%s %s is not built or does not run", machine->target->name, f->name);
    if (good) {
        check_chain(&lab);
        for (int i = 0; i < CHAIN; ++i)
            check_same(&lab, link_of(&lab, i));
        check_tail(&lab);
    }
    lab_end(&lab);
}

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static const char *const formats[] = {"f32", "f16", "i4g32", "i4g128z", "i8g32", "i3g64"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        if (lab_takes(machine, i, 3))
            try_format(q, machine, qbc_find_format(q, formats[i]));
}

/* kernel_linear_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
