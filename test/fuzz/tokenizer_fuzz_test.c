/* tokenizer_fuzz_test: a damaged tokenizer blob gives an error or wrong text, never a crash, an
 * endless loop or an access outside of what it was given.
 *
 *   cut       at 300 places: always an error
 *   changed   one to four bytes or words: mostly in the header and in the small tables, where the
 *             instructions and the places of everything are
 *
 * Every copy ends at a page that cannot be read; scratch and results have just the promised sizes.
 */
#include "../unit/tokenizer_files.h"
#include "tokenizer_blob.h"

#include <sys/mman.h>
#include <time.h>

enum { CUTS = 300, CHANGES = 1500, PAGE = 4096, MOST_SCRATCH = 1 << 20 };

static const char *const texts[] = {
    "",
    "The scheduler wakes up, it's 12345 o'clock!  \n\n  <|end|> x<both>  y [MASK] a b",
    "e\xcc\x81\xcc\xa3\xcc\xa7 \xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8 \xef\xac\x81n \xef\xb7\xba "
    "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \xff\xfe \xc3\x89t\xc3\xa9",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaa",
};

static void try_text(const struct qbrt_tokenizer *t, const char *text, uint64_t *random)
{
    int flags = (int)(check_random(random) & 3);
    int32_t any[24];
    size_t length;
    struct ids ids = encode_text(t, text, strlen(text), flags, MOST_SCRATCH);
    if (ids.n > 0)
        free(decode_ids(t, ids.id, (size_t)ids.n, flags, &length));
    free(ids.id);
    for (size_t i = 0; i < 24; i++)
        any[i] = (int32_t)(check_random(random) % ((uint64_t)qbrt_tokenizer_vocab(t) + 2)) - 1;
    free(decode_ids(t, any, 24, flags, &length));
    struct qbrt_tokenizer_stream s;
    char piece[16];
    qbrt_tokenizer_stream_begin(&s, t, flags);
    for (size_t i = 0; i < 24; i++)
        CHECK(qbrt_tokenizer_stream_next(&s, any[i], piece, i % 17) <= i % 17, "too long a piece");
    qbrt_tokenizer_find(t, text, strlen(text));
}

static bool try_blob(const uint8_t *blob, size_t size, uint64_t *random)
{
    struct qbrt_tokenizer t;
    if (qbrt_tokenizer_open(&t, blob, size))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        try_text(&t, texts[i], random);
    return true;
}

/* A place worth changing: the header, a table of few bytes, or anywhere. */
static size_t place(const struct qbrt_tokenizer_header *h, size_t size, uint64_t *random)
{
    uint64_t choice = check_random(random) >> 8;
    struct qbrt_tokenizer_place table = h->table[choice % QBRT_TABLE_COUNT];
    if (choice % 3 == 0)
        return choice / 3 % sizeof *h;
    if (choice % 3 == 1 && table.count)
        return (table.offset + choice / 97 % 512) % size;
    return choice / 3 % size;
}

static void damage(uint8_t *blob, const struct qbrt_tokenizer_header *h, size_t size,
                   uint64_t *random)
{
    static const uint32_t likely[] = {0, 1, 2, 0xff, 0x100, 0x7fffffff, 0x80000000, 0xffffffff};
    for (uint64_t n = 1 + check_random(random) % 4; n > 0; n--) {
        size_t at = place(h, size, random);
        uint64_t value = check_random(random) >> 16;
        if (value & 1)
            blob[at] = (uint8_t)(value >> 8);
        else
            memcpy(blob + at / 4 * 4, &likely[(value >> 8) % 8], 4);
    }
}

static void try_tokenizer(struct qbc *q, const char *path)
{
    struct qbrt_tokenizer_header h;
    uint64_t random = 88172645463325252u;
    uint8_t *blob;
    size_t size, opened = 0;
    CHECK(qbc_tokenizer_compile(q, path, &blob, &size), "%s", path);
    memcpy(&h, blob, sizeof h);
    size_t map_size = (size + PAGE - 1) / PAGE * PAGE + PAGE;
    uint8_t *map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *copy = map + map_size - PAGE - size;
    CHECK(map != MAP_FAILED && !mprotect(map + map_size - PAGE, PAGE, PROT_NONE), "no memory");
    memcpy(copy, blob, size);
    CHECK(try_blob(copy, size, &random), "%s: it does not open", path);
    for (size_t i = 0; i < CUTS; i++) {
        size_t part = i * size / CUTS / 8 * 8;
        memcpy(copy + size - part, blob, part);
        CHECK(!try_blob(copy + size - part, part, &random), "%s: opens when cut", path);
    }
    for (size_t i = 0; i < CHANGES; i++) {
        memcpy(copy, blob, size);
        damage(copy, &h, size, &random);
        opened += try_blob(copy, size, &random);
    }
    printf("%s: %zu of %d damaged copies opened\n", path, opened, CHANGES);
    CHECK(opened > 0 && opened < CHANGES, "%s: %zu opened", path, opened);
    munmap(map, map_size);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    for (size_t i = 0; i < N_BUNDLED; i++)
        try_tokenizer(&q, bundled_tokenizers[i]);
    qbc_arena_free(&q);
    return check_failures() != 0;
}
