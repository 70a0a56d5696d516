/* support.c: what the build of qbc made for programs of each architecture. It is looked for beside the running
 * program, PROGRAM/../../lib/qbc/ARCH: so it is found in a build folder, and wherever that is installed. */
#include "library.h"
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_of(struct qbc *q, const char *name)
{
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *slash = strrchr(program, '/');
    int folder = slash ? (int)(slash - program) : 0;
    return qbc_text(q, "%.*s/../lib/qbc/%.*s/%s", folder, program, (int)strcspn(q->target->triple, "-"),
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
    if (!bytes.data)
        qbc_error_in(q, path, "cannot be read: %s; -emit=%s for %s needs it: it is made where qbc is built, if "
                     "clang-22 and the cross compiler are there", strerror(errno ? errno : EIO), q->options.emit,
                     q->target->triple);
    if (file)
        fclose(file);
    return bytes;
}
