/* rope.c: rotary embedding. Angles are computed once for all that turn in the same way, one after the other. */
#include "outline.h"

#include <math.h>

static int64_t rotary_dim(MlirOperation rope)
{
    return qbc_int(rope, "rotary_dim", qbc_int(rope, "head_dim", 0));
}

static bool same_attribute(MlirOperation a, MlirOperation b, const char *name)
{
    return mlirAttributeEqual(mlirOperationGetAttributeByName(a, qbc_str(name)),
                              mlirOperationGetAttributeByName(b, qbc_str(name)));
}

static bool same_angles(MlirOperation a, MlirOperation b)
{
    return rotary_dim(a) == rotary_dim(b) && same_attribute(a, b, "theta") &&
           same_attribute(a, b, "frequencies") && same_attribute(a, b, "scale");
}

/* The frequencies become a vector of weights: theta^(-2i / rotary_dim) in f64, rounded once. */
static MlirValue frequencies(struct outline *o, MlirOperation rope, int64_t pairs)
{
    const float *given;
    float *f = qbc_alloc(o->q, (size_t)pairs * sizeof *f);
    size_t n = qbc_floats(o->q, rope, "frequencies", &given);
    double theta = qbc_float(rope, "theta", 10000);
    for (int64_t i = 0; i < pairs; ++i)
        f[i] = n ? given[i] : (float)pow(theta, -(double)i / (double)pairs);
    return qbc_place_vector(o, "rope", f, pairs);
}

static MlirValue angles(struct outline *o, MlirOperation rope)
{
    if (!mlirOperationIsNull(o->last_rope) && same_angles(o->last_rope, rope))
        return o->angles;
    int64_t pairs = rotary_dim(rope) / 2;
    MlirValue operands[] = {qbc_place_buffer(o, qbc_padded_row(2 * pairs), "all"), frequencies(o, rope, pairs)};
    MlirOperation l = qbc_launch(o, "angles", "all", 2, operands);
    qbc_set_int(o->q, l, "pairs", pairs);
    qbc_set_float(o->q, l, "scale", (float)qbc_float(rope, "scale", 1));
    o->last_rope = rope;
    return o->angles = operands[0];
}

void qbc_outline_rope(struct outline *o, MlirOperation op)
{
    MlirValue x = qbc_place_of(o, mlirOperationGetOperand(op, 0)), table = angles(o, op);
    MlirValue operands[] = {qbc_place_output(o, op, "all"), x, table};
    MlirOperation l = qbc_launch(o, "rope", "all", 3, operands);
    int64_t head_dim = qbc_int(op, "head_dim", 0);
    qbc_set_int(o->q, l, "heads", qbc_dim(qbc_only_result(op), 1) / head_dim);
    qbc_set_int(o->q, l, "head_dim", head_dim);
    qbc_set_int(o->q, l, "rotary_dim", rotary_dim(op));
    qbc_set_string(o->q, l, "pairing", qbc_string(o->q, op, "pairing", "half"));
}
