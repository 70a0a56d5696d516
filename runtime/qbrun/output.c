/* output.c: see output.h.
 *
 * A signal handler has nowhere to look but globals: `pending` lists the temporary files that a
 * signal must remove, `former` what to do after that. It is the only state outside of a struct here, and
 * only of programs that asked for it: a library has no business with its host's signals.
 * Handlers are not for signals that somebody ignores.
 */
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_PENDING = 8 };
static const char *_Atomic pending[MOST_PENDING];

static const int deadly[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGXCPU};
enum { N_DEADLY = sizeof deadly / sizeof *deadly };

static struct sigaction former[N_DEADLY];

static atomic_bool guarded;

static void remove_pending(void)
{
    for (int i = 0; i < MOST_PENDING; i++) {
        const char *path = atomic_load(&pending[i]);
        if (path)
            unlink(path);
    }
}

static void clean_up(int number)
{
    remove_pending();
    for (int i = 0; i < N_DEADLY; i++)
        if (deadly[i] == number)
            sigaction(number, &former[i], NULL);
    raise(number); /* comes when this handler has returned */
}

void output_guard(void)
{
    if (atomic_exchange(&guarded, true))
        return;
    for (int i = 0; i < N_DEADLY; i++) {
        struct sigaction now, ours = {.sa_handler = clean_up};
        if (sigaction(deadly[i], NULL, &now) || now.sa_handler == SIG_IGN)
            continue;
        former[i] = now;
        sigaction(deadly[i], &ours, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); /* past the limit of file sizes, writing then fails as on a full disk */
    atexit(remove_pending);
}

static void remember(const char *path)
{
    for (int i = 0; i < MOST_PENDING && atomic_load(&guarded); i++) {
        const char *nobody = NULL;
        if (atomic_compare_exchange_strong(&pending[i], &nobody, path))
            break;
    }
}

static void forget(const char *path)
{
    for (int i = 0; i < MOST_PENDING; i++) {
        const char *expected = path;
        atomic_compare_exchange_strong(&pending[i], &expected, NULL);
    }
}

/* Does something lie there that no temporary file can replace? That is also what has no name (/proc/self/fd/5). */
static bool is_special(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && (!S_ISREG(about.st_mode) || !about.st_nlink);
}

/* ".NAME.PID-TRY" beside path. */
static bool open_temporary(struct output *o)
{
    const char *slash = strrchr(o->path, '/');
    int folder = slash ? (int)(slash + 1 - o->path) : 0;
    for (int attempt = 0; attempt < 100; attempt++) {
        int n = snprintf(o->temporary, sizeof o->temporary, "%.*s.%.200s.%ld-%d", folder, o->path,
                         o->path + folder, (long)getpid(), attempt);
        if (n < 0 || (size_t)n >= sizeof o->temporary) {
            errno = ENAMETOOLONG;
            return false;
        }
        remember(o->temporary);
        o->file = open(o->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (o->file >= 0)
            return true;
        int why = errno;
        forget(o->temporary);
        errno = why;
        if (why != EEXIST)
            return false;
    }
    return false;
}

bool output_open(struct output *o, const char *path)
{
    *o = (struct output){.file = -1};
    char *resolved = realpath(path, NULL); /* a link stays a link to what it names */
    int n = snprintf(o->path, sizeof o->path, "%s", resolved ? resolved : path);
    free(resolved);
    if (n < 0 || (size_t)n >= sizeof o->path) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (is_special(path)) {
        o->file = open(path, O_WRONLY | O_CLOEXEC);
        return o->file >= 0;
    }
    if (access(path, F_OK) == 0 && access(path, W_OK) != 0)
        return false;
    return open_temporary(o);
}

bool output_write(struct output *o, const void *bytes, size_t n)
{
    for (const char *at = bytes; n;) {
        ssize_t done = write(o->file, at, n < INT_MAX ? n : INT_MAX);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool output_write_at(struct output *o, uint64_t offset, const void *bytes, size_t n)
{
    for (const char *at = bytes; n;) {
        ssize_t done = pwrite(o->file, at, n < INT_MAX ? n : INT_MAX, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return true;
}

bool output_make_executable(struct output *o)
{
    struct stat about;
    if (fstat(o->file, &about))
        return false;
    return !S_ISREG(about.st_mode) || fchmod(o->file, (about.st_mode & 0777) | (about.st_mode & 0444) >> 2) == 0;
}

bool output_close(struct output *o, bool keep)
{
    bool good = o->file < 0 || close(o->file) == 0; /* some systems tell only now of a full disk */
    o->file = -1;
    if (!*o->temporary)
        return good;
    if (keep && good)
        good = rename(o->temporary, o->path) == 0;
    int why = errno;
    if (!keep || !good)
        unlink(o->temporary);
    forget(o->temporary);
    *o->temporary = 0;
    errno = why;
    return good;
}
