/* embed: y[t] = row tokens[t] of w, decoded from the packed form that the head reads too.
 * embed_positions: y[t] = row `first` + position of token t.
 *
 *   operands   y, w
 *   attributes n (vocabulary, or positions), k (columns), format, panel; first; rows_before: w has the rows from there on
 */
#include "linear.h"
#include "step.h"

enum { Y = 0, W = 1 };

struct row {
    const struct qbc_format *format;
    struct qbc_packing packing;
    struct qbc_layout layout;
    MlirValue panel, lane, y;
};

/* The tokens of rows that another part has find one of ours. */
static MlirValue in_range(struct qbc_kernel *k, MlirValue id)
{
    id = k_add_i(k, id, -qbc_int(k->launch, "rows_before", 0));
    id = k_op2(k, "arith.maxsi", id, k_i64(k, 0));
    return k_op2(k, "arith.minsi", id, k_i64(k, qbc_int(k->launch, "n", 1) - 1));
}

MlirValue k_token(struct qbc_kernel *k, MlirValue t)
{
    MlirValue tokens = k_load(k, k->ptr, k_at_i(k, k->step, QBRT_STEP_TOKENS), 8);
    MlirValue id = k_load(k, k->i32, k_at(k, tokens, k_mul_i(k, t, 4)), 4);
    id = qbc_op(&k->b, "arith.extui", k->i64, 1, id);
    return qbc_has(k->launch, "rows_before") ? in_range(k, id) : id;
}

static MlirValue copy_some(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct row *r = user;
    int bytes = r->format->bits / 8;
    MlirValue at = k_at(k, k_at(k, r->panel, k_mul_i(k, r->lane, bytes)), k_mul_i(k, column, r->layout.group_bytes));
    MlirValue v = k_load_strided(k, width, bytes == 4 ? k->f32 : k_half(k), at, r->layout.group_bytes);
    k_float_to(k, bytes == 4 ? v : k_half_to_float(k, v), r->y, column);
    return sum;
}

static void copy_floats(struct qbc_kernel *k, struct row *r, int64_t columns)
{
    k_columns(k, columns, k->q->target->scalable ? QBC_MOST_WIDTH : 8, copy_some, r, (MlirValue){NULL});
}

/* What is taken off a code: the lane's zero point or the format's bias, f32. */
static MlirValue code_of_zero(struct qbc_kernel *k, struct row *r, MlirValue group)
{
    if (r->format->offset == QBC_OFFSET_NONE)
        return k_f32(k, r->packing.is_signed ? 0 : (float)r->format->bias);
    MlirValue at = k_at(k, k_at_i(k, group, r->layout.zeros_offset), r->lane);
    return k_cast(k, "arith.uitofp", k_load(k, k->i8, at, 1), k->f32);
}

static void decode_group(struct qbc_kernel *k, struct row *r, MlirValue g)
{
    int depth = r->packing.depth;
    bool apart = depth == 1 && k->q->target->scalable;
    int at_once = apart ? qbc_unpack_width(&r->layout) : 1, width = at_once * depth;
    MlirValue group = k_at(k, r->panel, k_mul_i(k, g, r->layout.group_bytes));
    MlirValue scale_at = k_at(k, k_at_i(k, group, r->layout.scales_offset), k_mul_i(k, r->lane, 2));
    MlirValue scale = k_load_half(k, 0, scale_at);
    MlirValue zero = code_of_zero(k, r, group);
    MlirValue codes_at = k_at(k, group, k_mul_i(k, r->lane, depth));
    MlirValue y = k_at(k, r->y, k_mul_i(k, g, (int64_t)r->format->group * 4));
    const char *convert = r->packing.is_signed ? "arith.sitofp" : "arith.uitofp";
    for (int c = 0; c < r->layout.chunks; c += at_once) {
        MlirValue codes = apart ? qbc_unpack_row(k, &r->layout, codes_at, c)
                                : qbc_unpack_chunk(k, &r->layout, codes_at, depth, c);
        MlirValue v = k_fsub(k, k_cast(k, convert, codes, k->f32), k_splat(k, zero, width));
        k_store(k, k_fmul(k, v, k_splat(k, scale, width)), k_at_i(k, y, (int64_t)c * depth * 4), 4);
    }
}

static void embed(struct qbc_kernel *k, bool by_position)
{
    int64_t vocabulary = qbc_int(k->launch, "n", 0), columns = qbc_int(k->launch, "k", 0);
    struct row r = {.format = qbc_find_format(k->q, qbc_string(k->q, k->launch, "format", ""))};
    r.packing = qbc_packing_for(k->q->target, r.format, vocabulary);
    r.layout = qbc_layout(r.format, r.packing, vocabulary, columns);
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    MlirValue id = by_position ? k_add_i(k, k_add(k, k->pos, rows.i), qbc_int(k->launch, "first", 0)) : k_token(k, rows.i);
    MlirValue height = k_i64(k, r.packing.rows);
    r.panel = k_at(k, k->operand[W],
                   k_mul_i(k, k_op2(k, "arith.divui", id, height), r.layout.panel_bytes));
    r.lane = k_op2(k, "arith.remui", id, height);
    r.y = k_row(k, Y, rows.i);
    if (r.format->codebook == QBC_CODE_FLOAT) {
        copy_floats(k, &r, columns);
    } else {
        struct k_loop groups = k_for(k, k_i64(k, 0), k_i64(k, r.layout.groups), 1, 0, NULL);
        decode_group(k, &r, groups.i);
        k_end(k, &groups, NULL);
    }
    k_end(k, &rows, NULL);
}

void qbc_kernel_embed(struct qbc_kernel *k)
{
    embed(k, false);
}

void qbc_kernel_embed_positions(struct qbc_kernel *k)
{
    embed(k, true);
}
