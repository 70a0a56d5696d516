/* named.h: formats by name, for tests without a context. */
#ifndef NAMED_H
#define NAMED_H

#include "check.h"
#include "format.h"

#include <string.h>

static const struct qbc_format *named(const char *name)
{
    enum { MOST = 256 };
    static struct qbc_format formats[MOST];
    static char spelled[MOST][QBC_FORMAT_NAME];
    char why[QBC_FORMAT_WHY] = "";
    int i = 0;
    while (i < MOST - 1 && spelled[i][0] && strcmp(spelled[i], name))
        ++i;
    if (spelled[i][0])
        return &formats[i];
    CHECK(qbc_format_parse(name, &formats[i], why), "'%s' is not read: %s", name, why);
    strncpy(spelled[i], name, QBC_FORMAT_NAME - 1);
    return &formats[i];
}

#endif
