/* activation: see activation.h. The kernel's arithmetic (passes/kernels/quantize.c), one number at a time. */
#include "activation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool qbc_activation_parse(const char *name, struct qbc_activation *out)
{
    char *end;
    *out = (struct qbc_activation){.bits = 0};
    if (name[0] != 'i' || name[1] < '2' || name[1] > '8')
        return false;
    out->bits = name[1] - '0';
    name += 2;
    if (*name == 't' || *name == 's') {
        out->group = *name++ == 't' ? QBC_ACT_TOKEN : QBC_ACT_TENSOR;
    } else {
        long group = *name == 'g' && name[1] >= '1' && name[1] <= '9' ? strtol(name + 1, &end, 10) : 0;
        if (group < 1 || group % 32 || group > 1 << 20)
            return false;
        out->group = (int)group;
        name = end;
    }
    out->zero = *name == 'z';
    return !name[out->zero] && out->bits + out->zero <= 8;
}

static void round_run(const struct qbc_activation *a, int64_t n, float low, float high, const float *x, float *y)
{
    float levels = (float)(1 << a->bits) - 1, most = a->zero ? levels : (float)((1 << (a->bits - 1)) - 1);
    float range = a->zero ? high - low : fmaxf(high, -low);
    bool bad = !isfinite(low) || !isfinite(high) || !isfinite(range);
    if (bad || range < 0x1p-100f) {
        for (int64_t i = 0; i < n; ++i)
            y[i] = bad ? NAN : 0;
        return;
    }
    float scale = range * (1 / most), inverse = most / range;
    float zero = a->zero ? rintf(-low * inverse) : 0, first = a->zero ? -zero : -most, last = a->zero ? levels - zero : most;
    for (int64_t i = 0; i < n; ++i)
        y[i] = isfinite(x[i]) ? scale * fminf(fmaxf(rintf(x[i] * inverse), first), last) : NAN;
}

void qbc_activation_round(const struct qbc_activation *a, int64_t n, float low, float high, const float *x, float *y)
{
    int64_t run = a->group > 0 ? a->group : n;
    for (int64_t from = 0; from < n; from += run) {
        int64_t length = n - from < run ? n - from : run;
        float least = 0, greatest = 0;
        for (int64_t i = from; i < from + length; ++i) {
            least = x[i] < least || isnan(x[i]) ? x[i] : least;
            greatest = x[i] > greatest ? x[i] : greatest;
        }
        bool is_static = a->group == QBC_ACT_TENSOR;
        round_run(a, length, is_static ? low : least, is_static ? high : greatest, x + from, y + from);
    }
}
