/* data_object.c: see data_object.h. Source: the System V ABI, chapter 4 (64-bit). */
#include "data_object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_BYTES = 64,
    SECTION_BYTES = 64,
    SYMBOL_BYTES = 24,
    MACHINE_AT = 18,
    FLAGS_AT = 48,
    ALIGN = 64,
    X86_64 = 62,
    ET_REL = 1,
    SHT_PROGBITS = 1,
    SHT_SYMTAB = 2,
    SHT_STRTAB = 3,
    SHF_ALLOC = 2,
    SHF_X86_64_LARGE = 1 << 28,
    GLOBAL_OBJECT = 0x11,
    HIDDEN = 2
};
enum section { NONE, ROOT, WEIGHTS, STACK, SYMBOLS, STRINGS, N_SECTIONS };
enum { N_SYMBOLS = 3, MOST_STRINGS = 4096 };

bool qbc_data_is_large(int machine, uint64_t weights_bytes)
{
    return machine == X86_64 && weights_bytes > UINT64_C(1) << 30;
}

struct strings {
    char text[MOST_STRINGS];
    size_t used;
};

static uint32_t add_string(struct strings *s, const char *before, const char *prefix, const char *behind)
{
    size_t at = s->used;
    int n = snprintf(s->text + at, sizeof s->text - at, "%s%s%s", before, prefix, behind);
    s->used += (size_t)n + 1;
    return (uint32_t)at;
}

static void put(uint8_t *at, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; ++i)
        at[i] = (uint8_t)(value >> 8 * i);
}

struct section_header {
    uint32_t name, type;
    uint64_t flags, offset, bytes, align, entry;
    uint32_t link, info;
};

static void put_section(uint8_t *file, enum section i, struct section_header s)
{
    uint8_t *at = file + HEADER_BYTES + i * SECTION_BYTES;
    put(at, 4, s.name);
    put(at + 4, 4, s.type);
    put(at + 8, 8, s.flags);
    put(at + 24, 8, s.offset);
    put(at + 32, 8, s.bytes);
    put(at + 40, 4, s.link);
    put(at + 44, 4, s.info);
    put(at + 48, 8, s.align);
    put(at + 56, 8, s.entry);
}

static void put_symbol(uint8_t *at, uint32_t name, enum section section, uint64_t bytes)
{
    put(at, 4, name);
    at[4] = GLOBAL_OBJECT;
    at[5] = HIDDEN;
    put(at + 6, 2, section);
    put(at + 16, 8, bytes);
}

static void put_header(uint8_t *file, const uint8_t *like)
{
    static const uint8_t identity[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    memcpy(file, identity, sizeof identity);
    put(file + 16, 2, ET_REL);
    memcpy(file + MACHINE_AT, like + MACHINE_AT, 2);
    put(file + 20, 4, 1);
    put(file + 40, 8, HEADER_BYTES); /* section headers */
    memcpy(file + FLAGS_AT, like + FLAGS_AT, 4);
    put(file + 52, 2, HEADER_BYTES);
    put(file + 58, 2, SECTION_BYTES);
    put(file + 60, 2, N_SECTIONS);
    put(file + 62, 2, STRINGS);
}

struct qbc_bytes qbc_data_object(const struct qbc_data_object *o)
{
    struct strings strings = {.used = 1}; /* the empty name comes first */
    const bool large = qbc_data_is_large(o->like[MACHINE_AT], o->weights_bytes);
    const char *weights_before = large ? ".lrodata." : ".rodata.";
    uint32_t root_section = add_string(&strings, ".rodata.", o->prefix, ".root");
    uint32_t weights_section = add_string(&strings, weights_before, o->prefix, ".weights");
    uint32_t stack = add_string(&strings, "", ".note.GNU-stack", ""); /* no executable stack for us */
    uint32_t symtab = add_string(&strings, "", ".symtab", ""), strtab = add_string(&strings, "", ".strtab", "");
    uint32_t root = add_string(&strings, "", o->prefix, "_root");
    uint32_t weights = add_string(&strings, "", o->prefix, "_weights");

    size_t symbols_at = HEADER_BYTES + N_SECTIONS * SECTION_BYTES, strings_at = symbols_at + N_SYMBOLS * SYMBOL_BYTES;
    size_t root_at = (strings_at + strings.used + ALIGN - 1) / ALIGN * ALIGN;
    size_t weights_at = (root_at + o->root_bytes + ALIGN - 1) / ALIGN * ALIGN;
    struct qbc_bytes file = {calloc(1, weights_at), weights_at};
    if (!file.data)
        return file;
    put_header(file.data, o->like);
    put_section(file.data, ROOT, (struct section_header){.name = root_section, .type = SHT_PROGBITS, .flags = SHF_ALLOC,
                                 .offset = root_at, .bytes = o->root_bytes, .align = ALIGN});
    put_section(file.data, WEIGHTS, (struct section_header){.name = weights_section, .type = SHT_PROGBITS,
                                    .flags = SHF_ALLOC | (large ? SHF_X86_64_LARGE : 0), .offset = weights_at,
                                    .bytes = o->weights_bytes, .align = ALIGN});
    put_section(file.data, STACK, (struct section_header){.name = stack, .type = SHT_PROGBITS, .offset = weights_at,
                                  .align = 1});
    put_section(file.data, SYMBOLS, (struct section_header){.name = symtab, .type = SHT_SYMTAB, .offset = symbols_at,
                                    .bytes = N_SYMBOLS * SYMBOL_BYTES, .link = STRINGS, .info = 1, .align = 8,
                                    .entry = SYMBOL_BYTES});
    put_section(file.data, STRINGS, (struct section_header){.name = strtab, .type = SHT_STRTAB, .offset = strings_at,
                                    .bytes = strings.used, .align = 1});
    put_symbol(file.data + symbols_at + SYMBOL_BYTES, root, ROOT, o->root_bytes);
    put_symbol(file.data + symbols_at + 2 * SYMBOL_BYTES, weights, WEIGHTS, o->weights_bytes);
    memcpy(file.data + strings_at, strings.text, strings.used);
    memcpy(file.data + root_at, o->root, o->root_bytes);
    return file;
}
