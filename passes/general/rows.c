/* rows: the table of lowerings. */
#include "general.h"

#include <string.h>

static const struct g_row rows[] = {
#define MAP(name, result, text) {name, g_lower_map, true, text, result},
#define ROW(name, function, once) {name, g_lower_##function, once, NULL, G_LIKE},
#include "rows.def"
#undef MAP
#undef ROW
};

const struct g_row *g_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}
