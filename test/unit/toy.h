/* toy.h: an artifact to test with: the code image of inputs/toy_image.c, made by the host's (or a
 * cross) compiler and lld when the test runs, written by the compiler's own writer.
 *
 * Tests run in the source folder, and put files in a folder of their own.
 */
#ifndef TOY_H
#define TOY_H

#include "check.h"
#include "emit.h"
#include "qbm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOY_VOCAB = 32, TOY_CONTEXT = 64, TOY_CHUNK = 8 };
enum { TOY_TABLE = TOY_VOCAB * TOY_VOCAB };

struct toy {
    const char *target, *triple, *compiler, *requirement;
    int machine;
};

static const struct toy toy_x86 = {"x86-64", "x86_64-linux-gnu", "cc", "sse2", 62};
static const struct toy toy_arm = {"armv8", "aarch64-linux-gnu", "aarch64-linux-gnu-gcc", "neon",
                                   183};
static const struct toy toy_riscv = {"rv64", "riscv64-linux-gnu", "riscv64-linux-gnu-gcc", "m",
                                     243};

static inline const struct toy *toy_native(void)
{
#if defined(__aarch64__)
    return &toy_arm;
#elif defined(__riscv)
    return &toy_riscv;
#else
    return &toy_x86;
#endif
}

/* A folder for the test's files; removed by toy_clean. */
static inline const char *toy_folder(void)
{
    static char folder[] = "/tmp/qbrt-test-XXXXXX";
    static bool is_made;
    if (!is_made)
        REQUIRE(mkdtemp(folder));
    is_made = true;
    return folder;
}

/* Good until seven more are asked for. */
static inline const char *toy_path(const char *name)
{
    static char path[8][300];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", toy_folder(), name);
    return p;
}

static inline void toy_clean(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", toy_folder());
    REQUIRE(system(command) == 0);
}

static inline uint8_t *toy_read(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    REQUIRE(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = aligned_alloc(64, (*bytes + 64) / 64 * 64);
    REQUIRE(data && fread(data, 1, *bytes, f) == *bytes);
    fclose(f);
    return data;
}

static inline void toy_write(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    REQUIRE(f && fwrite(data, 1, bytes, f) == bytes);
    REQUIRE(fclose(f) == 0);
}

/* The same flags that compiler/emit links with; `more` goes to the linker. NULL: no compiler. */
static inline uint8_t *toy_image(const struct toy *toy, const char *source, const char *more,
                                 size_t *bytes)
{
    char command[1200];
    const char *object = toy_path("toy.o"), *image = toy_path("toy.so");
    snprintf(command, sizeof command, "command -v %s >/dev/null", toy->compiler);
    if (system(command))
        return NULL;
    snprintf(command, sizeof command,
             "%s -std=c11 -O2 -ffreestanding -fPIC -fno-stack-protector "
             "-fno-asynchronous-unwind-tables -Iruntime/abi -c %s -o %s && "
             "/usr/lib/llvm-22/bin/ld.lld -shared -Bsymbolic --no-rosegment -z rodynamic "
             "-z norelro %s %s -o %s",
             toy->compiler, source, object, more, object, image);
    REQUIRE(system(command) == 0);
    return toy_read(image, bytes);
}

/* The address of an exported function. */
static inline uint64_t toy_symbol(uint8_t *image, size_t bytes, const char *name)
{
    uint64_t address = qbc_image_symbol((struct qbc_bytes){image, bytes}, name);
    REQUIRE(address);
    return address;
}

/* weights[token][v], then what a token adds to the state. */
static inline void toy_weights(float *weights)
{
    for (int i = 0; i < TOY_TABLE; i++)
        weights[i] = (float)((i * 7919 + i / 32 * 104729) % 1000) / 250.0f;
    for (int i = 0; i < TOY_VOCAB; i++)
        weights[TOY_TABLE + i] = (float)(i % 7) / 100.0f - 0.03f;
}

struct toy_artifact {
    struct qbc_artifact facts;
    struct qbc_artifact_tensor tensors[2];
    struct qbc_artifact_weights weights;
    struct qbc_artifact_variant variants[3];
    struct qbc_artifact_state state;
    struct qbc_artifact_fact record[2];
    const char *requirements[3][1];
    int32_t eos[1];
};

/* Fill in everything but the variants' images. */
static inline void toy_artifact(struct toy_artifact *a)
{
    *a = (struct toy_artifact){
        .tensors = {{.name = "table",
                     .role = "output",
                     .format = "f32",
                     .block = -1,
                     .rows = TOY_VOCAB,
                     .cols = TOY_VOCAB,
                     .packing = {.rows = 1, .depth = 1},
                     .size = TOY_TABLE * sizeof(float)},
                    {.name = "values",
                     .role = "embed",
                     .format = "f32",
                     .block = 0,
                     .rows = 1,
                     .cols = TOY_VOCAB,
                     .packing = {.rows = 1, .depth = 1},
                     .size = TOY_VOCAB * sizeof(float),
                     .lookup = true}},
        .state = {"sum", 0, TOY_CONTEXT * sizeof(float)},
        .record = {{"quant", "f32"}, {"flags", "-target=toy \"x\""}},
        .eos = {TOY_VOCAB - 1},
    };
    a->weights = (struct qbc_artifact_weights){a->tensors, 2, qbc_qbm_place(a->tensors, 2)};
    a->facts = (struct qbc_artifact){
        .producer = "qbc test",
        .vocab = TOY_VOCAB,
        .context = TOY_CONTEXT,
        .chunk = TOY_CHUNK,
        .parameters = TOY_TABLE + TOY_VOCAB,
        .arena_bytes = TOY_CHUNK * sizeof(float),
        .state_bytes = TOY_CONTEXT * sizeof(float),
        .states = &a->state,
        .n_states = 1,
        .weights = &a->weights,
        .n_weights = 1,
        .variants = a->variants,
        .n_variants = 0,
        .bos = -1,
        .eos = a->eos,
        .n_eos = 1,
        .record = a->record,
        .n_record = 2,
    };
}

static inline void toy_add_variant(struct toy_artifact *a, const struct toy *toy, uint8_t *image,
                                   size_t bytes)
{
    size_t i = a->facts.n_variants++;
    a->requirements[i][0] = toy->requirement;
    a->variants[i] = (struct qbc_artifact_variant){
        .target = toy->target,
        .triple = toy->triple,
        .machine = toy->machine,
        .requirements = a->requirements[i],
        .n_requirements = 1,
        .image = image,
        .image_bytes = bytes,
        .decode = toy_symbol(image, bytes, "toy_decode"),
        .step = toy_symbol(image, bytes, "toy_step"),
    };
}

static inline bool toy_emit(struct qbc *q, struct toy_artifact *a, const char *path)
{
    float weights[TOY_TABLE + TOY_VOCAB];
    toy_weights(weights);
    struct qbc_qbm *w = qbc_qbm_begin(q, path, &a->facts);
    if (!w)
        return false;
    qbc_qbm_write(w, 0, a->tensors[1].offset, weights + TOY_TABLE, a->tensors[1].size);
    qbc_qbm_write(w, 0, a->tensors[0].offset, weights, a->tensors[0].size);
    return qbc_qbm_finish(w, true);
}

/* The artifact of the machine that runs the test. */
static inline void toy_make(struct qbc *q, const char *path)
{
    struct toy_artifact a;
    size_t bytes;
    uint8_t *image = toy_image(toy_native(), "test/unit/inputs/toy_image.c", "", &bytes);
    REQUIRE(image);
    toy_artifact(&a);
    toy_add_variant(&a, toy_native(), image, bytes);
    REQUIRE(toy_emit(q, &a, path));
    free(image);
}

/* What logits [n][TOY_VOCAB] must be, computed plainly. */
static inline void toy_expect(const int32_t *tokens, size_t n, float *logits)
{
    float weights[TOY_TABLE + TOY_VOCAB], sum = 0;
    toy_weights(weights);
    for (size_t t = 0; t < n; t++) {
        sum += weights[TOY_TABLE + tokens[t]];
        for (int v = 0; v < TOY_VOCAB; v++)
            *logits++ = weights[tokens[t] * TOY_VOCAB + v] + (float)v * sum;
    }
}

#endif
