/* recurrence: states of a fixed size that a call takes and gives back (pattern.h). What is made of them is the passes' affair. */
#include "pattern.h"

#include <string.h>

enum { MOST_VALUES = 64 };

bool qbc_state_at(struct qbc_shapes *s, MlirOperation func, intptr_t i, struct qbc_state *out)
{
    *out = (struct qbc_state){.func = func, .value = mlirBlockGetArgument(qbc_func_body(func), i)};
    const char *input = qbc_input(s->q, func, out->value);
    out->result = qbc_present_of(func, out->value);
    if (!input || strcmp(input, "past") != 0 || out->result < 0 || !qbc_shapes_dims(s, out->value, &out->dims))
        return false;
    for (size_t k = 0; k < out->dims.rank; ++k)
        if (out->dims.at[k] <= 0)
            return false;
    out->next = mlirOperationGetOperand(qbc_return_of(func), out->result);
    return true;
}

void qbc_state_replace(const struct qbc_state *s, MlirValue next)
{
    mlirOperationSetOperand(qbc_return_of(s->func), s->result, next);
}

struct qbc_values qbc_made_of(struct qbc *q, MlirValue v)
{
    struct qbc_values list = {qbc_alloc(q, MOST_VALUES * sizeof *list.v), 1};
    list.v[0] = v;
    for (size_t i = 0; i < list.n; ++i) {
        struct qbc_ops users = qbc_users(q, list.v[i]);
        for (size_t k = 0; k < users.n && list.n < MOST_VALUES; ++k)
            if (mlirOperationGetNumResults(users.op[k]) == 1 && !strncmp(qbc_op_name(users.op[k]), "onnx.", 5))
                list.v[list.n++] = mlirOperationGetResult(users.op[k], 0);
    }
    return list;
}
