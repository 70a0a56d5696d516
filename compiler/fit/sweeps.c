/* sweeps: see sweeps.h. Factors lie in nameless files, as H's do. */
#include "sweeps.h"
#include "hessians.h"

#include <stdlib.h>
#include <string.h>

enum { WIDE = 1024 }; /* columns: narrower ones are made in a moment */

struct qbc_factor {
    struct qbc_factor *next;
    const float *h;
    float *u; /* [cols][cols] */
    const int32_t *order; /* [cols] or NULL */
    double wanted, used; /* damping */
};

static struct qbc_factor *find(const struct qbc *q, const float *h, double damping, bool ordered)
{
    struct qbc_factor *f = q->factors;
    while (f && (f->h != h || !f->order == ordered || f->wanted < damping || f->wanted > damping))
        f = f->next;
    return f;
}

/* The sweep's factor moves to the file. */
static void keep(struct qbc *q, const float *h, double wanted, struct qbc_sweep *s)
{
    float *u = qbc_hessian_create(q, s->cols);
    if (!u)
        return;
    memcpy(u, s->u, (size_t)(s->cols * s->cols) * sizeof *u);
    free(s->u);
    s->u = u;
    s->borrowed = true;
    struct qbc_factor *f = qbc_alloc(q, sizeof *f);
    *f = (struct qbc_factor){q->factors, h, u, NULL, wanted, s->damping};
    if (s->order) {
        int32_t *order = qbc_alloc(q, (size_t)s->cols * sizeof *order);
        memcpy(order, s->order, (size_t)s->cols * sizeof *order);
        f->order = order;
    }
    q->factors = f;
}

bool qbc_sweep_of(struct qbc *q, const char *weight, const char *role, int64_t cols, bool ordered, struct qbc_sweep *out)
{
    const float *h = qbc_hessian_find(q, weight, cols);
    double damping = qbc_damping(role);
    *out = (struct qbc_sweep){0};
    if (!h)
        return true;
    const struct qbc_factor *f = find(q, h, damping, ordered);
    if (f) {
        *out = (struct qbc_sweep){.cols = cols, .u = f->u, .damping = f->used, .how = QBC_FIT_RANGE, .borrowed = true};
        out->weight = qbc_sweep_weights(cols, h);
        qbc_hessian_release(h, cols);
        out->order = f->order ? malloc((size_t)cols * sizeof *out->order) : NULL;
        if (out->order)
            memcpy(out->order, f->order, (size_t)cols * sizeof *out->order);
        return out->weight && !out->order == !f->order;
    }
    bool good = qbc_sweep_create(out, cols, h, damping, ordered);
    if (good && out->u && cols >= WIDE)
        keep(q, h, damping, out);
    qbc_hessian_release(h, cols);
    return good;
}
