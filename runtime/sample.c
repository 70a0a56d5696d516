/* sample.c: choose the next token. Plain arithmetic in a fixed order, with an exponential of its
 * own, so that a seed means the same tokens everywhere. */
#include "qbrt.h"

int32_t qbrt_argmax(const float *logits, size_t vocab)
{
    size_t best = 0;
    while (best < vocab && logits[best] != logits[best])
        best++;
    if (best == vocab)
        return 0; /* all NaN */
    for (size_t i = best + 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* e^x for x <= 0 to float's precision: e^x = 2^n * e^r with |r| <= ln(2) / 2; 2^n is made of its
 * exponent bits, e^r is its Taylor series. */
static float exponential(double x)
{
    static const double series[] = {1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                                    1.0 / 6,    1.0 / 2,   1.0,       1.0};
    if (!(x > -87.0))
        return 0.0f; /* also NaN and -infinity */
    int n = (int)(x * 1.4426950408889634 - 0.5);
    double r = x - n * 0.6931471805599453;
    double e = 0;
    for (size_t i = 0; i < sizeof series / sizeof *series; i++)
        e = e * r + series[i];
    union {
        uint32_t bits;
        float value;
    } power = {.bits = (uint32_t)(n + 127) << 23};
    return (float)(e * power.value);
}

/* Uniform in [0, 1). SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

static bool is_before(struct qbrt_candidate a, struct qbrt_candidate b)
{
    return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
}

/* Let heap[i] sink to its place; the likeliest is at the top. */
static void sink(struct qbrt_candidate *heap, size_t n, size_t i)
{
    const struct qbrt_candidate moving = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* Take the likeliest from a heap of n to its end: sorted, they lie there in reverse. */
static struct qbrt_candidate take(struct qbrt_candidate *heap, size_t n)
{
    const struct qbrt_candidate top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    sink(heap, n - 1, 0);
    return top;
}

/* Weights relative to the likeliest's 1; returns their sum. */
static double weigh(const float *logits, size_t vocab, float temperature,
                    struct qbrt_candidate *candidates)
{
    const float largest = logits[qbrt_argmax(logits, vocab)];
    const double scale = 1.0 / temperature;
    double sum = 0;
    for (size_t i = 0; i < vocab; i++) {
        double x = ((double)logits[i] - largest) * scale;
        candidates[i].weight = logits[i] == largest ? 1.0f : exponential(x);
        candidates[i].token = (int32_t)i;
        sum += candidates[i].weight;
    }
    return sum;
}

/* The candidate at `r` of the way through the weights of n, which lie `stride` apart. */
static int32_t draw(const struct qbrt_candidate *c, size_t n, ptrdiff_t stride, double r)
{
    const struct qbrt_candidate *last = c;
    for (size_t i = 0; i < n; i++, c += stride) {
        if (c->weight > 0)
            last = c;
        r -= c->weight;
        if (r < 0 && c->weight > 0)
            return c->token;
    }
    return last->token; /* rounding left a little */
}

/* Sort out the likeliest until one of the three limits is reached. Returns how many stay, and the
 * sum of their weights; they end at candidates + vocab, the likeliest last. */
static size_t keep(const struct qbrt_sampler *sampler, struct qbrt_candidate *candidates,
                   size_t vocab, double *sum)
{
    const size_t most = sampler->top_k > 0 ? (size_t)sampler->top_k : vocab;
    const double enough = sampler->top_p < 1 ? sampler->top_p * *sum : *sum + vocab;
    for (size_t i = vocab / 2; i-- > 0;)
        sink(candidates, vocab, i);
    size_t n = 0;
    for (*sum = 0; n < most && n < vocab && (n == 0 || *sum < enough); n++) {
        float weight = take(candidates, vocab - n).weight;
        if (n && weight < sampler->min_p)
            break;
        *sum += weight;
    }
    return n;
}

int32_t qbrt_sample(struct qbrt_sampler *sampler, const float *logits, size_t vocab,
                    struct qbrt_candidate *scratch)
{
    if (!(sampler->temperature > 0) || !vocab)
        return qbrt_argmax(logits, vocab);
    const bool cuts = sampler->top_k > 0 || sampler->top_p < 1 || sampler->min_p > 0;
    const double r = uniform(&sampler->state);
    double sum = weigh(logits, vocab, sampler->temperature, scratch);
    if (!cuts)
        return draw(scratch, vocab, 1, r * sum);
    size_t n = keep(sampler, scratch, vocab, &sum);
    return draw(scratch + vocab - 1, n, -1, r * sum);
}
