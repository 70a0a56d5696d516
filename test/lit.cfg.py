# lit: every .mlir and .test below passes/, import/, kernels/ and cli/ with its RUN lines.
import lit.formats

config.name = "qbc"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.excludes = ["models", "tools", "Inputs"]
config.environment["PATH"] = ":".join([config.qbc_bin, config.llvm_bin, config.environment["PATH"]])
config.substitutions.append(("%models", config.test_source_root + "/models"))
config.substitutions.append(("%shared", config.qbc_shared))
if config.has_shared:
    config.available_features.add("shared")
config.available_features.update(config.cpu_features)
