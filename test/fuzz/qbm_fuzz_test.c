/* qbm_fuzz_test: a damaged .qbm gives an error or a run, never a crash.
 *
 *   cut        at 500 places: always an error
 *   changed    10,000 single bytes anywhere: an error, or, in weights and padding, a run
 *   forged     20,000 changes to the root with its checksum made anew: the reader's own checks;
 *              code is not run, a forger may write what code he likes
 *
 * Every copy ends at a page that cannot be read, so reading beyond it shows without a sanitizer.
 */
#include "../unit/toy.h"
#include "checksum.h"
#include "qbrt.h"

#include <sys/mman.h>

enum { CUTS = 500, CHANGES = 10000, FORGERIES = 20000, PAGE = 4096, TOKENS = 20 };

struct guarded {
    uint8_t *map;
    size_t map_bytes;
};

/* Room for `bytes` in front of a forbidden page; the copy begins at the returned address, a
 * multiple of 64. */
static uint8_t *guard(struct guarded *g, size_t bytes)
{
    g->map_bytes = (bytes + PAGE - 1) / PAGE * PAGE + PAGE;
    g->map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(g->map != MAP_FAILED);
    REQUIRE(!mprotect(g->map + g->map_bytes - PAGE, PAGE, PROT_NONE));
    return g->map + (g->map_bytes - PAGE - bytes) / QBRT_ALIGN * QBRT_ALIGN;
}

static uint64_t random_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Ask everything that a model can be asked. */
static size_t read_all(const struct qbrt_model *m)
{
    const struct qbrt_facts *f = qbrt_facts(m);
    size_t sum = strlen(f->producer) + strlen(f->chat_template);
    for (size_t i = 0; i < f->n_tensors; i++) {
        struct qbrt_tensor_facts t = qbrt_tensor(m, i);
        sum += strlen(t.name) + strlen(t.role) + strlen(t.format);
    }
    for (size_t i = 0; i < f->n_variants; i++) {
        struct qbrt_variant_facts v = qbrt_variant(m, i);
        sum += strlen(v.target) + strlen(v.triple);
        for (size_t k = 0; k < v.n_requirements; k++)
            sum += strlen(qbrt_requirement(m, i, k));
    }
    for (size_t i = 0; i < f->n_record; i++)
        sum += strlen(qbrt_record_key(m, i)) + strlen(qbrt_record_value(m, i));
    for (size_t i = 0; i < f->n_eos; i++)
        sum += (size_t)qbrt_eos(m, i);
    for (size_t i = 0; f->tokenizer && i < f->tokenizer_bytes; i++)
        sum += ((const uint8_t *)f->tokenizer)[i];
    return sum;
}

static _Alignas(QBRT_ALIGN) uint8_t model_memory[4096];
static _Alignas(QBRT_ALIGN) uint8_t session_memory[65536];
static volatile size_t sink;

static void run(const struct qbrt_model *model)
{
    struct qbrt_session *s;
    float logits[TOY_VOCAB];
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = i;
    REQUIRE(!qbrt_session_create(model, session_memory, sizeof session_memory, NULL, &s));
    REQUIRE(!qbrt_eval(s, tokens, TOKENS, logits));
}

/* 1: it was opened (and run). */
static int try(const uint8_t *file, size_t bytes, bool with_code)
{
    struct qbrt_model *model;
    char detail[QBRT_DETAIL];
    REQUIRE(qbrt_model_size() <= sizeof model_memory);
    enum qbrt_status status = qbrt_open_memory(file, bytes, with_code ? qbrt_this_machine() : NULL,
                                               model_memory, sizeof model_memory, &model, detail);
    REQUIRE(strlen(detail) < QBRT_DETAIL && (status == QBRT_OK) == (model != NULL));
    if (status)
        return 0;
    sink = read_all(model);
    if (with_code)
        run(model);
    qbrt_close(model);
    return 1;
}

static void test_cuts(const uint8_t *file, size_t bytes)
{
    for (size_t i = 0; i < CUTS; i++) {
        struct guarded g;
        size_t n = i * bytes / CUTS;
        uint8_t *copy = guard(&g, n);
        memcpy(copy, file, n);
        REQUIRE(!try(copy, n, true));
        munmap(g.map, g.map_bytes);
    }
}

static void test_changes(const uint8_t *file, size_t bytes)
{
    struct guarded g;
    uint64_t random = 1;
    uint8_t *copy = guard(&g, bytes);
    int runs = 0;
    memcpy(copy, file, bytes);
    REQUIRE(try(copy, bytes, true));
    for (int i = 0; i < CHANGES; i++) {
        size_t at = random_number(&random) % bytes;
        copy[at] ^= (uint8_t)(1 + random_number(&random) % 255);
        runs += try(copy, bytes, true);
        copy[at] = file[at];
    }
    printf("qbm_fuzz_test: %d of %d changed files ran, the others were refused\n", runs, CHANGES);
    REQUIRE(runs > 0 && runs < CHANGES);
    munmap(g.map, g.map_bytes);
}

static void seal(uint8_t *file, size_t bytes)
{
    uint64_t size = qbrt_checksum_word(file, 4) + 4, at = (size + 7) / 8 * 8;
    if (at + QBRT_SEAL_BYTES > bytes)
        return;
    uint64_t seal[2] = {QBRT_SEAL_MAGIC, qbrt_checksum(file, size)};
    memcpy(file + at, seal, sizeof seal);
}

static void test_forgeries(const uint8_t *file, size_t bytes)
{
    static const uint8_t likely[] = {0, 1, 2, 4, 8, 16, 64, 127, 128, 255};
    struct guarded g;
    uint64_t random = 2;
    uint8_t *copy = guard(&g, bytes);
    size_t root = qbrt_checksum_word(file, 4) + 4;
    int opened = 0;
    for (int i = 0; i < FORGERIES; i++) {
        memcpy(copy, file, bytes);
        for (uint64_t k = 1 + random_number(&random) % 3; k; k--) {
            size_t at = random_number(&random) % root;
            uint64_t value = random_number(&random);
            copy[at] = value & 1 ? (uint8_t)(value >> 8) : likely[(value >> 8) % sizeof likely];
        }
        seal(copy, bytes);
        opened += try(copy, bytes, false);
    }
    printf("qbm_fuzz_test: %d of %d forged roots were sound\n", opened, FORGERIES);
    REQUIRE(opened > 0 && opened < FORGERIES);
    munmap(g.map, g.map_bytes);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    size_t bytes;
    REQUIRE(qbc_open(&q));
    toy_make(&q, toy_path("toy.qbm"));
    uint8_t *file = toy_read(toy_path("toy.qbm"), &bytes);
    test_cuts(file, bytes);
    test_changes(file, bytes);
    test_forgeries(file, bytes);
    free(file);
    qbc_close(&q);
    toy_clean();
    puts("qbm_fuzz_test: passed");
    return 0;
}
