/* strategy: how products of a format's weights are computed on a target: of the ways that are able, the one that multiplies
 * most weights in a cycle, by a count of vector instructions.
 *
 *   S1   weights are decoded to floats, a column after the other (linear_decoded.c); any format
 *   S2   levels times activations as integers, a run of columns with one scale at a time (linear_groups.c); where the target
 *        has no such instruction for these levels, the same integers by float arithmetic (linear_fma.c)
 *
 * What is counted, for as many weights as a register has bytes: unpacking, which tokens share; products; and what a run has
 * to do for its scale. Loads are not: they have ports of their own. Counts are of what the generators write, and
 * `mca_test` compares them with llvm-mca. A token's own work decides, for a packing serves every number of tokens.
 */
#include "linear.h"

/* Instructions for a register of weights. */
struct work {
    double shared, each; /* by all tokens; for each of them */
};

static double bytes_of(const struct qbc_target *t)
{
    return t->vector_bits / 8;
}

/* --- unpacking */

/* A field that is shifted and masked, but for its first slot and its last. */
static double field_work(const struct qbc_field *field)
{
    double slots = 8.0 / field->bits, others = (slots - 1) / slots;
    return field->bits == 8 ? 0 : others + (field->shift ? 1 : others);
}

static double digit_work(const struct qbc_target *t, const struct qbc_format *f)
{
    double next = 1 - 1.0 / f->digits;
    if (t->compares_to_bytes && qbc_number_base(f) == 3)
        return 3 + next;
    return t->multiplies_bytes ? 3 + next : 4 + 2 * next;
}

static double fields_work(const struct qbc_format *f, struct qbc_packing p)
{
    struct qbc_layout layout = qbc_layout(f, p, p.rows, f->group);
    double all = 0;
    for (int i = 0; i < layout.codes.n; ++i)
        all += field_work(&layout.codes.field[i]) + (i ? 1 : 0);
    return all;
}

static double code_work(const struct qbc_target *t, const struct qbc_format *f, struct qbc_packing p)
{
    return f->digits ? digit_work(t, f) : fields_work(f, p);
}

/* Of digits that stay in their numbers: what is left after one, by a product of bytes (as slow as two additions) or by additions;
 * the numbers themselves. */
static double fraction_work(const struct qbc_target *t, const struct qbc_format *f, struct qbc_packing p, int base)
{
    double next = 2;
    for (int i = 2; i < base - 1 && !t->multiplies_bytes; i *= 2)
        ++next;
    return next + (fields_work(f, p) + 1) / f->digits;
}

/* Of bytes, in a table of so many. */
static double look_up_work(const struct qbc_target *t, int entries)
{
    enum { TABLE = 16, LARGE = 64 };
    double tables = entries / (double)TABLE;
    if (entries <= TABLE)
        return t->lookup[0] || t->scalable ? 1 : 2 * entries;
    if (t->lookup_64)
        return 1;
    if (t->lookup_more[0])
        return entries < LARGE ? 1 : 3;
    return t->lookup_ends || t->scalable ? 3 * tables - 1 : 2 * tables;
}

static double level_work(const struct qbc_target *t, const struct qbc_format *f, const struct qbc_levels *v, struct qbc_packing p)
{
    if (v->bit)
        return t->compares_to_bytes ? 1 : 2;
    return code_work(t, f, p) + (v->entries ? look_up_work(t, v->entries) + (f->selector_bits ? 1 : 0) : 0);
}

/* Levels of all operands. */
static double levels_work(const struct qbc_target *t, const struct qbc_format *f, struct qbc_packing p, bool as_signed,
                          bool fractions)
{
    double all = 0;
    for (int i = 0; i < qbc_operands(f); ++i) {
        struct qbc_levels v = qbc_levels(f, i, as_signed);
        all += fractions ? fraction_work(t, f, p, v.base) : level_work(t, f, &v, p);
    }
    return all;
}

/* --- numbers of a group: for as many rows as a register has floats */

static double scale_work(const struct qbc_format *f)
{
    bool is_code = f->scale >= QBC_SCALE_U4;
    return 1 + (is_code ? 5 : 0) + (f->outer != QBC_SCALE_NONE ? 1 : 0) + (f->floor ? 2 : 0) + (f->unit != 0 ? 1 : 0);
}

/* --- S1: four registers of floats for one of bytes */

enum { FLOATS = 4 };

static struct work decoded(const struct qbc_target *t, const struct qbc_format *f)
{
    struct qbc_packing p = {.rows = t->vector_bits / 8, .depth = 1};
    double groups = 1.0 / (f->group < QBC_ACT_GROUP ? f->group : QBC_ACT_GROUP), wide = qbc_vector_cols(f) * qbc_vector_rows(f);
    struct work w = {.each = FLOATS};
    switch (f->codebook) {
    case QBC_CODE_LEARNED: /* chosen as halves, bit by bit of the code */
        w.shared = code_work(t, f, p) + 2 * ((1 << f->bits) - 1 + 2 * f->bits) + FLOATS;
        break;
    case QBC_CODE_VECTOR: /* gathered, lane by lane */
        w.shared = code_work(t, f, p) / wide + 2 * bytes_of(t) + 3 * FLOATS;
        break;
    case QBC_CODE_COMPUTED:
        w.shared = code_work(t, f, p) + 14 * FLOATS;
        break;
    default: /* extended, converted, scaled; zero points taken off, planes added */
        w.shared = levels_work(t, f, p, false, false) + 4 * FLOATS * qbc_operands(f);
    }
    w.shared += FLOATS * groups * scale_work(f) * qbc_operands(f);
    return w;
}

/* --- S2 */

/* Products of one operand. */
static double product_work(const struct qbc_format *f, const struct qbc_tile *tile, bool as_signed)
{
    int most = qbc_levels(f, 0, as_signed).most;
    switch (tile->kind) {
    case QBC_KIND_DOT4:
        return tile->widen ? 2 + 3.0 * 2 * 127 * most / INT16_MAX + (as_signed ? 2 : 0) : 1;
    case QBC_KIND_MULL: /* products of halves; sums of rows are folded */
        return 2.7;
    case QBC_KIND_MMLA:
        return 1.3;
    case QBC_KIND_AXPY: /* to 16 bits, in twice as many registers; or to 32, from 16 */
        return QBC_ACT_GROUP * 127 * most <= INT16_MAX ? 2 : 6;
    default:
        return FLOATS;
    }
}

static struct work in_runs(const struct qbc_target *t, const struct qbc_format *f, const struct qbc_tile *tile, int tokens)
{
    struct qbc_packing p = {.rows = tile->n, .depth = qbc_tile_depth(tile)};
    bool as_signed = qbc_takes_signed(tile, f), zero = f->offset == QBC_OFFSET_ZERO, min = f->offset == QBC_OFFSET_MIN;
    struct qbc_levels first = qbc_levels(f, 0, as_signed);
    bool fractions = qbc_takes_fractions(t, tile, &first, tokens);
    double columns = qbc_run_columns(f), share = columns / f->group, operands = qbc_operands(f);
    double run = operands * (share * scale_work(f)) + (zero ? share * 2 : 0) + (min ? share * scale_work(f) : 0);
    double floats = tile->kind == QBC_KIND_FMA ? 2 * FLOATS * operands : 0; /* extended, converted */
    double each = operands * 3 + (zero ? 1 : 0) + (min ? 1 : 0);
    each += fractions ? 4 * operands : 0; /* two sums become one */
    return (struct work){
        .shared = levels_work(t, f, p, as_signed, fractions) + floats + run * FLOATS / columns,
        .each = (fractions ? 2 : 1) * operands * product_work(f, tile, as_signed) + each * FLOATS / columns,
    };
}

/* --- which */

static bool is_able(const struct qbc_target *t, const struct qbc_format *f, enum qbc_strategy s)
{
    switch (s) {
    case QBC_STRATEGY_INTEGERS:
        return qbc_has_runs(f) && qbc_multiplies_integers(t, f);
    case QBC_STRATEGY_AS_FLOATS:
        return qbc_has_runs(f) && !t->scalable;
    default:
        return true;
    }
}

double qbc_strategy_speed(const struct qbc_target *t, const struct qbc_format *f, enum qbc_strategy s, int tokens)
{
    if (!is_able(t, f, s))
        return 0;
    const struct qbc_tile *tile = s == QBC_STRATEGY_INTEGERS ? qbc_target_tile(t, 8, f->bits, 1) : qbc_target_tile(t, 32, 32, 1);
    struct work w = s == QBC_STRATEGY_DECODE ? decoded(t, f) : in_runs(t, f, tile, tokens);
    double issue = t->vector_issue ? t->vector_issue : 1;
    return tokens * bytes_of(t) * issue / (w.shared + tokens * w.each);
}

enum qbc_strategy qbc_strategy_for(const struct qbc_target *t, const struct qbc_format *f)
{
    enum qbc_strategy best = QBC_STRATEGY_DECODE;
    for (int s = best + 1; s < QBC_STRATEGIES; ++s)
        if (qbc_strategy_speed(t, f, s, 1) > qbc_strategy_speed(t, f, best, 1))
            best = s;
    return best;
}

const char *qbc_strategy_name(enum qbc_strategy s)
{
    static const char *const names[] = {"S1", "S2 as floats", "S2"};
    return names[s];
}

const char *qbc_describe_strategy(struct qbc *q, const struct qbc_target *t, const struct qbc_format *f, int tokens)
{
    const char *text = "";
    for (int s = 0; s < QBC_STRATEGIES; ++s)
        if (is_able(t, f, s))
            text = qbc_text(q, "%s%s%s %.1f", text, *text ? ", " : "", qbc_strategy_name(s), qbc_strategy_speed(t, f, s, tokens));
    return text;
}
