/* compare: what was computed, with what should have been. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_float(enum qbc_element e)
{
    return e == QBC_F32 || e == QBC_F64 || e == QBC_F8E8M0 || qbc_narrow_of(e);
}

static double number(enum qbc_element e, const uint8_t *at)
{
    uint32_t code = 0;
    float f;
    double d;
    if (e == QBC_F32)
        return memcpy(&f, at, sizeof f), (double)f;
    if (e == QBC_F64)
        return memcpy(&d, at, sizeof d), d;
    memcpy(&code, at, qbc_element_bytes(e));
    return (double)qbc_narrow_to_float(e, code);
}

static bool close_enough(double got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabs(got - want) <= 1e-7 + 1e-3 * fabs(want);
}

static bool same_shape(const struct check_tensor *want, size_t rank, const int64_t *dims)
{
    return want->rank == rank && !memcmp(want->dims, dims, rank * sizeof *dims);
}

static int64_t whole(const uint8_t *at, size_t bytes)
{
    int64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

bool check_compare(const struct check_tensor *want, uint32_t element, size_t rank, const int64_t *dims, const void *got,
                   char *why, size_t room)
{
    size_t bytes = qbc_element_bytes(want->element);
    const uint8_t *computed = got;
    if (element != (uint32_t)want->element) {
        snprintf(why, room, "has elements of type %u, not %d", element, (int)want->element);
        return false;
    }
    if (!same_shape(want, rank, dims)) {
        snprintf(why, room, "has rank %zu and first size %lld, not %zu and %lld, or others", rank,
                 rank ? (long long)dims[0] : 1, want->rank, want->rank ? (long long)want->dims[0] : 1);
        return false;
    }
    for (size_t i = 0; i < want->n; ++i) {
        const uint8_t *a = computed + i * bytes, *b = want->data + i * bytes;
        if (is_float(want->element)) {
            double x = number(want->element, a), y = number(want->element, b);
            if (!close_enough(x, y)) {
                snprintf(why, room, "element %zu is %.9g, not %.9g", i, x, y);
                return false;
            }
        } else if (memcmp(a, b, bytes)) {
            snprintf(why, room, "element %zu is %lld, not %lld", i, (long long)whole(a, bytes), (long long)whole(b, bytes));
            return false;
        }
    }
    return true;
}
