/* options.h: what the user asked qbrun for. */
#ifndef QBRUN_OPTIONS_H
#define QBRUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum task { TASK_NONE, TASK_TEXT, TASK_PPL, TASK_BENCH, TASK_INFO, TASK_LOGITS, TASK_TOKENS, TASK_RUN };

enum { MOST_INPUTS = 64 };

struct options {
    enum task task;
    const char *model; /* its name; the program's, where it brings its own */
    uint64_t own_offset, own_bytes; /* of the program's own model; own_bytes 0: it has none */
    const char *input;  /* the prompt itself, or the task's file */
    const char *output; /* -o */
    const char *inputs[MOST_INPUTS]; /* [n_inputs] "NAME=FILE.npy" of --input */
    size_t n_inputs;
    bool prompt_is_file;
    bool info_as_json;
    bool no_echo, no_special, verbose;
    int64_t n;           /* -1: the task's own */
    int64_t threads;     /* 0: one a core */
    int64_t chunk;       /* tokens a call; 0: the model's */
    int64_t window;      /* of --ppl */
    int64_t repetitions; /* of --bench */
    double temperature, top_p, min_p;
    int64_t top_k;
    uint64_t seed;
};

enum parsed { PARSED, PARSED_DONE /* help or version was printed */, PARSED_WRONG };

/* own_model.c: look for a model in the running program (abi/program.h), and set the three fields above. */
void options_find_own_model(const char *program, struct options *out);

/* Prints what is wrong. */
enum parsed options_parse(int argc, char **argv, struct options *out);

#endif
