/* launch.c: what all launches have, and the weights that they read. */
#include "outline.h"

#include <mlir-c/BuiltinTypes.h>

MlirOperation qbc_launch(struct outline *o, const char *kernel, const char *rows, size_t n,
                            const MlirValue *operands)
{
    int64_t row_bytes[QBC_MOST_OPERANDS];
    struct qbc_region none = {.no_block = true};
    MlirOperation op = qbc_make_regions(&o->b, "qb.launch", 0, NULL, NULL, n, operands, 1, &none);
    for (size_t i = 0; i < n; ++i)
        row_bytes[i] = qbc_place_row_bytes(operands[i]);
    qbc_set_string(o->q, op, "kernel", kernel);
    qbc_set_string(o->q, op, "rows", rows);
    qbc_set_ints(o->q, op, "row_bytes", row_bytes, n);
    return op;
}

MlirValue qbc_place_weight(struct outline *o, MlirOperation weight)
{
    MlirOperation place = qbc_place_new(o, "weights");
    qbc_copy_attribute(weight, place, "name");
    qbc_place_remember(o, qbc_only_result(weight), qbc_only_result(place));
    return qbc_only_result(place);
}

void qbc_launch_matrix(struct outline *o, MlirOperation op, MlirValue w)
{
    const struct qbc_format *format = qbc_find_format(o->q, qbc_outline_format(o, w));
    qbc_set_int(o->q, op, "n", qbc_dim(w, 0));
    qbc_set_int(o->q, op, "k", qbc_dim(w, 1));
    qbc_set_string(o->q, op, "format", format->name);
    qbc_set_int(o->q, op, "panel", qbc_packing_for(o->q->target, format, qbc_dim(w, 0)).rows);
}

MlirValue qbc_place_vector(struct outline *o, const char *role, const float *numbers, int64_t n)
{
    const char *name = qbc_text(o->q, "%s.%zu", role, o->n_buffers);
    qbc_store_add(o->q, (struct qbc_source){.name = name,
                                            .element = QBC_F32,
                                            .rank = 1,
                                            .dims = {n},
                                            .data = numbers,
                                            .bytes = (size_t)n * sizeof *numbers});
    struct qbc_build b = qbc_before(o->q, mlirBlockGetTerminator(o->weights));
    MlirType type = qbc_tensor(o->q, mlirF32TypeGet(o->q->mlir), 1, &n);
    MlirOperation weight = qbc_make(&b, "qb.weight", type, NULL, 0, NULL);
    qbc_set_string(o->q, weight, "name", name);
    qbc_set_string(o->q, weight, "source", name);
    qbc_set_ints(o->q, weight, "strides", (int64_t[]){1}, 1);
    qbc_set_string(o->q, weight, "role", role);
    return qbc_place_weight(o, weight);
}
