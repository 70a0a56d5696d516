/* tokenizer_utf8.c: UTF-8, strictly (The Unicode Standard, table 3-7) and never past the end. */
#include "tokenizer_inside.h"

enum { REPLACEMENT = 0xfffd };

unsigned qbrt_utf8_lead(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

size_t qbrt_utf8_step(const uint8_t *p, size_t n, bool *valid)
{
    uint8_t low, high;
    unsigned need = qbrt_utf8_lead(p[0], &low, &high);
    size_t have = 1;
    while (have < need && have < n && p[have] >= low && p[have] <= high) {
        low = 0x80;
        high = 0xbf;
        have++;
    }
    *valid = have == need;
    return have;
}

uint32_t qbrt_utf8_decode(const uint8_t *p, const uint8_t *end, size_t *bytes)
{
    bool valid;
    size_t n = qbrt_utf8_step(p, (size_t)(end - p), &valid);
    *bytes = valid ? n : 1;
    if (!valid)
        return REPLACEMENT;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

size_t qbrt_utf8_encode(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1;) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (uint8_t)((0xf0 << (4 - n) & 0xff) | c);
    return n;
}
