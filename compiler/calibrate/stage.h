/* stage.h: a part of the float model, compiled for this machine and run in this process.
 *
 * A model is cut where a single value crosses: before, between and behind its blocks. So calibration needs the floats of
 * one block and the values at one cut for all of its tokens, whatever the number of layers.
 */
#ifndef QBC_STAGE_H
#define QBC_STAGE_H

#include "artifact.h"
#include "qbrt.h"
#include "step.h"

/* An input of products, left where it can be read after a step. */
struct qbc_tap {
    int64_t cols;
    uint64_t offset;      /* in the state; rows are qbc_stage_stride(cols) numbers apart */
    const char **weights; /* [n_weights] names of what multiplies it */
    size_t n_weights;
};

struct qbc_stage {
    int64_t in_cols;  /* 0: takes token ids */
    int64_t out_cols; /* of the last stage: the vocabulary */
    struct qbc_tap *taps;
    size_t n_taps;
    struct qbc_described *described; /* its weights, and where they lie */
    const void *code;                /* where the image's address 0 is */
    struct qbc_bytes image;
    qbrt_step_function step, decode; /* any number of tokens, one */
    uint64_t arena_bytes, state_bytes;
    MlirOperation module, weights_func;
    uint8_t *weights, *arena, *state; /* while it is loaded */
    float *input;                     /* [window] padded rows */
};

struct qbc_stages {
    struct qbc_stage *stage; /* [n] in order */
    size_t n;
    int64_t window; /* most tokens of a step */
    int64_t vocab;
    const char *format; /* of matrices: "f32" */
};

/* Cut the graph (level "graph", which stays as it is) and compile each part, with `tap`s if wanted. False after an error. */
bool qbc_stages_create(struct qbc *q, MlirOperation graph, int64_t window, struct qbc_stages *out);
/* The same in one piece, with matrices in a format, nearest codes: a model that writes needs all of its weights at once. */
bool qbc_stages_create_whole(struct qbc *q, MlirOperation graph, int64_t window, const char *format, struct qbc_stages *out);
void qbc_stages_destroy(struct qbc_stages *s);

/* Floats into memory, and out of it. False after an error. */
bool qbc_stage_load(struct qbc *q, const struct qbc_stages *s, struct qbc_stage *stage);
void qbc_stage_unload(struct qbc_stage *stage);
/* Run a sequence of n tokens from its start: ids for the first stage, else rows [n][in_cols]; out [n][out_cols]. */
void qbc_stage_run(struct qbc_stage *stage, const struct qbrt_parallel *threads, const int32_t *ids, const float *rows,
                   int64_t n, float *out);
/* The token at `pos` of a sequence whose others were shown before: out [out_cols]. The first stage alone. */
void qbc_stage_next(struct qbc_stage *stage, const struct qbrt_parallel *threads, int32_t id, int64_t pos, float *out);
/* Numbers from one row of a tap to the next. */
int64_t qbc_stage_stride(int64_t cols);
/* Put w [rows][cols] in place of a weight, by name. False: this stage has none of that name. */
bool qbc_stage_patch(struct qbc_stage *stage, const char *weight, const float *w);

#endif
