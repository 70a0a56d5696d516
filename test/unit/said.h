/* said.h: the last diagnostic, for tests of what must be refused: attach said_keep with a string of SAID_MOST bytes. */
#ifndef QBC_SAID_H
#define QBC_SAID_H

#include <string.h>

#include <mlir-c/Diagnostics.h>

enum { SAID_MOST = 512 };

static void said_append(MlirStringRef part, void *said)
{
    size_t room = SAID_MOST - 1 - strlen(said);
    strncat(said, part.data, part.length < room ? part.length : room);
}

static MlirLogicalResult said_keep(MlirDiagnostic d, void *said)
{
    *(char *)said = 0;
    mlirDiagnosticPrint(d, said_append, said);
    return mlirLogicalResultSuccess();
}

#endif
