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

static void one(struct qbc_linear *l, int first, int chunks, MlirValue group, MlirValue act, MlirValue *out)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, SUMS, k->i32);
    int parts = l->rows / HEIGHT;
    MlirValue sums[QBC_MOST_PARTS];
    for (int p = 0; p < parts; ++p)
        sums[p] = start_one(l, act);
    for (int c = 0; c < chunks; ++c) {
        MlirValue x = activations(l, act, act, c);
        for (int p = 0; p < parts; ++p) {
            MlirValue operands[] = {sums[p], codes_of(l, group, p, first + c), x};
            sums[p] = k_intrinsic(k, l->tile->dot, type, 3, operands);
        }
    }
    for (int p = 0; p < parts / 2; ++p)
        sums[p] = k_intrinsic(k, l->tile->fold, type, 2, &sums[2 * p]);
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

static void add_chunk(struct qbc_linear *l, int m, int chunk, const MlirValue *codes, const MlirValue *act,
                      MlirValue (*sums)[QBC_MOST_PARTS])
{
    struct qbc_kernel *k = l->k;
    for (int j = 0; j < m; j += 2) {
        MlirValue x = activations(l, act[j], act[j + 1 < m ? j + 1 : j], chunk);
        for (int p = 0; p < l->rows / HEIGHT; ++p) {
            MlirValue operands[] = {sums[j / 2][p], x, codes[p]};
            sums[j / 2][p] = k_intrinsic(k, l->tile->mmla, mlirValueGetType(sums[0][0]), 3, operands);
        }
    }
}

void qbc_linear_mmla(struct qbc_linear *l, int m, int first, int chunks, MlirValue group,
                     const MlirValue *act, MlirValue *out)
{
    MlirValue sums[QBC_MOST_TOKENS / 2][QBC_MOST_PARTS], codes[QBC_MOST_PARTS];
    int parts = l->rows / HEIGHT;
    if (m == 1) {
        one(l, first, chunks, group, act[0], out);
        return;
    }
    for (int j = 0; j < m; j += 2)
        for (int p = 0; p < parts; ++p)
            sums[j / 2][p] = start_pair(l, act[j], act[j + 1 < m ? j + 1 : j]);
    for (int c = 0; c < chunks; ++c) {
        for (int p = 0; p < parts; ++p)
            codes[p] = codes_of(l, group, p, first + c);
        add_chunk(l, m, c, codes, act, sums);
    }
    for (int j = 0; j < m; ++j)
        take(l, sums[j / 2], j % 2, &out[j]);
}
