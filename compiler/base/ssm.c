/* ssm: the recurrence of state space models as level 1 (pattern.h): qb.ssm_scan and its state. */
#include "pattern.h"

/* The stored vector, or matrix as one, among `near` that has these numbers; else they become one of their own. */
static MlirValue stored(struct qbc_build *b, struct qbc_shapes *s, MlirOperation where, const struct qbc_values *near,
                        const float *numbers, int64_t n)
{
    struct qbc *q = b->q;
    for (size_t i = 0; i < near->n; ++i) {
        struct qbc_strided w;
        if (!qbc_is_constant(near->v[i]) || !qbc_strided_of(q, s->at[0], near->v[i], &w) || !w.rank ||
            w.strides[w.rank - 1] != 1 || (w.rank > 1 && w.strides[w.rank - 2] != w.dims[w.rank - 1]))
            continue;
        const float *have = qbc_strided_read(q, &w, (size_t)n);
        bool same = have;
        for (int64_t k = 0; same && k < n; ++k)
            same = qbc_near((double)have[k], (double)numbers[k], 1e-5, 1e-5);
        if (!same)
            continue;
        w.rank = 1;
        w.dims[0] = n;
        w.strides[0] = 1;
        return qbc_weight(b, &w, 1, (size_t[]){0});
    }
    const char *name = qbc_text(q, "%s.%s", qbc_place_name(q, where), n > 1 ? "numbers" : "number");
    while (qbc_store_find(q, name))
        name = qbc_text(q, "%s'", name);
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 1, .dims = {n}, .data = numbers,
                                         .bytes = (size_t)n * sizeof *numbers});
    struct qbc_strided made = {.name = name, .source = name, .rank = 1, .dims = {n}, .strides = {1}};
    return qbc_weight(b, &made, 1, (size_t[]){0});
}

/* One rate for all of a state is one number a head. */
static int64_t shorten_rates(struct qbc_ssm *c)
{
    for (int64_t d = 0; d < c->dts; ++d)
        for (int64_t n = 1; n < c->n; ++n)
            if (!qbc_near((double)c->rates[d * c->n], (double)c->rates[d * c->n + n], 1e-6, 0))
                return c->n;
    for (int64_t d = 0; d < c->dts; ++d)
        c->rates[d] = c->rates[d * c->n];
    return 1;
}

MlirValue qbc_ssm_emit(struct qbc_build *b, struct qbc_shapes *s, struct qbc_ssm *c)
{
    struct qbc *q = b->q;
    struct qbc_attr name[] = {{"name", qbc_attr_string(q, "ssm")}, {0}};
    int64_t rates = shorten_rates(c);
    MlirType states = qbc_rows_type(q, c->columns * c->n), type = qbc_rows_type(q, c->columns);
    MlirValue state = mlirOperationGetResult(qbc_make(b, "qb.state", states, name, 0, NULL), 0);
    MlirValue a = stored(b, s, c->where, &c->near_rates, c->rates, c->dts * rates);
    MlirValue d = stored(b, s, c->where, &c->near_skips, c->skips, c->dts);
    MlirValue y = qbc_op(b, "qb.ssm_scan", type, 7, state, c->x, c->dt, c->b, c->c, a, d);
    qbc_set_int(q, qbc_def_any(y), "n", c->n);
    return y;
}
