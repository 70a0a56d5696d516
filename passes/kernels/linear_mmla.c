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

static MlirValue codes_of(struct qbc_linear *l, MlirValue group, int part, int chunk)
{
    return qbc_unpack_chunk(l->k, &l->layout, k_at_i(l->k, group, (int64_t)part * REGISTER), REGISTER, chunk);
}

/* The codes of chunks `chunk` and the next, 8 bytes each, as two lanes. */
static MlirValue two_chunks(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    return k_load(k, k_vec(k, 2, k->i64), k_at_i(k, record, QBC_ACT_CODES + (int64_t)chunk * DEPTH), 4);
}

/* 8 codes of token `a`, then of token `b`. */
static MlirValue activations(struct qbc_linear *l, MlirValue a, MlirValue b, int chunk)
{
    struct qbc_kernel *k = l->k;
    int64_t lane = chunk % 2, lanes[] = {lane, 2 + lane};
    MlirValue both = k_shuffle(k, two_chunks(l, a, chunk - (int)lane), two_chunks(l, b, chunk - (int)lane), 2, lanes);
    return k_bitcast(k, both, k_vec(k, REGISTER, k->i8));
}

/* Starts of the sums above: [a, a, b, b]. */
static MlirValue start_pair(struct qbc_linear *l, MlirValue a, MlirValue b)
{
    struct qbc_kernel *k = l->k;
    static const int64_t lanes[] = {0, 1, SUMS, SUMS + 1};
    return k_shuffle(k, k_splat(k, qbc_linear_start(l, a), SUMS), k_splat(k, qbc_linear_start(l, b), SUMS), SUMS, lanes);
}

/* [a, 0, a, 0]: of two sums of a row only one starts at a. */
static MlirValue start_one(struct qbc_linear *l, MlirValue record)
{
    struct qbc_kernel *k = l->k;
    MlirValue wide = qbc_op(&k->b, "arith.extui", k->i64, 1, qbc_linear_start(l, record));
    return k_bitcast(k, k_splat(k, wide, 2), k_vec(k, SUMS, k->i32));
}

/* One chunk for one token. */
static void add_dots(struct qbc_linear *l, MlirValue codes, int first, MlirValue act, int chunk, MlirValue *sums)
{
    struct qbc_kernel *k = l->k;
    MlirValue x = activations(l, act, act, chunk);
    for (int p = 0; p < l->rows / HEIGHT; ++p) {
        MlirValue operands[] = {sums[p], codes_of(l, codes, p, first + chunk), x};
        sums[p] = k_intrinsic(k, l->tile->dot, mlirValueGetType(sums[p]), 3, operands);
    }
}

static void one_token(struct qbc_linear *l, const struct qbc_runs *runs, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirValue sums[QBC_MOST_RUNS][QBC_MOST_PARTS];
    for (int r = 0; r < runs->n; ++r)
        for (int p = 0; p < l->rows / HEIGHT; ++p)
            sums[r][p] = start_one(l, runs->act[r][0]);
    for (int c = 0; c < runs->chunks; ++c)
        for (int r = 0; r < runs->n; ++r)
            add_dots(l, runs->codes, runs->first[r], runs->act[r][0], c, sums[r]);
    for (int r = 0; r < runs->n; ++r) {
        for (int p = 0; p < l->rows / SUMS; ++p)
            sums[r][p] = k_intrinsic(k, l->tile->fold, mlirValueGetType(sums[r][p]), 2, &sums[r][2 * p]);
        out[r] = k_join(k, (size_t)l->rows / SUMS, sums[r]);
    }
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

/* Sums of pairs of tokens, in one run. */
struct pairs {
    int n;
    MlirValue a[QBC_MOST_TOKENS / 2], b[QBC_MOST_TOKENS / 2]; /* records; the same where one token is left */
    MlirValue sums[QBC_MOST_TOKENS / 2][QBC_MOST_PARTS];
};

static void begin(struct qbc_linear *l, int m, const MlirValue *act, struct pairs *pairs)
{
    pairs->n = (m + 1) / 2;
    for (int i = 0; i < pairs->n; ++i) {
        pairs->a[i] = act[2 * i], pairs->b[i] = act[2 * i + 1 < m ? 2 * i + 1 : 2 * i];
        for (int p = 0; p < l->rows / HEIGHT; ++p)
            pairs->sums[i][p] = start_pair(l, pairs->a[i], pairs->b[i]);
    }
}

static void add_products(struct qbc_linear *l, int chunk, const MlirValue *codes, struct pairs *pairs)
{
    for (int i = 0; i < pairs->n; ++i) {
        MlirValue x = activations(l, pairs->a[i], pairs->b[i], chunk);
        for (int p = 0; p < l->rows / HEIGHT; ++p) {
            MlirValue *sum = &pairs->sums[i][p], operands[] = {*sum, x, codes[p]};
            *sum = k_intrinsic(l->k, l->tile->mmla, mlirValueGetType(*sum), 3, operands);
        }
    }
}

void qbc_linear_mmla(struct qbc_linear *l, int m, const struct qbc_runs *runs, MlirValue *out)
{
    struct pairs pairs[QBC_MOST_RUNS];
    MlirValue codes[QBC_MOST_PARTS];
    if (m == 1) {
        one_token(l, runs, out);
        return;
    }
    for (int r = 0; r < runs->n; ++r)
        begin(l, m, runs->act[r], &pairs[r]);
    for (int i = 0; i < runs->chunks * runs->n; ++i) {
        int c = i / runs->n, r = i % runs->n;
        for (int p = 0; p < l->rows / HEIGHT; ++p)
            codes[p] = codes_of(l, runs->codes, p, runs->first[r] + c);
        add_products(l, c, codes, &pairs[r]);
    }
    for (int i = 0; i < runs->n * m; ++i)
        take(l, pairs[i / m].sums[i % m / 2], i % m % 2, &out[i]);
}
