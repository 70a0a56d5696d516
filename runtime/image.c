/* image.c: a code image is an ELF shared object that needs nobody.
 *
 * It may hold read-only segments (PT_LOAD), some of them executable, and nothing that a dynamic
 * linker would have to do: no library, no interpreter, no relocation, no name to look up, no
 * thread-local or writable data, no function that runs by itself. Segments then are mapped where
 * they say, and the step functions are base + address.
 *
 * Source: the System V ABI, chapters 4 and 5 (64-bit).
 */
#include "image.h"
#include "checksum.h"
#include "internal.h"

enum {
    HEADER_BYTES = 64,
    PROGRAM_BYTES = 56,
    SECTION_BYTES = 64,
    SYMBOL_BYTES = 24,
    DYNAMIC_BYTES = 16,
    ET_DYN = 3,
    PT_LOAD = 1,
    PT_DYNAMIC = 2,
    PT_INTERP = 3,
    PT_TLS = 7,
    PF_X = 1,
    PF_W = 2,
    SHT_RELA = 4,
    SHT_REL = 9,
    SHT_DYNSYM = 11,
    SHT_RELR = 19,
    MOST_HEADERS = 64,
    MOST_SPAN = 1 << 30
};

/* Dynamic entries that ask a linker to act, and the words for it. */
static const struct {
    uint64_t tag;
    const char *what;
} forbidden[] = {
    {1, "needs a shared library"},
    {7, "has relocations"},
    {12, "runs code when it is loaded"},
    {13, "runs code when it is unloaded"},
    {17, "has relocations"},
    {22, "has relocations in code"},
    {23, "has relocations"},
    {25, "runs code when it is loaded"},
    {26, "runs code when it is unloaded"},
    {32, "runs code when it is loaded"},
    {36, "has relocations"},
};

struct elf {
    const uint8_t *bytes;
    uint64_t size;
    char *detail;
};

static uint64_t get(const struct elf *e, uint64_t at, size_t bytes)
{
    return qbrt_checksum_word(e->bytes + at, bytes);
}

static bool inside(const struct elf *e, uint64_t at, uint64_t bytes)
{
    return at <= e->size && bytes <= e->size - at;
}

static bool refuse(const struct elf *e, const char *why)
{
    qbrt_explain(e->detail, "the code image %s", why);
    return false;
}

static bool check_header(const struct elf *e, uint16_t machine)
{
    if (e->size < HEADER_BYTES || get(e, 0, 4) != 0x464c457f)
        return refuse(e, "is no ELF file");
    if (e->bytes[4] != 2 || e->bytes[5] != 1 || e->bytes[6] != 1 || get(e, 16, 2) != ET_DYN)
        return refuse(e, "is no 64-bit little-endian shared object");
    if (get(e, 18, 2) != machine)
        return refuse(e, "is for another machine than its variant");
    uint64_t n = get(e, 56, 2);
    if (get(e, 54, 2) != PROGRAM_BYTES || !n || n > MOST_HEADERS ||
        !inside(e, get(e, 32, 8), n * PROGRAM_BYTES))
        return refuse(e, "has bad program headers");
    return true;
}

static bool add_segment(const struct elf *e, struct image *image, uint64_t header)
{
    const struct image_segment s = {
        .address = get(e, header + 16, 8),
        .offset = get(e, header + 8, 8),
        .bytes = get(e, header + 32, 8),
        .is_code = (get(e, header + 4, 4) & PF_X) != 0,
    };
    if (get(e, header + 4, 4) & PF_W || get(e, header + 40, 8) != s.bytes)
        return refuse(e, "has writable memory");
    if (!s.bytes)
        return true;
    if (image->n_segments == IMAGE_MOST_SEGMENTS)
        return refuse(e, "has too many segments");
    bool overlaps = s.address / QBM_PAGE * QBM_PAGE < image->span;
    if (!inside(e, s.offset, s.bytes) || s.bytes > MOST_SPAN || s.address > MOST_SPAN - s.bytes ||
        overlaps || s.address % QBM_PAGE != s.offset % QBM_PAGE)
        return refuse(e, "has a segment outside of its bounds");
    image->segment[image->n_segments++] = s;
    image->span = (s.address + s.bytes + QBM_PAGE - 1) / QBM_PAGE * QBM_PAGE;
    return true;
}

static bool check_dynamic(const struct elf *e, uint64_t header)
{
    uint64_t at = get(e, header + 8, 8), bytes = get(e, header + 32, 8);
    if (!inside(e, at, bytes) || bytes % DYNAMIC_BYTES)
        return refuse(e, "has a bad dynamic section");
    for (uint64_t i = 0; i < bytes; i += DYNAMIC_BYTES) {
        uint64_t tag = get(e, at + i, 8);
        for (size_t k = 0; k < sizeof forbidden / sizeof *forbidden; k++)
            if (tag == forbidden[k].tag)
                return refuse(e, forbidden[k].what);
    }
    return true;
}

static bool check_program(const struct elf *e, struct image *image)
{
    uint64_t at = get(e, 32, 8), n = get(e, 56, 2);
    for (uint64_t i = 0; i < n; i++, at += PROGRAM_BYTES) {
        uint64_t type = get(e, at, 4);
        if (type == PT_INTERP || type == PT_TLS)
            return refuse(e, type == PT_TLS ? "has thread-local memory" : "wants an interpreter");
        if (type == PT_LOAD && !add_segment(e, image, at))
            return false;
        if (type == PT_DYNAMIC && !check_dynamic(e, at))
            return false;
    }
    return true;
}

/* The first symbol is always the empty one. */
static bool check_symbols(const struct elf *e, uint64_t at, uint64_t bytes)
{
    if (!inside(e, at, bytes))
        return refuse(e, "has a bad symbol table");
    for (uint64_t i = SYMBOL_BYTES; i + SYMBOL_BYTES <= bytes; i += SYMBOL_BYTES)
        if (get(e, at + i + 6, 2) == 0)
            return refuse(e, "uses a symbol from outside");
    return true;
}

/* Section headers may be stripped; what is there must not contradict the rules. */
static bool check_sections(const struct elf *e)
{
    uint64_t at = get(e, 40, 8), n = get(e, 60, 2);
    if (!n)
        return true;
    if (get(e, 58, 2) != SECTION_BYTES || !inside(e, at, n * SECTION_BYTES))
        return refuse(e, "has bad section headers");
    for (uint64_t i = 0; i < n; i++, at += SECTION_BYTES) {
        uint64_t type = get(e, at + 4, 4), bytes = get(e, at + 32, 8);
        if ((type == SHT_RELA || type == SHT_REL || type == SHT_RELR) && bytes)
            return refuse(e, "has relocations");
        if (type == SHT_DYNSYM && !check_symbols(e, get(e, at + 24, 8), bytes))
            return false;
    }
    return true;
}

enum qbrt_status image_check(struct image *image, const uint8_t *bytes, uint64_t size,
                             uint16_t machine, char *detail)
{
    const struct elf e = {.bytes = bytes, .size = size, .detail = detail};
    *image = (struct image){0};
    bool good = check_header(&e, machine) && check_program(&e, image) && check_sections(&e);
    if (good && !image->n_segments)
        good = refuse(&e, "is empty");
    return good ? QBRT_OK : QBRT_BAD_CODE;
}

bool image_holds_code(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->n_segments; i++) {
        const struct image_segment *s = &image->segment[i];
        if (s->is_code && address >= s->address && address - s->address < s->bytes)
            return true;
    }
    return false;
}
