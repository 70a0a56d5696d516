/* check_extension: look at what comes from outside before the compiler's code relies on it.
 *
 * For rows of the tree tests do this (format_test, target_test); here they come when it is too late for a test. Names
 * are the user's only handle on a row, so each may be there once.
 */
#include "check_extension.h"
#include "format.h"
#include "target.h"

#include <llvm-c/Core.h>
#include <string.h>

static bool check_name(struct qbc *q, const char *extension, const char *kind, const char *name)
{
    if (name && *name && !name[strcspn(name, " ,=:")])
        return true;
    qbc_error_in(q, extension, "a %s of this extension has no name, or one with one of ' ,=:'", kind);
    return false;
}

static void taken(struct qbc *q, const char *extension, const char *kind, const char *name)
{
    qbc_error_in(q, extension, "this extension has a %s '%s', but there is one of that name already", kind, name);
}

/* --- formats */

static void check_affine(struct qbc *q, const char *extension, const struct qbc_format *f)
{
    if (f->bits < 1 || f->bits > 8 || f->group < 4 || f->group % 4 || f->group * f->bits % 8)
        qbc_error_in(q, extension, "format '%s': %d bits, groups of %d; see format.h for what fits", f->name, f->bits,
                     f->group);
    else if (f->low < 0 || f->low > f->high || f->high >= 1 << f->bits)
        qbc_error_in(q, extension, "format '%s': codes %d to %d are not within %d bits", f->name, f->low, f->high,
                     f->bits);
    else if (f->offset == QBC_OFFSET_NONE && (f->bias < f->low || f->bias > f->high))
        qbc_error_in(q, extension, "format '%s': no code, not even %d, means 0", f->name, f->bias);
}

void qbc_check_format(struct qbc *q, const char *extension, const struct qbc_format *f)
{
    if (!memchr(f->name, 0, sizeof f->name)) {
        qbc_error_in(q, extension, "a format of this extension has a name without an end");
        return;
    }
    if (!check_name(q, extension, "format", f->name))
        return;
    if (qbc_find_format(q, f->name))
        taken(q, extension, "format", f->name);
    else if (f->codebook == QBC_CODE_FLOAT)
        qbc_error_in(q, extension, "format '%s': floats cannot come from extensions", f->name);
    else if (f->codebook == QBC_CODE_AFFINE)
        check_affine(q, extension, f);
}

/* --- targets */

enum { MOST_TOKENS = 16 };

/* What is wrong with a tile by itself, or NULL. */
static const char *fault_of(const struct qbc_target *t, const struct qbc_tile *tile)
{
    const char *const names[] = {tile->dot, tile->widen, tile->sign, tile->fold, tile->mmla, tile->dot_unsigned};
    bool is_unit = tile->kind == QBC_KIND_TILE;
    if (tile->act_bits != 32 && tile->act_bits != 8)
        return "activations have 32 bits or 8";
    if (is_unit && (tile->m != 32 || tile->n != 32 || !tile->many))
        return "tiles of a matrix unit are 32 tokens by 32 rows, for many tokens";
    if (tile->m < 1 || (tile->m > MOST_TOKENS && !is_unit) || tile->n < 1 || tile->code_bits < 1 || tile->code_bits > 32)
        return "1 to 16 tokens, 1 or more rows, codes of 1 to 32 bits";
    if (!t->scalable && QBC_PADDED_ROW % tile->n)
        return "its number of rows must divide 128, to which rows of buffers are padded";
    if (tile->kind > QBC_KIND_TILE)
        return "there is no such kind";
    if ((tile->kind == QBC_KIND_DOT4 && !tile->dot) ||
        (tile->kind == QBC_KIND_MULL && !(tile->dot && tile->widen && tile->fold)) ||
        (tile->kind == QBC_KIND_MMLA && !(tile->dot && tile->mmla && tile->fold)) ||
        (is_unit && !(tile->dot && tile->dot_unsigned)))
        return "its kind needs intrinsics that it does not name";
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (names[i] && !LLVMLookupIntrinsicID(names[i], strlen(names[i])))
            return "LLVM has no intrinsic of a name that it gives";
    return NULL;
}

/* One packing serves every number of tokens. */
static bool fits(const struct qbc_tile *above, const struct qbc_tile *below)
{
    return above->act_bits != below->act_bits || above->code_bits != below->code_bits ||
           (above->m <= below->m && above->n % below->n == 0 && above->kind == below->kind) ||
           (above->kind == QBC_KIND_DOT4 && below->kind == QBC_KIND_TILE);
}

static void check_tiles(struct qbc *q, const char *extension, const struct qbc_target *t)
{
    const struct qbc_tile *first = t->tiles;
    if (!first || first->act_bits != 32 || first->code_bits != 32 || first->m != 1 || first->kind != QBC_KIND_FMA) {
        qbc_error_in(q, extension, "target '%s': its first tile must be {32, 32, 1, ..., QBC_KIND_FMA}", t->name);
        return;
    }
    for (const struct qbc_tile *tile = first; tile->act_bits; ++tile) {
        const char *fault = fault_of(t, tile);
        if (fault)
            qbc_error_in(q, extension, "target '%s', tile %td: %s", t->name, tile - first, fault);
        for (const struct qbc_tile *later = tile + 1; later->act_bits && !fault; ++later)
            if (!fits(tile, later))
                qbc_error_in(q, extension, "target '%s': tiles %td and %td take the same codes, so the later one must be of "
                             "the same kind, with as many tokens and no more rows, which divide the other's", t->name, tile - first,
                             later - first);
    }
}

void qbc_check_target(struct qbc *q, const char *extension, const struct qbc_target *t)
{
    if (!check_name(q, extension, "target", t->name))
        return;
    if (!strcmp(t->name, "native") || qbc_find_target(q, t->name))
        taken(q, extension, "target", t->name);
    else if (!t->triple || !t->cpu || !t->features || !t->about)
        qbc_error_in(q, extension, "target '%s' needs a triple, a cpu, features and an about", t->name);
    else if (t->vector_bits < 64 || t->vector_bits % 32 || t->vector_regs < 8 || t->machine < 1)
        qbc_error_in(q, extension, "target '%s': vectors of %d bits in %d registers, machine %d", t->name, t->vector_bits,
                     t->vector_regs, t->machine);
    else if (t->l1_bytes < 8 << 10 || t->l2_bytes < t->l1_bytes)
        qbc_error_in(q, extension, "target '%s': caches of %d and %d bytes", t->name, t->l1_bytes, t->l2_bytes);
    else
        check_tiles(q, extension, t);
}
