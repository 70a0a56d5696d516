/* split-composites: a weight of a composite format becomes the pieces that it is stored as, each a weight of its own.
 *
 *   before   %b = "qb.weight"() {name = "0.ffn_up", ...} : () -> tensor<NxKx!qb.block<"i4g32+i2g64">>
 *            %w = "qb.dequant"(%b)
 *            %y = "qb.linear"(%x, %w)
 *   after    %0 = "qb.weight"() {name = "0.ffn_up/sum0", whole = "0.ffn_up", composite = "i4g32+i2g64", part = "sum0",
 *                                shape = array<i64: N, K>, ...} : () -> tensor<NxKx!qb.block<"i4g32">>
 *            %1 = "qb.weight"() {name = "0.ffn_up/sum1", ...} : () -> tensor<NxKx!qb.block<"i2g64">>
 *            %y = arith.addf "qb.linear"(%x, dequant %0), "qb.linear"(%x, dequant %1)
 *
 *   SPLIT    products with some of x's columns, added ("qb.columns"; permuted ones are gathered once: "qb.gather"); by rows:
 *            products side by side ("qb.join")
 *   SCALED   "qb.scale" of x by v, the product, "qb.scale" of it by u
 *   SPARSE   the product, and "qb.sparse" of x
 *   LOWRANK  the product, and that of x B^T ("qb.project") with A
 *
 * An embedding looks rows up in the pieces and puts them together in the same way. Parts may be composites again. Paths and
 * tables: dialects/parts.h; compiler/emit/fit_composite.c fits the whole and writes the pieces.
 *
 * needs    formats assigned
 * leaves   linears and embeddings of leaves only; of a part that is rows, embeddings are {rows_before}: it has the rows from
 *          there on, tokens of others find one of its own, and "qb.choose" takes the right one
 * complains of more columns than 16 bits can number, where they are numbered; of other users
 */
#include "parts.h"
#include "passes.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { MOST_PIECES = 256 };

/* A weight to be taken apart, and its pieces so far: those that linears and embeddings share exist once. */
struct whole {
    struct qbc *q;
    MlirOperation weight, last; /* `last`: behind which the next piece goes */
    const char *name;
    struct {
        const char *path;
        MlirValue value;
    } piece[MOST_PIECES];
    size_t n_pieces;
};

/* What reads it, where new operations go. */
struct use {
    struct whole *whole;
    struct qbc_build b;
    MlirOperation user;  /* linear or embed */
    int64_t rows_before; /* of the tensor, where a part is looked up that is rows; else 0 */
};

/* A part: rows x cols of format f. */
struct part {
    const struct qbc_format *format;
    const char *path;
    int64_t rows, cols;
};

/* --- weights */

static void copy_attributes(MlirOperation from, MlirOperation to, const char *const *names)
{
    for (; *names; ++names)
        if (qbc_has(from, *names))
            qbc_set(to, *names, mlirOperationGetAttributeByName(from, qbc_str(*names)));
}

static MlirOperation new_weight(struct whole *w, const char *path, MlirType type)
{
    static const char *const copied[] = {"source", "offset", "strides", "runs", "blocks", "changes", "block", "role", NULL};
    struct qbc *q = w->q;
    struct qbc_build b = qbc_after(q, w->last);
    MlirValue whole = mlirOperationGetResult(w->weight, 0);
    MlirOperation op = w->last = qbc_make(&b, "qb.weight", type, NULL, 0, NULL);
    copy_attributes(w->weight, op, copied);
    qbc_set_string(q, op, "name", qbc_text(q, "%s/%s", w->name, path));
    qbc_set_string(q, op, "whole", w->name);
    qbc_set_string(q, op, "composite", qbc_block_format(q, whole)->name);
    qbc_set_string(q, op, "part", path);
    qbc_set_ints(q, op, "shape", (int64_t[]){qbc_dim(whole, 0), qbc_dim(whole, 1)}, 2);
    return op;
}

/* NULL: there is none yet. */
static MlirValue known(const struct whole *w, const char *path)
{
    for (size_t i = 0; i < w->n_pieces; ++i)
        if (!strcmp(w->piece[i].path, path))
            return w->piece[i].value;
    return (MlirValue){NULL};
}

static MlirValue remember(struct whole *w, const char *path, MlirValue value)
{
    w->piece[w->n_pieces].path = path;
    w->piece[w->n_pieces++].value = value;
    return value;
}

/* A leaf, as the floats that it stands for. */
static MlirValue leaf(struct use *u, const struct part *p)
{
    struct qbc *q = u->whole->q;
    MlirValue old = known(u->whole, p->path);
    if (!mlirValueIsNull(old))
        return old;
    MlirType dense = qbc_tensor2(q, mlirF32TypeGet(q->mlir), p->rows, p->cols);
    bool is_float = p->format->codebook == QBC_CODE_FLOAT;
    MlirType blocks = qbc_tensor2(q, qbc_block_type(q, p->format->name), p->rows, p->cols);
    MlirOperation op = new_weight(u->whole, p->path, is_float ? dense : blocks);
    qbc_set_string(q, op, "format", p->format->name);
    MlirValue w = mlirOperationGetResult(op, 0);
    struct qbc_build b = qbc_after(q, op);
    if (!is_float) {
        w = qbc_op(&b, "qb.dequant", dense, 1, w);
        u->whole->last = qbc_def_any(w);
    }
    return remember(u->whole, p->path, w);
}

static const char *below(struct use *u, const struct part *p, const char *name)
{
    return *p->path ? qbc_text(u->whole->q, "%s/%s", p->path, name) : qbc_text(u->whole->q, "%s", name);
}

/* A table of a part, stored as `format`. */
static MlirValue table(struct use *u, const struct part *p, const char *name, const char *format, int64_t rows, int64_t cols)
{
    struct qbc *q = u->whole->q;
    const char *path = below(u, p, name);
    MlirValue old = known(u->whole, path);
    if (!mlirValueIsNull(old))
        return old;
    MlirType element = strcmp(format, "u16") ? mlirF32TypeGet(q->mlir) : mlirIntegerTypeGet(q->mlir, 16);
    MlirOperation op = new_weight(u->whole, path, qbc_tensor2(q, element, rows, cols));
    qbc_set_string(q, op, "format", format);
    return remember(u->whole, path, mlirOperationGetResult(op, 0));
}

static MlirValue vector(struct use *u, const struct part *p, const char *name, int64_t n)
{
    struct qbc *q = u->whole->q;
    const char *path = below(u, p, name);
    MlirValue old = known(u->whole, path);
    if (!mlirValueIsNull(old))
        return old;
    MlirOperation op = new_weight(u->whole, path, qbc_tensor(q, mlirF32TypeGet(q->mlir), 1, &n));
    return remember(u->whole, path, mlirOperationGetResult(op, 0));
}

/* --- values */

static MlirType matrix(struct use *u, MlirValue like, int64_t cols)
{
    struct qbc *q = u->whole->q;
    return qbc_tensor2(q, mlirF32TypeGet(q->mlir), qbc_dim(like, 0), cols);
}

static MlirValue add(struct use *u, MlirValue a, MlirValue b)
{
    if (mlirValueIsNull(a))
        return b;
    return qbc_op(&u->b, "arith.addf", mlirValueGetType(a), 2, a, b);
}

static MlirValue product(struct use *u, MlirValue x, MlirValue w)
{
    static const char *const copied[] = {"block", "role", NULL};
    MlirValue y = qbc_op(&u->b, "qb.linear", matrix(u, x, qbc_dim(w, 0)), 2, x, w);
    copy_attributes(u->user, qbc_def_any(y), copied);
    return y;
}

static MlirValue columns(struct use *u, MlirValue x, int64_t first, int64_t n)
{
    if (first == 0 && n == qbc_dim(x, 1))
        return x;
    MlirValue y = qbc_op(&u->b, "qb.columns", matrix(u, x, n), 1, x);
    qbc_set_int(u->whole->q, qbc_def_any(y), "first", first);
    return y;
}

static MlirValue join(struct use *u, MlirValue a, MlirValue b)
{
    if (mlirValueIsNull(a) || mlirValueIsNull(b))
        return mlirValueIsNull(a) ? b : a;
    return qbc_op(&u->b, "qb.join", matrix(u, a, qbc_dim(a, 1) + qbc_dim(b, 1)), 2, a, b);
}

/* --- parts */

/* 16 bits name columns. */
static bool can_be_named(struct use *u, const struct part *p)
{
    if (p->cols <= QBC_MOST_INDEX)
        return true;
    qbc_error(u->whole->q, u->whole->weight,
              "'%s' has %ld columns, and format %s numbers at most %d; give this tensor another format with "
              "-quant-tensor='^%s$=...'",
              u->whole->name, (long)p->cols, p->format->name, QBC_MOST_INDEX, u->whole->name);
    return false;
}

/* Part i of p; rows or cols is 0 when it got none. */
static struct part part_of(struct use *u, const struct part *p, int i)
{
    const struct qbc_format *f = p->format;
    struct qbc_format description;
    char name[QBC_FORMAT_NAME];
    struct part part = {.rows = p->rows, .cols = p->cols};
    qbc_part_name(f, i, name);
    part.path = below(u, p, name);
    if (qbc_format_part(f, i, &description))
        part.format = qbc_find_format(u->whole->q, description.name);
    if (f->codebook != QBC_CODE_SPLIT)
        return part;
    int64_t *size = f->by_rows ? &part.rows : &part.cols;
    *size = qbc_format_cut(f, i + 1, *size) - qbc_format_cut(f, i, *size);
    return part;
}

/* --- linears */

static MlirValue multiply(struct use *u, const struct part *p, MlirValue x);

static MlirValue multiply_rows(struct use *u, const struct part *p, MlirValue x)
{
    MlirValue y = {NULL};
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        if (part.rows)
            y = join(u, y, multiply(u, &part, x));
    }
    return y;
}

static MlirValue multiply_columns(struct use *u, const struct part *p, MlirValue x)
{
    MlirValue sum = {NULL};
    if (p->format->permuted && !can_be_named(u, p))
        return sum;
    if (p->format->permuted)
        x = qbc_op(&u->b, "qb.gather", mlirValueGetType(x), 2, x, table(u, p, "order", "u16", p->cols, 1));
    int64_t first = 0;
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        if (part.cols)
            sum = add(u, sum, multiply(u, &part, columns(u, x, first, part.cols)));
        first += part.cols;
    }
    return sum;
}

static MlirValue multiply_sum(struct use *u, const struct part *p, MlirValue x)
{
    MlirValue sum = {NULL};
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        sum = add(u, sum, multiply(u, &part, x));
    }
    return sum;
}

static MlirValue multiply_scaled(struct use *u, const struct part *p, MlirValue x)
{
    struct part part = part_of(u, p, 0);
    MlirValue v = vector(u, p, "v", p->cols), row = vector(u, p, "u", p->rows);
    x = qbc_op(&u->b, "qb.scale", mlirValueGetType(x), 2, x, v);
    MlirValue y = multiply(u, &part, x);
    return qbc_op(&u->b, "qb.scale", mlirValueGetType(y), 2, y, row);
}

/* What is added comes first, so that the product takes it into its epilogue. */
static MlirValue multiply_sparse(struct use *u, const struct part *p, MlirValue x)
{
    struct part part = part_of(u, p, 0);
    int64_t n = qbc_format_sparse(p->format, p->cols);
    if (!n || !can_be_named(u, p))
        return multiply(u, &part, x);
    MlirValue values = table(u, p, "values", "f16", p->rows, n), indices = table(u, p, "indices", "u16", p->rows, n);
    MlirValue more = qbc_op(&u->b, "qb.sparse", matrix(u, x, p->rows), 3, x, values, indices);
    return add(u, more, multiply(u, &part, x));
}

static MlirValue multiply_rank(struct use *u, const struct part *p, MlirValue x)
{
    struct part part = part_of(u, p, 0);
    int64_t rank = p->format->rank;
    MlirValue b = table(u, p, "b", "f16", rank * p->cols, 1);
    MlirValue inner = qbc_op(&u->b, "qb.project", matrix(u, x, rank), 2, x, b);
    MlirValue more = product(u, inner, table(u, p, "a", "f16", p->rows, rank));
    return add(u, more, multiply(u, &part, x));
}

/* x [T, p->cols] -> [T, p->rows] */
static MlirValue multiply(struct use *u, const struct part *p, MlirValue x)
{
    switch (p->format->codebook) {
    case QBC_CODE_SUM:
        return multiply_sum(u, p, x);
    case QBC_CODE_SPLIT:
        return p->format->by_rows ? multiply_rows(u, p, x) : multiply_columns(u, p, x);
    case QBC_CODE_SCALED:
        return multiply_scaled(u, p, x);
    case QBC_CODE_SPARSE:
        return multiply_sparse(u, p, x);
    case QBC_CODE_LOWRANK:
        return multiply_rank(u, p, x);
    default:
        return product(u, x, leaf(u, p));
    }
}

/* --- embeddings */

static MlirValue look_up(struct use *u, const struct part *p);

static MlirValue ids_of(struct use *u)
{
    return mlirOperationGetOperand(u->user, 0);
}

/* The operation reads the tokens' ids. */
static MlirValue of_tokens(struct use *u, MlirValue y)
{
    if (u->rows_before)
        qbc_set_int(u->whole->q, qbc_def_any(y), "rows_before", u->rows_before);
    return y;
}

static MlirType rows_of(struct use *u, int64_t cols)
{
    return matrix(u, mlirOperationGetResult(u->user, 0), cols);
}

static MlirValue look_up_sum(struct use *u, const struct part *p)
{
    MlirValue sum = {NULL};
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        sum = add(u, sum, look_up(u, &part));
    }
    return sum;
}

static MlirValue look_up_columns(struct use *u, const struct part *p)
{
    MlirValue y = {NULL};
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        if (part.cols)
            y = join(u, y, look_up(u, &part));
    }
    if (!p->format->permuted || !can_be_named(u, p))
        return y;
    return qbc_op(&u->b, "qb.gather", mlirValueGetType(y), 2, y, table(u, p, "inverse", "u16", p->cols, 1));
}

/* Look up in each, and take that in which the token's row is. */
static MlirValue look_up_rows(struct use *u, const struct part *p)
{
    struct qbc *q = u->whole->q;
    MlirValue y = {NULL};
    int64_t before = u->rows_before, first = 0;
    for (int i = 0; i < p->format->n_parts; ++i) {
        struct part part = part_of(u, p, i);
        if (!part.rows)
            continue;
        u->rows_before = before + first;
        MlirValue some = look_up(u, &part);
        u->rows_before = before;
        if (first) {
            y = of_tokens(u, qbc_op(&u->b, "qb.choose", mlirValueGetType(y), 3, ids_of(u), y, some));
            qbc_set_int(q, qbc_def_any(y), "cut", first);
        } else {
            y = some;
        }
        first += part.rows;
    }
    return y;
}

static MlirValue look_up_scaled(struct use *u, const struct part *p)
{
    struct part part = part_of(u, p, 0);
    MlirValue x = look_up(u, &part), v = vector(u, p, "v", p->cols), row = vector(u, p, "u", p->rows);
    return mlirValueIsNull(x)
               ? x
               : of_tokens(u, qbc_op(&u->b, "qb.embed_scale", mlirValueGetType(x), 4, ids_of(u), x, row, v));
}

static MlirValue look_up_sparse(struct use *u, const struct part *p)
{
    struct part part = part_of(u, p, 0);
    int64_t n = qbc_format_sparse(p->format, p->cols);
    MlirValue x = look_up(u, &part);
    if (!n || mlirValueIsNull(x) || !can_be_named(u, p))
        return x;
    MlirValue values = table(u, p, "values", "f16", p->rows, n), indices = table(u, p, "indices", "u16", p->rows, n);
    return of_tokens(u, qbc_op(&u->b, "qb.embed_sparse", mlirValueGetType(x), 4, ids_of(u), x, values, indices));
}

static MlirValue look_up_rank(struct use *u, const struct part *p)
{
    struct part part = part_of(u, p, 0);
    int64_t rank = p->format->rank;
    MlirValue a = table(u, p, "a", "f16", p->rows, rank), b = table(u, p, "b_transposed", "f16", p->cols, rank);
    MlirValue x = look_up(u, &part);
    if (mlirValueIsNull(x))
        return x;
    MlirValue row = of_tokens(u, qbc_op(&u->b, "qb.embed", rows_of(u, rank), 2, ids_of(u), a));
    return add(u, x, product(u, row, b));
}

/* The rows that the tokens name, [T, p->cols]. Null after an error. */
static MlirValue look_up(struct use *u, const struct part *p)
{
    switch (p->format->codebook) {
    case QBC_CODE_SUM:
        return look_up_sum(u, p);
    case QBC_CODE_SPLIT:
        return p->format->by_rows ? look_up_rows(u, p) : look_up_columns(u, p);
    case QBC_CODE_SCALED:
        return look_up_scaled(u, p);
    case QBC_CODE_SPARSE:
        return look_up_sparse(u, p);
    case QBC_CODE_LOWRANK:
        return look_up_rank(u, p);
    default:
        return of_tokens(u, qbc_op(&u->b, "qb.embed", rows_of(u, p->cols), 2, ids_of(u), leaf(u, p)));
    }
}

/* --- all of it */

static void rewrite(struct whole *w, const struct part *all, MlirOperation user)
{
    struct use u = {.whole = w, .b = qbc_before(w->q, user), .user = user};
    MlirValue y = {NULL};
    if (qbc_is(user, "qb.linear"))
        y = multiply(&u, all, mlirOperationGetOperand(user, 0));
    else if (qbc_is(user, "qb.embed"))
        y = look_up(&u, all);
    else
        qbc_error(w->q, user, "only linears and embeddings read weights of format %s", all->format->name);
    if (!w->q->errors && !mlirValueIsNull(y))
        qbc_replace(user, y);
}

/* What reads the floats of a dequant. Collected first, as they go. */
static void rewrite_users(struct whole *w, const struct part *all, MlirValue dense)
{
    size_t n = qbc_uses(dense), i = 0;
    MlirOperation *users = qbc_alloc(w->q, (n + 1) * sizeof *users);
    for (MlirOpOperand use = mlirValueGetFirstUse(dense); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
        users[i++] = mlirOpOperandGetOwner(use);
    while (i-- > 0 && !w->q->errors)
        rewrite(w, all, users[i]);
}

static void take_apart(struct qbc *q, MlirOperation dequant)
{
    MlirValue blocks = mlirOperationGetOperand(dequant, 0);
    const struct qbc_format *f = qbc_block_format(q, blocks);
    MlirOperation weight = qbc_def(blocks, "qb.weight");
    if (!f || !qbc_is_composite(f) || mlirOperationIsNull(weight))
        return;
    struct whole *w = qbc_alloc(q, sizeof *w);
    *w = (struct whole){.q = q, .weight = weight, .last = weight, .name = qbc_string(q, weight, "name", "")};
    struct part all = {f, "", qbc_dim(blocks, 0), qbc_dim(blocks, 1)};
    rewrite_users(w, &all, mlirOperationGetResult(dequant, 0));
    if (!q->errors)
        qbc_sweep(q, dequant);
}

void qbc_pass_split_composites(struct qbc *q, MlirOperation module)
{
    qbc_each(q, module, "qb.dequant", take_apart);
}
