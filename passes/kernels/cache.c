/* cache: sizes and places of cached keys and values; which formats they can have. */
#include "cache.h"

enum { HALF = 2, BYTE = 1 };

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

bool qbc_cache_is_float(const struct qbc_cache *c)
{
    return c->format->codebook == QBC_CODE_FLOAT;
}

static void set_fields(struct qbc_cache *c)
{
    int64_t vectors = c->keys ? QBC_POSITIONS : QBC_VALUE_UNIT / 8; /* bytes for each bit of a code */
    int shift = 0;
    for (int bits = 8; bits; bits /= 2)
        if (c->format->bits & bits) {
            c->field[c->fields].bits = bits;
            c->field[c->fields].shift = shift;
            c->field[c->fields++].at = shift * vectors;
            shift += bits;
        }
    c->unit_bytes = c->format->bits * vectors;
}

static void set_codes(struct qbc_cache *c)
{
    const struct qbc_format *f = c->format;
    int64_t lanes = c->keys ? QBC_POSITIONS : 1;
    int64_t offset = f->offset == QBC_OFFSET_MIN ? HALF : f->offset == QBC_OFFSET_ZERO ? BYTE : 0;
    c->unit = c->keys ? QBC_KEY_UNIT : QBC_VALUE_UNIT;
    c->group = f->group < c->head_dim ? f->group : c->padded;
    c->groups = (c->head_dim + c->group - 1) / c->group;
    c->offsets = c->groups * HALF * lanes;
    c->codes = round_up(c->offsets + c->groups * offset * lanes, HALF);
    set_fields(c);
    c->step = c->codes + (c->head_dim + c->unit - 1) / c->unit * c->unit_bytes;
}

/* A byte for each run of channels; table rows of the padding are there, and 0. */
static void set_vectors(struct qbc_cache *c)
{
    int64_t lanes = c->keys ? QBC_POSITIONS : 1;
    c->vector = qbc_vector_cols(c->format);
    c->unit = c->keys ? QBC_KEY_UNIT : QBC_VALUE_UNIT;
    c->unit_bytes = c->unit / c->vector * lanes;
    c->step = c->padded / c->vector * lanes;
}

static struct qbc_cache plain(const struct qbc_format *f, bool keys, int64_t positions, int64_t head_dim)
{
    struct qbc_cache c = {.format = f, .keys = keys, .head_dim = head_dim, .padded = round_up(head_dim, QBC_POSITIONS), .unit = 1,
                          .vector = 1};
    if (f->codebook == QBC_CODE_FLOAT) {
        c.unit_bytes = f->bits / 8 * (keys ? QBC_POSITIONS : 1);
        c.step = c.unit_bytes * (keys ? head_dim : c.padded);
    } else if (f->codebook == QBC_CODE_VECTOR) {
        set_vectors(&c);
    } else {
        set_codes(&c);
    }
    c.head_bytes = round_up((keys ? positions / QBC_POSITIONS : positions) * c.step, 64);
    return c;
}

/* Some blocks of f16 behind `first`; a head is as long as that of c. */
static struct qbc_cache beside(const struct qbc_cache *c, int64_t first, int64_t ring)
{
    if (qbc_cache_is_float(c))
        return *c;
    struct qbc_cache floats = plain(qbc_format_find("f16"), c->keys, 0, c->head_dim);
    floats.first = first, floats.ring = ring, floats.head_bytes = c->head_bytes;
    return floats;
}

static int64_t bytes_of(const struct qbc_cache *c, int64_t blocks)
{
    return blocks * plain(qbc_format_find("f16"), c->keys, QBC_POSITIONS, c->head_dim).head_bytes;
}

struct qbc_cache qbc_cache(const struct qbc_format *f, bool keys, int64_t context, int64_t head_dim,
                           struct qbc_cache_kept kept)
{
    struct qbc_cache c = plain(f, keys, round_up(context, QBC_POSITIONS), head_dim);
    if (!qbc_cache_is_float(&c))
        c.head_bytes += bytes_of(&c, kept.sink + kept.ring);
    return c;
}

struct qbc_cache qbc_cache_sink(const struct qbc_cache *c, struct qbc_cache_kept kept)
{
    return beside(c, c->head_bytes - bytes_of(c, kept.sink + kept.ring), 0);
}

struct qbc_cache qbc_cache_ring(const struct qbc_cache *c, struct qbc_cache_kept kept)
{
    return beside(c, c->head_bytes - bytes_of(c, kept.ring), kept.ring);
}

struct qbc_cache_kept qbc_cache_kept(MlirOperation launch)
{
    return (struct qbc_cache_kept){qbc_int(launch, "sink", 0), qbc_int(launch, "recent", 0), qbc_int(launch, "ring", 0)};
}

struct qbc_cache qbc_cache_of(struct qbc *q, MlirOperation launch, bool keys, const char *format)
{
    const struct qbc_format *f = qbc_find_format(q, qbc_string(q, launch, format, "f32"));
    int64_t head_dim = qbc_int(launch, "head_dim", 0), own = keys ? head_dim : qbc_int(launch, "value_dim", head_dim);
    struct qbc_cache c = qbc_cache(f, keys, qbc_int(launch, "context", 0), own, qbc_cache_kept(launch));
    c.norm = (float)qbc_float(launch, "norm", 0);
    return c;
}

int64_t qbc_state_bytes(struct qbc *q, MlirOperation append, bool keys)
{
    return qbc_int(append, "kv_heads", 0) * qbc_cache_of(q, append, keys, "format").head_bytes;
}

int64_t qbc_ring_blocks(int64_t recent, int64_t chunk)
{
    return recent ? recent + round_up(chunk, QBC_POSITIONS) / QBC_POSITIONS + 1 : 0;
}

MlirValue qbc_cache_position(struct qbc_kernel *k, const struct qbc_cache *c, MlirValue head, MlirValue position)
{
    if (c->ring)
        position = k_op2(k, "arith.remui", position, k_i64(k, c->ring * QBC_POSITIONS));
    if (c->keys)
        position = k_op2(k, "arith.divui", position, k_i64(k, QBC_POSITIONS));
    return k_at(k, k_at_i(k, head, c->first), k_mul_i(k, position, c->step));
}

void qbc_cache_set_head(struct qbc_kernel *k, struct qbc_cache *c, MlirValue table, MlirValue head)
{
    if (c->vector > 1)
        c->table = k_at(k, table, k_mul_i(k, head, c->padded * QBC_CACHE_VECTORS * (int64_t)sizeof(float)));
}

const char *qbc_format_lacks_cache(const struct qbc_format *f)
{
    if (f->codebook == QBC_CODE_FLOAT)
        return f->brain ? "bf16" : NULL;
    if (f->codebook != QBC_CODE_AFFINE && f->codebook != QBC_CODE_TABLE)
        return "codes that are no whole numbers and no table's entries";
    if (f->selector_bits)
        return "tables of groups";
    if (f->digits || f->high - f->low < 3)
        return "codes of less than 4 levels";
    if (f->scale != QBC_SCALE_F16 || f->outer != QBC_SCALE_NONE)
        return "scales other than f16 for each group";
    if (f->group_rows > 1)
        return "groups of several positions";
    if (f->group % QBC_POSITIONS)
        return "groups that are no multiple of 16 channels";
    return NULL;
}
