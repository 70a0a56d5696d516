/* linear_mmla: products of 2 x 8 by 8 x 2 bytes.
 *
 * A register of codes is 2 rows x 8 k, one of activations 2 tokens x 8 k, and what comes out
 *
 *     token 0 row 0, token 0 row 1, token 1 row 0, token 1 row 1
 *
 * so halves of two such registers make four rows of a token. One token alone has its 8 codes twice in a register and is
 * multiplied by `dot`, which gives two sums for each row that `fold` adds.
 */
#include "linear.h"

enum { REGISTER = 16, DEPTH = 8, HEIGHT = 2 /* rows of a register */, SUMS = 4 };

static MlirValue codes_of(struct qbc_linear *l, const struct qbc_run *run, int part, int chunk)
{
    return qbc_level_chunk(l, run, part * HEIGHT, HEIGHT, chunk);
}

/* The codes of chunks `chunk` and the next, 8 bytes each, as two lanes. */
static MlirValue two_chunks(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    return k_load(k, k_vec(k, 2, k->i64), k_at_i(k, record, QBC_ACT_CODES + (int64_t)chunk * DEPTH), 4);
}

/* 8 codes of token `a`, then of token `b`. */
static MlirValue activations(struct qbc_linear *l, const struct qbc_run *run, int a, int b, int chunk)
{
    struct qbc_kernel *k = l->k;
    chunk += run->column / DEPTH;
    int64_t lane = chunk % 2, lanes[] = {lane, 2 + lane};
    MlirValue one = two_chunks(l, run->act[a], chunk - (int)lane), other = two_chunks(l, run->act[b], chunk - (int)lane);
    return k_bitcast(k, k_shuffle(k, one, other, 2, lanes), k_vec(k, REGISTER, k->i8));
}

/* Starts of the sums above: [a, a, b, b]. */
static MlirValue start_pair(struct qbc_linear *l, const struct qbc_run *run, int a, int b)
{
    struct qbc_kernel *k = l->k;
    static const int64_t lanes[] = {0, 1, SUMS, SUMS + 1};
    MlirValue one = k_splat(k, qbc_run_start(l, run, a), SUMS), other = k_splat(k, qbc_run_start(l, run, b), SUMS);
    return k_shuffle(k, one, other, SUMS, lanes);
}

/* [a, 0, a, 0]: of two sums of a row only one starts at a. */
static MlirValue start_one(struct qbc_linear *l, const struct qbc_run *run)
{
    struct qbc_kernel *k = l->k;
    MlirValue wide = qbc_op(&k->b, "arith.extui", k->i64, 1, qbc_run_start(l, run, 0));
    return k_bitcast(k, k_splat(k, wide, 2), k_vec(k, SUMS, k->i32));
}

static void one_token(struct qbc_linear *l, const struct qbc_run *run, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_PARTS];
    for (int p = 0; p < l->rows / HEIGHT; ++p)
        sums[p] = start_one(l, run);
    for (int c = 0; c < run->chunks; ++c) {
        MlirValue x = activations(l, run, 0, 0, c);
        for (int p = 0; p < l->rows / HEIGHT; ++p) {
            MlirValue operands[] = {sums[p], codes_of(l, run, p, c), x};
            sums[p] = k_intrinsic(k, l->tile->dot, mlirValueGetType(sums[p]), 3, operands);
        }
    }
    for (int p = 0; p < l->rows / SUMS; ++p)
        sums[p] = k_intrinsic(k, l->tile->fold, mlirValueGetType(sums[p]), 2, &sums[2 * p]);
    *out = k_join(k, (size_t)l->rows / SUMS, sums);
}

/* Halves `half` of all sums, side by side: one token's rows. */
static void take(struct qbc_linear *l, const MlirValue *sums, int64_t half, MlirValue *out)
{
    int64_t lanes[] = {2 * half, 2 * half + 1, SUMS + 2 * half, SUMS + 2 * half + 1};
    MlirValue fours[QBC_MOST_PARTS / 2];
    for (int p = 0; p < l->rows / SUMS; ++p)
        fours[p] = k_shuffle(l->k, sums[2 * p], sums[2 * p + 1], SUMS, lanes);
    *out = k_join(l->k, (size_t)l->rows / SUMS, fours);
}

/* Sums of pairs of tokens; where one token is left, it is both. */
struct pairs {
    int n, a[QBC_MOST_TOKENS / 2], b[QBC_MOST_TOKENS / 2];
    MlirValue sums[QBC_MOST_TOKENS / 2][QBC_MOST_PARTS];
};

static void begin(struct qbc_linear *l, int m, const struct qbc_run *run, struct pairs *pairs)
{
    pairs->n = (m + 1) / 2;
    for (int i = 0; i < pairs->n; ++i) {
        pairs->a[i] = 2 * i, pairs->b[i] = 2 * i + 1 < m ? 2 * i + 1 : 2 * i;
        for (int p = 0; p < l->rows / HEIGHT; ++p)
            pairs->sums[i][p] = start_pair(l, run, pairs->a[i], pairs->b[i]);
    }
}

static void add_products(struct qbc_linear *l, const struct qbc_run *run, int chunk, struct pairs *pairs)
{
    MlirValue codes[QBC_MOST_PARTS];
    for (int p = 0; p < l->rows / HEIGHT; ++p)
        codes[p] = codes_of(l, run, p, chunk);
    for (int i = 0; i < pairs->n; ++i) {
        MlirValue x = activations(l, run, pairs->a[i], pairs->b[i], chunk);
        for (int p = 0; p < l->rows / HEIGHT; ++p) {
            MlirValue *sum = &pairs->sums[i][p], operands[] = {*sum, x, codes[p]};
            *sum = k_intrinsic(l->k, l->tile->mmla, mlirValueGetType(*sum), 3, operands);
        }
    }
}

void qbc_linear_mmla(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct pairs pairs;
    if (m == 1) {
        one_token(l, run, out);
        return;
    }
    begin(l, m, run, &pairs);
    for (int c = 0; c < run->chunks; ++c)
        add_products(l, run, c, &pairs);
    for (int j = 0; j < m; ++j)
        take(l, pairs.sums[j / 2], j % 2, &out[j]);
}
