/* evaluate_cast: from one element type to another. */
#include "evaluate_ops.h"

#include <string.h>

int64_t qbc_ev_wrap(int64_t x, enum qbc_element element)
{
    switch (element) {
    case QBC_BOOL:
        return x != 0;
    case QBC_I8:
        return (int8_t)x;
    case QBC_U8:
        return (uint8_t)x;
    case QBC_I16:
        return (int16_t)x;
    case QBC_U16:
        return (uint16_t)x;
    case QBC_I32:
        return (int32_t)x;
    case QBC_U32:
        return (uint32_t)x;
    default:
        return x;
    }
}

int64_t qbc_ev_to_int(float x, enum qbc_element element)
{
    if (element == QBC_BOOL)
        return x != 0;
    if (!(x > -0x1p63f))
        return x == x ? INT64_MIN : 0; /* also NaN: kernels differ, none gives anything useful */
    return qbc_ev_wrap(x < 0x1p63f ? (int64_t)x : INT64_MAX, element);
}

static float round_to(float x, enum qbc_element element)
{
    if (element == QBC_F16)
        return qbc_half_to_float(qbc_float_to_half(x));
    if (element == QBC_BF16 && x == x) {
        uint32_t bits;
        memcpy(&bits, &x, 4);
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000; /* nearest even */
        memcpy(&x, &bits, 4);
    }
    return x;
}

static bool cast_to(struct qbc_ev *c, enum qbc_element to)
{
    if (!qbc_element_bytes(to))
        return qbc_ev_fail(c, "cast to type %d, which is not supported", (int)to);
    if (!qbc_ev_shape_like(c, 0, to, c->in[0]))
        return false;
    if (!qbc_ev_known(c, 0))
        return true;
    const struct qbc_array *x = c->in[0];
    struct qbc_array *y = c->out;
    if (to == x->element) {
        *y = *x;
        return true;
    }
    if (!qbc_ev_numbers(c, 0))
        return true;
    for (size_t i = 0; i < y->n; ++i)
        if (y->f)
            y->f[i] = round_to(x->f ? x->f[i] : (float)x->i[i], to);
        else
            y->i[i] = x->f ? qbc_ev_to_int(x->f[i], to) : qbc_ev_wrap(x->i[i], to);
    return true;
}

bool qbc_ev_cast(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 1) && cast_to(c, (enum qbc_element)qbc_ev_int(c, "to", 0));
}

bool qbc_ev_cast_like(struct qbc_ev *c)
{
    return qbc_ev_wants(c, 2) && cast_to(c, c->in[1]->element);
}
