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

enum { CHUNK = 256 << 10, ROW_CACHE = 256, SMALL = 4096 };
static const size_t most_memory = (size_t)1 << 30; /* numbers beyond that stay unknown */

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
    size_t bytes;
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
        if (!chunk) {
            fprintf(stderr, "qbc: error: out of memory (%zu bytes)\n", bytes);
            exit(1);
        }
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

static const char *text(struct qbc_evaluation *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *text(struct qbc_evaluation *e, const char *format, ...)
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

struct qbc *qbc_ev_context(const struct qbc_evaluation *e)
{
    return e->q;
}

bool qbc_ev_has(const struct qbc_ev *c, size_t i)
{
    return i < c->n_in && c->in[i];
}

bool qbc_ev_wants(struct qbc_ev *c, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (!qbc_ev_has(c, i))
            return qbc_ev_fail(c, "operand %zu is missing", i);
    return true;
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

bool qbc_ev_shape(struct qbc_ev *c, size_t i, enum qbc_element element, size_t rank,
                  const int64_t *dims)
{
    if (i >= c->n_out)
        return true;
    if (rank > QBC_MAX_RANK)
        return qbc_ev_fail(c, "the result has %zu dimensions, at most %d are supported", rank,
                           QBC_MAX_RANK);
    struct qbc_array *a = &c->out[i];
    *a = (struct qbc_array){.element = element, .rank = rank, .n = 1};
    for (size_t d = 0; d < rank; ++d) {
        if (dims[d] < 0)
            return qbc_ev_fail(c, "dimension %zu of the result would be %lld", d,
                               (long long)dims[d]);
        if (dims[d] && a->n > ((size_t)1 << 48) / (size_t)dims[d])
            return qbc_ev_fail(c, "the result has too many elements");
        a->dims[d] = dims[d];
        a->n *= (size_t)dims[d];
    }
    return true;
}

bool qbc_ev_shape_like(struct qbc_ev *c, size_t i, enum qbc_element element,
                       const struct qbc_array *like)
{
    return qbc_ev_shape(c, i, element, like->rank, like->dims);
}

bool qbc_is_float(enum qbc_element element)
{
    return element == QBC_F32 || element == QBC_F16 || element == QBC_F64 || element == QBC_BF16;
}

static bool make_room(struct qbc_evaluation *e, struct qbc_array *a)
{
    if (a->n > QBC_EV_LARGEST || e->bytes > most_memory)
        return false;
    if (qbc_is_float(a->element))
        a->f = qbc_ev_alloc(e, a->n * sizeof *a->f + 1);
    else
        a->i = qbc_ev_alloc(e, a->n * sizeof *a->i + 1);
    a->known = true;
    return true;
}

bool qbc_ev_numbers(struct qbc_ev *c, size_t i)
{
    return i < c->n_out && make_room(c->e, &c->out[i]);
}

bool qbc_ev_alias(struct qbc_ev *c, size_t rank, const int64_t *dims)
{
    if (!qbc_ev_shape(c, 0, c->in[0]->element, rank, dims))
        return false;
    if (c->out[0].n != c->in[0]->n)
        return qbc_ev_fail(c, "%s has %zu elements, the result would have %zu",
                           qbc_ev_dims_text(c->e, c->in[0]), c->in[0]->n, c->out[0].n);
    if (qbc_ev_known(c, 0)) {
        c->out[0].known = true;
        c->out[0].f = c->in[0]->f;
        c->out[0].i = c->in[0]->i;
    }
    return true;
}

/* --- arguments of the function */

/* [+-] [number *] (T | P), or [+-] number; moves *s past it. */
static bool affine_term(const struct qbc_evaluation *e, const char **s, const char *end,
                        int64_t *sum)
{
    int64_t factor = -1, sign = 1;
    for (; *s < end && strchr(" +-", **s); ++*s)
        sign = **s == '-' ? -1 : sign;
    for (; *s < end && **s >= '0' && **s <= '9' && factor < INT32_MAX; ++*s)
        factor = (factor < 0 ? 0 : factor) * 10 + (**s - '0');
    while (*s < end && factor >= 0 && strchr(" *", **s))
        ++*s;
    bool symbol = *s < end && (**s == 'T' || **s == 'P');
    if (symbol)
        factor = (factor < 0 ? 1 : factor) * (*(*s)++ == 'T' ? e->tokens : e->past);
    if (factor < 0)
        return false;
    *sum += sign * factor;
    while (*s < end && **s == ' ')
        ++*s;
    return *s == end || **s == '+' || **s == '-';
}

bool qbc_ev_affine(const struct qbc_evaluation *e, MlirStringRef text, int64_t *out)
{
    const char *s = text.data, *end = text.data + text.length;
    *out = 0;
    do {
        if (!affine_term(e, &s, end, out))
            return false;
    } while (s < end);
    return true;
}

static void shape_from_type(const struct qbc_evaluation *e, MlirType type, struct qbc_array *a)
{
    a->rank = (size_t)mlirShapedTypeGetRank(type);
    for (size_t i = 0; i < a->rank && i < QBC_MAX_RANK; ++i)
        a->dims[i] = mlirShapedTypeIsDynamicDim(type, (intptr_t)i)
                         ? e->tokens
                         : mlirShapedTypeGetDimSize(type, (intptr_t)i);
}

static const char *shape_from_dims(struct qbc_evaluation *e, MlirAttribute dims, struct qbc_array *a)
{
    a->rank = (size_t)mlirArrayAttrGetNumElements(dims);
    for (size_t i = 0; i < a->rank && i < QBC_MAX_RANK; ++i) {
        MlirAttribute dim = mlirArrayAttrGetElement(dims, (intptr_t)i);
        MlirStringRef s = mlirAttributeIsAString(dim) ? mlirStringAttrGetValue(dim) : qbc_str("?");
        if (!qbc_ev_affine(e, s, &a->dims[i]))
            return text(e, "the size '%.*s' of the argument's dimension %zu is not known",
                        (int)s.length, s.data, i);
    }
    return NULL;
}

static bool count(struct qbc_array *a)
{
    a->n = 1;
    if (a->rank > QBC_MAX_RANK)
        return false;
    for (size_t i = 0; i < a->rank; ++i) {
        if (a->dims[i] && a->n > ((size_t)1 << 48) / (size_t)a->dims[i])
            return false;
        a->n *= (size_t)a->dims[i];
    }
    return true;
}

static void fill(const struct qbc_evaluation *e, struct qbc_array *a, bool positions)
{
    for (size_t i = 0; i < a->n; ++i)
        qbc_ev_put(a, i, positions ? (double)(e->past + (int64_t)i) : 1);
}

static MlirAttribute argument_attribute(MlirOperation func, intptr_t i, const char *name)
{
    MlirAttribute none = {NULL}, all = mlirOperationGetAttributeByName(func, qbc_str("arg_attrs"));
    if (mlirAttributeIsNull(all) || !mlirAttributeIsAArray(all) ||
        i >= mlirArrayAttrGetNumElements(all))
        return none;
    MlirAttribute mine = mlirArrayAttrGetElement(all, i);
    return mlirAttributeIsADictionary(mine)
               ? mlirDictionaryAttrGetElementByName(mine, qbc_str(name))
               : none;
}

static bool named(MlirAttribute a, const char *name)
{
    return !mlirAttributeIsNull(a) && mlirAttributeIsAString(a) &&
           mlirStringRefEqual(mlirStringAttrGetValue(a), qbc_str(name));
}

static void evaluate_argument(struct qbc_evaluation *e, MlirValue v, struct slot *slot)
{
    intptr_t i = mlirBlockArgumentGetArgNumber(v);
    MlirType type = mlirValueGetType(v);
    MlirAttribute dims = argument_attribute(e->func, i, "qb.dims");
    MlirAttribute input = argument_attribute(e->func, i, "qb.input");
    struct qbc_array *a = &slot->array;
    if (!mlirTypeIsAShaped(type) || !qbc_element_of(mlirShapedTypeGetElementType(type), &a->element)) {
        blame(slot, e->func, "the argument is no tensor of numbers");
        return;
    }
    const char *problem = NULL;
    if (!mlirAttributeIsNull(dims) && mlirAttributeIsAArray(dims))
        problem = shape_from_dims(e, dims, a);
    else if (mlirTypeIsARankedTensor(type))
        shape_from_type(e, type, a);
    else
        problem = "the argument's shape is not known";
    if (problem || !count(a)) {
        blame(slot, e->func, problem ? problem : "the argument has too many elements");
        return;
    }
    bool positions = named(input, "positions");
    if ((positions || named(input, "mask")) && make_room(e, a))
        fill(e, a, positions);
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
            *bad = slot ? *slot : (struct slot){.problem = "an operand has no shape", .where = c->op};
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
            qbc_ev_fail(&c, "the operation is not known to the evaluator (compiler/base/evaluate.def)");
    }
    for (size_t i = 0; i < c.n_out; ++i) {
        struct slot *slot = remember(e, mlirOperationGetResult(op, (intptr_t)i));
        *slot = good ? (struct slot){.array = c.out[i]} : bad;
        if (good && !slot->array.element)
            blame(slot, op, text(e, "result %zu is not computed by the evaluator", i));
        else if (good && (c.later || qbc_is(op, "qb.weight")))
            slot->later = op;
    }
    e->bad = outer;
}

struct pending {
    MlirValue *value;
    size_t n, capacity;
};

static void push(struct pending *p, MlirValue v)
{
    if (p->n == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 256;
        MlirValue *grown = realloc(p->value, p->capacity * sizeof *grown);
        if (!grown) {
            fprintf(stderr, "qbc: error: out of memory\n");
            exit(1);
        }
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
            push(p, v);
    }
    return p->n > before;
}

static void evaluate_now(struct qbc_evaluation *e, MlirValue v)
{
    struct pending p = {.n = 0};
    push(&p, v);
    while (p.n) {
        MlirValue top = p.value[p.n - 1];
        if (remembered(e, top)) {
            --p.n;
        } else if (mlirValueIsABlockArgument(top)) {
            evaluate_argument(e, top, remember(e, top));
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
    if (!e) {
        fprintf(stderr, "qbc: error: out of memory\n");
        exit(1);
    }
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

struct qbc_array qbc_array_create(struct qbc_evaluation *e, enum qbc_element element, size_t rank,
                                  const int64_t *dims)
{
    struct qbc_array a = {.element = element, .rank = rank};
    memcpy(a.dims, dims, rank * sizeof *dims);
    if (count(&a))
        make_room(e, &a);
    return a;
}

void qbc_evaluation_bind(struct qbc_evaluation *e, MlirValue v, struct qbc_array array)
{
    *remember(e, v) = (struct slot){.array = array};
}

const struct qbc_array *qbc_evaluate(struct qbc_evaluation *e, MlirValue v)
{
    if (!remembered(e, v))
        evaluate_now(e, v);
    struct slot *slot = remembered(e, v);
    e->problem = slot->problem;
    e->where = slot->where;
    if (slot->problem)
        return NULL;
    load(e, &slot->array);
    return &slot->array;
}

const char *qbc_evaluation_problem(struct qbc_evaluation *e, MlirOperation *where)
{
    if (where)
        *where = e->where;
    return e->problem ? e->problem : "";
}
