/* decode_unit: all weights of a unit, one column of the panel after the other (decode.c), in loops.
 *
 *     for each group                              or span, where a span has several
 *         for each span of it
 *             for each piece                      so many chunks as are in one slot of consecutive vectors, in every field
 *                 its chunks
 *
 * Digits are brought out in as many loops over their numbers as a number has digits.
 */
#include "linear.h"

enum { MOST_ACROSS = 16, MOST_PIECE = 8 /* columns */ };

/* What uses the columns, and what goes from one to the next: `n` values of its own, then the state of a computed codebook. */
struct walk {
    struct qbc_linear *l;
    qbc_decode_use use;
    void *user;
    size_t n;
};

/* Chunks that begin at a multiple of it are in the same slot, and of the same group. */
static int piece_of(const struct qbc_linear *l, int chunks)
{
    const struct qbc_fields *s = &l->layout.codes;
    int across = qbc_vector_cols(l->format), columns = l->packing.depth * across;
    int64_t piece = qbc_common_divisor(s->chunks, chunks), group = l->format->group, parts = 1;
    for (int i = 0; i < s->n; ++i)
        piece = qbc_common_divisor(piece, s->field[i].vectors);
    if (group < l->layout.span)
        piece = group % columns ? 1 : qbc_common_divisor(piece, group / columns);
    while (piece % parts || (parts < piece && piece / parts * across > MOST_PIECE))
        ++parts;
    return (int)(piece / parts);
}

/* Chunks first .. first + chunks - 1 of a span, which begins at column `at` of the unit. */
static void pieces(struct walk *w, struct qbc_code_span *s, MlirValue at, int digit, int first, int chunks, MlirValue *carried)
{
    struct qbc_linear *l = w->l;
    struct qbc_kernel *k = l->k;
    int across = qbc_vector_cols(l->format), columns = l->packing.depth * across;
    int piece = piece_of(l, chunks);
    MlirValue decoded[MOST_ACROSS];
    struct k_loop loop = k_for(k, k_i64(k, 0), k_i64(k, chunks), piece, w->n + 1, carried);
    k_not_unrolled(k, &loop);
    s->state = loop.carried[w->n];
    for (int i = 0; i < piece; ++i) {
        struct qbc_chunk c = {.from = loop.i, .number = i, .digit = digit};
        MlirValue column = k_mul_i(k, k_add_i(k, loop.i, first), columns); /* of the piece, as all are of one group */
        qbc_decode_chunk(l, s, &c, column, decoded);
        column = k_add_i(k, k_add(k, at, column), (int64_t)i * columns);
        for (int j = 0; j < across; ++j)
            w->use(l, w->user, k_add_i(k, column, (int64_t)j * l->packing.depth), decoded[j], loop.carried);
    }
    loop.carried[w->n] = s->state;
    k_end(k, &loop, loop.carried);
    for (size_t j = 0; j <= w->n; ++j)
        carried[j] = loop.carried[j];
}

static void span(struct walk *w, struct qbc_code_span *s, MlirValue *carried)
{
    struct qbc_linear *l = w->l;
    int numbers = l->format->digits ? l->layout.codes.chunks : l->layout.chunks;
    MlirValue at = k_mul_i(l->k, s->number, l->layout.span);
    for (int first = 0, digit = 0; first < l->layout.chunks; first += numbers, ++digit) {
        int left = l->layout.chunks - first;
        pieces(w, s, at, digit, first, left < numbers ? left : numbers, carried);
    }
}

/* `together` spans from number `from` on; the state begins anew. */
static void group(struct walk *w, MlirValue unit, MlirValue from, int64_t together, MlirValue *carried)
{
    struct qbc_linear *l = w->l;
    struct qbc_kernel *k = l->k;
    struct qbc_code_span s = {.unit = unit, .number = from};
    carried[w->n] = qbc_decode_begin(l, &s);
    struct k_loop spans = k_for(k, k_i64(k, 0), k_i64(k, together), 1, w->n + 1, carried);
    k_not_unrolled(k, &spans);
    s.number = k_add(k, from, spans.i);
    span(w, &s, spans.carried);
    k_end(k, &spans, spans.carried);
    for (size_t j = 0; j < w->n; ++j)
        carried[j] = spans.carried[j];
}

void qbc_decode_unit(struct qbc_linear *l, MlirValue unit, qbc_decode_use use, void *user, size_t n, MlirValue *carried)
{
    struct qbc_kernel *k = l->k;
    struct walk w = {.l = l, .use = use, .user = user, .n = n};
    int64_t together = l->format->group > l->layout.span ? l->format->group / l->layout.span : 1;
    MlirValue next[QBC_MOST_CARRIED + 1];
    struct k_loop groups = k_for(k, k_i64(k, 0), k_i64(k, l->layout.spans), together, n, carried);
    k_not_unrolled(k, &groups);
    for (size_t j = 0; j < n; ++j)
        next[j] = groups.carried[j];
    group(&w, unit, groups.i, together, next);
    k_end(k, &groups, next);
    for (size_t j = 0; j < n; ++j)
        carried[j] = groups.carried[j];
}
