/* read_pages: which pages of its weights a step of a model reads, counted.
 *
 *   read_pages MODEL.qbm TOKEN..    feeds the tokens one by one; for each tensor a line
 *                                   "name <tab> start <tab> bytes <tab> pages" on stdout: where it starts in its first page, and for each
 *                                   page from there to its last a 1 if the step of the last token read it, else a 0
 *
 * Before the last step the file's pages may not be read at all; each that is read faults once, is noted, and may be read from then on.
 */
#include "qbm_read.h"
#include "qbrt.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static struct {
    char *file;
    size_t bytes;
    unsigned char *touched; /* a byte for each page */
} watched;

static void note(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr, first = (uintptr_t)watched.file;
    if (at < first || at - first >= watched.bytes) {
        signal(number, SIG_DFL); /* a fault like any other */
        return;
    }
    size_t page = (at - first) / PAGE;
    watched.touched[page] = 1;
    mprotect(watched.file + page * PAGE, PAGE, PROT_READ);
}

static bool map(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY);
    bool good = file >= 0 && !fstat(file, &status) && status.st_size > 0;
    void *at = good ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    if (file >= 0)
        close(file);
    watched.bytes = good ? (size_t)status.st_size : 0;
    watched.file = at == MAP_FAILED ? NULL : at;
    watched.touched = calloc(watched.bytes / PAGE + 1, 1);
    return watched.file && watched.touched;
}

static void *aligned(size_t bytes)
{
    return aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
}

/* NULL, or what went wrong. */
static const char *step_watched(struct qbrt_model *model, int n, char **tokens)
{
    struct qbrt_session *s = NULL;
    size_t bytes = qbrt_session_size(model);
    enum qbrt_status status = qbrt_session_create(model, aligned(bytes), bytes, NULL, &s);
    float *logits = malloc((size_t)qbrt_facts(model)->vocab * sizeof *logits);
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    for (int i = 0; i < n && status == QBRT_OK; ++i) {
        int32_t token = atoi(tokens[i]);
        if (i == n - 1 && (sigaction(SIGSEGV, &action, NULL) || mprotect(watched.file, watched.bytes, PROT_NONE)))
            return "the file's pages cannot be watched";
        status = qbrt_eval(s, &token, 1, logits);
    }
    mprotect(watched.file, watched.bytes, PROT_READ);
    free(logits);
    return status == QBRT_OK ? NULL : qbrt_status_text(status);
}

static void print(const struct qbm_root *root)
{
    struct qbm_weights section = qbm_weights(root, 0);
    for (uint32_t i = 0; i < section.tensors.n; ++i) {
        struct qbrt_tensor_facts t = qbm_tensor(root, section.tensors, i);
        uint64_t first = (section.offset + t.offset) / PAGE, last = (section.offset + t.offset + t.size - 1) / PAGE;
        printf("%s\t%" PRIu64 "\t%" PRIu64 "\t", t.name, (section.offset + t.offset) % PAGE, t.size);
        for (uint64_t page = first; page <= last; ++page)
            putchar(watched.touched[page] ? '1' : '0');
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    char detail[QBRT_DETAIL] = "";
    struct qbm_root root;
    struct qbrt_model *model = NULL;
    size_t bytes = (qbrt_model_size() + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN;
    if (argc < 3)
        return fputs("usage: read_pages MODEL.qbm TOKEN..\n", stderr), 2;
    enum qbrt_status status = map(argv[1]) ? qbm_check(&root, (const uint8_t *)watched.file, watched.bytes, detail) : QBRT_CANNOT_OPEN;
    if (status == QBRT_OK)
        status = qbrt_open_memory(watched.file, watched.bytes, qbrt_this_machine(), aligned(bytes), bytes, &model, detail);
    if (status != QBRT_OK)
        return fprintf(stderr, "%s: %s %s\n", argv[1], qbrt_status_text(status), detail), 1;
    const char *wrong = step_watched(model, argc - 2, argv + 2);
    if (wrong)
        return fprintf(stderr, "%s: %s\n", argv[1], wrong), 1;
    print(&root);
    return 0;
}
