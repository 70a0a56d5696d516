/* qbm_dump: what the weights of an artifact mean, in float32.
 *
 *   qbm_dump MODEL.qbm FOLDER [PLUGIN.so]
 *                                 FOLDER/I.npy, float32 [N, K], for each tensor I = 0, 1, ..., and
 *                                 a line "I <tab> name <tab> format <tab> N <tab> K" on stdout
 *
 * Pieces of composites are tensors (dialects/parts.h); u16 are the numbers that they are.
 * Root by the runtime's reader, blocks by the reference: qbc_unpack, then qbc_format_decode.
 */
#include "extension.h"
#include "packing.h"
#include "parts.h"
#include "qbm_read.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fields of tables in qbm.fbs, in order. */
enum { TENSOR_PACKING = 6 };
enum { PACKING_ROWS, PACKING_DEPTH, PACKING_SIGNED };

static const uint8_t *map(const char *path, uint64_t *bytes)
{
    struct stat status;
    int file = open(path, O_RDONLY);
    void *data = MAP_FAILED;
    if (file >= 0 && !fstat(file, &status) && status.st_size > 0)
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0)
        close(file);
    *bytes = data == MAP_FAILED ? 0 : (uint64_t)status.st_size;
    return data == MAP_FAILED ? NULL : data;
}

static struct qbc_packing packing_of(const struct qbm_root *root, struct flat_vector tensors,
                                     uint32_t i)
{
    struct flat f = root->flat;
    struct flat_table t = flat_child(&f, flat_table_at(&f, tensors, i), TENSOR_PACKING);
    return (struct qbc_packing){(int)flat_scalar(&f, t, PACKING_ROWS, 4, 0),
                                (int)flat_scalar(&f, t, PACKING_DEPTH, 4, 0),
                                flat_scalar(&f, t, PACKING_SIGNED, 1, 0) != 0};
}

/* numpy's format, version 1.0: a header of 128 bytes, then the numbers. */
static bool write_npy(const char *path, int64_t rows, int64_t cols, const float *values)
{
    char header[129], shape[96];
    int n =
        snprintf(shape, sizeof shape,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
                 rows, cols);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    memset(header + 10, ' ', 118);
    memcpy(header + 10, shape, (size_t)n);
    header[127] = '\n';
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    size_t count = (size_t)(rows * cols);
    bool good =
        fwrite(header, 128, 1, file) == 1 && fwrite(values, sizeof *values, count, file) == count;
    return !fclose(file) && good;
}

static const char *dump(struct qbc *q, const struct qbrt_tensor_facts *t, struct qbc_packing p,
                        const uint8_t *packed, const char *path)
{
    const struct qbc_format *f = qbc_find_format(q, t->format);
    struct qbc_blocks b;
    int64_t rows = (int64_t)t->rows, cols = (int64_t)t->cols;
    if (!f)
        return "unknown format";
    if (p.rows < 1 || p.depth < 1 || (uint64_t)qbc_layout(f, p, rows, cols).bytes != t->size)
        return "its size is not that of its packing";
    float *values = malloc((size_t)(rows * cols) * sizeof *values);
    if (!values || !qbc_blocks_create(&b, f, rows, cols)) {
        free(values);
        return "no memory";
    }
    qbc_unpack(&b, p, packed);
    qbc_format_decode(&b, values);
    for (int64_t i = 0; f == &qbc_format_u16 && i < rows * cols; ++i)
        values[i] = ((const uint16_t *)b.values)[i];
    bool good = write_npy(path, rows, cols, values);
    qbc_blocks_destroy(&b);
    free(values);
    return good ? NULL : "cannot be written";
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4)
        return fputs("usage: qbm_dump MODEL.qbm FOLDER [PLUGIN.so]\n", stderr), 2;
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic, .load = (const char *const *)argv + 3,
                                .n_load = (size_t)argc - 3}};
    if (!qbc_extensions_open(&q))
        return 1;
    uint64_t bytes;
    const uint8_t *file = map(argv[1], &bytes);
    struct qbm_root root;
    char detail[QBRT_DETAIL] = "";
    enum qbrt_status status = file ? qbm_check(&root, file, bytes, detail) : QBRT_CANNOT_OPEN;
    if (status != QBRT_OK)
        return fprintf(stderr, "%s: %s %s\n", argv[1], qbrt_status_text(status), detail), 1;

    struct qbm_weights section = qbm_weights(&root, 0);
    for (uint32_t i = 0; i < section.tensors.n; ++i) {
        struct qbrt_tensor_facts t = qbm_tensor(&root, section.tensors, i);
        char path[4096];
        snprintf(path, sizeof path, "%s/%" PRIu32 ".npy", argv[2], i);
        const char *wrong =
            dump(&q, &t, packing_of(&root, section.tensors, i), file + section.offset + t.offset, path);
        if (wrong)
            return fprintf(stderr, "%s: tensor '%s': %s\n", argv[1], t.name, wrong), 1;
        printf("%" PRIu32 "\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\n", i, t.name, t.format, t.rows,
               t.cols);
    }
    qbc_extensions_close(&q);
    qbc_arena_free(&q);
    return 0;
}
