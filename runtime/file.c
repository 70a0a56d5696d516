/* file.c (hosted): map a model's file, and its code where it may be executed.
 *
 * Weights are the pages of the file, never copied. Code is the pages of the file too, mapped once
 * more as executable; it is copied only where it does not lie in a file, or where pages are
 * larger than the 4096 bytes that images are aligned to.
 */
#include "image.h"
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { THIS_MACHINE = 62 };
#elif defined(__aarch64__)
enum { THIS_MACHINE = 183 };
#elif defined(__riscv) && __riscv_xlen == 64
enum { THIS_MACHINE = 243 };
#else
enum { THIS_MACHINE = 0 };
#endif

static bool has_feature(void *context, const char *feature)
{
    (void)context;
    return qbrt_cpu_has(feature);
}

/* The image was checked before; this reads its segments again. */
static struct image segments(const void *file, uint64_t offset, uint64_t bytes)
{
    struct image image;
    image_check(&image, (const uint8_t *)file + offset, bytes, THIS_MACHINE, NULL);
    return image;
}

static bool copy_segments(uint8_t *base, const struct image *image, const uint8_t *bytes)
{
    if (mprotect(base, image->span, PROT_READ | PROT_WRITE))
        return false;
    for (size_t i = 0; i < image->n_segments; i++) {
        const struct image_segment *s = &image->segment[i];
        memcpy(base + s->address, bytes + s->offset, s->bytes);
    }
    __builtin___clear_cache((char *)base, (char *)base + image->span);
    return mprotect(base, image->span, PROT_READ | PROT_EXEC) == 0;
}

static bool map_segments(uint8_t *base, const struct image *image, int file, uint64_t offset)
{
    for (size_t i = 0; i < image->n_segments; i++) {
        const struct image_segment *s = &image->segment[i];
        uint64_t in_page = s->address % QBM_PAGE;
        int protection = PROT_READ | (s->is_code ? PROT_EXEC : 0);
        void *at = mmap(base + s->address - in_page, s->bytes + in_page, protection,
                        MAP_PRIVATE | MAP_FIXED, file, (off_t)(offset + s->offset - in_page));
        if (at == MAP_FAILED)
            return false;
    }
    return true;
}

/* `file_number` < 0: there is no file, or none whose pages fit. The artifact begins at `start` in it. */
static enum qbrt_status map_code(int file_number, uint64_t start, const void *file, uint64_t offset,
                                 uint64_t bytes, const void **base)
{
    const struct image image = segments(file, offset, bytes);
    uint8_t *room =
        mmap(NULL, image.span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return QBRT_CANNOT_MAP;
    bool good = file_number >= 0 ? map_segments(room, &image, file_number, start + offset)
                                 : copy_segments(room, &image, (const uint8_t *)file + offset);
    if (!good) {
        int why = errno;
        munmap(room, image.span);
        errno = why;
        return QBRT_CANNOT_MAP;
    }
    *base = room;
    return QBRT_OK;
}

static enum qbrt_status map_from_memory(void *context, const void *file, uint64_t offset,
                                        uint64_t bytes, const void **base)
{
    (void)context;
    return map_code(-1, 0, file, offset, bytes, base);
}

/* A file, or a part of it: what host.context is while a model is being opened. */
struct part {
    int file;
    uint64_t offset, bytes; /* bytes 0: to the end */
};

static enum qbrt_status map_from_file(void *context, const void *file, uint64_t offset,
                                      uint64_t bytes, const void **base)
{
    const struct part *part = context;
    if (sysconf(_SC_PAGESIZE) != QBM_PAGE)
        return map_code(-1, 0, file, offset, bytes, base);
    return map_code(part->file, part->offset, file, offset, bytes, base);
}

static void unmap_code(void *context, const void *file, uint64_t offset, uint64_t bytes,
                       const void *base)
{
    (void)context;
    munmap((void *)(uintptr_t)base, segments(file, offset, bytes).span);
}

static const struct qbrt_host this_machine = {
    .machine = THIS_MACHINE,
    .has_feature = has_feature,
    .map_code = map_from_memory,
    .unmap_code = unmap_code,
};

const struct qbrt_host *qbrt_this_machine(void)
{
    return &this_machine;
}

static void unmap_file(const void *file, uint64_t bytes)
{
    munmap((void *)(uintptr_t)file, (size_t)bytes);
}

/* A part of a regular file, or NULL with errno. *bytes is 0 only where it is empty. */
static const void *map_file(const struct part *part, size_t *bytes)
{
    struct stat about;
    if (fstat(part->file, &about))
        return NULL;
    if (!S_ISREG(about.st_mode)) {
        errno = S_ISDIR(about.st_mode) ? EISDIR : ENODEV;
        return NULL;
    }
    static const _Alignas(QBRT_ALIGN) char nothing[1]; /* an empty file cannot be mapped */
    uint64_t size = (uint64_t)about.st_size;
    uint64_t rest = part->offset < size ? size - part->offset : 0;
    *bytes = (size_t)(part->bytes && part->bytes < rest ? part->bytes : rest);
    void *at = *bytes ? mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, part->file, (off_t)part->offset)
                      : NULL;
    return at == MAP_FAILED ? NULL : at ? at : nothing;
}

static enum qbrt_status open_path(const char *path, struct part part, bool with_code, void *memory,
                                  size_t bytes, struct qbrt_model **out, char *detail)
{
    qbrt_explain(detail, "");
    if (!path || !out)
        return QBRT_BAD_ARGUMENT;
    *out = NULL;
    part.file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe shall not wait */
    if (part.file < 0)
        return QBRT_CANNOT_OPEN;
    size_t size = 0;
    const void *file = map_file(&part, &size);
    enum qbrt_status status = QBRT_CANNOT_OPEN;
    if (file) {
        struct qbrt_host host = this_machine;
        host.map_code = map_from_file;
        host.context = &part;
        status = qbrt_open_memory(file, size, with_code ? &host : NULL, memory, bytes, out, detail);
    }
    int why = errno;
    if (!status) {
        (*out)->unmap_file = unmap_file;
        (*out)->host.context = NULL;
    } else if (file && size) {
        unmap_file(file, size);
    }
    close(part.file);
    errno = why;
    return status;
}

enum qbrt_status qbrt_open_file(const char *path, void *memory, size_t bytes,
                                struct qbrt_model **out, char *detail)
{
    return open_path(path, (struct part){.offset = 0}, true, memory, bytes, out, detail);
}

enum qbrt_status qbrt_open_facts(const char *path, void *memory, size_t bytes,
                                 struct qbrt_model **out, char *detail)
{
    return open_path(path, (struct part){.offset = 0}, false, memory, bytes, out, detail);
}

enum qbrt_status qbrt_open_part(const char *path, uint64_t offset, uint64_t part_bytes,
                                bool with_code, void *memory, size_t bytes, struct qbrt_model **out,
                                char *detail)
{
    struct part part = {.offset = offset, .bytes = part_bytes};
    return open_path(path, part, with_code, memory, bytes, out, detail);
}
