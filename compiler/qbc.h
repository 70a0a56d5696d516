/* qbc.h: the compiler as a library.
 *
 *     struct qbc_options options = {.input = "model.onnx", .target = "armv8", .quant = "i4g32",
 *                                   .diagnose = qbc_print_diagnostic};
 *     if (qbc_compile(&options) != QBC_OK) ...
 *
 * It prints nothing, never ends the process, and keeps no state between two calls: any number of threads
 * may compile at once. The tool `qbc` is a user of this header and of nothing else.
 *
 * Exceptions, all LLVM's: a process that has no memory left is ended with abort(), after a diagnostic of
 * severity QBC_FATAL where qbc notices it first; so is one in which LLVM finds its own invariants broken.
 * LLVM's tables of targets and passes are filled once in a process and stay. For emit = "shared" lld takes the
 * handlers of deadly signals, to remove its temporary file.
 *
 * Version 0.1: fields and functions may be added, fields at the end of their struct. A program that was
 * compiled with an older header of the same QBC_VERSION_MAJOR works with a newer library.
 */
#ifndef QBC_H
#define QBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QBC_VERSION "0.1"
enum { QBC_VERSION_MAJOR = 0, QBC_VERSION_MINOR = 1 };
const char *qbc_version(void); /* of the library: "0.1" */
const char *qbc_llvm_version(void); /* that it is built on: "22.1.8" */

enum qbc_status {
    QBC_OK,
    QBC_FAILED, /* there was an error; the diagnostics say which */
    QBC_STOPPED, /* options.stop asked for it */
    QBC_MISSED   /* the output is there, but does not keep max_ppl or max_kld; the diagnostics say so */
};

/* --- what it says while it works */

enum qbc_severity { QBC_ERROR, QBC_WARNING, QBC_NOTE, QBC_REMARK, QBC_FATAL };

/* One message. Strings live until the callback returns. A note belongs to the message before it. */
struct qbc_diagnostic {
    enum qbc_severity severity;
    const char *where; /* all that is known, as text: "model.onnx:/layers.0/MatMul", "x.mlir:3:7", "-quant" */
    const char *text;  /* what is wrong and what to do, without a final newline */
    const char *file;  /* NULL where there is none */
    const char *node;  /* name of the ONNX node, or NULL */
    int line, column;  /* from 1; 0: unknown */
};

/* A `diagnose` that prints to the standard error as clang does: "WHERE: error: TEXT". `user` is not used. */
void qbc_print_diagnostic(void *user, const struct qbc_diagnostic *diagnostic);

/* --- options: all that the command line can say (docs/cli.md), by the same names
 *
 * Zero means the default, for each field. Everything is borrowed until the call returns. Paths are as for
 * open(); relative ones start at the current folder.
 */
struct qbc_extension; /* qbc/extension.h: targets, formats and passes from outside (docs/plugins.md) */

struct qbc_options {
    /* what to read */
    const char *input;   /* model.onnx, or a .mlir of any level */
    const char *weights; /* the model that a .mlir input takes its weights from */

    /* what to make */
    const char *target;               /* rows of QBC_TARGETS with commas between; "native": this CPU ("native") */
    const char *mcpu, *mattr, *mtriple; /* change the target, as in llc */
    const char *quant;                /* format of every linear and embedding (f32, but codes that the model holds are kept) */
    const char *const *quant_tensor;  /* [n_quant_tensor] "REGEX=FORMAT"; the last that matches wins */
    size_t n_quant_tensor;
    const char *fit;       /* one of QBC_FITS: how codes are chosen ("rtn") */
    int64_t context;       /* -ctx: most tokens in a session (what the model says, up to 4096) */
    int64_t chunk;         /* most tokens in a step (512) */
    const char *tokenizer; /* tokenizer.json; "none" (beside the model or one folder up, if it is there) */
    const char *emit;      /* one of QBC_EMITS ("qbm") */
    const char *prefix;    /* of the names in an object or a library, a C identifier ("model") */
    const char *output;    /* "-" is the standard output (MODEL.qbm, libPREFIX.a, ... beside the model; "-" for text) */

    const char *depfile;   /* also write here what the output was made of, as a rule for make (no) */

    /* how */
    int threads;             /* of the compiler (all cores); the output does not depend on it */
    bool no_slow_path;       /* do not warn of what will run slowly, and why */
    const char *debug_match; /* part of a node's name, or "": patterns that nearly matched there are notes; NULL: none */
    const char *print_after; /* a pass, or "all": its IR goes to print_ir */
    const struct qbc_extension *const *extensions; /* [n_extensions] */
    size_t n_extensions;
    const char *const *load; /* [n_load] shared objects, each with a `qbc_extension`; as `extensions` */
    size_t n_load;

    /* Callbacks; each may be NULL, and gets `user`. They come from the thread that called, or for `diagnose`
     * from one that works for it; never two at once. They may not call the library with the same options. */
    void *user;
    void (*diagnose)(void *user, const struct qbc_diagnostic *diagnostic);
    /* Long work: `done` of `total` steps of `what` ("fitting weights"); done = 0 first, done = total last. */
    void (*progress)(void *user, const char *what, size_t done, size_t total);
    /* The module after a pass ("fuse-dequant"), as text. */
    void (*print_ir)(void *user, const char *pass, const char *text, size_t length);
    /* Asked between passes and between tensors: true ends the compilation with QBC_STOPPED. Long steps
     * inside LLVM are not interrupted: expect to wait for seconds. */
    bool (*stop)(void *user);

    const char *calib;     /* a text, or token ids in a .npy: what the fit and the choice of formats learn from (the model writes it) */
    /* A format for each tensor, chosen for the least loss within a budget; one of them: */
    const char *bpw;       /* bits a weight, all told: "4.25" */
    const char *size;      /* of the file: bytes, or "900M" */
    const char *formats;   /* names with commas between, to choose from (plain integer formats of 2 to 8 bits) */
    const char *allocator; /* one of QBC_ALLOCATORS: the rule ("mckp") */
    const char *kv;        /* how the session keeps keys and values: "f16", "k:i4g64r,v:i4g64" ("f32") */
    const char *transform; /* of QBC_TRANSFORMS, with commas between: before anything is rounded ("none") */
    const char *act;       /* how activations are rounded where codes are multiplied ("i8g32"); docs/numerics.md */

    /* Models that are no language models (docs/any-model.md) */
    const char *entry; /* "run": compile as it is, for fixed sizes; "text": as a language model (what it looks like) */
    const char *const *shapes; /* [n_shapes] "NAME=1x128": sizes of an input */
    size_t n_shapes;

    int64_t kv_sink, kv_recent; /* of these the first tokens, and the last ones before each, are kept as f16 too */
    /* Quality, told of the artifact and, where there are bounds and no budget, searched for: as few bytes as meet them. */
    const char *eval;      /* a text, or token ids in a .npy, other than calib's (a part of calib's that was not learned from) */
    const char *max_ppl;   /* perplexity: a number, or a percentage above the float model's: "5%" */
    const char *precision; /* JSON with formats by name: what -report wrote, or made by hand (docs/choosing-bits.md) */
    const char *resume;    /* a folder: what was worked out is kept there, and found again after an interruption (no) */
    const char *report;    /* also write what was learned and chosen: NAME.html for people, NAME.json (no) */
    const char *max_kld;   /* mean KL divergence from the float model, in nats: "0.02" */
    const char *metric;      /* one of QBC_METRICS: what says how much a format costs a tensor ("hessian_loss") */
    const char *granularity; /* "tensor", "block" or "segment": what gets a format of its own ("tensor") */
    const char *share;       /* of two allocators: "0.1" of the tensors (top_ratio), "64" times the median (threshold) */
};

/* Compile. The output appears under its name only when it is whole: after an error or a stop there is none,
 * and what was there before is as it was. */
enum qbc_status qbc_compile_sized(const struct qbc_options *options, size_t size);
static inline enum qbc_status qbc_compile(const struct qbc_options *options)
{
    return qbc_compile_sized(options, sizeof *options);
}

/* --- what there is */

enum qbc_list {
    QBC_TARGETS, /* for options.target; kind: triple */
    QBC_FORMATS, /* for options.quant */
    QBC_PASSES,  /* for options.print_after, in the pipeline's order; kind: level after it */
    QBC_EMITS,   /* for options.emit */
    QBC_FITS,    /* for options.fit */
    QBC_ALLOCATORS, /* for options.allocator */
    QBC_TRANSFORMS, /* for options.transform */
    QBC_METRICS /* for options.metric */
};

struct qbc_row {
    const char *name;
    const char *kind;  /* "" where there is none */
    const char *about; /* a line for people */
    const char *detail; /* more for people: lines with a newline each, of targets; "" where there is none */
};

/* Calls row(user, ...) for each row, those of options' extensions included; strings live until it returns.
 * options may be NULL. QBC_FAILED: an extension is no good; the diagnostics say why. */
enum qbc_status qbc_list_sized(const struct qbc_options *options, size_t size, enum qbc_list list,
                               void (*row)(void *user, const struct qbc_row *row), void *user);
static inline enum qbc_status qbc_list(const struct qbc_options *options, enum qbc_list list,
                                       void (*row)(void *user, const struct qbc_row *row), void *user)
{
    return qbc_list_sized(options, sizeof *options, list, row, user);
}

/* The entry of `names` (ends with NULL) nearest to `wrong`, or NULL when none is near: for typos. */
const char *qbc_nearest(const char *wrong, const char *const *names);

/* For programs, at their start; a library must not. From now on a signal that ends the process (SIGINT,
 * SIGTERM, ...) and exit() first remove what a compilation has half written. */
void qbc_remove_on_signals(void);

#ifdef __cplusplus
}
#endif

#endif
