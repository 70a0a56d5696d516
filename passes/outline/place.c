/* place.c: where values are. A value that an operation of @main gives becomes a place: a buffer of the arena, the host's
 * logits, or some columns of either.
 */
#include "outline.h"

#include <string.h>

void qbc_place_remember(struct outline *o, MlirValue value, MlirValue place)
{
    if (o->n_known == o->capacity) {
        size_t capacity = o->capacity ? 2 * o->capacity : 256;
        void *grown = qbc_alloc(o->q, capacity * sizeof *o->known);
        if (o->n_known)
            memcpy(grown, o->known, o->n_known * sizeof *o->known);
        o->known = grown;
        o->capacity = capacity;
    }
    o->known[o->n_known].value = value;
    o->known[o->n_known++].place = place;
}

MlirValue qbc_place_of(struct outline *o, MlirValue value)
{
    for (size_t i = o->n_known; i-- > 0;)
        if (mlirValueEqual(o->known[i].value, value))
            return o->known[i].place;
    return (MlirValue){NULL};
}

void qbc_copy_attribute(MlirOperation from, MlirOperation to, const char *name)
{
    MlirAttribute a = mlirOperationGetAttributeByName(from, qbc_str(name));
    if (!mlirAttributeIsNull(a))
        qbc_set(to, name, a);
}

MlirValue qbc_only_result(MlirOperation op)
{
    return mlirOperationGetResult(op, 0);
}

MlirOperation qbc_place_new(struct outline *o, const char *section)
{
    MlirOperation op = qbc_make(&o->b, "qb.place", qbc_type(o->q, "!llvm.ptr"), NULL, 0, NULL);
    qbc_set_string(o->q, op, "section", section);
    return op;
}

const char *qbc_place_rows(struct outline *o, MlirValue place)
{
    return qbc_string(o->q, qbc_def_any(place), "rows", "all");
}

int64_t qbc_place_row_bytes(MlirValue place)
{
    return qbc_int(qbc_def_any(place), "row_bytes", 0);
}

int64_t qbc_padded_row(int64_t columns)
{
    return (columns + QBC_PADDED_ROW - 1) / QBC_PADDED_ROW * QBC_PADDED_ROW * 4;
}

MlirValue qbc_place_buffer(struct outline *o, int64_t row_bytes, const char *rows)
{
    MlirOperation op = qbc_place_new(o, "arena");
    qbc_set_string(o->q, op, "name", qbc_text(o->q, "%zu", o->n_buffers++));
    qbc_set_int(o->q, op, "row_bytes", row_bytes);
    qbc_set_string(o->q, op, "rows", rows);
    return qbc_only_result(op);
}

MlirValue qbc_place_logits(struct outline *o)
{
    MlirOperation place = qbc_place_new(o, "logits");
    qbc_set_int(o->q, place, "row_bytes", qbc_dim(o->result, 1) * 4);
    qbc_set_string(o->q, place, "rows", "tail");
    return qbc_only_result(place);
}

bool qbc_place_is_logits(struct outline *o, MlirValue place)
{
    return !strcmp(qbc_string(o->q, qbc_def_any(place), "section", ""), "logits");
}

MlirValue qbc_place_part(struct outline *o, MlirValue place, int64_t shift, int64_t width)
{
    static const char *const copied[] = {"name", "row_bytes", "rows", "skip", "multiplier"};
    MlirOperation from = qbc_def_any(place), part = qbc_place_new(o, qbc_string(o->q, from, "section", ""));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        qbc_copy_attribute(from, part, copied[i]);
    qbc_set_int(o->q, part, "shift", qbc_int(from, "shift", 0) + shift);
    qbc_set_int(o->q, part, "width", width);
    return qbc_only_result(part);
}

MlirValue qbc_place_tail(struct outline *o, MlirValue x)
{
    if (!strcmp(qbc_place_rows(o, x), "tail"))
        return x;
    MlirOperation tail = qbc_place_new(o, qbc_string(o->q, qbc_def_any(x), "section", "arena"));
    qbc_copy_attribute(qbc_def_any(x), tail, "name");
    qbc_copy_attribute(qbc_def_any(x), tail, "row_bytes");
    qbc_set_string(o->q, tail, "rows", "tail");
    qbc_set_bool(o->q, tail, "skip", true);
    return qbc_only_result(tail);
}
