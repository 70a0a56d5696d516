// link: lld as a library, which is C++ only; this file is its C face.
//
// The object is a file in memory (memfd), the image comes out of a pipe, so that nothing is left behind whatever
// happens. (For a real file lld would also take the process's signal handlers, to clean up.) lld keeps globals: one
// link at a time.

#include <lld/Common/Driver.h>
#include <llvm/Support/raw_ostream.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

extern "C" {
#include "emit.h"
}

LLD_HAS_DRIVER(elf)

namespace {

std::string path_of(int file)
{
    return "/proc/self/fd/" + std::to_string(file);
}

bool write_all(int file, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(file, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

struct Reader {
    int pipe;
    qbc_bytes bytes;
};

// All that comes out of a pipe, in malloc'ed memory; a thread's function.
void *read_all(void *user)
{
    Reader *r = static_cast<Reader *>(user);
    size_t room = 0;
    bool memory = true;
    for (;;) {
        if (memory && r->bytes.size == room) {
            room = room ? 2 * room : 1 << 16;
            void *grown = realloc(r->bytes.data, room);
            memory = grown != nullptr;
            r->bytes.data = memory ? static_cast<uint8_t *>(grown) : r->bytes.data;
        }
        char rest[4096]; // without memory the pipe is emptied all the same, or lld would wait for ever
        ssize_t n = memory ? read(r->pipe, r->bytes.data + r->bytes.size, room - r->bytes.size)
                           : read(r->pipe, rest, sizeof rest);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        r->bytes.size += memory ? static_cast<size_t>(n) : 0;
    }
    if (!memory) {
        free(r->bytes.data);
        r->bytes = {nullptr, 0};
    }
    return nullptr;
}

} // namespace

extern "C" bool qbc_run_lld(struct qbc *q, const char *const *arguments)
{
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    std::vector<const char *> args;
    for (; *arguments; ++arguments)
        args.push_back(*arguments);
    std::string log;
    llvm::raw_string_ostream errors(log);
    lld::Result result = lld::lldMain(args, llvm::nulls(), errors, {{lld::Gnu, &lld::elf::link}});
    if (result.retCode)
        qbc_error_in(q, "link", "%s", log.c_str());
    return !result.retCode;
}

extern "C" int qbc_memory_file(struct qbc *q, const void *data, size_t size)
{
    int file = memfd_create("qbc", MFD_CLOEXEC);
    if (file >= 0 && write_all(file, static_cast<const uint8_t *>(data), size))
        return file;
    qbc_error_in(q, "link", "no room for temporary files: %s", strerror(errno));
    if (file >= 0)
        close(file);
    return -1;
}

// The image of the object in file `in`; nothing after an error, reported.
static qbc_bytes image_of(struct qbc *q, int in)
{
    int ends[2];
    pthread_t thread;
    Reader reader = {-1, {nullptr, 0}};
    if (pipe2(ends, O_CLOEXEC)) {
        qbc_error_in(q, "link", "no pipe: %s", strerror(errno));
        return reader.bytes;
    }
    std::string input = path_of(in), output = path_of(ends[1]);
    const char *args[] = {"ld.lld", "-shared", "-Bsymbolic", "--no-rosegment", "-z", "rodynamic", "-z", "norelro",
                          "--no-undefined", "--build-id=none", "--threads=1", "--hash-style=gnu", "-s", "-o",
                          output.c_str(), input.c_str(), nullptr};
    reader.pipe = ends[0];
    int why = pthread_create(&thread, nullptr, read_all, &reader);
    if (why)
        qbc_error_in(q, "link", "no thread: %s", strerror(why));
    bool good = !why && qbc_run_lld(q, args);
    close(ends[1]);
    if (!why)
        pthread_join(thread, nullptr);
    close(ends[0]);
    if (good && !reader.bytes.size)
        qbc_error_in(q, "link", "no memory for the image");
    if (!good) {
        free(reader.bytes.data);
        reader.bytes = {nullptr, 0};
    }
    return reader.bytes;
}

extern "C" qbc_bytes qbc_link(struct qbc *q, qbc_bytes object)
{
    int in = qbc_memory_file(q, object.data, object.size);
    if (in < 0)
        return {nullptr, 0};
    qbc_bytes image = image_of(q, in);
    close(in);
    return image;
}
