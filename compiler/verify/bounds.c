/* bounds: see bounds.h. */
#include "bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "5%" to 0.05, *percent; "27.5" to itself. Negative: it is no such number. */
static double read_number(const char *text, bool *percent)
{
    char *end;
    double value = strtod(text, &end);
    *percent = *end == '%';
    bool good = end != text && !end[*percent] && value > 0 && value < 1e9;
    return !good ? -1 : *percent ? value / 100 : value;
}

bool qbc_bounds_read(struct qbc *q, struct qbc_bounds *out)
{
    const char *ppl = q->options.max_ppl, *kld = q->options.max_kld;
    bool percent;
    *out = (struct qbc_bounds){NULL};
    if (ppl) {
        double value = read_number(ppl, &percent);
        out->option = qbc_text(q, "-max-ppl=%s", ppl);
        out->ratio = percent ? 1 + value : 0;
        out->perplexity = percent ? 0 : value;
        if (value < 0 || (!percent && value <= 1))
            qbc_error_in(q, "-max-ppl", "'%s' is no bound: write a perplexity, or how much it may rise, as 5%%", ppl);
    }
    if (kld) {
        out->divergence = read_number(kld, &percent);
        out->option = ppl ? qbc_text(q, "%s -max-kld=%s", out->option, kld) : qbc_text(q, "-max-kld=%s", kld);
        if (out->divergence < 0 || percent)
            qbc_error_in(q, "-max-kld", "'%s' is no number of nats, as 0.02", kld);
    }
    return !q->errors;
}

static double share(double found, double allowed)
{
    return allowed > 0 ? found / allowed : INFINITY;
}

double qbc_bounds_used(const struct qbc_bounds *b, const struct qbc_quality *quality)
{
    double rise = log(quality->perplexity / quality->float_perplexity), most = 0;
    if (b->ratio > 0)
        most = fmax(most, share(rise, log(b->ratio)));
    if (b->perplexity > 0)
        most = fmax(most, share(rise, log(b->perplexity / quality->float_perplexity)));
    if (b->divergence > 0)
        most = fmax(most, share(quality->divergence, b->divergence));
    return most;
}

double qbc_bounds_divergence(const struct qbc_bounds *b, double float_perplexity)
{
    double least = INFINITY;
    if (b->ratio > 0)
        least = fmin(least, log(b->ratio));
    if (b->perplexity > 0)
        least = fmin(least, log(b->perplexity / float_perplexity));
    if (b->divergence > 0)
        least = fmin(least, b->divergence);
    return least > 1e-6 ? least : 1e-6;
}
