/* own_model.c: is there a model behind this program? qbc -emit=exe puts one there: abi/program.h. */
#include "checksum.h"
#include "options.h"
#include "program.h"
#include "tool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void options_find_own_model(const char *program, struct options *out)
{
    uint8_t trailer[QBRT_PROGRAM_TRAILER_BYTES];
    struct stat about;
    int file = open(TOOL_OWN_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    bool read = fstat(file, &about) == 0 && about.st_size > QBRT_PROGRAM_TRAILER_BYTES &&
                pread(file, trailer, sizeof trailer, about.st_size - (off_t)sizeof trailer) ==
                    (ssize_t)sizeof trailer;
    close(file);
    if (!read || qbrt_checksum_word(trailer, 8) != QBRT_PROGRAM_MAGIC)
        return;
    uint64_t base = qbrt_checksum_word(trailer + 8, 8), bytes = qbrt_checksum_word(trailer + 16, 8);
    uint64_t end = (uint64_t)about.st_size - sizeof trailer;
    if (base % QBRT_PROGRAM_ALIGN || !bytes || base > end || bytes != end - base)
        return;
    out->model = program;
    out->own_offset = base;
    out->own_bytes = bytes;
}
