/* archive.c: see archive.h.
 *
 *     "!<arch>\n", then members at even offsets, each with a header of 60 characters:
 *     "/"     the symbol table: how many, the offset of each one's member (big-endian), their names
 *     "//"    names that are too long for a header, which says "/OFFSET" then
 */
#include "archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 8, HEADER_BYTES = 60, SIZE_AT = 48, SHORT_NAME = 15, SECTION_BYTES = 64, SYMBOL_BYTES = 24 };
enum { SHT_SYMTAB = 2, LOCAL = 0 };
static const char magic[] = "!<arch>\n";

/* --- reading */

static const char *long_name(struct qbc *q, struct qbc_bytes names, size_t at)
{
    size_t end = at;
    while (end < names.size && names.data[end] != '/' && names.data[end] != '\n')
        ++end;
    return at < names.size ? qbc_copy(q, (const char *)names.data + at, end - at) : "";
}

static const char *name_of(struct qbc *q, const char *header, struct qbc_bytes names)
{
    if (header[0] == '/')
        return long_name(q, names, (size_t)strtoull(header + 1, NULL, 10));
    return qbc_copy(q, header, strcspn(header, "/ "));
}

size_t qbc_archive_members(struct qbc *q, struct qbc_bytes archive, struct qbc_member **out)
{
    struct qbc_bytes names = {0};
    size_t n = 0;
    *out = qbc_alloc(q, (archive.size / HEADER_BYTES + 1) * sizeof **out);
    if (archive.size < MAGIC_BYTES || memcmp(archive.data, magic, MAGIC_BYTES))
        return 0;
    for (size_t at = MAGIC_BYTES; at + HEADER_BYTES <= archive.size;) {
        const char *header = qbc_copy(q, (const char *)archive.data + at, HEADER_BYTES);
        uint64_t size = strtoull(header + SIZE_AT, NULL, 10);
        const uint8_t *data = archive.data + at + HEADER_BYTES;
        if (size > archive.size - at - HEADER_BYTES)
            return 0;
        if (header[0] == '/' && header[1] == '/')
            names = (struct qbc_bytes){(uint8_t *)data, size};
        else if (header[0] != '/' || header[1] != ' ')
            (*out)[n++] = (struct qbc_member){name_of(q, header, names), data, size, size};
        at += HEADER_BYTES + size + size % 2;
    }
    return n;
}

/* --- symbols of an object */

static uint64_t number(const struct qbc_member *m, uint64_t at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes && at + (uint64_t)i < m->given; ++i)
        value |= (uint64_t)m->data[at + (uint64_t)i] << 8 * i;
    return value;
}

/* What is being laid out: text that grows. */
struct text {
    const struct qbc *q;
    char *data;
    size_t size;
};

static void append(struct text *t, const void *bytes, size_t n)
{
    char *grown = realloc(t->data, t->size + n + 1);
    if (!grown)
        qbc_out_of_memory(t->q, t->size + n);
    if (n)
        memcpy(grown + t->size, bytes, n);
    t->data = grown;
    t->size += n;
}

/* Append the names of the symbols that a member defines for others; how many. */
static size_t add_symbols(const struct qbc_member *m, struct text *names)
{
    uint64_t sections = number(m, 40, 8), n_sections = number(m, 60, 2);
    size_t n = 0;
    for (uint64_t i = 0; i < n_sections; ++i) {
        uint64_t s = sections + i * SECTION_BYTES;
        if (number(m, s + 4, 4) != SHT_SYMTAB)
            continue;
        uint64_t at = number(m, s + 24, 8), end = at + number(m, s + 32, 8);
        uint64_t strings = number(m, sections + number(m, s + 40, 4) * SECTION_BYTES + 24, 8);
        for (; at + SYMBOL_BYTES <= end; at += SYMBOL_BYTES) {
            uint64_t name = strings + number(m, at, 4);
            if (number(m, at + 4, 1) >> 4 == LOCAL || !number(m, at + 6, 2) || name >= m->given)
                continue;
            append(names, m->data + name, strnlen((const char *)m->data + name, m->given - name));
            append(names, "", 1);
            ++n;
        }
    }
    return n;
}

/* --- writing */

static void add_header(struct text *t, const char *name, uint64_t size)
{
    char header[HEADER_BYTES + 32];
    int n = snprintf(header, sizeof header, "%-16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "100644",
                     (unsigned long long)size);
    append(t, header, (size_t)n);
}

static void add_even(struct text *t, const void *bytes, size_t n)
{
    append(t, bytes, n);
    append(t, "\n", n % 2);
}

static void add_big_endian(struct text *t, uint64_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    append(t, bytes, sizeof bytes);
}

struct plan {
    struct text names;    /* of symbols */
    struct text long_names;
    size_t n_symbols, *count; /* of each member */
    size_t *long_at;          /* in long_names; SIZE_MAX: the name is short */
};

static struct plan make_plan(struct qbc *q, const struct qbc_member *members, size_t n)
{
    struct plan p = {.names = {.q = q},
                     .long_names = {.q = q},
                     .count = qbc_alloc(q, (n + 1) * sizeof *p.count),
                     .long_at = qbc_alloc(q, (n + 1) * sizeof *p.long_at)};
    for (size_t i = 0; i < n; ++i) {
        p.count[i] = add_symbols(&members[i], &p.names);
        p.n_symbols += p.count[i];
        p.long_at[i] = SIZE_MAX;
        if (strlen(members[i].name) <= SHORT_NAME)
            continue;
        p.long_at[i] = p.long_names.size;
        append(&p.long_names, members[i].name, strlen(members[i].name));
        append(&p.long_names, "/\n", 2);
    }
    append(&p.names, "", 0);
    append(&p.long_names, "", 0);
    return p;
}

static size_t even(size_t n)
{
    return n + n % 2;
}

static void add_tables(struct text *t, const struct plan *p, const struct qbc_member *members, size_t n)
{
    size_t table = 4 + 4 * p->n_symbols + p->names.size;
    uint64_t offset = t->size + HEADER_BYTES + even(table);
    if (p->long_names.size)
        offset += HEADER_BYTES + even(p->long_names.size);
    add_header(t, "/", table);
    add_big_endian(t, p->n_symbols);
    for (size_t i = 0; i < n; ++i) {
        for (size_t k = 0; k < p->count[i]; ++k)
            add_big_endian(t, offset);
        offset += HEADER_BYTES + members[i].size + members[i].size % 2;
    }
    add_even(t, p->names.data, p->names.size);
    if (!p->long_names.size)
        return;
    add_header(t, "//", p->long_names.size);
    add_even(t, p->long_names.data, p->long_names.size);
}

struct qbc_bytes qbc_archive(struct qbc *q, const char *path, const struct qbc_member *members, size_t n)
{
    const uint64_t longest = UINT64_C(9999999999); /* what ten digits in a header can say */
    struct text t = {.q = q};
    for (size_t i = 0; i < n; ++i)
        if (members[i].size > longest) {
            qbc_error_in(q, path, "%s has %llu bytes; members of a static library end at 9999999999: use -emit=shared",
                         members[i].name, (unsigned long long)members[i].size);
            return (struct qbc_bytes){0};
        }
    struct plan p = make_plan(q, members, n);
    append(&t, magic, MAGIC_BYTES);
    add_tables(&t, &p, members, n);
    for (size_t i = 0; i < n; ++i) {
        const struct qbc_member *m = &members[i];
        add_header(&t, p.long_at[i] == SIZE_MAX ? qbc_text(q, "%s/", m->name) : qbc_text(q, "/%zu", p.long_at[i]),
                   m->size);
        append(&t, m->data, m->given);
        append(&t, "\n", m->given == m->size && m->size % 2);
    }
    free(p.names.data);
    free(p.long_names.data);
    return (struct qbc_bytes){(uint8_t *)t.data, t.size};
}
