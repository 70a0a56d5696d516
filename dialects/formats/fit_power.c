/* fit_power: the range of a group made a little narrower or wider, for the least sum of h |error|^2.4.
 *
 * What salience-weighted calibration of quantizers does (SliM-LLM, arXiv 2405.14917): 101 ranges from 0.9 to 1.1 of the plain
 * one. Large errors count more than in a sum of squares, so that few weights are cut off. Scales are f16, as they are stored;
 * the plain fit competes and wins ties.
 */
#include "fit.h"
#include "half.h"

#include <math.h>

enum { STEPS = 101 };
static const float FROM = 0.9f, TO = 1.1f, POWER = 2.4f;

static double loss_of(const struct qbc_group *g, float scale, int zero)
{
    float low = (float)(g->format->low - zero), high = (float)(g->format->high - zero);
    double loss = 0;
    for (int i = 0; i < g->n; ++i) {
        float x = rintf(g->w[i] / scale);
        float error = fabsf(g->w[i] - scale * (x < low ? low : x > high ? high : x));
        loss += (g->h ? (double)g->h[i] : 1) * (double)powf(error, POWER);
    }
    return loss;
}

struct qbc_params qbc_fit_power(const struct qbc_group *g, struct qbc_params plain)
{
    struct qbc_params best = plain;
    float scale = qbc_half_to_float(plain.scale);
    double least = loss_of(g, scale, plain.zero);
    for (int step = 0; step < STEPS; ++step) {
        struct qbc_params p = {qbc_fit_scale(scale * (FROM + (TO - FROM) * (float)step / (STEPS - 1))), plain.zero};
        if (!(p.scale & 0x7fff) || (p.scale & 0x7fff) >= 0x7c00 || p.scale == plain.scale)
            continue;
        if (g->format->offset == QBC_OFFSET_ZERO) {
            float zero = rintf(-g->least / qbc_half_to_float(p.scale)), most = (float)(g->format->high - g->format->low);
            p.zero = g->format->low + (int)(zero < 0 ? 0 : zero > most ? most : zero);
        }
        double loss = loss_of(g, qbc_half_to_float(p.scale), p.zero);
        if (loss < least) {
            least = loss;
            best = p;
        }
    }
    return best;
}
