/* npy_array.c: whole arrays, for models that are no language models. */
#include "npy.h"
#include "npy_inside.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *npy_type_of(uint32_t element)
{
    static const char *const types[] = {
        [1] = "<f4",  [2] = "|u1",  [3] = "|i1",  [4] = "<u2",  [5] = "<i2",  [6] = "<i4",  [7] = "<i8",
        [9] = "|b1",  [10] = "<f2", [11] = "<f8", [12] = "<u4", [13] = "<u8", [16] = "<u2", [17] = "|u1",
        [18] = "|u1", [19] = "|u1", [20] = "|u1", [21] = "|u1", [22] = "|i1", [23] = "|u1", [24] = "|u1",
        [25] = "|u1", [26] = "|i1"};
    return element < sizeof types / sizeof *types ? types[element] : NULL;
}

static const char *read_all(FILE *f, struct npy_header *h, void **data)
{
    const char *wrong = npy_read_header(f, h);
    uint64_t bytes = h->type[0] && h->type[2] >= '1' && h->type[2] <= '8' ? (uint64_t)(h->type[2] - '0') : 0;
    if (wrong)
        return wrong;
    if (!bytes || h->type[0] == '>')
        return "its type is none that a model takes";
    if (h->is_fortran && h->rank > 1)
        return "the array is in Fortran order; save it with numpy.ascontiguousarray";
    for (size_t i = 0; i < h->rank; i++) {
        if (h->dims[i] && bytes > INT64_MAX / h->dims[i])
            return "the array is too large";
        bytes *= h->dims[i];
    }
    *data = malloc((size_t)bytes + 64);
    if (!*data)
        return "there is not enough memory for it";
    if (fread(*data, 1, (size_t)bytes, f) != bytes)
        return "the .npy file is cut off";
    return fgetc(f) == EOF ? NULL : "there is more in the .npy file than its shape says";
}

const char *npy_read_array(const char *path, struct npy_header *header, void **data)
{
    *data = NULL;
    *header = (struct npy_header){.rank = 0};
    FILE *f = fopen(path, "rb");
    if (!f)
        return strerror(errno);
    const char *wrong = read_all(f, header, data);
    fclose(f);
    if (wrong) {
        free(*data);
        *data = NULL;
    }
    return wrong;
}

void npy_result_path(const char *folder, const char *name, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "%s/", folder);
    for (; *name && n + 5 < room; name++)
        out[n++] = *name == '/' || *name == ':' ? '_' : *name;
    snprintf(out + n, room - n, ".npy");
}
