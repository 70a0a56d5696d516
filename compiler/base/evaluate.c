/* evaluate: run level-0 operations on small concrete tensors; see evaluate.h.
 *
 * A value is computed when it is asked for, after what it needs, and remembered. The order is kept
 * on a list and not on C's stack: a graph may be a chain of a million nodes.
 *
 * Weights get a shape at once and numbers when somebody wants them. An operation on a weight that
 * is not small (a Transpose of the embedding) is put off in the same way: it runs once for the
 * shapes, and again if somebody wants its numbers.
 */
#include "evaluate_ops.h"

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 << 10, ROW_CACHE = 256, SMALL = 4096 };

/* A graph may ask for any amount of work; numbers beyond this stay unknown. */
static const size_t most_memory = (size_t)160 << 20, most_work = (size_t)1 << 30;

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

/* What is remembered of a value. */
struct slot {
    struct qbc_array array; /* first: a pointer to it is a pointer to the slot */
    MlirOperation later;    /* null, or what gives the numbers when they are wanted */
    const char *problem;    /* why there is no shape */
    MlirOperation where;
};

struct qbc_evaluation {
    struct qbc *q;
    MlirOperation func;
    int64_t tokens, past, opset;
    struct chunk *memory;
    size_t bytes, work;
    struct { /* open hashing on the value's address */
        const void *value;
        struct slot *slot;
    } *table;
    size_t n, capacity;
    struct {
        const void *identifier;
        const struct qbc_ev_row *row;
    } rows[ROW_CACHE];
    const char *problem;
    MlirOperation where;
    struct slot *bad; /* filled by qbc_ev_fail for the operation that runs */
    int depth;        /* of load */
};

/* --- memory */

void *qbc_ev_alloc(struct qbc_evaluation *e, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (!e->memory || e->memory->size - e->memory->used < bytes) {
        size_t size = bytes > CHUNK ? bytes : CHUNK;
        struct chunk *chunk = calloc(1, sizeof *chunk + size);
        if (!chunk)
            qbc_out_of_memory(e->q, bytes);
        *chunk = (struct chunk){.next = e->memory, .size = size};
        e->memory = chunk;
        e->bytes += size;
    }
    void *p = e->memory->bytes + e->memory->used;
    e->memory->used += bytes;
    return p;
}

static char *vtext(struct qbc_evaluation *e, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = qbc_ev_alloc(e, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

const char *qbc_ev_text(struct qbc_evaluation *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *made = vtext(e, format, args);
    va_end(args);
    return made;
}

/* --- what is remembered */

static size_t place(const struct qbc_evaluation *e, const void *value)
{
    size_t i = ((uintptr_t)value >> 4) * 0x9e3779b97f4a7c15u >> 20 & (e->capacity - 1);
    while (e->table[i].value && e->table[i].value != value)
        i = (i + 1) & (e->capacity - 1);
    return i;
}

static struct slot *remembered(const struct qbc_evaluation *e, MlirValue v)
{
    return e->capacity ? e->table[place(e, v.ptr)].slot : NULL;
}

static struct slot *remember(struct qbc_evaluation *e, MlirValue v)
{
    if (2 * e->n >= e->capacity) {
        struct qbc_evaluation old = *e;
        e->capacity = old.capacity ? old.capacity * 2 : 1024;
        e->table = qbc_ev_alloc(e, e->capacity * sizeof *e->table);
        for (size_t i = 0; i < old.capacity; ++i)
            if (old.table[i].value)
                e->table[place(e, old.table[i].value)] = old.table[i];
    }
    size_t i = place(e, v.ptr);
    if (!e->table[i].value) {
        e->table[i].value = v.ptr;
        e->table[i].slot = qbc_ev_alloc(e, sizeof(struct slot));
        ++e->n;
    }
    return e->table[i].slot;
}

static void blame(struct slot *slot, MlirOperation where, const char *problem)
{
    *slot = (struct slot){.problem = problem, .where = where};
}

/* --- for the rows' functions */

bool qbc_ev_fail(struct qbc_ev *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    blame(c->e->bad, c->op, vtext(c->e, format, args));
    va_end(args);
    return false;
}

int64_t qbc_ev_tokens(const struct qbc_evaluation *e)
{
    return e->tokens;
}

int64_t qbc_ev_past(const struct qbc_evaluation *e)
{
    return e->past;
}

bool qbc_ev_work(struct qbc_ev *c, size_t steps)
{
    if (steps > most_work - c->e->work || c->e->bytes > most_memory)
        return false;
    c->e->work += steps;
    return true;
}

struct qbc *qbc_ev_context(const struct qbc_evaluation *e)
{
    return e->q;
}

static bool is_later(const struct qbc_array *a)
{
    return !mlirOperationIsNull(((const struct slot *)a)->later);
}

static bool available(const struct qbc_array *a)
{
    return a->known || (is_later(a) && a->n <= QBC_EV_LARGEST_WEIGHT);
}

static void evaluate_operation(struct qbc_evaluation *e, MlirOperation op, bool now);

static bool load(struct qbc_evaluation *e, struct qbc_array *a)
{
    enum { DEEPEST = 200 }; /* operations on a weight in a row, put off */
    struct slot *slot = (struct slot *)a;
    MlirOperation later = slot->later;
    slot->later = (MlirOperation){NULL};
    if (a->known || mlirOperationIsNull(later) || e->depth > DEEPEST)
        return a->known;
    ++e->depth;
    if (qbc_is(later, "qb.weight"))
        qbc_ev_read_weight(e, later, a);
    else
        evaluate_operation(e, later, true);
    --e->depth;
    return a->known;
}

/* Loads operand i, or puts this operation off. */
static bool load_operand(struct qbc_ev *c, size_t i)
{
    if (!c->now && !c->in[i]->known && c->in[i]->n > SMALL) {
        c->later = true;
        return false;
    }
    return load(c->e, c->in[i]);
}

bool qbc_ev_known(struct qbc_ev *c, size_t i)
{
    return qbc_ev_has(c, i) && available(c->in[i]) && load_operand(c, i);
}

bool qbc_ev_all_known(struct qbc_ev *c)
{
    for (size_t i = 0; i < c->n_in; ++i)
        if (c->in[i] && !available(c->in[i]))
            return false; /* before any weight is read in vain */
    for (size_t i = 0; i < c->n_in; ++i)
        if (c->in[i] && !load_operand(c, i))
            return false;
    return true;
}

/* --- operations */

static const struct qbc_ev_row *row_of(struct qbc_evaluation *e, MlirOperation op)
{
    MlirIdentifier id = mlirOperationGetName(op);
    size_t i = (uintptr_t)id.ptr >> 4 & (ROW_CACHE - 1);
    if (e->rows[i].identifier != id.ptr) {
        e->rows[i].identifier = id.ptr;
        e->rows[i].row = qbc_ev_find(mlirIdentifierStr(id).data);
    }
    return e->rows[i].row;
}

/* The operands, or false with the problem of one that has no shape. */
static bool operands(struct qbc_evaluation *e, struct qbc_ev *c, struct slot *bad)
{
    for (size_t i = 0; i < c->n_in; ++i) {
        MlirValue v = mlirOperationGetOperand(c->op, (intptr_t)i);
        struct slot *slot = remembered(e, v);
        bool none = mlirTypeIsANone(mlirValueGetType(v));
        if (!none && (!slot || slot->problem)) {
            *bad =
                slot ? *slot : (struct slot){.problem = "an operand has no shape", .where = c->op};
            return false;
        }
        c->in[i] = none ? NULL : &slot->array;
    }
    return true;
}

static void evaluate_operation(struct qbc_evaluation *e, MlirOperation op, bool now)
{
    struct slot bad = {.where = op}, *outer = e->bad;
    struct qbc_ev c = {.e = e, .row = row_of(e, op), .op = op, .opset = e->opset, .now = now};
    c.n_in = (size_t)mlirOperationGetNumOperands(op);
    c.n_out = (size_t)mlirOperationGetNumResults(op);
    c.in = qbc_ev_alloc(e, (c.n_in + 1) * sizeof *c.in);
    c.out = qbc_ev_alloc(e, (c.n_out + 1) * sizeof *c.out);
    e->bad = &bad;
    bool good = false;
    if (operands(e, &c, &bad)) {
        if (c.row)
            good = c.row->run(&c);
        else
            qbc_ev_fail(&c,
                        "the operation is not known to the evaluator (compiler/base/evaluate.def)");
    }
    for (size_t i = 0; i < c.n_out; ++i) {
        struct slot *slot = remember(e, mlirOperationGetResult(op, (intptr_t)i));
        *slot = good ? (struct slot){.array = c.out[i]} : bad;
        if (good && !slot->array.element)
            blame(slot, op, qbc_ev_text(e, "result %zu is not computed by the evaluator", i));
        else if (good && (c.later || qbc_is(op, "qb.weight")))
            slot->later = op;
    }
    e->bad = outer;
}

static void evaluate_argument(struct qbc_evaluation *e, MlirValue v)
{
    struct slot *slot = remember(e, v);
    const char *problem = qbc_ev_argument(e, e->func, v, &slot->array);
    if (problem)
        blame(slot, e->func, problem);
}

struct pending {
    MlirValue *value;
    size_t n, capacity;
};

static void push(const struct qbc_evaluation *e, struct pending *p, MlirValue v)
{
    if (p->n == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 256;
        MlirValue *grown = realloc(p->value, p->capacity * sizeof *grown);
        if (!grown)
            qbc_out_of_memory(e->q, p->capacity * sizeof *grown);
        p->value = grown;
    }
    p->value[p->n++] = v;
}

/* Operands that are not evaluated yet go on the list; true if there are any. */
static bool push_operands(struct qbc_evaluation *e, struct pending *p, MlirOperation op)
{
    size_t before = p->n;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (!mlirTypeIsANone(mlirValueGetType(v)) && !remembered(e, v))
            push(e, p, v);
    }
    return p->n > before;
}

static void evaluate_now(struct qbc_evaluation *e, MlirValue v)
{
    struct pending p = {.n = 0};
    push(e, &p, v);
    while (p.n) {
        MlirValue top = p.value[p.n - 1];
        if (remembered(e, top)) {
            --p.n;
        } else if (mlirValueIsABlockArgument(top)) {
            evaluate_argument(e, top);
        } else {
            MlirOperation op = mlirOpResultGetOwner(top);
            if (!push_operands(e, &p, op))
                evaluate_operation(e, op, false);
        }
    }
    free(p.value);
}

/* --- the public face */

/* "=18" in qb.opset: the version of the default domain. */
static int64_t opset_of(MlirOperation func)
{
    MlirOperation module = qbc_module_op(func);
    MlirAttribute all = mlirOperationGetAttributeByName(module, qbc_str("qb.opset"));
    if (mlirAttributeIsNull(all) || !mlirAttributeIsAArray(all))
        return 18;
    for (intptr_t i = 0; i < mlirArrayAttrGetNumElements(all); ++i) {
        MlirAttribute one = mlirArrayAttrGetElement(all, i);
        MlirStringRef s = mlirAttributeIsAString(one) ? mlirStringAttrGetValue(one) : qbc_str("");
        if (s.length > 1 && s.data[0] == '=')
            return strtoll(s.data + 1, NULL, 10); /* MLIR ends its strings with NUL or a quote */
    }
    return 18;
}

struct qbc_evaluation *qbc_evaluation_create(struct qbc *q, MlirOperation func, int64_t tokens,
                                             int64_t past)
{
    struct qbc_evaluation *e = calloc(1, sizeof *e);
    if (!e)
        qbc_out_of_memory(q, sizeof *e);
    e->q = q;
    e->func = func;
    e->tokens = tokens;
    e->past = past;
    e->opset = opset_of(func);
    return e;
}

void qbc_evaluation_destroy(struct qbc_evaluation *e)
{
    while (e && e->memory) {
        struct chunk *next = e->memory->next;
        free(e->memory);
        e->memory = next;
    }
    free(e);
}

void qbc_evaluation_bind(struct qbc_evaluation *e, MlirValue v, struct qbc_array array)
{
    *remember(e, v) = (struct slot){.array = array};
}

static struct slot *shape_of(struct qbc_evaluation *e, MlirValue v)
{
    if (!remembered(e, v))
        evaluate_now(e, v);
    struct slot *slot = remembered(e, v);
    e->problem = slot->problem;
    e->where = slot->where;
    return slot->problem ? NULL : slot;
}

const struct qbc_array *qbc_evaluate(struct qbc_evaluation *e, MlirValue v)
{
    struct slot *slot = shape_of(e, v);
    if (!slot)
        return NULL;
    load(e, &slot->array);
    return &slot->array;
}

const struct qbc_array *qbc_evaluate_small(struct qbc_evaluation *e, MlirValue v)
{
    struct slot *slot = shape_of(e, v);
    if (slot && slot->array.n <= SMALL)
        load(e, &slot->array);
    return slot ? &slot->array : NULL;
}

const char *qbc_evaluation_problem(struct qbc_evaluation *e, MlirOperation *where)
{
    if (where)
        *where = e->where;
    return e->problem ? e->problem : "";
}
