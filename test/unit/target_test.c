/* Targets: a lint of the tables. Names are symbols, the reference comes first, one packing serves
 * every number of tokens, and LLVM knows each intrinsic. */
#include "check.h"
#include "target.h"

#include <ctype.h>
#include <llvm-c/Core.h>
#include <string.h>

/* "x86-64-v3" is x86_64_v3, "armv8.2+dotprod" is armv8_2_dotprod. */
static bool is_symbol_of(const char *symbol, const char *name)
{
    for (; *symbol && *name; ++symbol, ++name)
        if (*symbol != (isalnum((unsigned char)*name) ? *name : '_'))
            return false;
    return *symbol == *name;
}

static void intrinsic(const char *target, const char *name)
{
    if (name)
        CHECK(LLVMLookupIntrinsicID(name, strlen(name)), "%s: LLVM has no %s", target, name);
}

static void lint_tile(const struct qbc_target *t, const struct qbc_tile *tile)
{
    CHECK(tile->act_bits == 32 || tile->act_bits == 8, "%s: %d activation bits", t->name,
          tile->act_bits);
    CHECK(tile->code_bits >= 1 && tile->code_bits <= 32, "%s: %d code bits", t->name,
          tile->code_bits);
    CHECK(tile->m >= 1 && tile->n >= 1, "%s: a tile of %d x %d", t->name, tile->m, tile->n);
    CHECK(t->scalable || QBC_PADDED_ROW % tile->n == 0, "%s: a tile of %d rows writes beyond a buffer's row", t->name, tile->n);
    CHECK(tile->m <= 16 || tile->kind == QBC_KIND_TILE, "%s: a tile of %d tokens; passes/kernels/linear.h has QBC_MOST_TOKENS", t->name, tile->m);
    CHECK(tile->kind == QBC_KIND_FMA || tile->kind == QBC_KIND_AXPY || tile->dot, "%s: a dot without intrinsic", t->name);
    CHECK(!tile->widen || tile->dot, "%s: widening nothing", t->name);
    CHECK(tile->kind != QBC_KIND_MULL || (tile->widen && tile->fold), "%s: 16-bit products without sums", t->name);
    CHECK(tile->kind != QBC_KIND_MMLA || (tile->mmla && tile->fold), "%s: a product of matrices without intrinsic", t->name);
    intrinsic(t->name, tile->dot);
    intrinsic(t->name, tile->widen);
    intrinsic(t->name, tile->sign);
    intrinsic(t->name, tile->fold);
    CHECK(tile->kind != QBC_KIND_TILE || (tile->dot_unsigned && tile->many), "%s: a matrix unit without products", t->name);
    intrinsic(t->name, tile->mmla);
    intrinsic(t->name, tile->dot_unsigned);
}

/* Instructions that look bytes up; wider ones where there are narrower ones. */
static void lint_lookups(const struct qbc_target *t)
{
    for (int i = 0; i < 3; ++i) {
        intrinsic(t->name, t->lookup[i]);
        CHECK(!i || !t->lookup[i] || t->lookup[i - 1], "%s: a look-up in vectors without a narrower one", t->name);
    }
    intrinsic(t->name, t->lookup_64);
    intrinsic(t->name, t->lookup_more[0]);
    intrinsic(t->name, t->lookup_more[1]);
    CHECK(!t->lookup_more[0] == !t->lookup_more[1], "%s: tables of 32 or of 64, not both", t->name);
}

/* Tiles of the same activations and codes: more tokens further down, and one packing, that of the first. */
static void lint_pair(const struct qbc_target *t, const struct qbc_tile *above,
                      const struct qbc_tile *below)
{
    if (above->act_bits != below->act_bits || above->code_bits != below->code_bits)
        return;
    CHECK(above->m <= below->m, "%s: a tile of %d tokens hides one of %d", t->name, below->m,
          above->m);
    bool alike = above->kind == below->kind || (above->kind == QBC_KIND_DOT4 && below->kind == QBC_KIND_TILE);
    CHECK((above->m > 1 || above->n % below->n == 0) && alike,
          "%s: %d-bit codes need two packings", t->name, above->code_bits);
}

static void lint(const struct qbc_target *t, const char *symbol)
{
    CHECK(is_symbol_of(symbol, t->name), "target %s stands in targets.def as %s", t->name, symbol);
    CHECK(t->about && t->triple && t->cpu && t->features, "%s: a field is missing", t->name);
    CHECK(t->vector_bits % 32 == 0 && t->vector_regs >= 8 && t->machine, "%s: registers", t->name);
    CHECK(t->l1_bytes >= 8 << 10 && t->l2_bytes >= t->l1_bytes, "%s: caches", t->name);
    CHECK(t->vector_issue >= 1 && t->vector_issue <= 8, "%s: %d instructions on vectors in a cycle", t->name, t->vector_issue);
    lint_lookups(t);
    const struct qbc_tile *first = t->tiles;
    CHECK(first->act_bits == 32 && first->code_bits == 32 && first->m == 1 &&
              first->kind == QBC_KIND_FMA,
          "%s: the first tile is the reference: one token, f32, fma", t->name);
    for (const struct qbc_tile *tile = t->tiles; tile->act_bits; ++tile) {
        lint_tile(t, tile);
        for (const struct qbc_tile *later = tile + 1; later->act_bits; ++later)
            lint_pair(t, tile, later);
    }
    for (int tokens = 1; tokens < 20; ++tokens) {
        CHECK(qbc_target_tile(t, 32, 32, tokens), "%s: no tile for %d tokens", t->name, tokens);
        for (int bits = 1; bits <= 8; ++bits) {
            const struct qbc_tile *tile = qbc_target_tile(t, 8, bits, tokens);
            CHECK(!tile || tile->m <= tokens, "%s: %d tokens do not fill the tile", t->name,
                  tokens);
        }
    }
}

static void look_up(void)
{
    for (size_t i = 0; qbc_target_at(i); ++i)
        CHECK(qbc_target_find(qbc_target_at(i)->name) == qbc_target_at(i), "row %zu", i);
    CHECK(!qbc_target_find("z80"), "found what is not there");
    const struct qbc_target *plain = qbc_target_native("x86_64-linux-gnu", "+sse2", "generic");
    CHECK(!plain || !strstr(plain->features, "avx"), "%s needs more than SSE2", plain->name);
    CHECK(!qbc_target_native("z80-none", "+avx2,+fma", "haswell"), "a target for another machine");
    CHECK(LLVMLookupIntrinsicID("llvm.x86.no.such", 16) == 0,
          "the look-up of intrinsics finds anything");
}

int main(void)
{
#define TARGET(symbol) lint(&qbc_target_##symbol, #symbol);
#include "targets.def"
#undef TARGET
    look_up();
    return check_failures() != 0;
}
