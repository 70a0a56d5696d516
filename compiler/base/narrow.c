/* narrow: floats of sixteen bits and fewer, as bits. */
#include "base.h"

#include <math.h>

static const struct qbc_narrow layouts[] = {
    {QBC_F16, 10, 15, 0x7bff, 0x7e00, 0x7c00, false}, {QBC_BF16, 7, 127, 0x7f7f, 0x7fc0, 0x7f80, false},
    {QBC_F8E4M3FN, 3, 7, 0x7e, 0x7f, 0, false},       {QBC_F8E4M3FNUZ, 3, 8, 0x7f, 0x80, 0, true},
    {QBC_F8E5M2, 2, 15, 0x7b, 0x7f, 0x7c, false},     {QBC_F8E5M2FNUZ, 2, 16, 0x7f, 0x80, 0, true},
    {QBC_F4E2M1, 1, 1, 0x7, -1, 0, false},
};

const struct qbc_narrow *qbc_narrow_of(enum qbc_element element)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; ++i)
        if (layouts[i].element == element)
            return &layouts[i];
    return NULL;
}

float qbc_narrow_to_float(enum qbc_element element, uint32_t code)
{
    const struct qbc_narrow *l = qbc_narrow_of(element);
    if (!l)
        return code == 0xff ? NAN : ldexpf(1, (int)code - 127); /* e8m0 */
    int bits = qbc_element_bits(element), rest = (int)(code & ((1u << (bits - 1)) - 1));
    bool negative = code >> (bits - 1) & 1;
    int exponent = rest >> l->fraction, fraction = rest & ((1 << l->fraction) - 1);
    if (l->one_zero ? (int)code == l->nan : l->nan >= 0 && (l->infinite ? rest > l->infinite : rest == l->nan))
        return NAN;
    if (l->infinite && rest == l->infinite)
        return negative ? -INFINITY : INFINITY;
    float size = exponent ? ldexpf((float)(fraction | 1 << l->fraction), exponent - l->bias - l->fraction)
                          : ldexpf((float)fraction, 1 - l->bias - l->fraction);
    return negative ? -size : size;
}
