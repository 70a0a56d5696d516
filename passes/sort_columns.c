/* sort-columns: codes that are taken over stand in the order of their groups, and what they multiply is gathered alike.
 *
 *   before   %b = "qb.weight"() {blocks = {groups = "g_idx", ...}, fit = "import", ...} : () -> tensor<NxKx!qb.block<"i4g32">>
 *            %y = "qb.linear"(%x, dequant %b)
 *   after    %b = "qb.weight"() {blocks = {groups = "g_idx", sorted, ...}, fit = "import", ...}
 *            %o = "qb.weight"() {name = "g_idx/order", format = "u16", ...} : () -> tensor<Kx1xi16>
 *            %y = "qb.linear"("qb.gather"(%x, %o), dequant %b)
 *
 * GPTQ with act_order quantizes columns in the order of their importance, so that those of a group lie apart (compiler/base/coded.h).
 *
 * needs    assign-formats, which takes such codes over where only products of 65536 columns at most read them
 * leaves   products that read the same activations in the same order share one qb.gather
 */
#include "coded.h"
#include "pattern.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

/* What was gathered so far. */
struct gathered {
    MlirValue x, y;
    const int32_t *order;
};

struct sorting {
    struct qbc *q;
    struct gathered *done;
    size_t n;
};

static bool is_wanted(struct qbc *q, MlirOperation weight, struct qbc_view *view)
{
    return qbc_has(weight, "blocks") && !strncmp(qbc_string(q, weight, "fit", ""), "import", 6) && qbc_view_of(q, weight, view) &&
           view->source->coded && qbc_coded_sortable(view->source->coded);
}

/* The order as a table of the artifact. */
static MlirValue make_table(struct qbc_build *b, const struct qbc_coded *c)
{
    struct qbc *q = b->q;
    const char *name = qbc_text(q, "%s/order", c->groups->name);
    float *numbers = qbc_alloc(q, (size_t)c->length * sizeof *numbers);
    for (int64_t a = 0; a < c->length; ++a)
        numbers[a] = (float)c->order[a];
    while (qbc_store_find(q, name))
        name = qbc_text(q, "%s'", name);
    size_t bytes = (size_t)c->length * sizeof *numbers;
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 2, .dims = {c->length, 1}, .data = numbers, .bytes = bytes});
    struct qbc_attr attrs[] = {{"format", qbc_attr_string(q, "u16")},
                               {"name", qbc_attr_string(q, name)},
                               {"offset", qbc_attr_int(q, 0)},
                               {"source", qbc_attr_string(q, name)},
                               {"strides", mlirDenseI64ArrayGet(q->mlir, 2, (int64_t[]){1, 1})},
                               {0}};
    MlirType type = qbc_tensor2(q, mlirIntegerTypeGet(q->mlir, 16), c->length, 1);
    return mlirOperationGetResult(qbc_make(b, "qb.weight", type, attrs, 0, NULL), 0);
}

static MlirValue find(const struct sorting *s, MlirValue x, const struct qbc_coded *c)
{
    for (size_t i = 0; i < s->n; ++i)
        if (qbc_same(s->done[i].x, x) && !memcmp(s->done[i].order, c->order, (size_t)c->length * sizeof *c->order))
            return s->done[i].y;
    return (MlirValue){NULL};
}

/* Of several products that read x the first one comes first. */
static void gather(struct sorting *s, MlirOperation linear, const struct qbc_coded *c)
{
    MlirValue x = mlirOperationGetOperand(linear, 0), y = find(s, x, c);
    if (mlirValueIsNull(y)) {
        struct qbc_build b = qbc_before(s->q, linear);
        y = qbc_op(&b, "qb.gather", mlirValueGetType(x), 2, x, make_table(&b, c));
        s->done[s->n++] = (struct gathered){x, y, c->order};
    }
    mlirOperationSetOperand(linear, 0, y);
}

/* In the order of the program, whatever the order of weights is. */
static void sort(struct sorting *s, MlirOperation linear)
{
    MlirOperation dequant = qbc_def(mlirOperationGetOperand(linear, 1), "qb.dequant");
    MlirOperation weight = mlirOperationIsNull(dequant) ? dequant : qbc_def(mlirOperationGetOperand(dequant, 0), "qb.weight");
    struct qbc_view view;
    if (!mlirOperationIsNull(weight) && is_wanted(s->q, weight, &view))
        gather(s, linear, view.source->coded);
}

void qbc_pass_sort_columns(struct qbc *q, MlirOperation module)
{
    struct qbc_ops linears = qbc_collect(q, module, "qb.linear"), weights = qbc_collect(q, module, "qb.weight");
    struct sorting s = {.q = q, .done = qbc_alloc(q, (linears.n + 1) * sizeof *s.done)};
    struct qbc_view view;
    for (size_t i = 0; i < linears.n; ++i)
        sort(&s, linears.op[i]);
    for (size_t i = 0; i < weights.n; ++i)
        if (is_wanted(q, weights.op[i], &view))
            qbc_set(weights.op[i], "blocks", qbc_coded_sorted(q, mlirOperationGetAttributeByName(weights.op[i], qbc_str("blocks"))));
}
