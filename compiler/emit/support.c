/* support.c: what the build of qbc made for programs of each architecture. It is looked for beside the library that
 * this code is in, lib/libqbc.so and lib/qbc/ARCH; where that is linked into a program, bin/PROGRAM and lib/qbc/ARCH:
 * so it is found in a build folder, and wherever that is installed. */
#define _GNU_SOURCE /* dladdr */
#include "library.h"
#include "target.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char marker; /* something of ours, to ask where it was loaded from */

static const char *path_of(struct qbc *q, const char *name)
{
    Dl_info about = {0};
    char *file = dladdr(&marker, &about) ? realpath(about.dli_fname, NULL) : NULL;
    char *slash = file ? strrchr(file, '/') : NULL;
    const char *folder = slash ? qbc_copy(q, file, (size_t)(slash - file)) : ".";
    bool library = slash && !strncmp(slash + 1, "libqbc.so", 9);
    free(file);
    return qbc_text(q, "%s%s/qbc/%.*s/%s", folder, library ? "" : "/../lib", (int)strcspn(q->target->triple, "-"),
                    q->target->triple, name);
}

struct qbc_bytes qbc_support_file(struct qbc *q, const char *name)
{
    const char *path = path_of(q, name);
    struct qbc_bytes bytes = {0};
    struct stat about;
    FILE *file = fopen(path, "rb");
    if (file && !fstat(fileno(file), &about) && about.st_size > 0) {
        bytes.size = (size_t)about.st_size;
        bytes.data = malloc(bytes.size);
        if (bytes.data && fread(bytes.data, 1, bytes.size, file) != bytes.size) {
            free(bytes.data);
            bytes.data = NULL;
        }
    }
    if (bytes.data)
        qbc_note_input(q, path);
    else
        qbc_error_in(q, path, "cannot be read: %s; -emit=%s for %s needs it: it is made where qbc is built, if "
                     "clang-22 and the cross compiler are there", strerror(errno ? errno : EIO), q->options.emit,
                     q->target->triple);
    if (file)
        fclose(file);
    return bytes;
}
