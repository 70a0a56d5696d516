/* plan-memory: every place gets an offset.
 *
 *   before   "qb.place"() {section = "arena", name = "3", row_bytes = 1024, rows = "all"}
 *   after    the same with offset; module attributes qb.arena_bytes, qb.state_bytes, qb.weights_bytes
 *
 * arena    a buffer lives from the first launch that names it to the last; buffers that never live at
 *          once share memory. First fit over the live ones, in program order.
 * state    one after the other
 * weights  one after the other, as the emitter writes them, each 64-byte aligned
 * needs    outline-kernels
 */
#include "kernel.h"
#include "passes.h"

#include <mlir-c/BuiltinAttributes.h>
#include <string.h>

enum { ALIGNMENT = 64 };

struct buffer {
    const char *name;
    int64_t bytes, offset;
    size_t first, last; /* launches */
};

struct plan {
    struct qbc *q;
    struct buffer *buffers;
    size_t n;
};

static int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool is_section(struct qbc *q, MlirOperation place, const char *section)
{
    return !strcmp(qbc_string(q, place, "section", ""), section);
}

static struct buffer *find(struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n; ++i)
        if (!strcmp(p->buffers[i].name, name))
            return &p->buffers[i];
    return NULL;
}

static void collect_buffers(struct plan *p, MlirOperation step, int64_t chunk)
{
    struct qbc_ops places = qbc_collect(p->q, step, "qb.place");
    p->buffers = qbc_alloc(p->q, (places.n + 1) * sizeof *p->buffers);
    for (size_t i = 0; i < places.n; ++i) {
        const char *name = qbc_string(p->q, places.op[i], "name", "");
        if (is_section(p->q, places.op[i], "arena") && !find(p, name))
            p->buffers[p->n++] = (struct buffer){
                .name = name,
                .bytes = aligned(qbc_int(places.op[i], "row_bytes", 0) * chunk),
                .first = SIZE_MAX,
            };
    }
}

static void find_lives(struct plan *p, MlirOperation step)
{
    struct qbc_ops launches = qbc_collect(p->q, step, "qb.launch");
    for (size_t i = 0; i < launches.n; ++i)
        for (intptr_t j = 0; j < mlirOperationGetNumOperands(launches.op[i]); ++j) {
            MlirOperation place = qbc_def_any(mlirOperationGetOperand(launches.op[i], j));
            if (!is_section(p->q, place, "arena"))
                continue;
            struct buffer *b = find(p, qbc_string(p->q, place, "name", ""));
            b->first = i < b->first ? i : b->first;
            b->last = i;
        }
}

static bool meet(const struct buffer *a, const struct buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset where b overlaps no earlier buffer that lives at the same time. */
static int64_t first_fit(struct plan *p, size_t i)
{
    struct buffer *b = &p->buffers[i];
    int64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t j = 0; j < i; ++j) {
            struct buffer *c = &p->buffers[j];
            if (meet(b, c) && offset < c->offset + c->bytes && c->offset < offset + b->bytes) {
                offset = c->offset + c->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

static int64_t place_arena(struct plan *p, MlirOperation step)
{
    int64_t total = 0;
    for (size_t i = 0; i < p->n; ++i) {
        p->buffers[i].offset = first_fit(p, i);
        int64_t end = p->buffers[i].offset + p->buffers[i].bytes;
        total = end > total ? end : total;
    }
    struct qbc_ops places = qbc_collect(p->q, step, "qb.place");
    for (size_t i = 0; i < places.n; ++i)
        if (is_section(p->q, places.op[i], "arena"))
            qbc_set_int(p->q, places.op[i], "offset",
                        find(p, qbc_string(p->q, places.op[i], "name", ""))->offset);
    return total;
}

/* Names, offsets and sizes go to the module too: the artifact lists its states. */
static int64_t place_states(struct plan *p, MlirOperation module, MlirOperation step)
{
    int64_t total = 0;
    struct qbc_ops places = qbc_collect(p->q, step, "qb.place");
    MlirAttribute *names = qbc_alloc(p->q, (places.n + 1) * sizeof *names);
    int64_t *offsets = qbc_alloc(p->q, (places.n + 1) * sizeof *offsets);
    int64_t *sizes = qbc_alloc(p->q, (places.n + 1) * sizeof *sizes);
    size_t n = 0;
    for (size_t i = 0; i < places.n; ++i)
        if (is_section(p->q, places.op[i], "state")) {
            names[n] = qbc_attr_string(p->q, qbc_string(p->q, places.op[i], "name", ""));
            offsets[n] = total;
            sizes[n++] = aligned(qbc_int(places.op[i], "bytes", 0));
            qbc_set_int(p->q, places.op[i], "offset", total);
            total += sizes[n - 1];
        }
    qbc_set(module, "qb.state_names", mlirArrayAttrGet(p->q->mlir, (intptr_t)n, names));
    qbc_set_ints(p->q, module, "qb.state_offsets", offsets, n);
    qbc_set_ints(p->q, module, "qb.state_sizes", sizes, n);
    return total;
}

static int64_t weight_bytes(struct qbc *q, MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    if (qbc_rank(w) == 1)
        return qbc_dim(w, 0) * 4;
    const struct qbc_format *f = qbc_block_format(q, w);
    f = f ? f : qbc_find_format(q, qbc_string(q, weight, "format", "f32"));
    struct qbc_packing packing = qbc_packing_for(q->target, f, qbc_dim(w, 0));
    return qbc_layout(f, packing, qbc_dim(w, 0), qbc_dim(w, 1)).bytes;
}

static int64_t place_weights(struct plan *p, MlirOperation module, MlirOperation step)
{
    int64_t total = 0;
    struct qbc_ops weights = qbc_collect(p->q, module, "qb.weight");
    struct qbc_ops places = qbc_collect(p->q, step, "qb.place");
    for (size_t i = 0; i < weights.n; ++i) {
        const char *name = qbc_string(p->q, weights.op[i], "name", "");
        qbc_set_int(p->q, weights.op[i], "place", total);
        for (size_t j = 0; j < places.n; ++j)
            if (is_section(p->q, places.op[j], "weights") &&
                !strcmp(qbc_string(p->q, places.op[j], "name", ""), name))
                qbc_set_int(p->q, places.op[j], "offset", total);
        total += aligned(weight_bytes(p->q, weights.op[i]));
    }
    return total;
}

void qbc_pass_plan_memory(struct qbc *q, MlirOperation module)
{
    struct plan p = {.q = q};
    MlirOperation step = qbc_find_func(module, "step");
    if (mlirOperationIsNull(step)) {
        qbc_error(q, module, "there is no function @step; run outline-kernels first");
        return;
    }
    collect_buffers(&p, step, qbc_int(module, "qb.chunk", 1));
    find_lives(&p, step);
    qbc_set_int(q, module, "qb.arena_bytes", place_arena(&p, step));
    qbc_set_int(q, module, "qb.state_bytes", place_states(&p, module, step));
    qbc_set_int(q, module, "qb.weights_bytes", place_weights(&p, module, step));
}
