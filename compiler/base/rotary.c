/* rotary: which rotation by position a table of cosines and sines holds (pattern.h).
 *
 * Pair i of a head turns by p * f_i at position p. A frequency is first read off positions 0 and 1
 * and then ever more precisely at 2, 4, 8, ...: an angle known to within half a turn tells how many
 * whole turns to add to what the arc tangent gives. At position p an error of the table weighs 1/p,
 * so a half-precision table gives frequencies to a few parts in a million.
 *
 * Then the simplest law that the table allows: theta^(-2i/dim) with as few decimal digits as will
 * do, or else a frequency for each pair (llama3 scaling, YaRN, linear scaling, ...).
 */
#include "pattern.h"

#include <math.h>
#include <mlir-c/BuiltinAttributes.h>

/* Errors of a stored cosine: rounded to f32, f16 (whose small numbers lie evenly), bf16. */
static const struct {
    double relative, absolute;
} roundings[] = {{1e-6, 1e-13}, {6e-4, 6e-8}, {5e-3, 1e-13}};
static const double angle_error = 3e-7; /* of p * f, when the exporter multiplied in f32 */

double qbc_rotary_angle(const struct qbc_rotary *r, int64_t position, int64_t pair)
{
    double f = r->theta > 0 ? pow(r->theta, -2.0 * (double)pair / (double)r->dim)
                            : (double)r->frequencies[pair];
    return (double)position * f;
}

/* All pairs at position 1, for who asks for many positions. */
static const double *angles(struct qbc *q, const struct qbc_rotary *r)
{
    double *f = qbc_alloc(q, (size_t)r->dim / 2 * sizeof *f + 1);
    for (int64_t i = 0; i < r->dim / 2; ++i)
        f[i] = qbc_rotary_angle(r, 1, i);
    return f;
}

static void columns(const struct qbc_rotary *r, int64_t pair, int64_t *a, int64_t *b)
{
    *a = r->adjacent ? 2 * pair : pair;
    *b = r->adjacent ? 2 * pair + 1 : pair + r->dim / 2;
}

void qbc_rotary_apply(const struct qbc_rotary *r, int64_t position, float *head)
{
    for (int64_t i = 0; i < r->dim / 2; ++i) {
        int64_t a, b;
        columns(r, i, &a, &b);
        double angle = qbc_rotary_angle(r, position, i);
        double x = r->scale * (double)head[a], y = r->scale * (double)head[b];
        head[a] = (float)(x * cos(angle) - y * sin(angle));
        head[b] = (float)(x * sin(angle) + y * cos(angle));
    }
}

bool qbc_rotary_same(const struct qbc_rotary *a, const struct qbc_rotary *b)
{
    if (a->dim != b->dim || !qbc_near(a->scale, b->scale, 1e-4, 0))
        return false;
    double precision = fmax(a->precision, b->precision);
    for (int64_t i = 0; i < a->dim / 2; ++i)
        if (!qbc_near(qbc_rotary_angle(a, 1, i), qbc_rotary_angle(b, 1, i), 3 * precision, 0))
            return false;
    return a->dim == 0 || a->adjacent == b->adjacent;
}

static bool close(const struct qbc_rotary *r, int64_t position, double angle, double exact,
                  double stored)
{
    double moved = angle_error * fabs(angle) + r->drift * (double)position;
    return fabs(exact - stored) <= r->precision * fabs(exact) + moved + r->absolute;
}

static bool holds(struct qbc *q, const struct qbc_rotary *r, size_t n, const float *cosines,
                  const float *sines)
{
    const double *f = angles(q, r);
    size_t half = (size_t)r->dim / 2;
    for (size_t i = 0; i < n * half; ++i) {
        double angle = (double)(i / half) * f[i % half];
        int64_t p = (int64_t)(i / half);
        if (!close(r, p, angle, cos(angle), (double)cosines[i]) ||
            !close(r, p, angle, sin(angle), (double)sines[i]))
            return false;
    }
    return true;
}

static double turns_added(double angle, double about)
{
    static const double turn = 6.283185307179586476925;
    return angle + turn * round((about - angle) / turn);
}

/* Radians a position of one pair: doubling positions, then least squares over all. */
static double frequency(size_t n, size_t half, size_t i, const float *cosines, const float *sines)
{
#define ANGLE(p) atan2((double)sines[(p) * half + i], (double)cosines[(p) * half + i])
    double f = ANGLE(1), above = 0, below = 0;
    for (size_t p = 2; p < n; p *= 2)
        f = turns_added(ANGLE(p), f * (double)p) / (double)p;
    for (size_t p = 1; p < n; ++p) {
        above += (double)p * turns_added(ANGLE(p), f * (double)p);
        below += (double)p * (double)p;
    }
#undef ANGLE
    return above / below;
}

/* ln theta by least squares: -ln f_i = (2i/dim) ln theta. */
static double theta_of(const double *frequencies, int64_t half)
{
    double above = 0, below = 0;
    for (int64_t i = 1; i < half; ++i) {
        double x = (double)i / (double)half;
        if (frequencies[i] <= 0)
            return 0;
        above -= x * log(frequencies[i]);
        below += x * x;
    }
    return below > 0 ? exp(above / below) : 0;
}

static bool fits_theta(struct qbc *q, size_t n, const float *cosines, const float *sines,
                       const double *frequencies, struct qbc_rotary *r)
{
    enum { DIGITS = 9 };
    double theta = theta_of(frequencies, r->dim / 2), before = 0;
    if (!(theta > 0) || !isfinite(theta))
        return false;
    for (int digits = 0; digits <= DIGITS; ++digits) {
        r->theta = digits < DIGITS ? qbc_shortest(theta, 0.5 * pow(10, -digits)) : theta;
        if (r->theta != before && holds(q, r, n, cosines, sines))
            return true;
        before = r->theta;
    }
    r->theta = 0;
    return false;
}

const char *qbc_rotary_fit(struct qbc *q, size_t n, const float *cosines, const float *sines,
                           struct qbc_rotary *out)
{
    size_t half = (size_t)out->dim / 2;
    double *f = qbc_alloc(q, half * sizeof *f);
    out->frequencies = qbc_alloc(q, half * sizeof *out->frequencies);
    for (size_t i = 0; i < half; ++i) {
        f[i] = frequency(n, half, i, cosines, sines);
        out->frequencies[i] = (float)f[i];
    }
    for (size_t k = 0; k < sizeof roundings / sizeof *roundings; ++k) {
        out->precision = roundings[k].relative;
        out->absolute = roundings[k].absolute;
        out->drift = 2 * out->precision * sqrt(3 / ((double)n * (double)n * (double)n));
        if (fits_theta(q, n, cosines, sines, f, out))
            return NULL;
        if (holds(q, out, n, cosines, sines))
            return NULL;
    }
    return "its angles are not proportional to the position";
}

/* Of what is column j of a table: pair j, or one of a pair's two columns? */
static int64_t pair_of(const struct qbc_rotary *r, int64_t column, int64_t columns)
{
    int64_t half = r->dim / 2;
    if (columns == half)
        return column;
    return r->adjacent ? column / 2 : column % half;
}

/* One function of a law, and a table to compare with it. */
struct table {
    const struct qbc_rotary *r;
    const double *f; /* of each pair */
    const float *numbers;
    int64_t rows, columns, stride; /* stride: from row to row */
    double (*function)(double);
    double factor;
};

/* What the numbers are times the function, by least squares over the first rows. */
static double amplitude(const struct table *t)
{
    enum { ROWS = 64 };
    double above = 0, below = 0;
    for (int64_t i = 0; i < t->columns * (t->rows < ROWS ? t->rows : ROWS); ++i) {
        double f = t->f[pair_of(t->r, i % t->columns, t->columns)];
        double x = t->function((double)(i / t->columns) * f);
        above += x * (double)t->numbers[i / t->columns * t->stride + i % t->columns];
        below += x * x;
    }
    return below > 0 ? above / below : 0;
}

static bool row_fits(const struct table *t, int64_t p)
{
    for (int64_t j = 0; j < t->columns; ++j) {
        double angle = (double)p * t->f[pair_of(t->r, j, t->columns)];
        double stored = (double)t->numbers[p * t->stride + j] / t->factor;
        if (!close(t->r, p, angle, t->function(angle), stored))
            return false;
    }
    return true;
}

/* The first row that does not fit; the number of rows: all do. Of a long table every 7th row is
 * looked at, and the last. */
static int64_t first_other_row(const struct table *t)
{
    enum { LONG = 8192, STEP = 7 };
    for (int64_t p = 0; p < t->rows; p += p < LONG ? 1 : STEP)
        if (!row_fits(t, p))
            return p;
    return row_fits(t, t->rows - 1) ? t->rows : t->rows - 1;
}

static int64_t rows_that_fit(struct table *t, double (*function)(double))
{
    t->function = function;
    t->factor = amplitude(t);
    return first_other_row(t);
}

/* Of a table whose left half holds one function and its right half the other. */
static int64_t rows_of_halves(const struct table *t, bool cosines_first)
{
    struct table left = *t, right = *t;
    left.columns = right.columns = t->columns / 2;
    right.numbers += t->columns / 2;
    int64_t a = rows_that_fit(&left, cosines_first ? cos : sin), b = rows_that_fit(&right, cosines_first ? sin : cos);
    return a < b ? a : b;
}

bool qbc_rotary_check_table(struct qbc *q, MlirOperation where, const struct qbc_rotary *r,
                            MlirValue table)
{
    struct qbc_strided s;
    if (!qbc_strided_of(q, NULL, table, &s) || !qbc_strided_matrix(&s))
        return true;
    struct table t = {.r = r, .f = angles(q, r), .rows = s.dims[0], .columns = s.dims[1], .stride = s.dims[1]};
    t.numbers = qbc_strided_read(q, &s, (size_t)(t.rows * t.columns));
    if (!t.numbers || (t.columns != r->dim && t.columns != r->dim / 2)) {
        qbc_miss(q, where, "the table '%s' holds no cosines or sines of this rotation", s.source);
        return false;
    }
    int64_t fits = 0;
    for (int k = 0; k < 2 && fits < t.rows; ++k) {
        int64_t row = rows_that_fit(&t, k ? sin : cos), both = t.columns == r->dim ? rows_of_halves(&t, k) : 0;
        fits = row > fits ? row : fits;
        fits = both > fits ? both : fits;
    }
    if (fits < t.rows)
        qbc_miss(q, where, "the rotary table '%s' changes its law at position %ld", s.source, fits);
    return fits == t.rows;
}

MlirValue qbc_rotary_emit(struct qbc_build *b, const struct qbc_rotary *r, MlirValue rows,
                          int64_t head_dim)
{
    struct qbc *q = b->q;
    struct qbc_attr attrs[] = {
        {"head_dim", qbc_attr_int(q, head_dim)},
        {"rotary_dim", qbc_attr_int(q, r->dim)},
        {"pairing", qbc_attr_string(q, r->adjacent ? "adjacent" : "half")},
        r->theta > 0
            ? (struct qbc_attr){"theta", qbc_attr_float(q, (float)r->theta)}
            : (struct qbc_attr){"frequencies",
                                mlirDenseF32ArrayGet(q->mlir, r->dim / 2, r->frequencies)},
        {0},
    };
    MlirOperation rope = qbc_make(b, "qb.rope", mlirValueGetType(rows), attrs, 1, &rows);
    if (r->scale != 1)
        qbc_set_float(q, rope, "scale", (float)r->scale);
    return mlirOperationGetResult(rope, 0);
}
