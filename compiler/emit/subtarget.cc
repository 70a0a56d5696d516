// subtarget: LLVM's tables of CPUs and features, which have no C interface; see cpu_features.h.

#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/TargetParser/Triple.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

extern "C" {
#include "cpu_features.h"
}

namespace {

std::unique_ptr<llvm::MCSubtargetInfo> subtarget(const char *triple, const char *cpu, const char *features)
{
    qbc_initialize_llvm();
    std::string error;
    llvm::Triple parsed(llvm::Triple::normalize(triple));
    const llvm::Target *target = llvm::TargetRegistry::lookupTarget(parsed, error);
    return std::unique_ptr<llvm::MCSubtargetInfo>(
        target ? target->createMCSubtargetInfo(parsed, cpu, features) : nullptr);
}

bool is_usual(llvm::Triple::EnvironmentType environment)
{
    switch (environment) {
    case llvm::Triple::UnknownEnvironment:
    case llvm::Triple::GNU:
    case llvm::Triple::Musl:
    case llvm::Triple::Android:
        return true;
    default:
        return false;
    }
}

} // namespace

extern "C" bool qbc_triple_read(const char *text, struct qbc_triple *out)
{
    llvm::Triple t(llvm::Triple::normalize(text));
    bool linux_or_none = t.getOS() == llvm::Triple::Linux || t.getOS() == llvm::Triple::UnknownOS;
    snprintf(out->arch, sizeof out->arch, "%s", llvm::Triple::getArchTypeName(t.getArch()).str().c_str());
    const char *rest = strchr(text, '-');
    snprintf(out->text, sizeof out->text, "%s%s", out->arch, rest ? rest : "-none");
    out->is_ordinary =
        linux_or_none && t.isOSBinFormatELF() && t.isArch64Bit() && is_usual(t.getEnvironment());
    return t.getArch() != llvm::Triple::UnknownArch;
}

extern "C" void qbc_llvm_enabled(const char *triple, const char *cpu, const char *features, const char *const *names,
                                 size_t n, bool *enabled)
{
    auto info = subtarget(triple, cpu, features);
    for (size_t i = 0; i < n; ++i)
        enabled[i] = false;
    if (!info)
        return;
    for (const auto &known : info->getAllProcessorFeatures())
        for (size_t i = 0; i < n; ++i)
            if (std::string(known.Key) == names[i])
                enabled[i] = info->hasFeature(known.Value);
}

extern "C" bool qbc_llvm_is_cpu(const char *triple, const char *cpu)
{
    auto info = subtarget(triple, "", "");
    return info && info->isCPUStringValid(cpu);
}

extern "C" bool qbc_llvm_is_feature(const char *triple, const char *feature)
{
    auto info = subtarget(triple, "", "");
    if (!info)
        return false;
    for (const auto &known : info->getAllProcessorFeatures())
        if (std::string(known.Key) == feature)
            return true;
    return false;
}

template <typename Rows> static size_t list_keys(const Rows &rows, const char **names, size_t most)
{
    size_t n = 0;
    for (const auto &row : rows)
        if (n < most)
            names[n++] = row.Key;
    return n;
}

extern "C" size_t qbc_llvm_cpus(const char *triple, const char **names, size_t most)
{
    auto info = subtarget(triple, "", "");
    return info ? list_keys(info->getAllProcessorDescriptions(), names, most) : 0;
}

extern "C" size_t qbc_llvm_features(const char *triple, const char **names, size_t most)
{
    auto info = subtarget(triple, "", "");
    return info ? list_keys(info->getAllProcessorFeatures(), names, most) : 0;
}
