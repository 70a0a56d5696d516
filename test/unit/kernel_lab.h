/* kernel_lab.h: compile a small graph for a machine, run it there, and look at every value in it.
 *
 *     lab_begin(&lab, q, &machine);
 *     lab_matrix(&lab, "w", format, 17, 64);        %w, and blocks to fill
 *     lab_say(&lab, "%%y = \"qb.linear\"(%%x, %%w) ... loc(\"y\")\n");
 *     lab_build(&lab, "y", 17);                     what @main returns
 *     lab_run(&lab, false, 3, tokens, pos, 0);
 *     lab_execute(&lab);
 *     lab_row(&lab, 0, "linear", "y", 2)            row 2 of %y in run 0
 *     lab_end(&lab);
 *
 * Passes and code generation are the compiler's own, but for plan-memory's sharing: here every buffer of
 * the arena gets a place of its own, so that all of them are there to look at afterwards. (With
 * lab.shares the plan stays as it is; then only the logits mean something.) Weights are packed from blocks that
 * the test fills, not fitted.
 */
#ifndef KERNEL_LAB_H
#define KERNEL_LAB_H

#include "../tools/kernel_job.h"
#include "check.h"
#include "emit.h"
#include "kernel.h"
#include "parts.h"
#include "pipeline.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAB_MOST_TENSORS = 256, LAB_MOST_PLACES = 1024, LAB_MOST_RUNS = 64, LAB_MOST_TOKENS = 64 };

struct lab_machine {
    const struct qbc_target *target;
    const char *command[6]; /* ends with NULL */
    size_t rank;            /* among those of this test */
    bool shares;            /* takes a share of the cases only */
};

struct lab_tensor {
    const char *name;
    struct qbc_blocks blocks;
    float *vector; /* [cols] of a vector; blocks.format is f32 then, without memory */
};

/* The value that a launch writes. */
struct lab_place {
    const char *kernel, *name; /* the launch's, and the name of its location */
    int64_t offset, row_bytes;
};

struct lab {
    struct qbc *q;
    const struct lab_machine *machine;
    bool shares;
    char *text;
    size_t length, capacity;
    struct lab_tensor tensors[LAB_MOST_TENSORS];
    size_t n_tensors;
    struct lab_place places[LAB_MOST_PLACES];
    size_t n_places;
    struct kernel_job job;
    struct qbc_bytes image;
    uint8_t *weights;
    struct kernel_run runs[LAB_MOST_RUNS];
    int32_t tokens[LAB_MOST_RUNS][LAB_MOST_TOKENS];
    uint8_t *answer[LAB_MOST_RUNS];
    uint8_t *all_answers;
};

static inline void lab_begin(struct lab *lab, struct qbc *q, const struct lab_machine *machine)
{
    *lab = (struct lab){.q = q, .machine = machine};
    q->target = machine->target;
}

__attribute__((format(printf, 2, 3))) static inline void lab_say(struct lab *lab, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t more = (size_t)vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (lab->length + more + 1 > lab->capacity) {
        lab->capacity = 2 * (lab->length + more) + 1024;
        lab->text = realloc(lab->text, lab->capacity);
    }
    va_start(args, format);
    vsnprintf(lab->text + lab->length, more + 1, format, args);
    va_end(args);
    lab->length += more;
}

/* --- tensors */

static inline struct lab_tensor *lab_new_tensor(struct lab *lab, const char *name)
{
    if (lab->n_tensors == LAB_MOST_TENSORS)
        abort();
    struct lab_tensor *t = &lab->tensors[lab->n_tensors++];
    t->name = qbc_copy(lab->q, name, strlen(name));
    return t;
}

/* %NAME, f32 [rows][cols], stored in `format`. Fill what is returned. */
static inline struct qbc_blocks *lab_matrix(struct lab *lab, const char *name, const struct qbc_format *f,
                                            int64_t rows, int64_t cols)
{
    struct lab_tensor *t = lab_new_tensor(lab, name);
    if (!qbc_blocks_create(&t->blocks, f, rows, cols))
        abort();
    const char *dense = qbc_text(lab->q, "tensor<%ldx%ldxf32>", (long)rows, (long)cols);
    if (f->codebook == QBC_CODE_FLOAT) {
        lab_say(lab, "%%%s = \"qb.weight\"() {name = \"%s\", format = \"%s\"} : () -> %s\n", name, name,
                f->name, dense);
        return &t->blocks;
    }
    const char *blocks = qbc_text(lab->q, "tensor<%ldx%ldx!qb.block<\"%s\">>", (long)rows, (long)cols, f->name);
    lab_say(lab, "%%%s.b = \"qb.weight\"() {name = \"%s\"} : () -> %s\n", name, name, blocks);
    lab_say(lab, "%%%s = \"qb.dequant\"(%%%s.b) : (%s) -> %s\n", name, name, blocks, dense);
    return &t->blocks;
}

static inline float *lab_vector(struct lab *lab, const char *name, int64_t n)
{
    struct lab_tensor *t = lab_new_tensor(lab, name);
    t->blocks.cols = n;
    t->vector = calloc((size_t)n, sizeof *t->vector);
    lab_say(lab, "%%%s = \"qb.weight\"() {name = \"%s\"} : () -> tensor<%ldxf32>\n", name, name, (long)n);
    return t->vector;
}

static inline const struct lab_tensor *lab_tensor(const struct lab *lab, const char *name)
{
    for (size_t i = 0; i < lab->n_tensors; ++i)
        if (!strcmp(lab->tensors[i].name, name))
            return &lab->tensors[i];
    return NULL;
}

/* A piece of one of our composites. */
static inline void lab_put_piece(struct lab *lab, MlirOperation weight, uint8_t *to)
{
    const struct lab_tensor *t = lab_tensor(lab, qbc_string(lab->q, weight, "whole", ""));
    struct qbc_piece piece = {.memory = NULL};
    bool good = t && qbc_piece_open(&t->blocks, qbc_string(lab->q, weight, "part", ""), &piece);
    CHECK(good, "nobody has a weight '%s'", qbc_string(lab->q, weight, "name", ""));
    if (!good)
        return;
    bool vector = qbc_rank(mlirOperationGetResult(weight, 0)) == 1;
    struct qbc_packing packing = qbc_packing_for(lab->q->target, piece.blocks.format, piece.blocks.rows);
    qbc_pack(&piece.blocks, vector ? (struct qbc_packing){1, 1, false} : packing, 0, piece.blocks.rows, to);
    qbc_piece_close(&piece);
}

/* One weight of the module to its place: ours, or (rotary frequencies) one that a pass made. */
static inline void lab_pack(struct lab *lab, const struct qbc_blocks *b, uint8_t *to)
{
    struct qbc_packing packing = qbc_packing_for(lab->q->target, b->format, b->rows);
    qbc_pack(b, packing, 0, b->rows, to);
    qbc_pack_tail(b, packing, to + qbc_layout(b->format, packing, b->rows, b->cols).tail_offset);
}

static inline void lab_put_weight(struct lab *lab, MlirOperation weight)
{
    const char *name = qbc_string(lab->q, weight, "name", "");
    uint8_t *to = lab->weights + qbc_int(weight, "place", 0);
    const struct lab_tensor *t = lab_tensor(lab, name);
    const struct qbc_source *made = t ? NULL : qbc_store_find(lab->q, name);
    if (qbc_has(weight, "whole"))
        lab_put_piece(lab, weight, to);
    else if (made)
        memcpy(to, made->data, made->bytes);
    else if (t && t->vector)
        memcpy(to, t->vector, (size_t)t->blocks.cols * sizeof *t->vector);
    else if (t)
        lab_pack(lab, &t->blocks, to);
    else
        CHECK(0, "nobody has a weight '%s'", name);
}

/* --- passes */

static inline bool lab_passes(struct lab *lab, MlirOperation module, const char *const *names)
{
    for (; *names; ++names)
        if (!qbc_pass_run(lab->q, qbc_find_pass(lab->q, *names), module))
            return false;
    return true;
}

/* Every buffer of the arena gets an offset that no other has. */
static inline void lab_spread(struct lab *lab, MlirOperation module)
{
    int64_t end = 0, chunk = qbc_int(module, "qb.chunk", 1);
    struct qbc_ops places = qbc_collect(lab->q, module, "qb.place");
    int64_t *offsets = qbc_alloc(lab->q, (places.n + 1) * sizeof *offsets);
    for (size_t i = 0; i < places.n; ++i) {
        if (strcmp(qbc_string(lab->q, places.op[i], "section", ""), "arena"))
            continue;
        size_t name = strtoul(qbc_string(lab->q, places.op[i], "name", "0"), NULL, 10);
        if (!offsets[name]) { /* stored with 1 added: 0 is none yet */
            offsets[name] = end + 1;
            end += (qbc_int(places.op[i], "row_bytes", 0) * chunk + 63) / 64 * 64;
        }
        qbc_set_int(lab->q, places.op[i], "offset", offsets[name] - 1);
    }
    qbc_set_int(lab->q, module, "qb.arena_bytes", end);
}

static inline void lab_note_places(struct lab *lab, MlirOperation module)
{
    struct qbc_ops launches = qbc_collect(lab->q, module, "qb.launch");
    for (size_t i = 0; i < launches.n && i < LAB_MOST_PLACES; ++i) {
        MlirLocation loc = mlirOperationGetLocation(launches.op[i]);
        MlirOperation place = qbc_def_any(mlirOperationGetOperand(launches.op[i], 0));
        if (!mlirLocationIsAName(loc) || strcmp(qbc_string(lab->q, place, "section", ""), "arena"))
            continue;
        MlirStringRef name = mlirIdentifierStr(mlirLocationNameGetName(loc));
        lab->places[lab->n_places++] = (struct lab_place){
            .kernel = qbc_string(lab->q, launches.op[i], "kernel", ""),
            .name = qbc_copy(lab->q, name.data, name.length),
            .offset = qbc_int(place, "offset", 0) + qbc_int(place, "shift", 0),
            .row_bytes = qbc_int(place, "row_bytes", 0),
        };
    }
}

static inline void lab_note_weights(struct lab *lab, MlirOperation module)
{
    struct qbc_ops weights = qbc_collect(lab->q, module, "qb.weight");
    lab->weights = calloc(1, lab->job.weights_bytes + 1);
    for (size_t i = 0; i < weights.n; ++i)
        lab_put_weight(lab, weights.op[i]);
}

static inline bool lab_make_code(struct lab *lab, MlirOperation module)
{
    MlirOperation weights = qbc_find_func(module, "weights");
    mlirOperationDestroy(weights);
    if (!qbc_lower_to_llvm(lab->q, module))
        return false;
    struct qbc_bytes object = qbc_emit_code(lab->q, module, QBC_CODE_OBJ);
    if (object.data)
        lab->image = qbc_link(lab->q, object);
    free(object.data);
    lab->job.image_bytes = lab->image.size;
    lab->job.decode = qbc_image_symbol(lab->image, "decode");
    lab->job.step = qbc_image_symbol(lab->image, "step");
    return lab->image.data && lab->job.decode && lab->job.step;
}

/* @main returns %RESULT, f32 [?][columns]. */
static inline bool lab_build(struct lab *lab, const char *result, int64_t columns)
{
    static const char *const first[] = {"split-composites", "insert-quantize", "fuse-dequant", "fuse-prologue",
                                        "fuse-epilogue",    "outline-kernels", "plan-memory",  NULL};
    static const char *const last[] = {"insert-barriers", "generate-kernels", NULL};
    const char *text = qbc_text(lab->q,
                                "func.func @main(%%tokens: tensor<?xi32>) -> tensor<?x%ldxf32> {\n%s"
                                "return %%%s : tensor<?x%ldxf32>\n}\n",
                                (long)columns, lab->text, result, (long)columns);
    MlirModule parsed = mlirModuleCreateParse(lab->q->mlir, qbc_str(text));
    if (mlirModuleIsNull(parsed))
        return false;
    MlirOperation module = mlirModuleGetOperation(parsed);
    bool good = lab_passes(lab, module, first);
    if (good && !lab->shares)
        lab_spread(lab, module);
    lab->job.machine = (uint64_t)lab->q->target->machine;
    lab->job.vocab = (uint64_t)qbc_int(module, "qb.vocab", 0);
    lab->job.arena_bytes = (uint64_t)qbc_int(module, "qb.arena_bytes", 0);
    lab->job.state_bytes = (uint64_t)qbc_int(module, "qb.state_bytes", 0);
    lab->job.weights_bytes = (uint64_t)qbc_int(module, "qb.weights_bytes", 0);
    if (good) {
        lab_note_places(lab, module);
        lab_note_weights(lab, module);
        good = lab_passes(lab, module, last) && lab_make_code(lab, module);
    }
    mlirModuleDestroy(parsed);
    return good;
}

/* --- running */

static inline void lab_run(struct lab *lab, bool decode, int64_t n_tokens, const int32_t *tokens, int64_t pos,
                           int64_t first_logit)
{
    if (lab->job.runs == LAB_MOST_RUNS || n_tokens > LAB_MOST_TOKENS)
        abort();
    memcpy(lab->tokens[lab->job.runs], tokens, (size_t)n_tokens * sizeof *tokens);
    lab->runs[lab->job.runs++] = (struct kernel_run){
        .decode = decode,
        .n_tokens = n_tokens,
        .pos = pos,
        .first_logit = first_logit,
    };
}

static inline size_t lab_answer_bytes(const struct lab *lab, size_t run)
{
    int64_t rows = lab->runs[run].n_tokens - lab->runs[run].first_logit;
    return lab->job.arena_bytes + (size_t)rows * lab->job.vocab * 4;
}

static inline FILE *lab_write_job(struct lab *lab)
{
    FILE *job = tmpfile();
    if (!job)
        return NULL;
    fwrite(&lab->job, sizeof lab->job, 1, job);
    fwrite(lab->image.data, 1, lab->image.size, job);
    fwrite(lab->weights, 1, lab->job.weights_bytes, job);
    for (size_t i = 0; i < lab->job.runs; ++i) {
        fwrite(&lab->runs[i], sizeof lab->runs[i], 1, job);
        fwrite(lab->tokens[i], sizeof **lab->tokens, (size_t)lab->runs[i].n_tokens, job);
    }
    bool good = !fflush(job) && !ferror(job) && !fseek(job, 0, SEEK_SET);
    if (!good)
        fclose(job);
    return good ? job : NULL;
}

static inline int lab_call_runner(const struct lab *lab, FILE *job, FILE *answer)
{
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(job), STDIN_FILENO);
        dup2(fileno(answer), STDOUT_FILENO);
        execvp(lab->machine->command[0], (char *const *)(uintptr_t)lab->machine->command);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* All runs, in order. False after a message. */
static inline bool lab_execute(struct lab *lab)
{
    size_t bytes = 0;
    for (size_t i = 0; i < lab->job.runs; ++i)
        bytes += lab_answer_bytes(lab, i);
    lab->all_answers = malloc(bytes + 1);
    FILE *job = lab_write_job(lab), *answer = tmpfile();
    int status = job && answer ? lab_call_runner(lab, job, answer) : -1;
    bool good = status == 0 && !fseek(answer, 0, SEEK_SET) &&
                fread(lab->all_answers, 1, bytes + 1, answer) == bytes;
    CHECK(good, "the runner for %s fails: %s %d", lab->machine->target->name,
          WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    bytes = 0;
    for (size_t i = 0; i < lab->job.runs; bytes += lab_answer_bytes(lab, i++))
        lab->answer[i] = lab->all_answers + bytes;
    if (job)
        fclose(job);
    if (answer)
        fclose(answer);
    return good;
}

/* Row `row` of what the launch `kernel` named `name` wrote in a run. */
static inline const void *lab_row(const struct lab *lab, size_t run, const char *kernel, const char *name,
                                  int64_t row)
{
    for (size_t i = 0; i < lab->n_places; ++i)
        if (!strcmp(lab->places[i].name, name) && !strcmp(lab->places[i].kernel, kernel))
            return lab->answer[run] + lab->places[i].offset + row * lab->places[i].row_bytes;
    fprintf(stderr, "kernel_lab: no launch %s '%s'\n", kernel, name);
    abort();
}

static inline const float *lab_logits(const struct lab *lab, size_t run)
{
    return (const float *)(const void *)(lab->answer[run] + lab->job.arena_bytes);
}

static inline void lab_end(struct lab *lab)
{
    for (size_t i = 0; i < lab->n_tensors; ++i) {
        if (!lab->tensors[i].vector)
            qbc_blocks_destroy(&lab->tensors[i].blocks);
        free(lab->tensors[i].vector);
    }
    free(lab->text);
    free(lab->image.data);
    free(lab->weights);
    free(lab->all_answers);
}

#endif
