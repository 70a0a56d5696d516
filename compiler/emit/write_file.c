/* write_file: text and objects, whole or not at all. */
#include "emit.h"
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool qbc_write_file(struct qbc *q, const char *path, const void *data, size_t size)
{
    struct output out;
    bool standard = !strcmp(path, "-");
    if (standard && fwrite(data, 1, size, stdout) == size && !fflush(stdout))
        return true;
    if (standard) {
        qbc_error_in(q, "<stdout>", "cannot be written: %s", strerror(errno));
        return false;
    }
    if (!output_open(&out, path)) {
        qbc_error_in(q, path, "cannot be written: %s", strerror(errno));
        return false;
    }
    bool good = output_write(&out, data, size);
    good = output_close(&out, good) && good;
    if (!good)
        qbc_error_in(q, path, "cannot be written: %s", strerror(errno));
    return good;
}
