/* names: the tables of formats.def and names.def, and reading a name: a row, or what the grammar says. */
#include "parse.h"

#include <stdio.h>
#include <string.h>

static const struct qbc_format *const formats[] = {
#define FORMAT(name) &qbc_format_##name,
#include "formats.def"
#undef FORMAT
};

static const struct {
    const char *name, *spelled;
    bool printed; /* the name, not how it is spelled */
} names[] = {
#define NAMED(name, spelled) {name, spelled, true},
#define SYNONYM(name, spelled) {name, spelled, false},
#define EXAMPLE(name)
#include "names.def"
#undef NAMED
#undef SYNONYM
#undef EXAMPLE
};

static const char *const examples[] = {
#define FORMAT(name) #name,
#include "formats.def"
#undef FORMAT
#define NAMED(name, spelled) name,
#define SYNONYM(name, spelled)
#define EXAMPLE(name) name,
#include "names.def"
#undef NAMED
#undef SYNONYM
#undef EXAMPLE
};

enum {
    N_FORMATS = sizeof formats / sizeof *formats,
    N_NAMES = sizeof names / sizeof *names,
    N_EXAMPLES = sizeof examples / sizeof *examples,
};

const struct qbc_format *qbc_format_find(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; ++i)
        if (!strcmp(formats[i]->name, name))
            return formats[i];
    return NULL;
}

const struct qbc_format *qbc_format_at(size_t i)
{
    return i < N_FORMATS ? formats[i] : NULL;
}

const char *qbc_format_example(size_t i)
{
    return i < N_EXAMPLES ? examples[i] : NULL;
}

bool qbc_parse_name(struct qbc_reader *r, struct qbc_format *out)
{
    size_t first = r->n_out;
    const char *start = r->at, *text = r->text;
    char token[QBC_FORMAT_NAME];
    int length = (int)(r->end - start);
    snprintf(token, sizeof token, "%.*s", length, start);
    const struct qbc_format *row = qbc_format_find(token);
    if (row) {
        *out = *row;
        r->at = r->end;
        return qbc_reader_put(r, token);
    }
    for (size_t i = 0; i < N_NAMES; ++i)
        if (!strcmp(token, names[i].name)) {
            r->text = r->at = names[i].spelled;
            r->end = r->at + strlen(r->at);
        }
    *out = (struct qbc_format){.group = 1};
    bool good = qbc_parse_leaf(r, out);
    r->text = text;
    r->at = r->end = start + length;
    if (!good)
        return false;
    for (size_t i = 0; i < N_NAMES; ++i)
        if (names[i].printed && !strcmp(r->out + first, names[i].spelled)) {
            r->n_out = first;
            return qbc_reader_put(r, names[i].name);
        }
    return true;
}

/* "(a@25%|b)" as a whole is "a@25%|b". */
static void strip(struct qbc_reader *r, struct qbc_format *f)
{
    while (r->out[0] == '(' && f->n_parts && f->part[0].from > 0) {
        r->n_out -= 2;
        memmove(r->out, r->out + 1, r->n_out);
        r->out[r->n_out] = 0;
        for (int i = 0; i < f->n_parts; ++i)
            --f->part[i].from;
    }
}

bool qbc_format_parse(const char *name, struct qbc_format *out, char *why)
{
    char unused[QBC_FORMAT_WHY];
    struct qbc_reader r = {.text = name, .at = name, .end = name + strlen(name), .why = why ? why : unused};
    *out = (struct qbc_format){.name = ""};
    bool good = *name ? qbc_parse_composite(&r, out) : qbc_reader_fail(&r, name, "a name is missing");
    if (good && r.at < r.end)
        good = qbc_reader_fail(&r, r.at, "'%s' means nothing here", r.at);
    if (!good) {
        *out = (struct qbc_format){.name = ""};
        return false;
    }
    strip(&r, out);
    memcpy(out->name, r.out, sizeof out->name);
    return true;
}

bool qbc_format_part(const struct qbc_format *f, int i, struct qbc_format *out)
{
    char name[QBC_FORMAT_NAME];
    if (i < 0 || i >= f->n_parts)
        return false;
    snprintf(name, sizeof name, "%.*s", f->part[i].length, f->name + f->part[i].from);
    return qbc_format_parse(name, out, NULL);
}
