/* kernel_recurrence_test: causal convolutions, the recurrence of state space models and linear attention, against f64.
 *
 * The state goes from call to call: calls of 5, 1, 2 and 33 tokens follow each other, and a call at position 0 begins anew,
 * whatever is in the state. Columns that are no multiple of a vector; rates for each number of a state and for all of a head,
 * one and two groups. Linear attention by all rules: decays of a head and of each key, heads of queries that share a state.
 */
#include "kernel_graph.h"
#include "kernel_machines.h"

#include <math.h>

enum { VOCABULARY = 48, CHUNK = 33, CONTEXT = 64, COLUMNS = 24, TAPS = 4, MOST_STATE = 24 * 32 };

static const struct shape {
    const char *name;
    int columns, n, dts, groups, rates;
} shapes[] = {{"a", 24, 16, 24, 1, 16}, {"b", 12, 24, 3, 1, 1}, {"c", 16, 8, 4, 2, 8}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static const struct rule {
    const char *name;
    int heads, group, keys, values, decays, betas; /* columns of the latter; 0: none */
} rules[] = {{"la", 2, 2, 5, 12, 2, 2}, {"lb", 3, 1, 8, 16, 24, 0}, {"lc", 1, 3, 16, 20, 0, 1}, {"ld", 2, 1, 4, 32, 0, 0}};
enum { N_RULES = sizeof rules / sizeof *rules, MOST_MATRIX = 2 * 16 * 32 };

static float *filled(float *to, int n, uint64_t *seed, float base, float spread)
{
    for (int i = 0; i < n; ++i)
        to[i] = base + spread * check_normal(seed);
    return to;
}

static void add_conv(struct lab *lab, uint64_t *seed)
{
    filled(lab_input(lab, "xconv", VOCABULARY, COLUMNS), VOCABULARY * COLUMNS, seed, 0, 1);
    filled(lab_vector(lab, "wconv", COLUMNS * TAPS), COLUMNS * TAPS, seed, 0, 1);
    filled(lab_vector(lab, "bconv", COLUMNS), COLUMNS, seed, 0, 1);
    lab_say(lab,
            "%%sconv = \"qb.state\"() {name = \"conv\"} : () -> tensor<?x%dxf32>\n"
            "%%conv = \"qb.conv1d\"(%%sconv, %%xconv, %%wconv, %%bconv) : (tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<%dxf32>, "
            "tensor<%dxf32>) -> tensor<?x%dxf32> loc(\"conv\")\n",
            COLUMNS, COLUMNS, COLUMNS, COLUMNS * TAPS, COLUMNS, COLUMNS);
}

static void add_scan(struct lab *lab, const struct shape *s, uint64_t *seed)
{
    const char *n = s->name;
    int rates = s->dts * s->rates, wide = s->groups * s->n;
    filled(lab_input(lab, qbc_text(lab->q, "x%s", n), VOCABULARY, s->columns), VOCABULARY * s->columns, seed, 0, 1);
    float *dt = filled(lab_input(lab, qbc_text(lab->q, "dt%s", n), VOCABULARY, s->dts), VOCABULARY * s->dts, seed, 0, 0.5f);
    filled(lab_input(lab, qbc_text(lab->q, "b%s", n), VOCABULARY, wide), VOCABULARY * wide, seed, 0, 1);
    filled(lab_input(lab, qbc_text(lab->q, "c%s", n), VOCABULARY, wide), VOCABULARY * wide, seed, 0, 1);
    float *a = filled(lab_vector(lab, qbc_text(lab->q, "a%s", n), rates), rates, seed, -1, 0.5f);
    filled(lab_vector(lab, qbc_text(lab->q, "d%s", n), s->dts), s->dts, seed, 0, 1);
    for (int i = 0; i < VOCABULARY * s->dts; ++i)
        dt[i] = fabsf(dt[i]);
    for (int i = 0; i < rates; ++i)
        a[i] = -fabsf(a[i]);
    lab_say(lab, "%%s%s = \"qb.state\"() {name = \"ssm.%s\"} : () -> tensor<?x%dxf32>\n", n, n, s->columns * s->n);
    lab_say(lab, "%%%s = \"qb.ssm_scan\"(%%s%s, %%x%s, %%dt%s, %%b%s, %%c%s, %%a%s, %%d%s) {n = %d : i64} : ", n, n, n, n, n, n, n,
            n, s->n);
    lab_say(lab, "(tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, ", s->columns * s->n,
            s->columns, s->dts, wide, wide);
    lab_say(lab, "tensor<%dxf32>, tensor<%dxf32>) -> tensor<?x%dxf32> loc(\"%s\")\n", rates, s->dts, s->columns, n);
}

static void add_rule(struct lab *lab, const struct rule *r, uint64_t *seed)
{
    const char *n = r->name;
    int q = r->heads * r->group * r->keys, k = r->heads * r->keys, v = r->heads * r->values, y = r->heads * r->group * r->values;
    filled(lab_input(lab, qbc_text(lab->q, "q%s", n), VOCABULARY, q), VOCABULARY * q, seed, 0, 1);
    filled(lab_input(lab, qbc_text(lab->q, "k%s", n), VOCABULARY, k), VOCABULARY * k, seed, 0, 0.3f);
    filled(lab_input(lab, qbc_text(lab->q, "v%s", n), VOCABULARY, v), VOCABULARY * v, seed, 0, 1);
    if (r->decays)
        filled(lab_input(lab, qbc_text(lab->q, "g%s", n), VOCABULARY, r->decays), VOCABULARY * r->decays, seed, -1, 0.3f);
    if (r->betas)
        filled(lab_input(lab, qbc_text(lab->q, "e%s", n), VOCABULARY, r->betas), VOCABULARY * r->betas, seed, 0.5f, 0.2f);
    lab_say(lab, "%%s%s = \"qb.state\"() {name = \"linear.%s\"} : () -> tensor<?x%dxf32>\n", n, n, r->heads * r->keys * r->values);
    lab_say(lab, "%%%s = \"qb.linear_attention\"(%%s%s, %%q%s, %%k%s, %%v%s, %%%s%s, %%%s%s) {heads = %d : i64, scale = 0.5 : f32%s%s} : ", n, n,
            n, n, n, r->decays ? "g" : "k", n, r->betas ? "e" : "k", n, r->heads, r->decays ? ", decays = true" : "",
            r->betas ? ", delta = true, betas = true" : "");
    lab_say(lab, "(tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>, tensor<?x%dxf32>) -> ",
            r->heads * r->keys * r->values, q, k, v, r->decays ? r->decays : k, r->betas ? r->betas : k);
    lab_say(lab, "tensor<?x%dxf32> loc(\"%s\")\n", y, n);
}

/* --- the same in f64 */

struct past {
    double rows[TAPS - 1][COLUMNS];       /* of the convolution, oldest first */
    double state[N_SHAPES][MOST_STATE];
    double matrix[N_RULES][MOST_MATRIX];
};

static const float *table(struct lab *lab, const char *what, const char *name)
{
    return lab_values(lab, qbc_text(lab->q, "t%s%s", what, name));
}

static const float *vector(struct lab *lab, const char *what, const char *name)
{
    return lab_tensor(lab, qbc_text(lab->q, "%s%s", what, name))->vector;
}

static void check_conv(struct lab *lab, struct past *p, size_t run, int64_t t)
{
    const float *x = table(lab, "x", "conv") + lab->tokens[run][t] * COLUMNS, *w = vector(lab, "w", "conv");
    const float *y = lab_row(lab, run, "conv1d", "conv", t), *b = vector(lab, "b", "conv");
    for (int c = 0; c < COLUMNS; ++c) {
        double want = (double)b[c] + (double)w[c * TAPS + TAPS - 1] * (double)x[c];
        for (int k = 0; k + 1 < TAPS; ++k)
            want += (double)w[c * TAPS + k] * p->rows[k][c];
        for (int k = 0; k + 1 < TAPS; ++k)
            p->rows[k][c] = k + 2 < TAPS ? p->rows[k + 1][c] : (double)x[c];
        CHECK(fabs((double)y[c] - want) < 1e-5, "%s: call %zu token %ld column %d: %g, not %g", lab->q->target->name, run, (long)t, c,
              (double)y[c], want);
    }
}

static void check_scan(struct lab *lab, struct past *p, int which, size_t run, int64_t t)
{
    const struct shape *s = &shapes[which];
    int32_t token = lab->tokens[run][t];
    const float *x = table(lab, "x", s->name) + token * s->columns, *dt = table(lab, "dt", s->name) + token * s->dts;
    const float *b = table(lab, "b", s->name) + token * s->groups * s->n, *c = table(lab, "c", s->name) + token * s->groups * s->n;
    const float *a = vector(lab, "a", s->name), *skip = vector(lab, "d", s->name), *y = lab_row(lab, run, "ssm_scan", s->name, t);
    for (int i = 0; i < s->columns; ++i) {
        int d = i * s->dts / s->columns, g = i * s->groups / s->columns;
        double want = (double)skip[d] * (double)x[i];
        for (int n = 0; n < s->n; ++n) {
            double *h = &p->state[which][i * s->n + n], rate = (double)a[s->rates > 1 ? d * s->rates + n : d];
            *h = exp((double)dt[d] * rate) * *h + (double)dt[d] * (double)b[g * s->n + n] * (double)x[i];
            want += *h * (double)c[g * s->n + n];
        }
        CHECK(fabs((double)y[i] - want) < 1e-4, "%s %s: call %zu token %ld column %d: %g, not %g", lab->q->target->name, s->name, run,
              (long)t, i, (double)y[i], want);
    }
}

/* Column `column` of head `head`: of the matrix, and of its rows for each head of queries. */
static void check_column(struct lab *lab, double *matrix, const struct rule *r, int32_t token, int head, int column, const float *y,
                         const char *where)
{
    const float *q = table(lab, "q", r->name) + (token * r->heads + head) * r->group * r->keys;
    const float *k = table(lab, "k", r->name) + (token * r->heads + head) * r->keys;
    const float *g = r->decays ? table(lab, "g", r->name) + token * r->decays : NULL;
    const float *beta = r->betas ? table(lab, "e", r->name) + token * r->betas : NULL;
    double u = (double)table(lab, "v", r->name)[(token * r->heads + head) * r->values + column];
    double *s = matrix + head * r->keys * r->values + column;
    for (int i = 0; i < r->keys && g; ++i)
        s[i * r->values] *= exp((double)g[r->decays > r->heads ? head * r->keys + i : head]);
    for (int i = 0; i < r->keys && beta; ++i)
        u -= s[i * r->values] * (double)k[i];
    u *= beta ? (double)beta[r->betas > 1 ? head : 0] : 1;
    for (int i = 0; i < r->keys; ++i)
        s[i * r->values] += (double)k[i] * u;
    for (int n = 0; n < r->group; ++n) {
        double want = 0, got = (double)y[(head * r->group + n) * r->values + column];
        for (int i = 0; i < r->keys; ++i)
            want += 0.5 * (double)q[n * r->keys + i] * s[i * r->values];
        CHECK(fabs(got - want) < 1e-4, "%s %s: %s head %d column %d: %g, not %g", lab->q->target->name, r->name, where, head, column, got, want);
    }
}

static void check_rule(struct lab *lab, struct past *p, int which, size_t run, int64_t t)
{
    const struct rule *r = &rules[which];
    const char *where = qbc_text(lab->q, "call %zu token %ld", run, (long)t);
    const float *y = lab_row(lab, run, "linear_attention", r->name, t);
    for (int head = 0; head < r->heads; ++head)
        for (int column = 0; column < r->values; ++column)
            check_column(lab, p->matrix[which], r, lab->tokens[run][t], head, column, y, where);
}

static const struct {
    bool decode;
    int n_tokens, pos;
} calls[] = {{0, 5, 0}, {1, 1, 5}, {0, 2, 6}, {0, 33, 8}, {1, 1, 0}, {0, 1, 1}, {1, 1, 2}, {0, 5, 0}, {1, 1, 5}};
enum { N_CALLS = sizeof calls / sizeof *calls };

static void test(struct qbc *q, const struct lab_machine *machine)
{
    static struct past p;
    struct lab lab;
    uint64_t seed = 5;
    lab_begin(&lab, q, machine);
    add_conv(&lab, &seed);
    for (int i = 0; i < N_SHAPES; ++i)
        add_scan(&lab, &shapes[i], &seed);
    for (int i = 0; i < N_RULES; ++i)
        add_rule(&lab, &rules[i], &seed);
    lab_binary(&lab, "arith.addf", "end", "conv", "a", COLUMNS);
    for (int i = 0; i < N_CALLS; ++i) {
        int32_t tokens[CHUNK];
        for (int t = 0; t < calls[i].n_tokens; ++t)
            tokens[t] = (int32_t)((7 * t + 11 * i) % VOCABULARY);
        lab_run(&lab, calls[i].decode, calls[i].n_tokens, tokens, calls[i].pos, 0);
    }
    bool good = lab_build(&lab, "end", COLUMNS) && lab_execute(&lab);
    CHECK(good, "%s: it is not built or does not run", machine->target->name);
    for (size_t run = 0; run < N_CALLS && good; ++run) {
        if (calls[run].pos == 0)
            p = (struct past){0};
        for (int64_t t = 0; t < calls[run].n_tokens; ++t) {
            check_conv(&lab, &p, run, t);
            for (int i = 0; i < N_SHAPES; ++i)
                check_scan(&lab, &p, i, run, t);
            for (int i = 0; i < N_RULES; ++i)
                check_rule(&lab, &p, i, run, t);
        }
    }
    lab_end(&lab);
}

/* kernel_recurrence_test [TARGET] */
int main(int argc, char **argv)
{
    return lab_main(argc > 1 ? argv[1] : NULL, (struct qbc_options){.context = CONTEXT, .chunk = CHUNK}, test);
}
