/* activation: see activation.h. The kernel's arithmetic (passes/kernels/quantize.c), one number at a time. */
#include "activation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool qbc_activation_parse(const char *name, struct qbc_activation *out)
{
    char *end;
    *out = (struct qbc_activation){.clip_low = 1, .clip_high = 1};
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
    out->rms = *name == 'q' && out->group != QBC_ACT_TENSOR;
    return !name[out->zero || out->rms] && out->bits + (out->zero || out->rms) <= 8;
}

bool qbc_activation_clips(const struct qbc_activation *a)
{
    return a->group != QBC_ACT_TENSOR && !a->rms;
}

float qbc_activation_reach(int bits)
{
    static const float reach[] = {1.4935f, 2.0511f, 2.5139f, 2.9161f, 3.2766f, 3.6010f};
    return reach[bits - 2];
}

static void round_by_rms(const struct qbc_activation *a, int64_t n, const float *x, float *y)
{
    float sum = 0, half = (float)(1 << (a->bits - 1));
    for (int64_t i = 0; i < n; ++i)
        sum += x[i] * x[i];
    bool bad = !isfinite(sum), tiny = sum < 0x1p-100f;
    float scale = sqrtf(sum / (float)n) * (qbc_activation_reach(a->bits) / (2 * half - 1)), inverse = 0.5f / scale;
    for (int64_t i = 0; i < n; ++i) {
        float step = fminf(fmaxf(x[i] * inverse - 0.5f, -half), half - 1);
        y[i] = bad ? NAN : tiny ? 0 : scale * (2 * rintf(step) + 1);
    }
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
        if (a->rms) {
            round_by_rms(a, length, x + from, y + from);
            continue;
        }
        float least = 0, greatest = 0;
        for (int64_t i = from; i < from + length; ++i) {
            least = x[i] < least || isnan(x[i]) ? x[i] : least;
            greatest = x[i] > greatest ? x[i] : greatest;
        }
        bool is_static = a->group == QBC_ACT_TENSOR;
        round_run(a, length, is_static ? low : a->clip_low * least,
                  is_static ? high : a->clip_high * greatest, x + from, y + from);
    }
}
