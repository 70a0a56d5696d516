/* qbrt_types.h: what the public headers of libqbrt share with the header that qbc writes for a linked
 * model (-emit=header), which holds this page whole. So a program may include both, and any number
 * of models. */
#ifndef QBRT_TYPES_H
#define QBRT_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* Memory that the library is given begins at a multiple of this. */
enum { QBRT_ALIGN = 64 };

enum qbrt_status {
    QBRT_OK = 0,
    QBRT_CANNOT_OPEN,  /* the system refused; errno says why */
    QBRT_NOT_QBM,      /* no .qbm at all */
    QBRT_NEWER,        /* a .qbm of a layout this library does not know */
    QBRT_DAMAGED,      /* cut or changed since it was written */
    QBRT_NO_VARIANT,   /* holds no code that this CPU can run */
    QBRT_BAD_CODE,     /* its code image is none that may be loaded */
    QBRT_CANNOT_MAP,   /* the system refused to map code; errno says why */
    QBRT_NO_ROOM,      /* the memory given is too small */
    QBRT_BAD_ALIGN,    /* the memory given is not aligned to QBRT_ALIGN */
    QBRT_BAD_ARGUMENT, /* NULL, or a number out of its range */
    QBRT_BAD_COUNT,    /* no tokens, or more than the room left */
    QBRT_BAD_TOKEN,    /* a token outside of the vocabulary */
    QBRT_BAD_STATE,    /* a saved state that is damaged or of another model */
    QBRT_NO_TOKENIZER, /* the model has none */
    QBRT_NO_THREADS,   /* the system refused a thread */
    QBRT_BAD_INDEX,    /* an input's number picks what is not there */
    QBRT_BAD_SHAPE,    /* inputs ask for an impossible shape */
    QBRT_BY_CHANCE,    /* inputs ask for random numbers, as training would */
};

/* How a host lends threads. A step runs on all of them at once and they meet often. */
struct qbrt_parallel {
    void *context;
    int threads; /* >= 1 */
    /* Run body(arg, i) for all i in 0 .. threads - 1 at the same time; return when all are done. */
    void (*run)(void *context, void (*body)(void *arg, int64_t thread), void *arg);
    /* Called from within bodies: returns once all threads have called it. A full memory fence. */
    void (*barrier)(void *context);
};

/* How to draw. Probabilities are softmax(logits / temperature) over the whole vocabulary. Of the
 * tokens by falling probability (equal ones by id) the first few are kept: as many as all three
 * limits allow, at least one. The same seed draws the same tokens on every machine that computes
 * the same logits. */
struct qbrt_sampler {
    float temperature; /* 0: argmax */
    int32_t top_k;     /* this many; 0: all */
    float top_p;       /* until their probabilities reach this sum; 1: all */
    float min_p;       /* those with this share of the likeliest's probability; 0: all */
    uint64_t state;    /* the seed at first; advances with each draw */
};

struct qbrt_candidate {
    float weight;
    int32_t token;
};

enum qbrt_tokenizer_flags {
    /* encode: add what the post-processor puts around a text (<s>, [CLS], ...)
     * decode: write special tokens too instead of leaving them out */
    QBRT_TOKENIZER_SPECIAL = 1,
    /* encode: special tokens spelled out inside the text are plain text, as in words of a stranger
     * that must not forge a turn of a conversation. Without it they become their ids. */
    QBRT_TOKENIZER_PLAIN = 2
};

/* What encode returns instead of a count. */
enum { QBRT_TOKENIZER_SMALL = -1 /* more scratch is needed */ };

#endif
