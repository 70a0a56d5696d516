/* outline-kernels: from values to a program over memory.
 *
 *   before   %y = "qb.fused_linear"(%a, %b, %x) ({...}) : tensors
 *   after    %p = "qb.place"() {section = "arena", name = "7", row_bytes = 1024, rows = "all"}
 *            "qb.launch"(%p, %pa, %pb, %px) ({...}) {kernel = "linear", n, k, format, panel, rows, row_bytes, ...}
 *
 * needs    fuse-dequant; fuse-prologue and fuse-epilogue if they are wanted
 * leaves   func @step: places and launches in the order of the values; func @weights: the qb.weight operations, for
 *          the emitter; attributes of the module: qb.vocab, qb.context, qb.chunk. Function @main is gone.
 * complains of an operation that no kernel does
 *
 * Rows of arena buffers are padded to a multiple of 128 columns, so that kernels may write whole vectors.
 */
#include "kernel.h"
#include "passes.h"
#include "target.h"

#include <mlir-c/BuiltinAttributes.h>
#include <math.h>
#include <mlir-c/BuiltinTypes.h>
#include <string.h>

enum { PAD = QBC_PADDED_ROW, MOST_OPERANDS = 16 };

struct outline {
    struct qbc *q;
    struct qbc_build b; /* end of @step */
    MlirBlock weights;  /* of @weights */
    struct {
        MlirValue value, place;
    } *known;
    size_t n_known, capacity;
    size_t n_buffers;
    int64_t context, chunk;
    MlirValue result; /* what @main returns: the logits */
    MlirOperation last_rope; /* whose angles are at hand */
    MlirValue angles;
};

static void remember(struct outline *o, MlirValue value, MlirValue place)
{
    if (o->n_known == o->capacity) {
        size_t capacity = o->capacity ? 2 * o->capacity : 256;
        void *grown = qbc_alloc(o->q, capacity * sizeof *o->known);
        if (o->n_known)
            memcpy(grown, o->known, o->n_known * sizeof *o->known);
        o->known = grown;
        o->capacity = capacity;
    }
    o->known[o->n_known].value = value;
    o->known[o->n_known++].place = place;
}

static MlirValue place_of(struct outline *o, MlirValue value)
{
    for (size_t i = o->n_known; i-- > 0;)
        if (mlirValueEqual(o->known[i].value, value))
            return o->known[i].place;
    return (MlirValue){NULL};
}

static void copy_attribute(MlirOperation from, MlirOperation to, const char *name)
{
    MlirAttribute a = mlirOperationGetAttributeByName(from, qbc_str(name));
    if (!mlirAttributeIsNull(a))
        qbc_set(to, name, a);
}

static MlirOperation new_place(struct outline *o, const char *section)
{
    MlirOperation op = qbc_make(&o->b, "qb.place", qbc_type(o->q, "!llvm.ptr"), NULL, 0, NULL);
    qbc_set_string(o->q, op, "section", section);
    return op;
}

static MlirValue value_of(MlirOperation op)
{
    return mlirOperationGetResult(op, 0);
}

static const char *rows_of(struct outline *o, MlirValue place)
{
    return qbc_string(o->q, qbc_def_any(place), "rows", "all");
}

static int64_t row_bytes_of(MlirValue place)
{
    return qbc_int(qbc_def_any(place), "row_bytes", 0);
}

static MlirValue buffer(struct outline *o, int64_t row_bytes, const char *rows)
{
    MlirOperation op = new_place(o, "arena");
    qbc_set_string(o->q, op, "name", qbc_text(o->q, "%zu", o->n_buffers++));
    qbc_set_int(o->q, op, "row_bytes", row_bytes);
    qbc_set_string(o->q, op, "rows", rows);
    return value_of(op);
}

static int64_t padded_row(int64_t columns)
{
    return (columns + PAD - 1) / PAD * PAD * 4;
}

/* The host's: rows end exactly, and there are only those that it asked for. */
static MlirValue logits(struct outline *o)
{
    MlirOperation place = new_place(o, "logits");
    qbc_set_int(o->q, place, "row_bytes", qbc_dim(o->result, 1) * 4);
    qbc_set_string(o->q, place, "rows", "tail");
    return value_of(place);
}

static bool is_logits(struct outline *o, MlirValue place)
{
    return !strcmp(qbc_string(o->q, qbc_def_any(place), "section", ""), "logits");
}

/* --- some of a row's columns: a place in another place */

enum { NOT_QUANTIZED = 4, GROUP = QBC_ACT_GROUP, RECORD = QBC_ACT_RECORD };

/* From byte `shift` of each row on, `width` bytes of it. */
static MlirValue part_of(struct outline *o, MlirValue place, int64_t shift, int64_t width)
{
    static const char *const copied[] = {"name", "row_bytes", "rows", "skip", "multiplier"};
    MlirOperation from = qbc_def_any(place), part = new_place(o, qbc_string(o->q, from, "section", ""));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        copy_attribute(from, part, copied[i]);
    qbc_set_int(o->q, part, "shift", qbc_int(from, "shift", 0) + shift);
    qbc_set_int(o->q, part, "width", width);
    return value_of(part);
}

/* The qb.join that op's result is a part of and nothing else; null: none. */
static MlirOperation joined_by(MlirOperation op, int *part)
{
    if (qbc_uses(value_of(op)) != 1)
        return (MlirOperation){NULL};
    MlirOpOperand use = mlirValueGetFirstUse(value_of(op));
    *part = (int)mlirOpOperandGetOperandNumber(use);
    MlirOperation user = mlirOpOperandGetOwner(use);
    return qbc_is(user, "qb.join") ? user : (MlirOperation){NULL};
}

static const char *format_name(struct outline *o, MlirValue w)
{
    const struct qbc_format *f = qbc_block_format(o->q, w);
    return f ? f->name : qbc_string(o->q, qbc_def_any(w), "format", "f32");
}

static struct qbc_layout layout_of(struct outline *o, const struct qbc_format *f, MlirValue w)
{
    return qbc_layout(f, qbc_packing_for(o->q->target, f, qbc_dim(w, 0)), qbc_dim(w, 0), qbc_dim(w, 1));
}

/* How many columns op writes: an embedding writes whole units of blocks, also behind another part of a row. */
static int64_t written_columns(struct outline *o, MlirOperation op)
{
    int64_t columns = qbc_dim(value_of(op), 1);
    if (qbc_is(op, "qb.embed") || qbc_is(op, "qb.embed_positions")) {
        MlirValue w = mlirOperationGetOperand(op, qbc_is(op, "qb.embed") ? 1 : 0);
        struct qbc_layout layout = layout_of(o, qbc_find_format(o->q, format_name(o, w)), w);
        return layout.units * layout.unit;
    }
    if (!qbc_is(op, "qb.join"))
        return columns;
    MlirValue left = mlirOperationGetOperand(op, 0), right = mlirOperationGetOperand(op, 1);
    int64_t first = written_columns(o, qbc_def_any(left)), all = qbc_dim(left, 1) + written_columns(o, qbc_def_any(right));
    return first > all ? first : all;
}

static MlirValue output(struct outline *o, MlirOperation op, const char *rows);

static MlirValue part_of_join(struct outline *o, MlirOperation join, int part, const char *rows)
{
    MlirValue place = place_of(o, value_of(join));
    int64_t first = part ? qbc_dim(mlirOperationGetOperand(join, 0), 1) : 0;
    if (mlirValueIsNull(place))
        place = output(o, join, rows);
    return part_of(o, place, first * NOT_QUANTIZED, qbc_dim(mlirOperationGetOperand(join, part), 1) * NOT_QUANTIZED);
}

/* Where the result of op goes: a buffer for its columns, the logits if it is nothing but these, or its part of them. */
static MlirValue output(struct outline *o, MlirOperation op, const char *rows)
{
    MlirValue y = value_of(op);
    int part = 0;
    MlirOperation join = joined_by(op, &part);
    if (!mlirOperationIsNull(join)) {
        MlirValue some = part_of_join(o, join, part, rows);
        remember(o, y, some);
        return some;
    }
    bool is_result = mlirValueEqual(y, o->result) && qbc_uses(y) == 1 && !strcmp(rows, "tail");
    MlirValue place = is_result ? logits(o) : buffer(o, padded_row(written_columns(o, op)), rows);
    remember(o, y, place);
    return place;
}

static MlirOperation launch(struct outline *o, const char *kernel, const char *rows, size_t n,
                            const MlirValue *operands)
{
    int64_t row_bytes[MOST_OPERANDS];
    struct qbc_region none = {.no_block = true};
    MlirOperation op = qbc_make_regions(&o->b, "qb.launch", 0, NULL, NULL, n, operands, 1, &none);
    for (size_t i = 0; i < n; ++i)
        row_bytes[i] = row_bytes_of(operands[i]);
    qbc_set_string(o->q, op, "kernel", kernel);
    qbc_set_string(o->q, op, "rows", rows);
    qbc_set_ints(o->q, op, "row_bytes", row_bytes, n);
    return op;
}

/* --- weights */

static MlirValue weight_place(struct outline *o, MlirOperation weight)
{
    MlirOperation place = new_place(o, "weights");
    copy_attribute(weight, place, "name");
    remember(o, value_of(weight), value_of(place));
    return value_of(place);
}

static void set_matrix(struct outline *o, MlirOperation op, MlirValue w)
{
    const struct qbc_format *format = qbc_find_format(o->q, format_name(o, w));
    qbc_set_int(o->q, op, "n", qbc_dim(w, 0));
    qbc_set_int(o->q, op, "k", qbc_dim(w, 1));
    qbc_set_string(o->q, op, "format", format->name);
    qbc_set_int(o->q, op, "panel", qbc_packing_for(o->q->target, format, qbc_dim(w, 0)).rows);
}

/* --- one function an operation */

/* The operation itself goes to @weights, for the emitter. */
static void outline_weight(struct outline *o, MlirOperation op)
{
    weight_place(o, op);
    mlirOperationMoveBefore(op, mlirBlockGetTerminator(o->weights));
}

static void outline_embed(struct outline *o, MlirOperation op)
{
    MlirValue w = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {output(o, op, "all"), place_of(o, w)};
    MlirOperation l = launch(o, "embed", "all", 2, operands);
    set_matrix(o, l, w);
    copy_attribute(op, l, "rows_before");
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", true);
    if (!qbc_has(qbc_def_any(w), "role"))
        qbc_set_string(o->q, qbc_def_any(w), "role", "embed");
}

static void outline_positions(struct outline *o, MlirOperation op)
{
    MlirValue w = mlirOperationGetOperand(op, 0);
    MlirValue operands[] = {output(o, op, "all"), place_of(o, w)};
    MlirOperation l = launch(o, "embed_positions", "all", 2, operands);
    set_matrix(o, l, w);
    qbc_set_int(o->q, l, "first", qbc_int(op, "first", 0));
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", true);
}

static void outline_norm(struct outline *o, MlirOperation op)
{
    bool centred = qbc_is(op, "qb.layer_norm");
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[4], x = place_of(o, mlirOperationGetOperand(op, 0));
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = output(o, op, rows_of(o, x));
    MlirOperation l = launch(o, centred ? "layer_norm" : "rms_norm", rows_of(o, x), n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
    qbc_set_int(o->q, l, "run", qbc_dim(mlirOperationGetOperand(op, 1), 0));
    qbc_set_float(o->q, l, "eps", (float)qbc_float(op, "eps", 0));
}

/* Bytes between long rows: where columns of several rows are read side by side, they do not meet in the same sets of a
 * near cache of 4 KiB a way. Eight rows are spread over all of them. */
static int64_t spread(int64_t bytes)
{
    enum { LINE = 64, LONG = 32, APART = 8 };
    int64_t lines = (bytes + LINE - 1) / LINE;
    while (lines >= LONG && lines % (2 * APART) != APART)
        ++lines;
    return lines * LINE;
}

struct consumers {
    int64_t bias;    /* that all products take off; 1 when they differ */
    int64_t columns; /* of the longest group's end */
};

/* Products of these activations, or of some of their columns, which begin at `first`. */
static void add_consumers(struct outline *o, MlirValue x, int64_t first, struct consumers *c)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(x); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (qbc_is(user, "qb.columns")) {
            add_consumers(o, value_of(user), first + qbc_int(user, "first", 0), c);
            continue;
        }
        const struct qbc_format *f = qbc_block_format(o->q, mlirOperationGetOperand(user, 1));
        if (!f)
            continue;
        MlirValue w = mlirOperationGetOperand(user, 1);
        struct qbc_layout layout = layout_of(o, f, w);
        int64_t wants = qbc_linear_shift(o->q->target, f), end = first + layout.units * layout.unit;
        c->bias = c->bias == 0 || c->bias == wants ? wants : 1;
        c->columns = end > c->columns ? end : c->columns;
    }
}

/* The bias that all products of these activations take off, so that the quantizer multiplies once. And the records that
 * the longest group asks for. */
static void set_consumers(struct outline *o, MlirOperation quantize, MlirOperation l)
{
    struct consumers c = {.columns = qbc_dim(value_of(quantize), 1)};
    add_consumers(o, value_of(quantize), 0, &c);
    int64_t records = (c.columns + QBC_ACT_GROUP - 1) / QBC_ACT_GROUP, bias = c.bias;
    qbc_set_int(o->q, l, "multiplier", bias ? bias : 1);
    qbc_set_int(o->q, l, "records", records);
    MlirOperation place = qbc_def_any(mlirOperationGetOperand(l, 0));
    int64_t bytes = spread(records * QBC_ACT_RECORD), row_bytes[MOST_OPERANDS];
    qbc_set_int(o->q, place, "row_bytes", bytes);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(l); ++i)
        row_bytes[i] = row_bytes_of(mlirOperationGetOperand(l, i));
    qbc_set_ints(o->q, l, "row_bytes", row_bytes, (size_t)mlirOperationGetNumOperands(l));
    qbc_set_int(o->q, place, "multiplier", bias ? bias : 1);
}

static void outline_quantize(struct outline *o, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 0)), operands[3];
    const char *rows = rows_of(o, x);
    operands[0] = buffer(o, 0, rows);
    operands[1] = x;
    if (n == 2)
        operands[2] = place_of(o, mlirOperationGetOperand(op, 1));
    remember(o, value_of(op), operands[0]);
    MlirOperation l = launch(o, "quantize", rows, (size_t)n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
    copy_attribute(op, l, "eps");
    set_consumers(o, op, l);
}

static void outline_linear(struct outline *o, MlirOperation op)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[MOST_OPERANDS], w = mlirOperationGetOperand(op, 1);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    const char *rows = rows_of(o, operands[1]);
    operands[0] = output(o, op, rows);
    MlirOperation l = launch(o, "linear", rows, n + 1, operands);
    set_matrix(o, l, w);
    if (qbc_block_format(o->q, w))
        qbc_set_int(o->q, l, "multiplier", qbc_int(qbc_def_any(operands[1]), "multiplier", 1));
    if (is_logits(o, operands[0]) || qbc_has(qbc_def_any(operands[0]), "shift"))
        qbc_set_bool(o->q, l, "exact", true);
    qbc_set_bool(o->q, qbc_def_any(w), "lookup", false); /* all of it is read */
    if (!qbc_has(qbc_def_any(w), "role")) {
        copy_attribute(op, qbc_def_any(w), "role");
        copy_attribute(op, qbc_def_any(w), "block");
    }
    qbc_move_body(op, l);
}

/* Numbers that no model stores become a vector of weights. */
static MlirValue made_vector(struct outline *o, const char *role, const float *numbers, int64_t n)
{
    const char *name = qbc_text(o->q, "%s.%zu", role, o->n_buffers);
    qbc_store_add(o->q, (struct qbc_source){.name = name,
                                            .element = QBC_F32,
                                            .rank = 1,
                                            .dims = {n},
                                            .data = numbers,
                                            .bytes = (size_t)n * sizeof *numbers});
    struct qbc_build b = qbc_before(o->q, mlirBlockGetTerminator(o->weights));
    MlirType type = qbc_tensor(o->q, mlirF32TypeGet(o->q->mlir), 1, &n);
    MlirOperation weight = qbc_make(&b, "qb.weight", type, NULL, 0, NULL);
    qbc_set_string(o->q, weight, "name", name);
    qbc_set_string(o->q, weight, "source", name);
    qbc_set_ints(o->q, weight, "strides", (int64_t[]){1}, 1);
    qbc_set_string(o->q, weight, "role", role);
    return weight_place(o, weight);
}

/* --- rotary */

static int64_t rotary_dim(MlirOperation rope)
{
    return qbc_int(rope, "rotary_dim", qbc_int(rope, "head_dim", 0));
}

static bool same_attribute(MlirOperation a, MlirOperation b, const char *name)
{
    return mlirAttributeEqual(mlirOperationGetAttributeByName(a, qbc_str(name)),
                              mlirOperationGetAttributeByName(b, qbc_str(name)));
}

static bool same_angles(MlirOperation a, MlirOperation b)
{
    return rotary_dim(a) == rotary_dim(b) && same_attribute(a, b, "theta") &&
           same_attribute(a, b, "frequencies") && same_attribute(a, b, "scale");
}

/* The frequencies become a vector of weights: theta^(-2i / rotary_dim) in f64, rounded once. */
static MlirValue frequencies(struct outline *o, MlirOperation rope, int64_t pairs)
{
    const float *given;
    float *f = qbc_alloc(o->q, (size_t)pairs * sizeof *f);
    size_t n = qbc_floats(o->q, rope, "frequencies", &given);
    double theta = qbc_float(rope, "theta", 10000);
    for (int64_t i = 0; i < pairs; ++i)
        f[i] = n ? given[i] : (float)pow(theta, -(double)i / (double)pairs);
    return made_vector(o, "rope", f, pairs);
}

static MlirValue angles(struct outline *o, MlirOperation rope)
{
    if (!mlirOperationIsNull(o->last_rope) && same_angles(o->last_rope, rope))
        return o->angles;
    int64_t pairs = rotary_dim(rope) / 2;
    MlirValue operands[] = {buffer(o, padded_row(2 * pairs), "all"), frequencies(o, rope, pairs)};
    MlirOperation l = launch(o, "angles", "all", 2, operands);
    qbc_set_int(o->q, l, "pairs", pairs);
    qbc_set_float(o->q, l, "scale", (float)qbc_float(rope, "scale", 1));
    o->last_rope = rope;
    return o->angles = operands[0];
}

static void outline_rope(struct outline *o, MlirOperation op)
{
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 0)), table = angles(o, op);
    MlirValue operands[] = {output(o, op, "all"), x, table};
    MlirOperation l = launch(o, "rope", "all", 3, operands);
    int64_t head_dim = qbc_int(op, "head_dim", 0);
    qbc_set_int(o->q, l, "heads", qbc_dim(value_of(op), 1) / head_dim);
    qbc_set_int(o->q, l, "head_dim", head_dim);
    qbc_set_int(o->q, l, "rotary_dim", rotary_dim(op));
    qbc_set_string(o->q, l, "pairing", qbc_string(o->q, op, "pairing", "half"));
}

/* --- state and attention */

static MlirOperation attention_reading(MlirValue appended, int *operand)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(appended); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        *operand = (int)mlirOpOperandGetOperandNumber(use);
        if (qbc_is(mlirOpOperandGetOwner(use), "qb.attention") && *operand > 0)
            return mlirOpOperandGetOwner(use);
    }
    return (MlirOperation){NULL};
}

static void outline_state(struct outline *o, MlirOperation op)
{
    MlirOperation place = new_place(o, "state");
    copy_attribute(op, place, "name");
    remember(o, value_of(op), value_of(place));
}

static void outline_append(struct outline *o, MlirOperation op)
{
    int operand = 0;
    MlirOperation attention = attention_reading(value_of(op), &operand);
    if (mlirOperationIsNull(attention)) {
        qbc_error(o->q, op, "no attention reads this state");
        return;
    }
    bool keys = operand == 1;
    int64_t head_dim = qbc_int(attention, "head_dim", 0), kv_heads = qbc_int(attention, "kv_heads", 0);
    MlirValue state = place_of(o, mlirOperationGetOperand(op, 0));
    MlirValue operands[] = {state, place_of(o, mlirOperationGetOperand(op, 1))};
    MlirOperation l = launch(o, keys ? "append_keys" : "append_values", "all", 2, operands);
    qbc_set_int(o->q, l, "kv_heads", kv_heads);
    qbc_set_int(o->q, l, "head_dim", head_dim);
    qbc_set_int(o->q, l, "context", o->context);
    qbc_set_int(o->q, qbc_def_any(state), "bytes", qbc_state_bytes(keys, o->context, kv_heads, head_dim));
    remember(o, value_of(op), state);
}

static void outline_attention(struct outline *o, MlirOperation op)
{
    static const char *const copied[] = {"heads", "kv_heads", "head_dim", "scale", "window", "ahead", "cap"};
    enum { SINKS = 4 };
    MlirValue operands[6];
    const float *slopes;
    size_t n = 0, n_slopes = qbc_floats(o->q, op, "slopes", &slopes);
    for (; (intptr_t)n < mlirOperationGetNumOperands(op); ++n)
        operands[n + 1] = place_of(o, mlirOperationGetOperand(op, (intptr_t)n));
    if (n_slopes)
        operands[++n] = made_vector(o, "alibi", slopes, (int64_t)n_slopes);
    operands[0] = output(o, op, "all");
    MlirOperation l = launch(o, "attention", "all", n + 1, operands);
    if (mlirOperationGetNumOperands(op) >= SINKS)
        qbc_set_int(o->q, l, "sinks", SINKS);
    if (n_slopes)
        qbc_set_int(o->q, l, "slopes", (int64_t)n);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; ++i)
        copy_attribute(op, l, copied[i]);
    qbc_set_int(o->q, l, "context", o->context);
}

/* --- what composite formats are put together with */

static void outline_columns(struct outline *o, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t first = qbc_int(op, "first", 0), n = qbc_dim(value_of(op), 1);
    bool quantized = qbc_block_format(o->q, x);
    int64_t shift = quantized ? first / GROUP * RECORD : first * NOT_QUANTIZED;
    int64_t width = quantized ? (n + GROUP - 1) / GROUP * RECORD : n * NOT_QUANTIZED;
    remember(o, value_of(op), part_of(o, place_of(o, x), shift, width));
}

/* Its parts were written into it. */
static void outline_join(struct outline *o, MlirOperation op)
{
    if (mlirValueIsNull(place_of(o, value_of(op))))
        qbc_error(o->q, op, "the parts of a join are products or rows of embeddings, each of one join only");
}

/* A table that rows are looked up in, or read. */
static void set_table(struct outline *o, MlirOperation op, MlirOperation l, MlirValue table, bool lookup)
{
    set_matrix(o, l, table);
    qbc_set_bool(o->q, qbc_def_any(table), "lookup", lookup);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
}

static void outline_gather(struct outline *o, MlirOperation op)
{
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 0)), order = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {output(o, op, rows_of(o, x)), x, place_of(o, order)};
    set_table(o, op, launch(o, "gather", rows_of(o, x), 3, operands), order, false);
}

static void outline_project(struct outline *o, MlirOperation op)
{
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 0)), b = mlirOperationGetOperand(op, 1);
    MlirValue operands[] = {output(o, op, rows_of(o, x)), x, place_of(o, b)};
    MlirOperation l = launch(o, "project", rows_of(o, x), 3, operands);
    set_table(o, op, l, b, false);
    qbc_set_int(o->q, l, "columns", qbc_dim(mlirOperationGetOperand(op, 0), 1));
}

static void outline_sparse(struct outline *o, MlirOperation op)
{
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 0)), values = mlirOperationGetOperand(op, 1),
              indices = mlirOperationGetOperand(op, 2);
    MlirValue operands[] = {output(o, op, rows_of(o, x)), x, place_of(o, values), place_of(o, indices)};
    MlirOperation l = launch(o, "sparse", rows_of(o, x), 4, operands);
    set_table(o, op, l, values, false);
    qbc_set_int(o->q, l, "columns", qbc_dim(mlirOperationGetOperand(op, 0), 1));
    qbc_set_bool(o->q, qbc_def_any(indices), "lookup", false);
    if (qbc_has(qbc_def_any(operands[0]), "shift"))
        qbc_set_bool(o->q, l, "exact", true);
}

/* A table that a product reads too is read by that as a whole, whichever comes first. */
static bool is_only_looked_up(MlirValue table)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(table); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
        if (qbc_is(mlirOpOperandGetOwner(use), "qb.sparse"))
            return false;
    return true;
}

static void outline_embed_sparse(struct outline *o, MlirOperation op)
{
    MlirValue x = place_of(o, mlirOperationGetOperand(op, 1)), values = mlirOperationGetOperand(op, 2),
              indices = mlirOperationGetOperand(op, 3);
    MlirValue operands[] = {output(o, op, "all"), x, place_of(o, values), place_of(o, indices)};
    MlirOperation l = launch(o, "embed_sparse", "all", 4, operands);
    set_table(o, op, l, values, is_only_looked_up(values));
    copy_attribute(op, l, "rows_before");
    qbc_set_bool(o->q, qbc_def_any(indices), "lookup", is_only_looked_up(indices));
}

static void outline_embed_scale(struct outline *o, MlirOperation op)
{
    MlirValue operands[4] = {output(o, op, "all")};
    for (int i = 1; i < 4; ++i)
        operands[i] = place_of(o, mlirOperationGetOperand(op, i));
    MlirOperation l = launch(o, "embed_scale", "all", 4, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
    qbc_set_int(o->q, l, "n", qbc_dim(mlirOperationGetOperand(op, 2), 0));
    copy_attribute(op, l, "rows_before");
}

static void outline_choose(struct outline *o, MlirOperation op)
{
    MlirValue a = place_of(o, mlirOperationGetOperand(op, 1)), b = place_of(o, mlirOperationGetOperand(op, 2));
    MlirValue operands[] = {output(o, op, "all"), a, b};
    MlirOperation l = launch(o, "choose", "all", 3, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
    qbc_set_int(o->q, l, "cut", qbc_int(op, "cut", 0));
    qbc_set_int(o->q, l, "n", INT32_MAX); /* any token */
    copy_attribute(op, l, "rows_before");
}

/* All operands as they are; the state is the operation's own. */
static MlirOperation outline_recurrence(struct outline *o, MlirOperation op, const char *kernel, int64_t state_floats)
{
    MlirValue operands[MOST_OPERANDS];
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    operands[0] = output(o, op, "all");
    qbc_set_int(o->q, qbc_def_any(operands[1]), "bytes", state_floats * 4);
    return launch(o, kernel, "all", n + 1, operands);
}

static void outline_conv(struct outline *o, MlirOperation op)
{
    int64_t columns = qbc_dim(value_of(op), 1), taps = qbc_dim(mlirOperationGetOperand(op, 2), 0) / columns;
    MlirOperation l = outline_recurrence(o, op, "conv1d", (taps - 1) * columns);
    qbc_set_int(o->q, l, "c", columns);
    qbc_set_int(o->q, l, "taps", taps);
}

static void outline_scan(struct outline *o, MlirOperation op)
{
    enum { DT = 2, B = 3, A = 5 };
    int64_t columns = qbc_dim(value_of(op), 1), n = qbc_int(op, "n", 1);
    int64_t dts = qbc_dim(mlirOperationGetOperand(op, DT), 1);
    MlirOperation l = outline_recurrence(o, op, "ssm_scan", columns * n);
    qbc_set_int(o->q, l, "i", columns);
    qbc_set_int(o->q, l, "n", n);
    qbc_set_int(o->q, l, "dts", dts);
    qbc_set_int(o->q, l, "groups", qbc_dim(mlirOperationGetOperand(op, B), 1) / n);
    qbc_set_int(o->q, l, "rates", qbc_dim(mlirOperationGetOperand(op, A), 0) / dts);
}

/* --- the rest */

/* The same buffer, from the first row whose logits are wanted. */
static MlirValue tail_of(struct outline *o, MlirValue x)
{
    if (!strcmp(rows_of(o, x), "tail"))
        return x;
    MlirOperation tail = new_place(o, qbc_string(o->q, qbc_def_any(x), "section", "arena"));
    copy_attribute(qbc_def_any(x), tail, "name");
    copy_attribute(qbc_def_any(x), tail, "row_bytes");
    qbc_set_string(o->q, tail, "rows", "tail");
    qbc_set_bool(o->q, tail, "skip", true);
    return value_of(tail);
}

/* Rows without a distance: the vector itself. */
static void outline_repeat(struct outline *o, MlirOperation op)
{
    remember(o, value_of(op), place_of(o, mlirOperationGetOperand(op, 0)));
}

/* The rows stay where they are found after the step: [chunk][C], rows padded as in the arena. */
static void outline_observe(struct outline *o, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0), from = place_of(o, x);
    MlirOperation state = new_place(o, "state");
    MlirValue operands[] = {value_of(state), from};
    copy_attribute(op, state, "name");
    qbc_set_int(o->q, state, "row_bytes", padded_row(qbc_dim(x, 1)));
    qbc_set_int(o->q, state, "bytes", padded_row(qbc_dim(x, 1)) * o->chunk);
    MlirOperation l = launch(o, "elementwise", rows_of(o, from), 2, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(x, 1));
}

static void outline_tail(struct outline *o, MlirOperation op)
{
    remember(o, value_of(op), tail_of(o, place_of(o, mlirOperationGetOperand(op, 0))));
}

/* What an elementwise operation does with one element of each operand. */
static MlirValue scalar(struct outline *o, struct qbc_build *b, MlirOperation op, const MlirValue *x)
{
    MlirType f32 = mlirF32TypeGet(o->q->mlir);
    bool gated = qbc_is(op, "qb.glu");
    if (qbc_is(op, "qb.times") || qbc_is(op, "qb.plus") || qbc_is(op, "qb.clip")) {
        MlirValue y = qbc_op(b, qbc_op_name(op), f32, 1, x[0]);
        copy_attribute(op, qbc_def_any(y), "by");
        copy_attribute(op, qbc_def_any(y), "low");
        copy_attribute(op, qbc_def_any(y), "high");
        return y;
    }
    if (!gated && !qbc_is(op, "qb.act"))
        return qbc_op(b, qbc_is(op, "qb.bias") ? "arith.addf" : qbc_is(op, "qb.scale") ? "arith.mulf" : qbc_op_name(op), f32,
                      2, x[0], x[1]);
    MlirValue y = qbc_op(b, "qb.act", f32, 1, x[0]);
    qbc_set_string(o->q, qbc_def_any(y), "act", qbc_string(o->q, op, "act", ""));
    return gated ? qbc_op(b, "arith.mulf", f32, 2, y, x[1]) : y;
}

/* A vector of weights, which has no rows, is the same for each. */
static void outline_elementwise(struct outline *o, MlirOperation op)
{
    size_t n = (size_t)mlirOperationGetNumOperands(op);
    MlirValue operands[3], x[2];
    for (size_t i = 0; i < n; ++i)
        operands[i + 1] = place_of(o, mlirOperationGetOperand(op, (intptr_t)i));
    const char *rows = rows_of(o, operands[1]);
    operands[0] = output(o, op, rows);
    MlirOperation l = launch(o, "elementwise", rows, n + 1, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(value_of(op), 1));
    MlirType f32 = mlirF32TypeGet(o->q->mlir);
    MlirBlock body = mlirBlockCreate((intptr_t)n, (MlirType[]){f32, f32}, (MlirLocation[]){o->b.loc, o->b.loc});
    mlirRegionAppendOwnedBlock(mlirOperationGetRegion(l, 0), body);
    for (size_t i = 0; i < n; ++i)
        x[i] = mlirBlockGetArgument(body, (intptr_t)i);
    struct qbc_build in_body = qbc_at_end(o->q, body, o->b.loc);
    qbc_do(&in_body, "llvm.return", 1, scalar(o, &in_body, op, x));
}

/* A result that has more rows than asked for, or that something else reads too, is copied. */
static void outline_return(struct outline *o, MlirOperation op)
{
    MlirValue y = place_of(o, mlirOperationGetOperand(op, 0)), operands[2];
    if (mlirValueIsNull(y) || is_logits(o, y))
        return;
    operands[1] = tail_of(o, y);
    operands[0] = logits(o);
    MlirOperation l = launch(o, "elementwise", "tail", 2, operands);
    qbc_set_int(o->q, l, "c", qbc_dim(o->result, 1));
}

static const struct {
    const char *name;
    void (*outline)(struct outline *o, MlirOperation op);
} kernels[] = {
    {"qb.weight", outline_weight},       {"qb.embed", outline_embed},
    {"qb.rms_norm", outline_norm},       {"qb.quantize", outline_quantize},
    {"qb.fused_linear", outline_linear}, {"qb.rope", outline_rope},
    {"qb.state", outline_state},         {"qb.append", outline_append},
    {"qb.attention", outline_attention}, {"qb.tail", outline_tail},
    {"arith.addf", outline_elementwise}, {"arith.mulf", outline_elementwise},
    {"qb.glu", outline_elementwise},     {"func.return", outline_return},
    {"qb.repeat", outline_repeat},       {"qb.times", outline_elementwise},
    {"qb.bias", outline_elementwise},    {"qb.act", outline_elementwise},
    {"qb.plus", outline_elementwise},    {"qb.clip", outline_elementwise},
    {"arith.subf", outline_elementwise}, {"arith.divf", outline_elementwise},
    {"qb.conv1d", outline_conv},         {"qb.ssm_scan", outline_scan},
    {"qb.layer_norm", outline_norm},     {"qb.embed_positions", outline_positions},
    {"qb.observe", outline_observe},
    {"qb.columns", outline_columns},     {"qb.join", outline_join},
    {"qb.gather", outline_gather},       {"qb.sparse", outline_sparse},
    {"qb.scale", outline_elementwise},   {"qb.embed_sparse", outline_embed_sparse},
    {"qb.embed_scale", outline_embed_scale}, {"qb.project", outline_project},
    {"qb.choose", outline_choose},
};

/* An operand that no kernel gives, for which there was an error. */
static bool lacks_operand(struct outline *o, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (o->q->errors && !mlirOperationIsNull(qbc_def_any(v)) && mlirValueIsNull(place_of(o, v)))
            return true;
    }
    return false;
}

static void outline(struct outline *o, MlirOperation op)
{
    if (lacks_operand(o, op))
        return;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i)
        if (qbc_is(op, kernels[i].name)) {
            o->b.loc = mlirOperationGetLocation(op);
            kernels[i].outline(o, op);
            return;
        }
    qbc_error(o->q, op, "no kernel does %s here", qbc_op_name(op));
}

/* Rows that the host brings instead of tokens, where a part of a model is run: padded as in the arena. */
static void outline_input(struct outline *o, MlirValue argument)
{
    if (qbc_rank(argument) != 2)
        return;
    MlirOperation place = new_place(o, "input");
    qbc_set_int(o->q, place, "row_bytes", padded_row(qbc_dim(argument, 1)));
    qbc_set_string(o->q, place, "rows", "all");
    remember(o, argument, value_of(place));
}

static MlirBlock make_func(struct qbc *q, MlirOperation main, const char *name)
{
    struct qbc_build b = qbc_before(q, main);
    struct qbc_attr attrs[] = {
        {"sym_name", qbc_attr_string(q, name)},
        {"function_type", mlirTypeAttrGet(qbc_type(q, "() -> ()"))},
        {0},
    };
    struct qbc_region body = {0, NULL};
    MlirOperation func = qbc_make_regions(&b, "func.func", 0, NULL, attrs, 0, NULL, 1, &body);
    struct qbc_build inside = qbc_at_end(q, qbc_region_block(func, 0), b.loc);
    qbc_make(&inside, "func.return", (MlirType){NULL}, NULL, 0, NULL);
    return inside.block;
}

/* -ctx, else what the model says up to 4096 positions (a longer state is for who asks for it). */
static int64_t choose_context(struct qbc *q, MlirOperation module)
{
    enum { LONGEST_UNASKED = 4096, UNKNOWN = 2048 };
    int64_t says = qbc_int(module, "qb.context", UNKNOWN);
    if (q->options.context)
        return q->options.context;
    return says < LONGEST_UNASKED ? says : LONGEST_UNASKED;
}

void qbc_pass_outline_kernels(struct qbc *q, MlirOperation module)
{
    enum { CHUNK = 512 };
    struct outline o = {.q = q, .context = choose_context(q, module)};
    int64_t chunk = qbc_bool(module, "qb.whole", false) ? o.context : q->options.chunk ? q->options.chunk : CHUNK;
    o.chunk = chunk < o.context ? chunk : o.context;
    MlirOperation main = qbc_find_func(module, "main");
    if (mlirOperationIsNull(main)) {
        qbc_error(q, module, "there is no function @main");
        return;
    }
    MlirBlock from = qbc_func_body(main);
    MlirOperation ret = mlirBlockGetTerminator(from);
    o.result = mlirOperationGetOperand(ret, 0);
    o.weights = make_func(q, main, "weights");
    o.b = qbc_before(q, mlirBlockGetTerminator(make_func(q, main, "step")));
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(from); ++i)
        outline_input(&o, mlirBlockGetArgument(from, i));
    for (MlirOperation op = mlirBlockGetFirstOperation(from), next; !mlirOperationIsNull(op) && !q->errors; op = next) {
        next = mlirOperationGetNextInBlock(op); /* a weight moves away */
        outline(&o, op);
    }
    if (!qbc_bool(module, "qb.whole", false))
        qbc_set_int(q, module, "qb.vocab", qbc_dim(o.result, 1));
    qbc_set_int(q, module, "qb.context", o.context);
    qbc_set_int(q, module, "qb.chunk", o.chunk);
    if (!q->errors)
        mlirOperationDestroy(main);
}
