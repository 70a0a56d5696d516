/* amx_test: code for AMX, run (emulated where the CPU has none, amx_emulator.h), computes what code for AVX-512 VNNI does, to the
 * last bit, over a whole model with a kind of format for each kind of its matrices; and a model opens without AMX where
 * it has other code, and says what it lacks where not.
 */
#include "../tools/amx_emulator.h"
#include "check.h"
#include "qbc.h"
#include "qbrt.h"

#include <string.h>

#if defined(__x86_64__)
#include <sys/stat.h>

enum { SKIPPED = 77, TOKENS = 70, CHUNK = 37 };

static const char model[] = "test/models/docs-4m/optimum-past/model.onnx";

/* Whole bytes and bits, looked up, in two planes, with zero points, minima, and scales for 16 columns; codes of 8 bits, signed
 * and not. */
static const char *const formats[] = {
    "attn_q=i4g32",   "attn_k=i8g32m", "attn_v=q6_k",      "attn_o=i4g128z",
    "gate=bcq2g128", "up=iq4_nl",     "down=t1.6g160", "embed=i8g32",
};

static char folder[] = "/tmp/amx-test-XXXXXX";

static void complain(void *user, const struct qbc_diagnostic *d)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", d->where, d->text);
}

struct file {
    char path[64];
    uint8_t *bytes;
    size_t size;
};

static void compile(struct file *out, const char *targets)
{
    snprintf(out->path, sizeof out->path, "%s/model.qbm", folder);
    const struct qbc_options o = {
        .input = model, .output = out->path, .target = targets, .chunk = CHUNK, .context = 256, .quant = "i8g32",
        .quant_tensor = formats, .n_quant_tensor = sizeof formats / sizeof *formats, .diagnose = complain,
    };
    struct stat about;
    REQUIRE(qbc_compile(&o) == QBC_OK && !stat(out->path, &about));
    out->size = (size_t)about.st_size;
    out->bytes = aligned_alloc(QBRT_ALIGN, (out->size + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
    FILE *from = fopen(out->path, "rb");
    REQUIRE(out->bytes && from && fread(out->bytes, 1, out->size, from) == out->size);
    fclose(from);
    unlink(out->path);
}

/* --- machines */

static bool with_amx(void *context, const char *feature)
{
    (void)context;
    return !strncmp(feature, "amx-", 4) || qbrt_cpu_has(feature);
}

static bool without_amx(void *context, const char *feature)
{
    (void)context;
    return strncmp(feature, "amx-", 4) && qbrt_cpu_has(feature);
}

struct memory {
    void *start; /* freed by whoever has the struct */
    size_t bytes;
};

static struct memory memory_of(size_t bytes)
{
    size_t whole = (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
    return (struct memory){aligned_alloc(QBRT_ALIGN, whole), whole};
}

static enum qbrt_status open_on(const struct file *f, bool (*has)(void *context, const char *feature), struct memory memory,
                                struct qbrt_model **out, char *detail)
{
    struct qbrt_host host = *qbrt_this_machine();
    host.has_feature = has;
    return qbrt_open_memory(f->bytes, f->size, &host, memory.start, memory.bytes, out, detail);
}

/* Logits of all tokens, f32 [TOKENS][vocab], computed by this machine's code; freed by the caller. */
static float *logits_on(const struct file *f, bool (*has)(void *context, const char *feature), const char *target)
{
    struct qbrt_model *m = NULL;
    struct qbrt_session *s = NULL;
    struct qbrt_variant_facts facts;
    char detail[QBRT_DETAIL];
    struct memory of_model = memory_of(qbrt_model_size());
    REQUIRE(open_on(f, has, of_model, &m, detail) == QBRT_OK);
    facts = qbrt_variant(m, (size_t)qbrt_facts(m)->variant);
    CHECK(!strcmp(facts.target, target), "%s, not %s", facts.target, target);
    size_t vocab = qbrt_facts(m)->vocab;
    struct memory of_session = memory_of(qbrt_session_size(m));
    REQUIRE(qbrt_session_create(m, of_session.start, of_session.bytes, NULL, &s) == QBRT_OK);
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; ++i)
        tokens[i] = (int32_t)((size_t)(i * 37 + 11) % vocab);
    float *logits = malloc(TOKENS * vocab * sizeof *logits);
    REQUIRE(logits && qbrt_eval_all(s, tokens, TOKENS, logits) == QBRT_OK);
    free(of_session.start);
    free(of_model.start);
    return logits;
}

static void test_same(const struct file *fat)
{
    unsigned long before = amx_emulated();
    float *vectors = logits_on(fat, without_amx, "icelake-server");
    CHECK(amx_emulated() == before, "code for AVX-512 does not use AMX");
    float *tiles = logits_on(fat, with_amx, "sapphirerapids");
    CHECK(qbrt_cpu_has("amx-int8") || amx_emulated() > before + 1000, "%lu instructions", amx_emulated() - before);
    struct qbrt_model *m = NULL;
    struct memory memory = memory_of(qbrt_model_size());
    REQUIRE(open_on(fat, without_amx, memory, &m, NULL) == QBRT_OK);
    size_t n = TOKENS * (size_t)qbrt_facts(m)->vocab, different = 0;
    for (size_t i = 0; i < n; ++i)
        different += memcmp(&vectors[i], &tiles[i], sizeof *tiles) != 0;
    CHECK(!different, "%zu of %zu logits", different, n);
    free(memory.start);
    free(vectors);
    free(tiles);
}

static void test_refused(const struct file *alone)
{
    struct qbrt_model *m = NULL;
    char detail[QBRT_DETAIL];
    struct memory memory = memory_of(qbrt_model_size());
    CHECK(open_on(alone, without_amx, memory, &m, detail) == QBRT_NO_VARIANT && !m, "opened");
    CHECK(strstr(detail, "sapphirerapids needs amx-int8, amx-tile, which this CPU lacks, or its system keeps back"), "%s", detail);
    free(memory.start);
}

int main(void)
{
    struct file fat, alone;
    if (access(model, R_OK) || !qbrt_cpu_has("avx512vnni") || !qbrt_cpu_has("avx512vbmi")) {
        puts("amx_test: skipped, needs the bundled model and a CPU with AVX-512 VNNI");
        return SKIPPED;
    }
    REQUIRE(mkdtemp(folder));
    amx_emulate();
    compile(&fat, "icelake-server,sapphirerapids");
    compile(&alone, "sapphirerapids");
    rmdir(folder);
    test_same(&fat);
    test_refused(&alone);
    free(fat.bytes);
    free(alone.bytes);
    printf("amx_test: %s, %lu AMX instructions emulated\n", check_failures() ? "failed" : "passed", amx_emulated());
    return check_failures() != 0;
}

#else
int main(void)
{
    puts("amx_test: skipped, for x86-64");
    return 77;
}
#endif
