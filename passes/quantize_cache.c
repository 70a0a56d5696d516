/* quantize-cache: in which format the session keeps keys and values, and which of them are rotated first.
 *
 *   before   %k = "qb.append"(%s, %new)
 *            %y = "qb.attention"(%q, %k, %v)
 *   after    %turned = "qb.hadamard"(%new) {run = 64}             with r: of keys
 *            %k = "qb.append"(%s, %turned) {format = "i4g64"}
 *            %u = "qb.hadamard"(%q) {run = 64}
 *            %z = "qb.attention"(%u, %k, %v)
 *            %y = "qb.hadamard"(%z) {run = 64}                    with r: of values
 *
 * -kv=FORMAT, or -kv=k:FORMAT,v:FORMAT; an r behind a format: rotated. A rotation spreads what single channels have over
 * all of a head; it is orthogonal, so scores of rotated queries and keys stay as they are, and what is summed of rotated
 * values is rotated back. A head whose size is no power of two is rotated in runs of the largest one that divides it.
 *
 * pq2x256: vectors of 2 channels, one of 256 of the table that the append has got (compiler/transform/cached.c).
 *
 * -kv-sink=N, -kv-recent=N: beside its codes, the first N positions and the last N before each token are kept as f16 and
 * read as such, in whole blocks of 16: {sink, recent}.
 *
 * needs    derive-cache
 * keeps    all, without -kv; sides that are to stay f32
 * complains of formats that a cache cannot have, of models without attention
 */
#include "cached.h"
#include "kernel.h"
#include "passes.h"

#include <string.h>

struct side {
    const struct qbc_format *format; /* NULL: after an error */
    float norm; /* of scales, 0: they go by the largest magnitude */
    bool rotated, said;
};

struct plan {
    struct side keys, values;
};

static const char formats_there_are[] = "f32, f16, and whole numbers or tables of 2 to 8 bits, of all channels of a head (i8, i4, "
                                        "i4z, i4m, nf4, lm3) or with a scale for each 16, 32, ... channels (i4g32, i4g64m); "
                                        "with an r behind: rotated (i4g64r); turbo2, turbo3, turbo4; pq2x256, pq4x256, pq8x256";

/* "i4" has a scale for all of a head: the longest group there is. */
static const struct qbc_format *read_format(struct qbc *q, const char *option, const char *name)
{
    const struct qbc_format *f = qbc_find_format(q, name);
    size_t kind = strlen(name);
    char offset = kind && (name[kind - 1] == 'z' || name[kind - 1] == 'm') ? name[kind - 1] : 0;
    if (!f && kind && kind < QBC_FORMAT_NAME)
        f = qbc_find_format(q, qbc_text(q, "%.*sg%d%.1s", (int)kind - (offset != 0), name, QBC_MAX_GROUP, &offset));
    const char *lacks = f ? qbc_format_lacks_cache(f) : NULL;
    if (!f)
        qbc_error_in(q, option, "a cache has no format '%s'; there are %s", name, formats_there_are);
    else if (lacks)
        qbc_error_in(q, option, "a cache cannot be of %s ('%s'); there are %s", lacks, name, formats_there_are);
    return lacks ? NULL : f;
}

/* TurboQuant (arXiv 2504.19874): the norm of a head, and its direction, rotated so that each channel is as of a normal
 * distribution, by the table of least error for that. */
static bool read_turbo(struct qbc *q, const char *text, size_t length, struct side *side)
{
    static const char *const formats[] = {"lm2g1024", "lm3g1024", "lm4g1024"};
    static const float largest[] = {1.5104f, 2.1519f, 2.7326f}; /* levels, for variance 1 */
    if (length != 6 || strncmp(text, "turbo", 5) || text[5] < '2' || text[5] > '4')
        return false;
    side->format = qbc_find_format(q, formats[text[5] - '2']);
    side->norm = largest[text[5] - '2'];
    side->rotated = true;
    return true;
}

/* Product quantization: a table of 256 vectors for each run of channels, which calibration made (compiler/transform/cached.c). */
static bool read_vectors(struct qbc *q, const char *text, size_t length, struct side *side)
{
    int vector = qbc_cached_vector((struct qbc_cached){text, length});
    if (!vector)
        return false;
    side->format = qbc_find_format(q, qbc_text(q, "vq%dx256row", vector)); /* whose scales there are none of */
    return true;
}

static void read_side(struct qbc *q, const char *option, const char *text, size_t length, struct side *side)
{
    if (side->said) {
        qbc_error_in(q, option, "says twice what keys or values are; write k:FORMAT,v:FORMAT, or one FORMAT for both");
        return;
    }
    side->said = true;
    if (read_turbo(q, text, length, side) || read_vectors(q, text, length, side))
        return;
    side->rotated = length > 1 && text[length - 1] == 'r';
    side->format = read_format(q, option, qbc_copy(q, text, length - side->rotated));
}

static struct plan read_plan(struct qbc *q)
{
    const char *option = qbc_text(q, "-kv=%s", q->options.kv);
    struct side f32 = {.format = qbc_find_format(q, "f32")};
    struct plan p = {f32, f32};
    for (const char *text = q->options.kv; text && !q->errors;) {
        const char *comma = strchr(text, ',');
        size_t length = comma ? (size_t)(comma - text) : strlen(text);
        bool named = length > 1 && text[1] == ':', keys = named && *text == 'k', values = named && *text == 'v';
        if (named && !keys && !values)
            qbc_error_in(q, option, "k: and v: are what there is, keys and values; not '%.2s'", text);
        if (!named || keys)
            read_side(q, option, text + 2 * named, length - 2 * named, &p.keys);
        if (!q->errors && (!named || values))
            read_side(q, option, text + 2 * named, length - 2 * named, &p.values);
        text = comma ? comma + 1 : NULL;
    }
    return p;
}

static MlirValue rotated(struct qbc_build *b, MlirValue x, int64_t head_dim)
{
    enum { LONGEST = 1024 };
    int64_t run = 1;
    while (head_dim % (2 * run) == 0 && run < LONGEST)
        run *= 2;
    MlirValue y = qbc_op(b, "qb.hadamard", mlirValueGetType(x), 1, x);
    qbc_set_int(b->q, qbc_def_any(y), "run", run);
    return y;
}

static void set_format(struct qbc *q, MlirOperation append, const struct side *side, int64_t head_dim)
{
    if (side->format->codebook != QBC_CODE_FLOAT || side->format->bits != 32)
        qbc_set_string(q, append, "format", side->format->name);
    if (side->norm > 0)
        qbc_set_float(q, append, "norm", side->norm);
    bool codes = side->format->codebook != QBC_CODE_FLOAT;
    if (side->format->codebook == QBC_CODE_VECTOR && mlirOperationGetNumOperands(append) < 3)
        qbc_error(q, append, "there are no tables of vectors: what is kept so is learned between levels 'graph' and 'quant', by qbc");
    if (codes && q->options.kv_sink)
        qbc_set_int(q, append, "sink", q->options.kv_sink);
    if (codes && q->options.kv_recent)
        qbc_set_int(q, append, "recent", q->options.kv_recent);
    if (!side->rotated)
        return;
    struct qbc_build b = qbc_before(q, append);
    mlirOperationSetOperand(append, 1, rotated(&b, mlirOperationGetOperand(append, 1), head_dim));
}

/* Attentions that share a cache are rotated alike; the append is done once. */
static void change(struct qbc *q, MlirOperation attention, const struct plan *p)
{
    enum { QUERIES = 0, KEYS = 1, VALUES = 2 };
    int64_t head_dim = qbc_int(attention, "head_dim", 0), dims[] = {head_dim, qbc_int(attention, "value_dim", head_dim)};
    const struct side *sides[] = {&p->keys, &p->values};
    for (int i = 0; i < 2; ++i) {
        MlirOperation append = qbc_def(mlirOperationGetOperand(attention, KEYS + i), "qb.append");
        if (mlirOperationIsNull(append)) {
            qbc_error(q, attention, "this attention reads no cache");
            return;
        }
        if (!qbc_has(append, "kv"))
            set_format(q, append, sides[i], dims[i]);
        qbc_set_bool(q, append, "kv", true);
    }
    struct qbc_build before = qbc_before(q, attention), after = qbc_after(q, attention);
    if (p->keys.rotated)
        mlirOperationSetOperand(attention, QUERIES, rotated(&before, mlirOperationGetOperand(attention, QUERIES), head_dim));
    if (!p->values.rotated)
        return;
    MlirValue y = mlirOperationGetResult(attention, 0), back = rotated(&after, y, dims[1]);
    MlirOperation except = qbc_def_any(back);
    mlirValueReplaceAllUsesExcept(y, back, 1, &except);
}

void qbc_pass_quantize_cache(struct qbc *q, MlirOperation module)
{
    if (!q->options.kv)
        return;
    struct plan p = read_plan(q);
    if (q->errors)
        return;
    struct qbc_ops attentions = qbc_collect(q, module, "qb.attention"), appends = qbc_collect(q, module, "qb.append");
    if (!attentions.n)
        qbc_error_in(q, qbc_text(q, "-kv=%s", q->options.kv), "the model has no attention, so there are no keys and values to keep");
    for (size_t i = 0; i < attentions.n; ++i)
        change(q, attentions.op[i], &p);
    for (size_t i = 0; i < appends.n; ++i)
        mlirOperationRemoveAttributeByName(appends.op[i], qbc_str("kv"));
}
