/* insert-barriers: threads meet where one needs what another wrote.
 *
 *   before   launch A writes %p; launch B reads %p
 *   after    launch A; "qb.barrier"(); launch B
 *
 * needs    plan-memory: two places conflict when their bytes overlap, whatever their names; places that are some columns
 *          of one buffer {shift, width}, when these overlap
 * leaves   no barrier between launches that split their work alike and share exactly the same place: each
 *          thread then reads what it wrote itself
 */
#include "kernel.h"
#include "passes.h"

#include <string.h>

struct access {
    const char *section;
    int64_t offset, bytes;
    int64_t row_bytes, shift, width; /* of its columns in a row */
    const char *partition; /* NULL: of its own kind */
    bool writes;
};

struct since_barrier {
    struct qbc *q;
    int64_t chunk;
    struct access *accesses;
    size_t n;
};

static struct access access_of(struct since_barrier *s, MlirOperation launch, intptr_t operand)
{
    MlirOperation place = qbc_def_any(mlirOperationGetOperand(launch, operand));
    const struct qbc_generator *g = qbc_generator_find(qbc_string(s->q, launch, "kernel", ""));
    struct access a = {
        .section = qbc_string(s->q, place, "section", ""),
        .offset = qbc_int(place, "offset", 0),
        .partition = g ? g->partition(s->q, launch, operand) : NULL,
        .writes = operand == 0,
    };
    a.row_bytes = qbc_int(place, "row_bytes", 0);
    a.shift = qbc_int(place, "shift", 0);
    a.width = qbc_int(place, "width", a.row_bytes);
    a.bytes = !strcmp(a.section, "state") ? qbc_int(place, "bytes", 0)
                                          : qbc_int(place, "row_bytes", 0) * s->chunk;
    return a;
}

/* Columns of one buffer that do not overlap. */
static bool side_by_side(const struct access *a, const struct access *b)
{
    return a->row_bytes && a->offset == b->offset && a->row_bytes == b->row_bytes &&
           (a->shift >= b->shift + b->width || b->shift >= a->shift + a->width);
}

/* Threads take whole rows, whatever columns. */
static bool shares_rows(const struct access *a)
{
    return !strncmp(a->partition, "rows ", 5);
}

static bool conflict(const struct access *a, const struct access *b)
{
    if ((!a->writes && !b->writes) || strcmp(a->section, b->section))
        return false;
    if (a->offset >= b->offset + b->bytes || b->offset >= a->offset + a->bytes || side_by_side(a, b))
        return false;
    bool alike = a->partition && b->partition && !strcmp(a->partition, b->partition);
    bool same_columns = a->shift == b->shift && a->width == b->width;
    bool same_place = a->offset == b->offset && a->row_bytes == b->row_bytes && a->bytes == b->bytes;
    return !(same_place && alike && (same_columns || shares_rows(a)));
}

static bool needs_barrier(struct since_barrier *s, MlirOperation launch)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(launch); ++i) {
        struct access a = access_of(s, launch, i);
        for (size_t j = 0; j < s->n; ++j)
            if (conflict(&a, &s->accesses[j]))
                return true;
    }
    return false;
}

void qbc_pass_insert_barriers(struct qbc *q, MlirOperation module)
{
    struct qbc_ops launches = qbc_collect(q, module, "qb.launch");
    struct since_barrier s = {.q = q, .chunk = qbc_int(module, "qb.chunk", 1)};
    s.accesses = qbc_alloc(q, (launches.n + 1) * 16 * sizeof *s.accesses);
    for (size_t i = 0; i < launches.n; ++i) {
        if (!qbc_generator_find(qbc_string(q, launches.op[i], "kernel", ""))) {
            qbc_error(q, launches.op[i], "there is no kernel '%s'",
                      qbc_string(q, launches.op[i], "kernel", ""));
            return;
        }
        if (needs_barrier(&s, launches.op[i])) {
            struct qbc_build b = qbc_before(q, launches.op[i]);
            qbc_do(&b, "qb.barrier", 0);
            s.n = 0;
        }
        for (intptr_t j = 0; j < mlirOperationGetNumOperands(launches.op[i]); ++j)
            s.accesses[s.n++] = access_of(&s, launches.op[i], j);
    }
}
