/* emulate: an artifact for another architecture, run by that architecture's qbrun under qemu-user.
 *
 * The build has ARCH/bin/qbrun beside bin/ where it found a compiler for ARCH; inputs and results go through .npy files.
 */
#include "check.h"
#include "npy.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOST_WORDS = 256, PATH_ROOM = 1024 };

/* What a target's code needs, by the first part of its triple. */
static const struct check_emulator emulators[] = {
    {"aarch64", "qemu-aarch64-static", "max"},
    {"riscv64", "qemu-riscv64-static", "rv64,v=true,vext_spec=v1.0,vlen=256,elen=64"},
};

const struct check_emulator *check_find_emulator(const char *triple)
{
    for (size_t i = 0; i < sizeof emulators / sizeof *emulators; ++i)
        if (!strncmp(triple, emulators[i].architecture, strlen(emulators[i].architecture)))
            return &emulators[i];
    return NULL;
}

/* FOLDER/../ARCH/bin/qbrun, of the folder that this program is in. */
bool check_find_runner(const struct check_emulator *e, char *out, size_t room)
{
    char self[PATH_ROOM];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return false;
    self[n] = 0;
    char *slash = strrchr(self, '/');
    *slash = 0;
    return (size_t)snprintf(out, room, "%s/../%s/bin/qbrun", self, e->architecture) < room && !access(out, X_OK);
}

static bool write_array(const char *path, struct qbrt_port port, const void *data)
{
    struct output o;
    size_t dims[QBRT_MOST_RANK], bytes = qbrt_element_bytes(port.element);
    for (size_t d = 0; d < port.rank; ++d)
        bytes *= dims[d] = (size_t)port.dims[d];
    if (!output_open(&o, path))
        return false;
    bool good = npy_write_header(&o, npy_type_of(port.element), port.rank, dims) && output_write(&o, data, bytes);
    return output_close(&o, good) && good;
}

/* NULL: it ended well. */
static const char *run(char *const *words)
{
    pid_t pid;
    int status, problem = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
    if (problem)
        return problem == ENOENT ? "the emulator is not installed" : "the emulator cannot be started";
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return "the emulator is lost";
    if (WIFSIGNALED(status))
        return "ended by a signal under the emulator";
    return WEXITSTATUS(status) ? "qbrun failed under the emulator" : NULL;
}

static const char *read_results(struct qbc *q, const struct qbrt_model *model, const char *folder, struct qbrt_array *results)
{
    for (size_t i = 0; i < qbrt_facts(model)->n_results; ++i) {
        const struct qbrt_port port = qbrt_result(model, i);
        struct npy_header header;
        void *data;
        char path[PATH_ROOM];
        npy_result_path(folder, port.name, path, sizeof path);
        const char *wrong = npy_read_array(path, &header, &data);
        unlink(path);
        if (wrong)
            return qbc_text(q, "result '%s': %s", port.name, wrong);
        if (header.rank != port.rank)
            return qbc_text(q, "result '%s' has %zu dimensions", port.name, header.rank);
        results[i].data = data;
        for (size_t d = 0; d < header.rank; ++d)
            results[i].dims[d] = (int64_t)header.dims[d];
    }
    return NULL;
}

const char *check_run_emulated(struct qbc *q, const struct check_emulation *e, const struct qbrt_model *model,
                               const struct check_tensor *inputs, struct qbrt_array *results)
{
    size_t n = qbrt_facts(model)->n_inputs, at = 0;
    const char *words[MOST_WORDS] = {e->emulator->command, "-cpu", e->emulator->cpu, e->qbrun, e->artifact, "-o", e->scratch}, *wrong = NULL;
    const char **paths = qbc_alloc(q, (n + 1) * sizeof *paths);
    if (2 * n + 8 > MOST_WORDS)
        return "too many inputs for a command line";
    while (words[at])
        ++at;
    mkdir(e->scratch, 0700);
    for (size_t i = 0; i < n && !wrong; ++i) {
        paths[i] = qbc_text(q, "%s/input.%zu.npy", e->scratch, i);
        if (!write_array(paths[i], qbrt_input(model, i), inputs[i].data))
            wrong = "an input cannot be written";
        words[at++] = "--input";
        words[at++] = qbc_text(q, "%s=%s", qbrt_input(model, i).name, paths[i]);
    }
    wrong = wrong ? wrong : run((char *const *)words);
    wrong = wrong ? wrong : read_results(q, model, e->scratch, results);
    for (size_t i = 0; i < n && paths[i]; ++i)
        unlink(paths[i]);
    rmdir(e->scratch);
    return wrong;
}
