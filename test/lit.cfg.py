# lit: every .mlir and .test below passes/, import/, kernels/ and cli/ with its RUN lines.
import lit.formats

config.name = "qbc"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.excludes = ["models", "tools", "bench", "Inputs"]
config.environment["PATH"] = ":".join([config.qbc_bin, config.test_exec_root, config.llvm_bin, config.environment["PATH"]])
# MODEL.txt MODEL.onnx: an ONNX file from its text
config.substitutions.append(("%onnx_write", "/usr/bin/python3 " + config.test_source_root + "/tools/onnx_write.py"))
config.substitutions.append(("%models", config.test_source_root + "/models"))
config.substitutions.append(("%inner_loops", "/usr/bin/python3 " + config.test_source_root + "/tools/inner_loops.py"))
config.substitutions.append(("%shared", config.qbc_shared))
if config.has_shared:
    config.available_features.add("shared")
config.available_features.update(config.cpu_features)
