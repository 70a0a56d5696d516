/* tokens: texts and arrays of ids to windows. See tokens.h. */
#include "tokens.h"
#include "npy.h"
#include "tokenizer_of.h"
#include "checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Ids [*n] in malloc'ed memory; NULL after an error. *row: columns of a matrix. */
static int32_t *ids_of(struct qbc *q, const char *option, const char *path, const char *tokenizer, size_t *n, size_t *row,
                       uint64_t *hash)
{
    size_t bytes;
    const char *data = qbc_store_map(q, path, &bytes);
    *row = 0;
    if (!data)
        return NULL;
    *hash = qbrt_checksum(data, bytes);
    if (!npy_is(data, bytes))
        return qbc_tokenize(q, option, tokenizer, data, bytes, n);
    struct npy_tokens tokens;
    const char *wrong = npy_read_tokens(path, &tokens);
    if (wrong) {
        qbc_error_in(q, path, "%s", wrong);
        return NULL;
    }
    *n = tokens.count;
    *row = tokens.rank == 2 ? tokens.dims[1] : 0;
    return tokens.ids;
}

bool qbc_windows_read(struct qbc *q, const char *option, const char *path, const struct qbc_reading *how, size_t most,
                      struct qbc_windows *out)
{
    size_t row, length = how->length;
    *out = (struct qbc_windows){.name = base_name(path)};
    int32_t *ids = ids_of(q, option, path, how->tokenizer, &out->found, &row, &out->hash);
    if (!ids)
        return false;
    for (size_t i = 0; i < out->found; ++i)
        if (ids[i] < 0 || ids[i] >= how->vocab) {
            qbc_error_in(q, option, "'%s': token %d is outside of the vocabulary of %ld", path, ids[i], (long)how->vocab);
            free(ids);
            return false;
        }
    out->length = row > 1 && row < length ? row : length;
    size_t there = out->found / out->length, wanted = most / out->length ? most / out->length : 1;
    if (!there && out->found > 1) {
        out->length = out->found;
        there = 1;
    }
    out->n = there < wanted ? there : wanted;
    if (!out->n)
        qbc_error_in(q, option, "'%s' has %zu tokens, which is no text to calibrate with", path, out->found);
    out->ids = qbc_alloc(q, (out->n * out->length + 1) * sizeof *out->ids);
    for (size_t i = 0; i < out->n; ++i)
        memcpy(out->ids + i * out->length, ids + i * there / out->n * out->length, out->length * sizeof *ids);
    free(ids);
    return out->n;
}

double qbc_matrix_weights(struct qbc *q, MlirOperation graph)
{
    struct qbc_ops weights = qbc_collect(q, graph, "qb.weight");
    double total = 0;
    for (size_t i = 0; i < weights.n; ++i) {
        MlirValue w = mlirOperationGetResult(weights.op[i], 0);
        total += qbc_rank(w) == 2 ? (double)qbc_dim(w, 0) * (double)qbc_dim(w, 1) : 0;
    }
    return total;
}
