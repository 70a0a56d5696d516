/* recognise-experts: mixtures of experts, of which each token's products read only the chosen ones.
 *
 *   before   %ids = TopK of what is made of a router's logits %r;  %w = Gather or GatherND of stored [E, N, K] or [E, K, N] by %ids
 *            %y = MatMul(%w, %x);  ...;  sum over the chosen of %z * weights
 *   after    %c = "qb.route"(%r) {top, score, normalise, scale}
 *            %y = "qb.expert_linear"(%x, %v, %c) {experts, top}         %v a view [E N, K] of the stored tensor
 *            %s = "qb.combine"(%z, %c) {top}
 *
 * For random logits %ids must be what one of the laws of base/routing.c chooses, and the sum what it weighs. A product whose
 * columns go different ways (gate and up) is cut, as cut-linear does.
 *
 * needs    recognise-linear, recognise-bias: the router is a product
 * leaves   rows [T, top N], which recognise-mlp takes as those of any product
 * keeps    other products of gathered matrices, and notes why
 */
#include "pattern.h"

#include <string.h>

enum { TOKENS = 9, MOST_VALUES = 64, MOST_PARTS = 4 };

/* A product with gathered matrices. */
struct product {
    MlirOperation op;
    MlirValue y, x, ids; /* y: with a bias that is added */
    struct qbc_strided w;    /* [E N, K], in runs of N */
    struct qbc_strided bias; /* [E, N]; rank 0: none */
    int64_t n, depth;
    bool shared; /* x has one row for all that a token chose */
    MlirValue rows; /* of x, then */
    struct qbc_dims dims;
};

/* --- products with gathered matrices */

/* Gather of whole entries along the first axis. */
static bool is_gather(MlirOperation op)
{
    return (qbc_is(op, "onnx.Gather") && qbc_int(op, "axis", 0) == 0) ||
           (qbc_is(op, "onnx.GatherND") && qbc_int(op, "batch_dims", 0) == 0);
}

/* v as entries of a stored tensor of `rank` dims; turned: the last two are exchanged afterwards. */
static bool gathered(struct qbc_router_finder *f, MlirValue v, size_t rank, struct qbc_strided *w, MlirValue *ids)
{
    const int64_t *perm;
    MlirOperation turn = qbc_def(v, "onnx.Transpose");
    bool turned = !mlirOperationIsNull(turn);
    if (turned && (rank != 3 || qbc_ints(f->q, turn, "perm", &perm) != 3 || perm[0] != 0 || perm[1] != 2))
        return false;
    MlirOperation op = qbc_def_any(turned ? mlirOperationGetOperand(turn, 0) : v);
    if (mlirOperationIsNull(op) || !is_gather(op) ||
        !qbc_strided_of(f->q, f->shapes.at[0], mlirOperationGetOperand(op, 0), w) || w->rank != rank || w->run)
        return false;
    *ids = mlirOperationGetOperand(op, 1);
    if (turned) {
        int64_t dim = w->dims[1], stride = w->strides[1];
        w->dims[1] = w->dims[2];
        w->strides[1] = w->strides[2];
        w->dims[2] = dim;
        w->strides[2] = stride;
    }
    return true;
}

/* [E, N, K], in any order of memory, as [E N, K]: rows in runs of N. */
static void as_rows(struct qbc_strided *w, size_t rows, size_t columns)
{
    struct qbc_strided from = *w;
    w->rank = 2;
    w->dims[0] = from.dims[0] * from.dims[rows];
    w->dims[1] = from.dims[columns];
    w->strides[0] = from.strides[rows];
    w->strides[1] = from.strides[columns];
    w->run = from.dims[rows];
    w->run_stride = from.strides[0];
    if (w->run_stride == w->run * w->strides[0])
        w->run = w->run_stride = 0;
}

/* One row for all that a token chose: x is made of rows [T, K], each of them `top` times. */
static bool is_repeated(struct qbc_router_finder *f, const struct qbc_router *r, struct product *p)
{
    struct qbc_evaluation *e = qbc_probe(f->q, f->func, TOKENS, 0);
    p->rows = qbc_only_rows(f->q, p->x, 0, NULL);
    bool good = !mlirValueIsNull(p->rows) && qbc_dim(p->rows, 1) == p->depth && qbc_bind_iota(f->q, e, p->rows);
    const struct qbc_array *a = good ? qbc_floats_of(e, p->x) : NULL;
    for (size_t i = 0; a && good && i < a->n; ++i) {
        int64_t slot = (int64_t)i / p->depth;
        good = (int64_t)a->f[i] == slot / r->law.top * p->depth + (int64_t)i % p->depth;
    }
    qbc_evaluation_destroy(e);
    return good && a;
}

/* Each choice has a row of its own, and what was done to it was done to each number alike: of rows whose choices are a
 * number each, larger ones later, it makes such rows again. Small ones: activations may be kept within bounds. */
static bool is_row_by_row(struct qbc_router_finder *f, const struct qbc_router *r, struct product *p)
{
    struct qbc_values leaves = qbc_leaves(f->q, p->x, 0, NULL);
    struct qbc_evaluation *e = qbc_probe(f->q, f->func, TOKENS, 0);
    for (size_t i = 0; i < leaves.n; ++i) {
        struct qbc_array *a = qbc_is_level1(leaves.v[i]) ? qbc_bind_zero(f->q, e, leaves.v[i]) : NULL;
        int64_t width = a ? qbc_dim(leaves.v[i], 1) / r->law.top : 0;
        for (size_t k = 0; a && width && k < a->n; ++k)
            a->f[k] = (1 + (float)((int64_t)k / width) / 64) / 64;
    }
    const struct qbc_array *x = qbc_floats_of(e, p->x);
    bool good = x && (int64_t)x->n == (f->shapes.step ? 1 : TOKENS) * r->law.top * p->depth;
    for (size_t i = 1; good && i < x->n; ++i)
        good = (int64_t)i % p->depth ? x->f[i] == x->f[i - 1] : x->f[i] > x->f[i - 1];
    qbc_evaluation_destroy(e);
    return good && qbc_shapes_width(&f->shapes, p->x, NULL) == r->law.top * p->depth;
}

/* A stored vector of each expert that is added to the product. */
static void take_bias(struct qbc_router_finder *f, struct product *p)
{
    MlirValue v = p->y, ids;
    for (MlirOperation user = qbc_only_user(v); !mlirOperationIsNull(user); user = qbc_only_user(v)) {
        bool adds = qbc_is(user, "onnx.Add");
        bool second = adds && qbc_same(mlirOperationGetOperand(user, 1), v);
        struct qbc_strided b;
        if (adds && gathered(f, qbc_strip(mlirOperationGetOperand(user, second ? 0 : 1)), 2, &b, &ids) && b.dims[1] == p->n &&
            qbc_same(qbc_strip(ids), qbc_strip(p->ids))) {
            p->y = mlirOperationGetResult(user, 0);
            p->bias = b;
            return;
        }
        if (adds || mlirOperationGetNumResults(user) != 1 || qbc_same(qbc_strip(mlirOperationGetResult(user, 0)),
                                                                      mlirOperationGetResult(user, 0)))
            return;
        v = mlirOperationGetResult(user, 0);
    }
}

static bool find_product(struct qbc_router_finder *f, MlirOperation op, struct product *p)
{
    MlirValue a = mlirOperationGetOperand(op, 0), b = mlirOperationGetOperand(op, 1);
    *p = (struct product){.op = op, .y = mlirOperationGetResult(op, 0)};
    bool first = gathered(f, a, 3, &p->w, &p->ids);
    if (!first && !gathered(f, b, 3, &p->w, &p->ids))
        return false;
    p->x = first ? b : a;
    p->n = p->w.dims[first ? 1 : 2];
    as_rows(&p->w, first ? 1 : 2, first ? 2 : 1);
    p->depth = p->w.dims[1];
    take_bias(f, p);
    return true;
}

/* --- the rewrite */

static MlirValue emit(struct qbc_build *b, struct qbc_router *r, const struct product *p, const struct qbc_strided *w,
                      const struct qbc_strided *bias)
{
    struct qbc *q = b->q;
    int64_t n = w->dims[0] / r->law.experts;
    MlirValue operands[4] = {p->shared ? p->rows : qbc_rows(b, p->x, r->law.top * p->depth), qbc_weight(b, w, 2, (size_t[]){0, 1}),
                             qbc_router_route(b, r)};
    if (bias->rank)
        operands[3] = qbc_weight(b, bias, 1, (size_t[]){0});
    MlirOperation op = qbc_make(b, "qb.expert_linear", qbc_rows_type(q, r->law.top * n), NULL, bias->rank ? 4 : 3, operands);
    qbc_set_int(q, op, "experts", r->law.experts);
    qbc_set_int(q, op, "top", r->law.top);
    return mlirOperationGetResult(op, 0);
}

/* Rows first, first + step, .. of each expert, `width` of them. */
static void cut_rows(struct qbc_strided *w, int64_t experts, int64_t first, int64_t step, int64_t width)
{
    int64_t n = w->dims[0] / experts;
    if (!w->run) {
        w->run_stride = n * w->strides[0];
        w->run = n;
    }
    w->offset += first * w->strides[0];
    w->strides[0] *= step;
    w->dims[0] = experts * width;
    w->run = width;
}

/* [E, N] as [E N]. */
static struct qbc_strided flat_bias(const struct product *p)
{
    struct qbc_strided b = p->bias;
    if (!b.rank)
        return b;
    b.rank = 1;
    b.dims[0] *= b.dims[1];
    b.run = p->bias.dims[1];
    b.run_stride = p->bias.strides[0];
    b.strides[0] = p->bias.strides[1];
    return b;
}

struct part {
    MlirValue value;
    int64_t first, step, width;
    struct qbc_dims dims;
};

/* With y bound to 0, 1, 2, ...: columns first, first + step, .. of each choice. */
static bool is_part(struct qbc_router_finder *f, struct qbc_evaluation *e, const struct qbc_router *r, int64_t n, MlirValue v, struct part *out)
{
    const struct qbc_array *a = qbc_floats_of(e, v);
    int64_t slots = (f->shapes.step ? 1 : TOKENS) * r->law.top;
    *out = (struct part){.value = v, .width = a ? (int64_t)a->n / slots : 0};
    if (!a || !a->n || (int64_t)a->n % slots || !qbc_shapes_dims(&f->shapes, v, &out->dims))
        return false;
    out->first = (int64_t)a->f[0];
    out->step = out->width > 1 ? (int64_t)a->f[1] - out->first : 1;
    for (int64_t i = 0; i < (int64_t)a->n; ++i)
        if ((int64_t)a->f[i] != i / out->width * n + out->first + i % out->width * out->step)
            return false;
    return out->step > 0 && out->first + (out->width - 1) * out->step < n;
}

/* What reads v, or v in other dims; 0 unless all of them take columns of each choice. */
static size_t parts_of(struct qbc_router_finder *f, struct qbc_evaluation *e, const struct qbc_router *r, int64_t n, MlirValue v, struct part *part,
                       size_t found)
{
    struct qbc_ops users = qbc_users(f->q, v);
    for (size_t i = 0; i < users.n; ++i) {
        bool cuts = qbc_is(users.op[i], "onnx.Split") || qbc_is(users.op[i], "onnx.Slice");
        MlirValue first = mlirOperationGetResult(users.op[i], 0);
        size_t before = found;
        if (!cuts && !qbc_same(qbc_strip(first), first))
            found = parts_of(f, e, r, n, first, part, found);
        for (intptr_t k = 0; cuts && k < mlirOperationGetNumResults(users.op[i]); ++k)
            if (found < MOST_PARTS && is_part(f, e, r, n, mlirOperationGetResult(users.op[i], k), &part[found]))
                ++found;
        if (found == before)
            return 0;
    }
    return found;
}

static void apply(struct qbc_router_finder *f, struct qbc_router *r, struct product *p)
{
    struct qbc *q = f->q;
    struct part part[MOST_PARTS];
    struct qbc_build b = qbc_before(q, qbc_def_any(p->y));
    b.loc = mlirOperationGetLocation(p->op);
    struct qbc_strided bias = flat_bias(p);
    MlirValue rows = emit(&b, r, p, &p->w, &bias), y = qbc_unrows(&b, rows, &p->dims);
    mlirValueReplaceAllUsesOfWith(p->y, y);
    qbc_shapes_open(q, f->func, &f->shapes);
    struct qbc_evaluation *e = qbc_probe(q, f->func, TOKENS, 0);
    size_t n = qbc_bind_iota(q, e, rows) ? parts_of(f, e, r, p->n, y, part, 0) : 0;
    qbc_evaluation_destroy(e);
    qbc_shapes_close(&f->shapes);
    for (size_t i = 0; i < n; ++i) {
        struct qbc_strided w = p->w, some = bias;
        cut_rows(&w, r->law.experts, part[i].first, part[i].step, part[i].width);
        if (some.rank)
            cut_rows(&some, r->law.experts, part[i].first, part[i].step, part[i].width);
        mlirValueReplaceAllUsesOfWith(part[i].value, qbc_unrows(&b, emit(&b, r, p, &w, &some), &part[i].dims));
    }
}

static void visit(struct qbc_router_finder *f, MlirOperation op)
{
    struct product p;
    qbc_shapes_open(f->q, f->func, &f->shapes);
    bool good = find_product(f, op, &p);
    struct qbc_router *r = good ? qbc_router_find(f, op, p.ids) : NULL;
    good = r && p.w.dims[0] == r->law.experts * p.n && qbc_shapes_dims(&f->shapes, p.y, &p.dims);
    p.shared = good && is_repeated(f, r, &p);
    if (good && !p.shared && !is_row_by_row(f, r, &p)) {
        qbc_miss(f->q, op, "what the chosen experts multiply is not a row for each token, nor one for each choice");
        good = false;
    }
    qbc_shapes_close(&f->shapes);
    if (good)
        apply(f, r, &p);
}

/* --- the sum */

/* All that is made of rows, nearest first: the last that is the sum. */
static MlirValue find_sum(struct qbc_router_finder *f, struct qbc_router *r, MlirValue rows)
{
    MlirValue list[MOST_VALUES] = {rows}, found = {NULL};
    for (size_t i = 0, n = 1; i < n; ++i) {
        struct qbc_ops users = qbc_users(f->q, list[i]);
        for (size_t k = 0; k < users.n && n < MOST_VALUES; ++k)
            if (mlirOperationGetNumResults(users.op[k]) == 1 && !strncmp(qbc_op_name(users.op[k]), "onnx.", 5))
                list[n++] = mlirOperationGetResult(users.op[k], 0);
        bool narrow = i && qbc_shapes_width(&f->shapes, list[i], NULL) * r->law.top == qbc_dim(rows, 1);
        if (narrow && qbc_router_sums(f, r, rows, list[i]))
            found = list[i];
    }
    return found;
}

static struct qbc_router *router_made(struct qbc_router_finder *f, MlirValue route)
{
    for (size_t i = 0; i < f->n_routers; ++i)
        if (qbc_same(f->router[i].route, route))
            return &f->router[i];
    return NULL;
}

static void combine(struct qbc_router_finder *f, MlirOperation op)
{
    struct qbc *q = f->q;
    struct qbc_dims dims;
    MlirValue rows = mlirOperationGetResult(op, 0), sum = {NULL};
    struct qbc_router *r = router_made(f, mlirOperationGetOperand(op, 2));
    qbc_shapes_open(q, f->func, &f->shapes);
    if (r)
        sum = find_sum(f, r, rows);
    bool good = !mlirValueIsNull(sum) && qbc_shapes_dims(&f->shapes, sum, &dims);
    qbc_shapes_close(&f->shapes);
    if (!good)
        return;
    r->settled = true;
    qbc_router_settle(q, r);
    struct qbc_build b = qbc_before(q, qbc_def_any(sum));
    MlirValue y = qbc_op(&b, "qb.combine", qbc_rows_type(q, qbc_dim(rows, 1) / r->law.top), 2, rows, r->route);
    qbc_set_int(q, qbc_def_any(y), "top", r->law.top);
    mlirValueReplaceAllUsesOfWith(sum, qbc_unrows(&b, y, &dims));
}

void qbc_pass_recognise_experts(struct qbc *q, MlirOperation module)
{
    MlirOperation func = qbc_main(q, module);
    if (mlirOperationIsNull(func))
        return;
    struct qbc_ops ops = qbc_collect(q, func, "onnx.MatMul");
    struct qbc_router_finder f = {.q = q, .func = func, .router = qbc_alloc(q, (ops.n + 1) * sizeof *f.router)};
    for (size_t i = 0; i < ops.n; ++i)
        visit(&f, ops.op[i]);
    qbc_tidy(q, module);
    struct qbc_ops made = qbc_collect(q, func, "qb.expert_linear");
    for (size_t i = 0; i < made.n; ++i)
        combine(&f, made.op[i]);
    qbc_tidy(q, module);
}
