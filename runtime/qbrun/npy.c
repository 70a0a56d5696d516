/* npy.c: see npy.h. A file is the magic, two bytes of version, the length of the header (2 bytes in
 * version 1, else 4), the header, a Python dictionary of three known keys, and the data. */
#include "npy.h"
#include "npy_inside.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 6, MOST_HEADER = 1 << 16 };
static const char magic[] = "\x93NUMPY";

bool npy_is(const void *bytes, size_t n)
{
    return n >= MAGIC_BYTES && memcmp(bytes, magic, MAGIC_BYTES) == 0;
}

/* --- the dictionary: {'descr': '<i8', 'fortran_order': False, 'shape': (2, 256), } */

struct text {
    const char *at, *end;
};

static void skip_space(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t'))
        t->at++;
}

static bool take(struct text *t, const char *word)
{
    skip_space(t);
    size_t n = strlen(word);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n))
        return false;
    t->at += n;
    return true;
}

static bool take_string(struct text *t, char *out, size_t room)
{
    skip_space(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
        return false;
    const char quote = *t->at++;
    size_t n = 0;
    for (; t->at < t->end && *t->at != quote; t->at++)
        if (n + 1 < room)
            out[n++] = *t->at;
    out[n] = 0;
    return t->at++ < t->end;
}

static bool take_number(struct text *t, uint64_t *out)
{
    skip_space(t);
    const char *begin = t->at;
    for (*out = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        if (*out > UINT64_MAX / 10 - 1)
            return false;
        *out = *out * 10 + (uint64_t)(*t->at - '0');
    }
    return t->at > begin;
}

static bool take_shape(struct text *t, struct npy_header *h)
{
    if (!take(t, "("))
        return false;
    while (!take(t, ")")) {
        if (h->rank == NPY_MOST_RANK || !take_number(t, &h->dims[h->rank++]))
            return false;
        if (!take(t, ","))
            return take(t, ")");
    }
    return true;
}

static bool take_entry(struct text *t, struct npy_header *h)
{
    char key[16];
    if (!take_string(t, key, sizeof key) || !take(t, ":"))
        return false;
    if (!strcmp(key, "descr"))
        return take_string(t, h->type, sizeof h->type);
    if (!strcmp(key, "shape"))
        return take_shape(t, h);
    if (strcmp(key, "fortran_order"))
        return false;
    h->is_fortran = take(t, "True");
    return h->is_fortran || take(t, "False");
}

bool npy_parse_header(const char *text, size_t length, struct npy_header *out)
{
    struct text t = {text, text + length};
    *out = (struct npy_header){.rank = 0};
    if (!take(&t, "{"))
        return false;
    int entries = 0;
    while (!take(&t, "}")) {
        if (!take_entry(&t, out) || ++entries > 3)
            return false;
        take(&t, ",");
    }
    skip_space(&t);
    return entries == 3 && t.at == t.end;
}

/* --- tokens */

static size_t element_bytes(const struct npy_header *h)
{
    static const struct {
        const char *type;
        size_t bytes;
    } known[] = {{"<i8", 8}, {"<i4", 4}, {"<u2", 2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(h->type, known[i].type))
            return known[i].bytes;
    return 0;
}

const char *npy_read_header(FILE *f, struct npy_header *h)
{
    unsigned char start[MAGIC_BYTES + 6];
    if (fread(start, 1, 10, f) != 10 || !npy_is(start, 10))
        return "not a .npy file";
    size_t length = start[8] | (size_t)start[9] << 8;
    if (start[6] < 1 || start[6] > 3)
        return "a .npy file of an unknown version";
    if (start[6] > 1) {
        if (fread(start + 10, 1, 2, f) != 2)
            return "the .npy file is cut off";
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    char *text = length <= MOST_HEADER ? malloc(length + 1) : NULL;
    bool good = text && fread(text, 1, length, f) == length && npy_parse_header(text, length, h);
    free(text);
    return good ? NULL : "the .npy file's header is damaged";
}

static const char *check_header(const struct npy_header *h)
{
    if (!element_bytes(h))
        return "token ids must be int64, int32 or uint16, little-endian";
    if (h->rank < 1 || h->rank > 2)
        return "token ids must have the shape [n] or [rows, n]";
    if (h->is_fortran && h->rank > 1)
        return "the array is in Fortran order; save it with numpy.ascontiguousarray";
    return NULL;
}

enum { MOST_BYTES = 8 }; /* of an element */

/* One id; INT32_MIN when it is beyond int32. */
static int32_t token_at(const unsigned char *at, size_t bytes)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes && i < MOST_BYTES; i++)
        bits |= (uint64_t)at[i] << (8 * i);
    int64_t value = bytes == 2 ? (int64_t)bits : bytes == 4 ? (int32_t)bits : (int64_t)bits;
    return value < -INT32_MAX || value > INT32_MAX ? INT32_MIN : (int32_t)value;
}

static const char *read_ids(FILE *f, size_t bytes, struct npy_tokens *out)
{
    unsigned char element[MOST_BYTES];
    for (size_t i = 0; i < out->count; i++) {
        if (fread(element, 1, bytes, f) != bytes)
            return "the .npy file is cut off";
        out->ids[i] = token_at(element, bytes);
        if (out->ids[i] == INT32_MIN)
            return "a token id is too large";
    }
    return fgetc(f) == EOF ? NULL : "there is more in the .npy file than its shape says";
}

static const char *read_array(FILE *f, struct npy_tokens *out)
{
    enum { MOST = INT32_MAX };
    struct npy_header h;
    const char *wrong = npy_read_header(f, &h);
    if (!wrong)
        wrong = check_header(&h);
    if (wrong)
        return wrong;
    uint64_t columns = h.rank == 2 ? h.dims[1] : 1;
    if (h.dims[0] > MOST || columns > MOST || h.dims[0] * columns > MOST)
        return "the array is too large";
    *out = (struct npy_tokens){.rank = h.rank,
                               .dims = {(size_t)h.dims[0], (size_t)columns},
                               .count = (size_t)(h.dims[0] * columns)};
    out->ids = malloc(out->count * sizeof *out->ids + 1);
    return out->ids ? read_ids(f, element_bytes(&h), out) : "there is not enough memory for it";
}

const char *npy_read_tokens(const char *path, struct npy_tokens *out)
{
    *out = (struct npy_tokens){.ids = NULL};
    FILE *f = fopen(path, "rb");
    if (!f)
        return strerror(errno);
    const char *wrong = read_array(f, out);
    if (ferror(f))
        wrong = strerror(errno);
    fclose(f);
    if (wrong) {
        free(out->ids);
        out->ids = NULL;
    }
    return wrong;
}

bool npy_write_header(struct output *o, const char *type, size_t rank, const size_t *dims)
{
    enum { HEADER = 128, PREFIX = 10 };
    char header[HEADER + 1];
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = HEADER - PREFIX;
    header[9] = 0;
    int n = PREFIX + snprintf(header + PREFIX, HEADER - PREFIX,
                              "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (size_t i = 0; i < rank; i++)
        n += snprintf(header + n, (size_t)(HEADER - n), i + 1 < rank ? "%zu, " : "%zu", dims[i]);
    n += snprintf(header + n, (size_t)(HEADER - n), rank == 1 ? ",), }" : "), }");
    memset(header + n, ' ', (size_t)(HEADER - n));
    header[HEADER - 1] = '\n';
    return output_write(o, header, HEADER);
}
