/* linear_dot: integer dot products of 4 bytes into each 32-bit lane.
 *
 * A chunk of codes is a vector of rows x 4 bytes, in one register or several, which share the activations: 4 codes in
 * all lanes. Unsigned codes u stand for u - bias; starting the sum at -bias * sum(x) makes up for it.
 *
 * Where `dot` gives sums of two products in 16 bits (tile.widen), as many chunks are added up in 16 bits as the format's
 * largest code allows, then widened.
 */
#include "linear.h"

/* One token's sums, a register each. */
struct sums {
    MlirValue wide[QBC_MOST_PARTS];   /* i32 */
    MlirValue narrow[QBC_MOST_PARTS]; /* i16, tile.widen only */
    int pending;                      /* chunks in `narrow` */
};

/* Bytes of a register, or all there are of a chunk. */
static int part_bytes(const struct qbc_linear *l)
{
    int bytes = l->k->q->target->vector_bits / 8;
    return 4 * l->rows < bytes ? 4 * l->rows : bytes;
}

static int parts(const struct qbc_linear *l)
{
    return 4 * l->rows / part_bytes(l);
}

/* The 4 codes of a chunk in all lanes: broadcast from memory, or one lane of the register that four chunks share. */
static MlirValue activation(struct qbc_linear *l, MlirValue record, int chunk)
{
    struct qbc_kernel *k = l->k;
    int64_t lanes = part_bytes(l) / 4, first = l->tile->dot_by_lane ? chunk % lanes : 0;
    MlirValue at = k_at_i(k, record, QBC_ACT_CODES + 4 * (chunk - first)), codes;
    if (l->tile->dot_by_lane)
        codes = k_spread(k, k_load(k, k_vec(k, lanes, k->i32), at, 4), first);
    else
        codes = k_splat(k, k_load(k, k->i32, at, 4), lanes);
    return k_bitcast(k, codes, k_vec(k, part_bytes(l), k->i8));
}

/* Signed codes for an instruction that wants one side unsigned: |code| * (act with code's sign). */
static void move_sign(struct qbc_linear *l, MlirValue *codes, MlirValue *act)
{
    struct qbc_kernel *k = l->k;
    MlirType type = mlirValueGetType(*codes);
    MlirValue zero = k_int_of(k, type, 0);
    if (l->tile->sign) {
        MlirValue operands[] = {*act, *codes};
        *act = k_intrinsic(k, l->tile->sign, type, 2, operands);
    } else {
        *act = k_select(k, k_cmp(k, QBC_LT, *codes, zero), k_sub(k, zero, *act), *act);
    }
    *codes = k_op1(k, "math.absi", *codes);
}

static void widen(struct qbc_linear *l, struct sums *s)
{
    struct qbc_kernel *k = l->k;
    MlirValue ones = k_int_of(k, k_vec(k, part_bytes(l) / 2, k->i16), 1);
    for (int p = 0; p < parts(l); ++p) {
        MlirValue operands[] = {s->narrow[p], ones};
        MlirType type = mlirValueGetType(s->wide[p]);
        s->wide[p] = k_add(k, s->wide[p], k_intrinsic(k, l->tile->widen, type, 2, operands));
    }
    s->pending = 0;
}

static void add_narrow(struct qbc_linear *l, int operand, const MlirValue *codes, MlirValue act, struct sums *s)
{
    struct qbc_kernel *k = l->k;
    MlirType type = k_vec(k, part_bytes(l) / 2, k->i16);
    const struct qbc_levels *v = &l->levels[operand];
    for (int p = 0; p < parts(l); ++p) {
        MlirValue operands[] = {codes[p], act};
        if (v->is_signed)
            move_sign(l, &operands[0], &operands[1]);
        MlirValue more = k_intrinsic(k, l->tile->dot, type, 2, operands);
        s->narrow[p] = s->pending ? k_add(k, s->narrow[p], more) : more;
    }
    if ((++s->pending + 1) * 2 * 127 * v->most > INT16_MAX)
        widen(l, s);
}

static void add_exact(struct qbc_linear *l, const MlirValue *codes, MlirValue act, struct sums *s)
{
    for (int p = 0; p < parts(l); ++p) {
        MlirValue operands[] = {s->wide[p], codes[p], act};
        s->wide[p] = k_intrinsic(l->k, l->tile->dot, mlirValueGetType(s->wide[p]), 3, operands);
    }
}

static void add_chunk(struct qbc_linear *l, int m, const struct qbc_run *run, int chunk, const MlirValue *codes,
                      struct sums *sums)
{
    for (int j = 0; j < m; ++j) {
        MlirValue x = activation(l, run->act[j], run->column / l->packing.depth + chunk);
        if (l->tile->widen)
            add_narrow(l, run->operand, codes, x, &sums[j]);
        else
            add_exact(l, codes, x, &sums[j]);
    }
}

static void begin(struct qbc_linear *l, const struct qbc_run *run, int token, struct sums *s)
{
    MlirValue start = k_splat(l->k, qbc_run_start(l, run, token), part_bytes(l) / 4);
    *s = (struct sums){.pending = 0};
    for (int p = 0; p < parts(l); ++p)
        s->wide[p] = start;
}

void qbc_linear_dot4(struct qbc_linear *l, int m, const struct qbc_run *run, MlirValue *out)
{
    struct sums sums[QBC_MOST_TOKENS];
    int rows = part_bytes(l) / 4;
    for (int j = 0; j < m; ++j)
        begin(l, run, j, &sums[j]);
    for (int c = 0; c < run->chunks; ++c) {
        MlirValue codes[QBC_MOST_PARTS];
        for (int p = 0; p < parts(l); ++p)
            codes[p] = qbc_level_chunk(l, run, p * rows, rows, c);
        add_chunk(l, m, run, c, codes, sums);
    }
    for (int j = 0; j < m; ++j) {
        if (sums[j].pending)
            widen(l, &sums[j]);
        out[j] = k_join(l->k, (size_t)parts(l), sums[j].wide);
    }
}
