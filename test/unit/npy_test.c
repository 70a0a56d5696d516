/* npy_test: headers of numpy's own and of others, and all that is refused. */
#include "check.h"
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/npy-test-XXXXXX";

static bool parse(const char *text, struct npy_header *h)
{
    return npy_parse_header(text, strlen(text), h);
}

static void test_headers(void)
{
    struct npy_header h;
    REQUIRE(parse("{'descr': '<i8', 'fortran_order': False, 'shape': (48,), }   \n", &h));
    REQUIRE(!strcmp(h.type, "<i8") && h.rank == 1 && h.dims[0] == 48 && !h.is_fortran);
    REQUIRE(parse("{'shape': (2, 256), 'fortran_order': True, 'descr': '<u2'}", &h));
    REQUIRE(h.rank == 2 && h.dims[1] == 256 && h.is_fortran);
    REQUIRE(parse("{\"descr\":\"<i4\",\"fortran_order\":False,\"shape\":()}", &h) && h.rank == 0);
    REQUIRE(parse("{'descr': '<i8', 'fortran_order': False, 'shape': (1,2,3,4)}", &h) &&
            h.rank == 4);
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "{'descr': '<i8'}",
        "{'descr': '<i8', 'fortran_order': False}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1,2,3,4,5,6,7,8,9)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<i8', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'x': 1}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1,",
        "{'descr': '<i8",
        "{'descr': [('a', '<i8')], 'fortran_order': False, 'shape': (1,)}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REQUIRE(!parse(bad[i], &h));
    char open[600] = "{'descr': '";
    memset(open + 11, 'x', 500);
    REQUIRE(!parse(open, &h)); /* a string without an end */
}

/* A file of this header and these bytes. */
static const char *read_back(const char *header, int version, const void *data, size_t bytes,
                             struct npy_tokens *out)
{
    FILE *f = fopen(path, "wb");
    size_t n = strlen(header);
    fwrite("\x93NUMPY", 1, 6, f);
    fputc(version, f);
    fputc(0, f);
    fputc((int)(n & 255), f);
    fputc((int)(n >> 8), f);
    if (version > 1)
        fwrite("\0", 1, 2, f);
    fwrite(header, 1, n, f);
    fwrite(data, 1, bytes, f);
    fclose(f);
    return npy_read_tokens(path, out);
}

static void test_tokens(void)
{
    struct npy_tokens t;
    const int64_t wide[] = {1, -2, 2147483647};
    const int32_t narrow[] = {7, -8};
    const uint16_t small[] = {1, 65535, 3, 4};
    REQUIRE(!read_back("{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n", 1, wide,
                       sizeof wide, &t));
    REQUIRE(t.rank == 1 && t.count == 3 && t.ids[1] == -2 && t.ids[2] == 2147483647);
    free(t.ids);
    REQUIRE(!read_back("{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }\n", 2, narrow,
                       sizeof narrow, &t));
    REQUIRE(t.ids[0] == 7 && t.ids[1] == -8);
    free(t.ids);
    REQUIRE(!read_back("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }\n", 1, small,
                       sizeof small, &t));
    REQUIRE(t.rank == 2 && t.dims[1] == 2 && t.count == 4 && t.ids[1] == 65535);
    free(t.ids);

    const int64_t huge[] = {1ll << 31};
    REQUIRE(strstr(read_back("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", 1, huge,
                             sizeof huge, &t),
                   "too large"));
    REQUIRE(strstr(read_back("{'descr': '<i8', 'fortran_order': False, 'shape': (4,)}", 1, wide,
                             sizeof wide, &t),
                   "cut off"));
    REQUIRE(strstr(read_back("{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}", 1, wide,
                             sizeof wide, &t),
                   "more"));
    REQUIRE(strstr(read_back("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 1, huge,
                             sizeof huge, &t),
                   "int64"));
    REQUIRE(strstr(read_back("{'descr': '>i8', 'fortran_order': False, 'shape': (1,)}", 1, huge,
                             sizeof huge, &t),
                   "little-endian"));
    REQUIRE(strstr(read_back("{'descr': '<i8', 'fortran_order': False, 'shape': ()}", 1, huge,
                             sizeof huge, &t),
                   "shape"));
    REQUIRE(strstr(read_back("{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2)}", 1, huge,
                             sizeof huge, &t),
                   "Fortran"));
    REQUIRE(strstr(read_back("{'descr': '<u2', 'fortran_order': False, 'shape': (99999, 99999)}", 1,
                             huge, sizeof huge, &t),
                   "too large"));
    REQUIRE(strstr(read_back("{'descr': '<u2'", 1, huge, sizeof huge, &t), "header"));
    REQUIRE(strstr(read_back("{}", 9, huge, sizeof huge, &t), "version"));
    REQUIRE(!t.ids);
    REQUIRE(npy_read_tokens("/nowhere", &t) && !t.ids);
}

static void test_write(void)
{
    struct output o;
    struct npy_tokens t;
    const int64_t ids[] = {5, 6, 7, 8, 9, 10};
    REQUIRE(output_open(&o, path) && npy_write_header(&o, "<i8", 2, (const size_t[]){2, 3}));
    REQUIRE(output_write(&o, ids, sizeof ids) && output_close(&o, true));
    REQUIRE(!npy_read_tokens(path, &t) && t.rank == 2 && t.dims[0] == 2 && t.ids[5] == 10);
    free(t.ids);
    const size_t one = 6;
    REQUIRE(output_open(&o, path) && npy_write_header(&o, "<i8", 1, &one));
    REQUIRE(output_write(&o, ids, sizeof ids) && output_close(&o, true));
    REQUIRE(!npy_read_tokens(path, &t) && t.rank == 1 && t.count == 6);
    free(t.ids);
    REQUIRE(output_open(&o, path) && output_write(&o, "x", 1) && output_close(&o, false));
    REQUIRE(!npy_read_tokens(path, &t) && t.count == 6); /* given up: the old file is still there */
    free(t.ids);
}

int main(void)
{
    int file = mkstemp(path);
    REQUIRE(file >= 0);
    close(file);
    test_headers();
    test_tokens();
    test_write();
    unlink(path);
    puts("npy_test: passed");
    return 0;
}
