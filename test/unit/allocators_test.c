/* Allocators: choices by hand for each rule, and mckp against GLPK's integer programming on random instances. */
#include "allocators/allocator.h"
#include "check.h"

#include <glpk.h>
#include <math.h>
#include <string.h>

enum { MOST_ITEMS = 40, MOST_OPTIONS = 12 };

struct instance {
    size_t first[MOST_ITEMS + 1];
    double loss[MOST_ITEMS * MOST_OPTIONS];
    int64_t bytes[MOST_ITEMS * MOST_OPTIONS];
    struct qbc_problem problem;
};

static double uniform(uint64_t *state)
{
    return (double)(check_random(state) >> 11) / 9007199254740992.0;
}

/* Losses that fall about four times with each bit, as losses do, times what an item matters, times some noise. */
static void make_instance(struct instance *x, uint64_t *state)
{
    size_t n = 5 + check_random(state) % (MOST_ITEMS - 5), o = 0;
    int64_t least = 0, most = 0;
    for (size_t i = 0; i < n; ++i) {
        int64_t weights = (int64_t)(1 + check_random(state) % 64) << 12;
        double matters = exp(6 * uniform(state) - 9);
        size_t options = 2 + check_random(state) % (MOST_OPTIONS - 2);
        x->first[i] = o;
        for (size_t k = 0; k < options; ++k, ++o) {
            double bits = 2 + 6.5 * (double)k / (double)options;
            x->bytes[o] = (int64_t)(bits * (double)weights / 8) + 64;
            x->loss[o] = matters * exp2(-2 * bits) * (0.5 + uniform(state)) - 1e-9;
        }
        least += x->bytes[x->first[i]];
        most += x->bytes[o - 1];
    }
    x->first[n] = o;
    x->problem = (struct qbc_problem){.n = n, .first = x->first, .loss = x->loss, .bytes = x->bytes};
    x->problem.budget = least + (int64_t)(uniform(state) * (double)(most - least));
}

/* The optimum: minimise the sum of losses, one option an item, bytes within the budget. */
static double optimum(const struct qbc_problem *p)
{
    glp_prob *lp = glp_create_prob();
    size_t options = p->first[p->n], count = 0;
    int *row = calloc(2 * options + 1, sizeof *row), *column = calloc(2 * options + 1, sizeof *column);
    double *value = calloc(2 * options + 1, sizeof *value);
    REQUIRE(row && column && value);
    glp_set_obj_dir(lp, GLP_MIN);
    glp_add_rows(lp, (int)p->n + 1);
    glp_add_cols(lp, (int)options);
    glp_set_row_bnds(lp, 1, GLP_UP, 0, (double)p->budget);
    for (size_t i = 0; i < p->n; ++i) {
        glp_set_row_bnds(lp, (int)i + 2, GLP_FX, 1, 1);
        for (size_t o = p->first[i]; o < p->first[i + 1]; ++o) {
            glp_set_col_kind(lp, (int)o + 1, GLP_BV);
            glp_set_obj_coef(lp, (int)o + 1, 1e6 * p->loss[o]);
            row[++count] = 1, column[count] = (int)o + 1, value[count] = (double)p->bytes[o];
            row[++count] = (int)i + 2, column[count] = (int)o + 1, value[count] = 1;
        }
    }
    glp_load_matrix(lp, (int)count, row, column, value);
    glp_iocp how;
    glp_init_iocp(&how);
    how.presolve = GLP_ON;
    how.mip_gap = 1e-7;
    how.msg_lev = GLP_MSG_OFF;
    how.tm_lim = 20000;
    REQUIRE(!glp_intopt(lp, &how));
    double found = glp_mip_obj_val(lp) / 1e6;
    glp_delete_prob(lp);
    free(row);
    free(column);
    free(value);
    return found;
}

static void test_mckp_is_optimal(void)
{
    static struct instance x;
    uint64_t state = 20260606;
    double worst = 0;
    for (int n = 0; n < 50; ++n) {
        size_t choice[MOST_ITEMS];
        make_instance(&x, &state);
        CHECK(qbc_allocate_mckp(&x.problem, choice), "instance %d has a choice", n);
        CHECK(qbc_choice_bytes(&x.problem, choice) <= x.problem.budget, "instance %d is within its budget", n);
        double best = optimum(&x.problem), got = qbc_choice_loss(&x.problem, choice);
        double gap = (got - best) / fabs(best);
        CHECK(gap <= 1e-3, "instance %d: %.9g, the optimum is %.9g", n, got, best);
        worst = gap > worst ? gap : worst;
    }
    printf("mckp: at most %.2g above the optimum\n", worst);
}

/* --- every allocator on one small problem: three items, options of 2, 4 and 8 bytes */

static const size_t FIRST[] = {0, 3, 6, 9};
static const double LOSS[] = {9, 3, 1, 90, 30, 10, 0.9, 0.3, 0.4};
static const int64_t BYTES[] = {2, 4, 8, 2, 4, 8, 2, 4, 8};
static const double BITS[] = {2, 4, 8, 2, 4, 8, 2, 4, 8};
static const double METRIC[] = {9, 90, 0.9};
static const int BLOCK[] = {0, 0, 1};

/* Items 0 and 1 both at their least: something between them makes that bad. */
static double together(void *user, size_t a, size_t b)
{
    (void)user;
    return (a == 0 && b == 5) || (a == 5 && b == 0) ? 100 : 0;
}

static void expect(const char *name, int64_t budget, size_t a, size_t b, size_t c)
{
    struct qbc_problem p = {.n = 3, .first = FIRST, .loss = LOSS, .bytes = BYTES, .budget = budget,
                            .metric = METRIC, .bits = BITS, .block = BLOCK, .share = 1.0 / 3, .together = together};
    size_t choice[3] = {99, 99, 99};
    const struct qbc_allocator *allocator = qbc_find_allocator(name);
    REQUIRE(allocator);
    if (!strcmp(name, "threshold"))
        p.share = 8;
    CHECK(allocator->solve(&p, choice), "%s finds a choice for %ld", name, (long)budget);
    CHECK(choice[0] == a && choice[1] == 3 + b && choice[2] == 6 + c, "%s, %ld bytes: %zu %zu %zu", name, (long)budget,
          choice[0], choice[1] - 3, choice[2] - 6);
    CHECK(allocator->over_budget || qbc_choice_bytes(&p, choice) <= budget, "%s keeps to %ld", name, (long)budget);
}

static void test_rules(void)
{
    expect("mckp", 6, 0, 0, 0);
    expect("mckp", 12, 0, 2, 0);
    expect("mckp", 14, 1, 2, 0);
    expect("mckp", 99, 2, 2, 1);
    expect("waterfill", 12, 1, 1, 1); /* a step more for the second would be 14 */
    expect("waterfill", 14, 1, 2, 0);
    expect("waterfill", 24, 2, 2, 2);
    expect("swap_pairs", 12, 1, 1, 1); /* one up and one down is 14 */
    expect("swap_pairs", 14, 1, 2, 0);
    expect("rank_prefix", 12, 0, 2, 0);
    expect("rank_prefix", 17, 0, 2, 0);
    expect("rank_prefix", 18, 2, 2, 0);
    expect("greedy_order", 18, 2, 2, 0);
    expect("threshold", 1, 2, 2, 0);
    expect("top_ratio", 1, 0, 2, 0);
    expect("argmin_local", 1, 2, 2, 1);
    expect("quad_block", 12, 1, 1, 1); /* 2 + 8 bytes for the first two would cost 100 more */
}

static void test_no_choice(void)
{
    const struct qbc_allocator *a;
    for (size_t i = 0; (a = qbc_allocator_at(i)); ++i) {
        struct qbc_problem p = {.n = 3, .first = FIRST, .loss = LOSS, .bytes = BYTES, .budget = 5, .metric = METRIC,
                                .bits = BITS, .block = BLOCK, .share = 0.5, .together = together};
        size_t choice[3];
        if (!a->over_budget)
            CHECK(!a->solve(&p, choice), "%s has nothing for 5 bytes", a->name);
        p.budget = 99;
        p.metric = NULL, p.bits = NULL, p.block = NULL, p.together = NULL;
        CHECK(a->solve(&p, choice) == !*a->wants, "%s wants '%s'", a->name, a->wants);
    }
    CHECK(!qbc_find_allocator("nothing"), "no such allocator");
    CHECK(!strcmp(qbc_allocator_at(0)->name, "mckp"), "the default is the first");
}

/* --- a real instance: test/unit/inputs/docs-4m.choices, or what a report says (test/end_to_end/budget_test.py) */

enum { MOST_REAL_ITEMS = 256, MOST_REAL_OPTIONS = 256 * 40 };

static struct {
    size_t n, first[MOST_REAL_ITEMS + 1];
    double loss[MOST_REAL_OPTIONS];
    int64_t bytes[MOST_REAL_OPTIONS], parameters, others;
} real;

/* "PARAMETERS OTHER-BYTES", then a line an item: "NAME BYTES LOSS BYTES LOSS ...". */
static void read_real(const char *path)
{
    static char line[1 << 16];
    FILE *file = fopen(path, "r");
    REQUIRE(file && fgets(line, sizeof line, file));
    char *at = line;
    real.parameters = strtoll(at, &at, 10);
    real.others = strtoll(at, &at, 10);
    size_t o = 0;
    while (fgets(line, sizeof line, file)) {
        REQUIRE(real.n < MOST_REAL_ITEMS);
        at = strchr(line, ' ');
        while (at && at[strspn(at, " \n")]) {
            REQUIRE(o < MOST_REAL_OPTIONS);
            real.bytes[o] = strtoll(at, &at, 10);
            real.loss[o++] = strtod(at, &at);
        }
        real.first[++real.n] = o;
    }
    fclose(file);
    REQUIRE(real.n && o && real.parameters > 0);
}

/* Forty budgets from 2.2 to 9 bits a weight. */
static void test_real(const char *path)
{
    enum { BUDGETS = 40 };
    double worst = 0, least_used = 1;
    read_real(path);
    for (int b = 0; b < BUDGETS; ++b) {
        size_t choice[MOST_REAL_ITEMS];
        double bits = 2.2 + (9 - 2.2) * b / (BUDGETS - 1);
        struct qbc_problem p = {.n = real.n, .first = real.first, .loss = real.loss, .bytes = real.bytes};
        p.budget = (int64_t)(bits * (double)real.parameters / 8) - real.others;
        CHECK(qbc_allocate_mckp(&p, choice), "there is a choice of %.3f bits", bits);
        int64_t bytes = qbc_choice_bytes(&p, choice);
        CHECK(bytes <= p.budget, "%.3f bits: %lld bytes of %lld", bits, (long long)bytes, (long long)p.budget);
        double best = optimum(&p), got = qbc_choice_loss(&p, choice), gap = (got - best) / fabs(best);
        double used = (double)(bytes + real.others) / (double)(p.budget + real.others);
        CHECK(gap <= 1e-3, "%.3f bits: %.9g, the optimum is %.9g", bits, got, best);
        CHECK(used >= 0.995, "%.3f bits: %.2f %% used", bits, 100 * used);
        worst = gap > worst ? gap : worst;
        least_used = used < least_used ? used : least_used;
    }
    printf("%s, %zu tensors, %d budgets: at most %.2g above the optimum, at least %.3f %% used\n", path, real.n, BUDGETS, worst, 100 * least_used);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        test_real(argv[1]);
        return check_failures() != 0;
    }
    test_rules();
    test_no_choice();
    test_mckp_is_optimal();
    test_real("test/unit/inputs/docs-4m.choices");
    return check_failures() != 0;
}
