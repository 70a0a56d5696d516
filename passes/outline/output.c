/* output.c: where the result of an operation goes. Parts of a qb.join are written where they belong, and a result that is
 * nothing but the logits is written to the host's memory.
 */
#include "outline.h"

#include <string.h>

/* The qb.join that op's result is a part of and nothing else; null: none. */
static MlirOperation joined_by(MlirOperation op, int *part)
{
    if (qbc_uses(qbc_only_result(op)) != 1)
        return (MlirOperation){NULL};
    MlirOpOperand use = mlirValueGetFirstUse(qbc_only_result(op));
    *part = (int)mlirOpOperandGetOperandNumber(use);
    MlirOperation user = mlirOpOperandGetOwner(use);
    return qbc_is(user, "qb.join") ? user : (MlirOperation){NULL};
}

const char *qbc_outline_format(struct outline *o, MlirValue w)
{
    const struct qbc_format *f = qbc_block_format(o->q, w);
    return f ? f->name : qbc_string(o->q, qbc_def_any(w), "format", "f32");
}

struct qbc_layout qbc_outline_layout(struct outline *o, const struct qbc_format *f, MlirValue w)
{
    return qbc_layout(f, qbc_packing_for(o->q->target, f, qbc_dim(w, 0)), qbc_dim(w, 0), qbc_dim(w, 1));
}

/* How many columns op writes: an embedding writes whole units of blocks, also behind another part of a row. */
static int64_t written_columns(struct outline *o, MlirOperation op)
{
    int64_t columns = qbc_dim(qbc_only_result(op), 1);
    if (qbc_is(op, "qb.embed") || qbc_is(op, "qb.embed_positions")) {
        MlirValue w = mlirOperationGetOperand(op, qbc_is(op, "qb.embed") ? 1 : 0);
        struct qbc_layout layout = qbc_outline_layout(o, qbc_find_format(o->q, qbc_outline_format(o, w)), w);
        return layout.units * layout.unit;
    }
    if (!qbc_is(op, "qb.join"))
        return columns;
    MlirValue left = mlirOperationGetOperand(op, 0), right = mlirOperationGetOperand(op, 1);
    int64_t first = written_columns(o, qbc_def_any(left)),
            all = qbc_dim(left, 1) + written_columns(o, qbc_def_any(right));
    return first > all ? first : all;
}

static MlirValue part_of_join(struct outline *o, MlirOperation join, int part, const char *rows)
{
    MlirValue place = qbc_place_of(o, qbc_only_result(join));
    int64_t first = part ? qbc_dim(mlirOperationGetOperand(join, 0), 1) : 0;
    if (mlirValueIsNull(place))
        place = qbc_place_output(o, join, rows);
    int64_t columns = qbc_dim(mlirOperationGetOperand(join, part), 1);
    return qbc_place_part(o, place, first * QBC_FLOAT_BYTES, columns * QBC_FLOAT_BYTES);
}

MlirValue qbc_place_output(struct outline *o, MlirOperation op, const char *rows)
{
    MlirValue y = qbc_only_result(op);
    int part = 0;
    MlirOperation join = joined_by(op, &part);
    if (!mlirOperationIsNull(join)) {
        MlirValue some = part_of_join(o, join, part, rows);
        qbc_place_remember(o, y, some);
        return some;
    }
    bool is_result = mlirValueEqual(y, o->result) && qbc_uses(y) == 1 && !strcmp(rows, "tail");
    MlirValue place = is_result ? qbc_place_logits(o)
                                : qbc_place_buffer(o, qbc_padded_row(written_columns(o, op)), rows);
    qbc_place_remember(o, y, place);
    return place;
}
