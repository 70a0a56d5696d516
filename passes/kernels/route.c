/* route: which experts a token goes to, and how much each of them counts.
 *
 *     score[e]  = softmax or sigmoid of x[t]
 *     chosen    = the `top` largest of score + bias (the first ones, where some are equal), largest first
 *     weight    = score of the chosen; with `normalise` over their sum; times scale
 *
 *   operands   y, x, bias (or none)     y f32 [T][2 top]: numbers of experts, then their weights
 *   attributes experts, top, score ("softmax", "sigmoid", "none"), normalise, scale; groups, kept, best: only experts of the
 *              `kept` groups whose `best` largest scores (bias included) have the largest sums are chosen
 *
 * A token that has NaN among its scores gets some experts, and NaN as weights. Threads take tokens.
 */
#include "kernel.h"

#include <math.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { Y = 0, X = 1, BIAS = 2 };

struct route {
    struct qbc_kernel *k;
    int64_t experts, top;
    MlirValue score, choice; /* scratch, f32 [experts]: what counts, and what is chosen by */
};

static MlirValue float_at(struct qbc_kernel *k, MlirValue base, MlirValue i)
{
    return k_load(k, k->f32, k_at(k, base, k_mul_i(k, i, 4)), 4);
}

static void float_to(struct qbc_kernel *k, MlirValue value, MlirValue base, MlirValue i)
{
    k_store(k, value, k_at(k, base, k_mul_i(k, i, 4)), 4);
}

/* exp(x - largest) and their sum, then by that. */
static void softmax(struct route *r, MlirValue x)
{
    struct qbc_kernel *k = r->k;
    MlirValue zero = k_i64(k, 0), n = k_i64(k, r->experts), low = k_f32(k, -INFINITY), none = k_f32(k, 0);
    struct k_loop most = k_for(k, zero, n, 1, 1, &low);
    MlirValue larger = k_op2(k, "arith.maxnumf", float_at(k, x, most.i), most.carried[0]);
    k_end(k, &most, &larger);
    struct k_loop powers = k_for(k, zero, n, 1, 1, &none);
    MlirValue power = k_exp(k, k_fsub(k, float_at(k, x, powers.i), most.carried[0]));
    float_to(k, power, r->score, powers.i);
    MlirValue sum = k_fadd(k, powers.carried[0], power);
    k_end(k, &powers, &sum);
    struct k_loop shares = k_for(k, zero, n, 1, 0, NULL);
    float_to(k, k_fdiv(k, float_at(k, r->score, shares.i), powers.carried[0]), r->score, shares.i);
    k_end(k, &shares, NULL);
}

static void score(struct route *r, MlirValue x)
{
    struct qbc_kernel *k = r->k;
    const char *how = qbc_string(k->q, k->launch, "score", "softmax");
    if (!strcmp(how, "softmax")) {
        softmax(r, x);
        return;
    }
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, r->experts), 1, 0, NULL);
    MlirValue v = float_at(k, x, loop.i);
    float_to(k, strcmp(how, "none") ? k_activation(k, how, v) : v, r->score, loop.i);
    k_end(k, &loop, NULL);
}

static void fill_choice(struct route *r)
{
    struct qbc_kernel *k = r->k;
    bool biased = mlirOperationGetNumOperands(k->launch) > BIAS;
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, r->experts), 1, 0, NULL);
    MlirValue v = float_at(k, r->score, loop.i);
    if (biased)
        v = k_fadd(k, v, float_at(k, k->operand[BIAS], loop.i));
    float_to(k, v, r->choice, loop.i);
    k_end(k, &loop, NULL);
}

/* Number and value of the largest of n floats, the first one of equals, whose place is then -infinity. */
static MlirValue take_largest(struct qbc_kernel *k, MlirValue base, int64_t n, MlirValue *value)
{
    MlirValue init[2] = {k_f32(k, -INFINITY), k_i64(k, 0)}, next[2];
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, n), 1, 2, init);
    MlirValue v = float_at(k, base, loop.i), larger = k_fcmp(k, QBC_FGT, v, loop.carried[0]);
    next[0] = k_select(k, larger, v, loop.carried[0]);
    next[1] = k_select(k, larger, loop.i, loop.carried[1]);
    k_end(k, &loop, next);
    float_to(k, k_f32(k, -INFINITY), base, loop.carried[1]);
    *value = loop.carried[0];
    return loop.carried[1];
}

/* The sum of a group's `best` largest, which stay where they are. */
static MlirValue group_sum(struct route *r, MlirValue group, int64_t size, int64_t best)
{
    struct qbc_kernel *k = r->k;
    MlirValue at = k_at(k, r->choice, k_mul_i(k, group, size * 4)), sum = k_f32(k, 0), value[8], where[8];
    for (int64_t i = 0; i < best; ++i) {
        where[i] = take_largest(k, at, size, &value[i]);
        sum = k_fadd(k, sum, value[i]);
    }
    for (int64_t i = 0; i < best; ++i)
        float_to(k, value[i], at, where[i]);
    return sum;
}

/* Experts of other groups are not chosen: sums of groups, and the least that is kept. */
static void limit_groups(struct route *r)
{
    struct qbc_kernel *k = r->k;
    int64_t groups = qbc_int(k->launch, "groups", 1), kept = qbc_int(k->launch, "kept", 1);
    int64_t best = qbc_int(k->launch, "best", 1), size = r->experts / groups;
    if (groups < 2)
        return;
    MlirValue sums = k_scratch(k, groups * 4), out = k_scratch(k, groups * 4), zero = k_i64(k, 0), value;
    struct k_loop loop = k_for(k, zero, k_i64(k, groups), 1, 0, NULL);
    float_to(k, group_sum(r, loop.i, size, best), sums, loop.i);
    float_to(k, k_f32(k, 1), out, loop.i);
    k_end(k, &loop, NULL);
    for (int64_t i = 0; i < kept; ++i)
        float_to(k, k_f32(k, 0), out, take_largest(k, sums, groups, &value));
    struct k_loop all = k_for(k, zero, k_i64(k, r->experts), 1, 0, NULL);
    MlirValue group = k_op2(k, "arith.divui", all.i, k_i64(k, size));
    MlirValue is_out = k_fcmp(k, QBC_FGT, float_at(k, out, group), k_f32(k, 0));
    float_to(k, k_select(k, is_out, k_f32(k, -INFINITY), float_at(k, r->choice, all.i)), r->choice, all.i);
    k_end(k, &all, NULL);
}

static void choose(struct route *r, MlirValue y)
{
    struct qbc_kernel *k = r->k;
    MlirValue sum = k_f32(k, 0), value;
    for (int64_t j = 0; j < r->top; ++j) {
        MlirValue e = take_largest(k, r->choice, r->experts, &value), weight = float_at(k, r->score, e);
        sum = k_fadd(k, sum, weight);
        k_store(k, qbc_op(&k->b, "arith.sitofp", k->f32, 1, e), k_at_i(k, y, j * 4), 4);
        k_store(k, weight, k_at_i(k, y, (r->top + j) * 4), 4);
    }
    MlirValue factor = k_f32(k, (float)qbc_float(k->launch, "scale", 1));
    for (int64_t j = 0; j < r->top; ++j) {
        MlirValue at = k_at_i(k, y, (r->top + j) * 4), weight = k_load(k, k->f32, at, 4);
        if (qbc_bool(k->launch, "normalise", false))
            weight = k_fdiv(k, weight, sum);
        k_store(k, k_fmul(k, weight, factor), at, 4);
    }
}

void qbc_kernel_route(struct qbc_kernel *k)
{
    struct route r = {.k = k, .experts = qbc_int(k->launch, "experts", 1), .top = qbc_int(k->launch, "top", 1)};
    r.score = k_scratch(k, r.experts * 4);
    r.choice = k_scratch(k, r.experts * 4);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    score(&r, k_row(k, X, rows.i));
    fill_choice(&r);
    limit_groups(&r);
    choose(&r, k_row(k, Y, rows.i));
    k_end(k, &rows, NULL);
}
