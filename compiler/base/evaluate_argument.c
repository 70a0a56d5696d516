/* evaluate_argument: what the function's arguments are for some T and P, from their attributes
 * (evaluate.h lists the roles), or from their types, where `?` is T.
 */
#include "evaluate_ops.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* [+-] [number *] (T | P), or [+-] number; moves *s past it. */
static bool affine_term(const struct qbc_evaluation *e, const char **s, const char *end,
                        int64_t *sum)
{
    int64_t factor = -1, sign = 1;
    for (; *s < end && strchr(" +-", **s); ++*s)
        sign = **s == '-' ? -1 : sign;
    for (; *s < end && **s >= '0' && **s <= '9' && factor < INT32_MAX; ++*s)
        factor = (factor < 0 ? 0 : factor) * 10 + (**s - '0');
    while (*s < end && factor >= 0 && strchr(" *", **s))
        ++*s;
    bool symbol = *s < end && (**s == 'T' || **s == 'P');
    if (symbol)
        factor = (factor < 0 ? 1 : factor) * (*(*s)++ == 'T' ? qbc_ev_tokens(e) : qbc_ev_past(e));
    if (factor < 0)
        return false;
    *sum += sign * factor;
    while (*s < end && **s == ' ')
        ++*s;
    return *s == end || **s == '+' || **s == '-';
}

bool qbc_ev_affine(const struct qbc_evaluation *e, MlirStringRef text, int64_t *out)
{
    const char *s = text.data, *end = text.data + text.length;
    *out = 0;
    do {
        if (!affine_term(e, &s, end, out))
            return false;
    } while (s < end);
    return true;
}

static void shape_from_type(const struct qbc_evaluation *e, MlirType type, struct qbc_array *a)
{
    a->rank = (size_t)mlirShapedTypeGetRank(type);
    for (size_t i = 0; i < a->rank && i < QBC_MAX_RANK; ++i)
        a->dims[i] = mlirShapedTypeIsDynamicDim(type, (intptr_t)i)
                         ? qbc_ev_tokens(e)
                         : mlirShapedTypeGetDimSize(type, (intptr_t)i);
}

static const char *shape_from_dims(struct qbc_evaluation *e, MlirAttribute dims,
                                   struct qbc_array *a)
{
    a->rank = (size_t)mlirArrayAttrGetNumElements(dims);
    for (size_t i = 0; i < a->rank && i < QBC_MAX_RANK; ++i) {
        MlirAttribute dim = mlirArrayAttrGetElement(dims, (intptr_t)i);
        MlirStringRef s = mlirAttributeIsAString(dim) ? mlirStringAttrGetValue(dim) : qbc_str("?");
        if (!qbc_ev_affine(e, s, &a->dims[i]))
            return qbc_ev_text(e, "the size '%.*s' of the argument's dimension %zu is not known",
                               (int)s.length, s.data, i);
    }
    return NULL;
}

/* Positions [1, T], or [3, 1, T]: a row each. */
static void fill(const struct qbc_evaluation *e, struct qbc_array *a, bool positions)
{
    size_t row = a->rank == 3 && a->dims[0] ? a->n / (size_t)a->dims[0] : a->n;
    for (size_t i = 0; i < a->n; ++i)
        qbc_ev_put(a, i, positions ? (double)(qbc_ev_past(e) + (int64_t)(i % row)) : 1);
}

static MlirAttribute argument_attribute(MlirOperation func, intptr_t i, const char *name)
{
    MlirAttribute none = {NULL}, all = mlirOperationGetAttributeByName(func, qbc_str("arg_attrs"));
    if (mlirAttributeIsNull(all) || !mlirAttributeIsAArray(all) ||
        i >= mlirArrayAttrGetNumElements(all))
        return none;
    MlirAttribute mine = mlirArrayAttrGetElement(all, i);
    return mlirAttributeIsADictionary(mine)
               ? mlirDictionaryAttrGetElementByName(mine, qbc_str(name))
               : none;
}

static bool named(MlirAttribute a, const char *name)
{
    return !mlirAttributeIsNull(a) && mlirAttributeIsAString(a) &&
           mlirStringRefEqual(mlirStringAttrGetValue(a), qbc_str(name));
}

const char *qbc_ev_argument(struct qbc_evaluation *e, MlirOperation func, MlirValue v,
                            struct qbc_array *a)
{
    intptr_t i = mlirBlockArgumentGetArgNumber(v);
    MlirType type = mlirValueGetType(v);
    MlirAttribute dims = argument_attribute(func, i, "qb.dims");
    MlirAttribute input = argument_attribute(func, i, "qb.input");
    const char *problem = NULL;
    if (!mlirTypeIsAShaped(type) ||
        !qbc_element_of(mlirShapedTypeGetElementType(type), &a->element))
        return "the argument is no tensor of numbers";
    if (!mlirAttributeIsNull(dims) && mlirAttributeIsAArray(dims))
        problem = shape_from_dims(e, dims, a);
    else if (mlirTypeIsARankedTensor(type))
        shape_from_type(e, type, a);
    else
        problem = "the argument's shape is not known";
    if (problem)
        return problem;
    if (!qbc_ev_count(a))
        return "the argument has too many elements or dimensions";
    bool positions = named(input, "positions"), mask = named(input, "mask");
    if ((positions || mask || named(input, "types")) && qbc_ev_make_room(e, a) && (positions || mask))
        fill(e, a, positions); /* else zeros, as they are */
    return NULL;
}
