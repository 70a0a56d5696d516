/* qbm.c: lay out an artifact and stream it to its file. See qbm.h. */
#include "qbm.h"
#include "checksum.h"
#include "output.h"
#include "program.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, ALIGN = 64 };

struct qbc_qbm {
    struct qbc *q;
    const char *path;
    struct output output;
    size_t n_weights;
    uint64_t base;     /* where the artifact begins in the file */
    uint64_t *offsets; /* [n_weights] in the artifact */
    uint64_t *sizes;   /* [n_weights] */
    uint64_t end; /* of the artifact */
    atomic_int error; /* errno of the first write that failed */
};

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
    return (bytes + to - 1) / to * to;
}

uint64_t qbc_qbm_place(struct qbc_artifact_tensor *tensors, size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        tensors[i].offset = at;
        at = round_up(at + tensors[i].size, ALIGN);
    }
    return at;
}

/* Images, then weights, each on a page, behind a root of `root_bytes`. Returns the file's end. */
static uint64_t lay_out(const struct qbc_artifact *a, size_t root_bytes, uint64_t *offsets)
{
    uint64_t at = round_up(root_bytes, 8) + QBRT_SEAL_BYTES;
    for (size_t i = 0; i < a->n_variants; i++) {
        offsets[i] = round_up(at, PAGE);
        at = offsets[i] + a->variants[i].image_bytes;
    }
    for (size_t i = 0; i < a->n_weights; i++) {
        offsets[a->n_variants + i] = round_up(at, PAGE);
        at = offsets[a->n_variants + i] + a->weights[i].size;
    }
    return at;
}

static void put_word(uint8_t *at, uint64_t word)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(word >> (8 * i));
}

static void put(struct qbc_qbm *w, uint64_t at, const void *bytes, size_t n)
{
    int none = 0;
    if (!output_write_at(&w->output, at, bytes, n))
        atomic_compare_exchange_strong(&w->error, &none, errno ? errno : EIO);
}

/* The program, and behind everything the words by which it finds its model. Its last byte gives a file its size, whatever is
 * written of the rest, so this comes before images and weights. */
static void write_around(struct qbc_qbm *w, const struct qbc_artifact *a)
{
    uint8_t trailer[QBRT_PROGRAM_TRAILER_BYTES];
    if (!a->program) {
        put(w, w->base + w->end - 1, "", 1);
        return;
    }
    put_word(trailer, QBRT_PROGRAM_MAGIC);
    put_word(trailer + 8, w->base);
    put_word(trailer + 16, w->end);
    put(w, w->base + w->end, trailer, sizeof trailer);
    put(w, 0, a->program, a->program_bytes);
    if (!output_make_executable(&w->output))
        atomic_store(&w->error, errno);
}

static bool are_sound(struct qbc *q, const char *path, const struct qbc_artifact *a)
{
    for (size_t i = 0; i < a->n_weights; i++) {
        const struct qbc_artifact_weights *w = &a->weights[i];
        bool sound = w->size % ALIGN == 0;
        for (size_t k = 0; k < w->n_tensors && sound; k++)
            sound = w->tensors[k].offset % ALIGN == 0 && w->tensors[k].offset <= w->size &&
                    w->tensors[k].size <= w->size - w->tensors[k].offset;
        if (!sound) {
            qbc_error_in(q, path, "internal error: a tensor lies outside of its weights section");
            return false;
        }
    }
    return true;
}

/* `offsets` [n_variants + n_weights] are set. */
static uint8_t *sealed_root(struct qbc *q, const char *path, const struct qbc_artifact *a, uint64_t *offsets,
                            size_t *bytes, uint64_t *end)
{
    enum { MOST_ROOT = INT32_MAX };
    size_t root_bytes;
    free(qbc_qbm_root(a, offsets, &root_bytes));
    *end = lay_out(a, root_bytes, offsets);
    uint8_t *root = qbc_qbm_root(a, offsets, &root_bytes);
    size_t seal = (size_t)round_up(root_bytes, 8);
    uint8_t *sealed = root ? realloc(root, seal + QBRT_SEAL_BYTES) : NULL;
    if (!sealed || root_bytes > MOST_ROOT) {
        qbc_error_in(q, path, "the facts about the model do not fit into %s", sealed ? "2 GiB" : "memory");
        free(sealed ? sealed : root);
        return NULL;
    }
    memset(sealed + root_bytes, 0, seal - root_bytes);
    put_word(sealed + seal, QBRT_SEAL_MAGIC);
    put_word(sealed + seal + 8, qbrt_checksum(sealed, root_bytes));
    *bytes = seal + QBRT_SEAL_BYTES;
    return sealed;
}

uint8_t *qbc_qbm_sealed_root(struct qbc *q, const char *path, const struct qbc_artifact *a, size_t *bytes,
                             uint64_t *file_bytes)
{
    uint64_t *offsets = qbc_alloc(q, (a->n_variants + a->n_weights + 1) * sizeof *offsets);
    return are_sound(q, path, a) ? sealed_root(q, path, a, offsets, bytes, file_bytes) : NULL;
}

struct qbc_qbm *qbc_qbm_begin(struct qbc *q, const char *path, const struct qbc_artifact *a)
{
    if (!are_sound(q, path, a))
        return NULL;
    struct qbc_qbm *w = qbc_alloc(q, sizeof *w);
    uint64_t *offsets = qbc_alloc(q, (a->n_variants + a->n_weights + 1) * sizeof *offsets);
    uint64_t *sizes = qbc_alloc(q, (a->n_weights + 1) * sizeof *sizes);
    for (size_t i = 0; i < a->n_weights; i++)
        sizes[i] = a->weights[i].size;
    *w = (struct qbc_qbm){.q = q,
                          .path = path,
                          .n_weights = a->n_weights,
                          .base = a->program ? round_up(a->program_bytes, QBRT_PROGRAM_ALIGN) : 0,
                          .offsets = offsets + a->n_variants,
                          .sizes = sizes};
    size_t bytes;
    uint8_t *root = sealed_root(q, path, a, offsets, &bytes, &w->end);
    if (!root)
        return NULL;
    if (!output_open(&w->output, path)) {
        qbc_error_in(q, path, "cannot write: %s", strerror(errno));
        free(root);
        return NULL;
    }
    write_around(w, a);
    put(w, w->base, root, bytes);
    free(root);
    for (size_t i = 0; i < a->n_variants; i++)
        put(w, w->base + offsets[i], a->variants[i].image, a->variants[i].image_bytes);
    return w;
}

bool qbc_qbm_write(struct qbc_qbm *w, size_t section, uint64_t offset, const void *bytes, size_t n)
{
    bool fits =
        section < w->n_weights && offset <= w->sizes[section] && n <= w->sizes[section] - offset;
    if (!fits)
        atomic_store(&w->error, EINVAL);
    if (!atomic_load(&w->error))
        put(w, w->base + w->offsets[section] + offset, bytes, n);
    return !atomic_load(&w->error);
}

bool qbc_qbm_finish(struct qbc_qbm *w, bool keep)
{
    int error = atomic_load(&w->error);
    bool closed = output_close(&w->output, keep && !error);
    if (!error && !closed)
        error = errno;
    if (keep && error)
        qbc_error_in(w->q, w->path, "cannot write: %s", strerror(error));
    return keep && !error;
}
