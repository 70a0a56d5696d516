/* qbm.c: lay out an artifact and stream it to its file. See qbm.h. */
#include "qbm.h"
#include "checksum.h"
#include "output.h"
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
    uint64_t *offsets; /* [n_weights] in the file */
    uint64_t *sizes;   /* [n_weights] */
    uint64_t end;
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

static void note(struct qbc_qbm *w, bool written)
{
    int none = 0;
    if (!written)
        atomic_compare_exchange_strong(&w->error, &none, errno ? errno : EIO);
}

static void write_root(struct qbc_qbm *w, const uint8_t *root, size_t bytes)
{
    uint8_t seal[8 + QBRT_SEAL_BYTES] = {0}; /* padding first */
    size_t padding = (size_t)(round_up(bytes, 8) - bytes);
    put_word(seal + padding, QBRT_SEAL_MAGIC);
    put_word(seal + padding + 8, qbrt_checksum(root, bytes));
    note(w, output_write_at(&w->output, 0, root, bytes));
    note(w, output_write_at(&w->output, bytes, seal, padding + QBRT_SEAL_BYTES));
}

/* Its last byte gives a file its size, whatever is written of the rest. Before everything else:
 * it may be a byte of an image or a weight. */
static void write_end(struct qbc_qbm *w)
{
    note(w, output_write_at(&w->output, w->end - 1, "", 1));
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

struct qbc_qbm *qbc_qbm_begin(struct qbc *q, const char *path, const struct qbc_artifact *a)
{
    enum { MOST_ROOT = INT32_MAX };
    if (!are_sound(q, path, a))
        return NULL;
    struct qbc_qbm *w = qbc_alloc(q, sizeof *w);
    uint64_t *offsets = qbc_alloc(q, (a->n_variants + a->n_weights + 1) * sizeof *offsets);
    uint64_t *sizes = qbc_alloc(q, (a->n_weights + 1) * sizeof *sizes);
    for (size_t i = 0; i < a->n_weights; i++)
        sizes[i] = a->weights[i].size;

    size_t bytes;
    free(qbc_qbm_root(a, offsets, &bytes));
    *w = (struct qbc_qbm){.q = q,
                          .path = path,
                          .n_weights = a->n_weights,
                          .offsets = offsets + a->n_variants,
                          .sizes = sizes,
                          .end = lay_out(a, bytes, offsets)};
    uint8_t *root = qbc_qbm_root(a, offsets, &bytes);
    if (!root || bytes > MOST_ROOT) {
        qbc_error_in(q, path, "the facts about the model do not fit into %s",
                     root ? "2 GiB" : "memory");
        free(root);
        return NULL;
    }
    if (!output_open(&w->output, path)) {
        qbc_error_in(q, path, "cannot write: %s", strerror(errno));
        free(root);
        return NULL;
    }
    write_end(w);
    write_root(w, root, bytes);
    free(root);
    for (size_t i = 0; i < a->n_variants; i++)
        note(w, output_write_at(&w->output, offsets[i], a->variants[i].image,
                                a->variants[i].image_bytes));
    return w;
}

bool qbc_qbm_write(struct qbc_qbm *w, size_t section, uint64_t offset, const void *bytes, size_t n)
{
    errno = EINVAL;
    bool fits =
        section < w->n_weights && offset <= w->sizes[section] && n <= w->sizes[section] - offset;
    if (!atomic_load(&w->error))
        note(w, fits && output_write_at(&w->output, w->offsets[section] + offset, bytes, n));
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
