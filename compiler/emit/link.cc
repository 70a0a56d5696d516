// link: lld as a library, which is C++ only; this file is its C face.
//
// Object and image are anonymous files in memory (memfd), so that nothing is left behind whatever
// happens. lld keeps globals: one link at a time.

#include <lld/Common/Driver.h>
#include <llvm/Support/raw_ostream.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

qbc_bytes read_all(const std::string &path)
{
    qbc_bytes bytes = {nullptr, 0};
    FILE *file = fopen(path.c_str(), "rb");
    struct stat status;
    if (file && !fstat(fileno(file), &status)) {
        bytes.size = static_cast<size_t>(status.st_size);
        bytes.data = static_cast<uint8_t *>(malloc(bytes.size + 1));
        if (bytes.data && fread(bytes.data, 1, bytes.size, file) != bytes.size) {
            free(bytes.data);
            bytes = {nullptr, 0};
        }
    }
    if (file)
        fclose(file);
    return bytes;
}

// A folder that is gone when this is: lld writes by renaming, which wants a real folder.
struct Folder {
    std::string path;
    Folder()
    {
        const char *base = getenv("TMPDIR");
        std::string name = std::string(base && *base ? base : "/tmp") + "/qbc-link-XXXXXX";
        if (mkdtemp(name.data()))
            path = name;
    }
    ~Folder()
    {
        if (path.empty())
            return;
        unlink((path + "/image").c_str());
        rmdir(path.c_str());
    }
};

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

extern "C" qbc_bytes qbc_link(struct qbc *q, qbc_bytes object)
{
    qbc_bytes none = {nullptr, 0};
    Folder folder;
    if (folder.path.empty()) {
        qbc_error_in(q, "link", "no room for temporary files: %s", strerror(errno));
        return none;
    }
    int in = qbc_memory_file(q, object.data, object.size);
    if (in < 0)
        return none;
    std::string input = path_of(in), output = folder.path + "/image";
    const char *args[] = {"ld.lld", "-shared", "-Bsymbolic", "--no-rosegment", "-z", "rodynamic", "-z", "norelro",
                          "--no-undefined", "--build-id=none", "--threads=1", "--hash-style=gnu", "-s", "-o",
                          output.c_str(), input.c_str(), nullptr};
    bool good = qbc_run_lld(q, args);
    close(in);
    return good ? read_all(output) : none;
}
