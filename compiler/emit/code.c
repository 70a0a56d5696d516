/* code: MLIR's dialects to LLVM's, LLVM IR, and machine code. */
#include "emit.h"
#include "target.h"

#include <llvm-c/Core.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <mlir-c/Pass.h>
#include <mlir-c/RegisterEverything.h>
#include <mlir-c/Target/LLVMIR.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char pipeline[] =
    "canonicalize,cse,convert-scf-to-cf,convert-vector-to-llvm,convert-math-to-llvm,convert-arith-to-llvm,"
    "convert-func-to-llvm,convert-cf-to-llvm,convert-index-to-llvm,reconcile-unrealized-casts";

static void report(MlirStringRef text, void *user)
{
    struct qbc *q = user;
    qbc_error_in(q, "qbc", "%.*s", (int)text.length, text.data);
}

bool qbc_lower_to_llvm(struct qbc *q, MlirOperation module)
{
    MlirPassManager passes = mlirPassManagerCreate(q->mlir);
    bool good = mlirLogicalResultIsSuccess(mlirOpPassManagerAddPipeline(
                    mlirPassManagerGetAsOpPassManager(passes), qbc_str(pipeline), report, q)) &&
                mlirLogicalResultIsSuccess(mlirPassManagerRunOnOp(passes, module));
    mlirPassManagerDestroy(passes);
    if (!good && !q->errors)
        qbc_error_in(q, "qbc", "the kernels do not lower to LLVM; this is a bug in qbc");
    return good;
}

static LLVMTargetMachineRef machine_for(struct qbc *q)
{
    const struct qbc_target *t = q->target;
    LLVMTargetRef target;
    char *error = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &error)) {
        qbc_error_in(q, t->name, "LLVM has no such target: %s", error);
        LLVMDisposeMessage(error);
        return NULL;
    }
    const char *features = t->avoid ? qbc_text(q, "%s,%s", t->features, t->avoid) : t->features;
    return LLVMCreateTargetMachine(target, t->triple, t->cpu, features, q->quick ? LLVMCodeGenLevelLess : LLVMCodeGenLevelAggressive,
                                   LLVMRelocPIC, LLVMCodeModelDefault);
}

static void add_attribute(LLVMValueRef function, const char *name, const char *value)
{
    LLVMContextRef context = LLVMGetModuleContext(LLVMGetGlobalParent(function));
    LLVMAttributeRef a = LLVMCreateStringAttribute(context, name, (unsigned)strlen(name), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, a);
}

static void add_flag(LLVMValueRef function, const char *name)
{
    LLVMContextRef context = LLVMGetModuleContext(LLVMGetGlobalParent(function));
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(context, kind, 0));
}

/* An image has no library: loops must not become calls of memcpy or memset. Wide vectors are meant. */
static void set_attributes(struct qbc *q, LLVMModuleRef code)
{
    char bits[16];
    snprintf(bits, sizeof bits, "%d", q->target->vector_bits);
    for (LLVMValueRef f = LLVMGetFirstFunction(code); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f))
            continue;
        add_attribute(f, "no-builtins", "");
        add_attribute(f, "prefer-vector-width", bits);
        add_attribute(f, "min-legal-vector-width", bits);
        if (q->target->tune)
            add_attribute(f, "tune-cpu", q->target->tune);
        add_flag(f, "nounwind");
        if (LLVMGetLinkage(f) != LLVMExternalLinkage)
            add_flag(f, "noinline"); /* a kernel is called once a layer */
    }
}

/* What others see gets the prefix: decode becomes model_decode. */
static void set_prefix(struct qbc *q, LLVMModuleRef code)
{
    for (LLVMValueRef f = LLVMGetFirstFunction(code); f && q->options.prefix; f = LLVMGetNextFunction(f)) {
        size_t length;
        const char *name = LLVMGetValueName2(f, &length);
        if (LLVMIsDeclaration(f) || LLVMGetLinkage(f) != LLVMExternalLinkage)
            continue;
        name = qbc_text(q, "%s_%s", q->options.prefix, name);
        LLVMSetValueName2(f, name, strlen(name));
    }
}

static struct qbc_bytes copy(const char *data, size_t size)
{
    struct qbc_bytes bytes = {malloc(size ? size : 1), size};
    if (bytes.data && size)
        memcpy(bytes.data, data, size);
    return bytes;
}

static struct qbc_bytes machine_code(struct qbc *q, LLVMTargetMachineRef machine, LLVMModuleRef code,
                                     enum qbc_code what)
{
    LLVMMemoryBufferRef buffer = NULL;
    char *error = NULL;
    LLVMCodeGenFileType type = what == QBC_CODE_ASM ? LLVMAssemblyFile : LLVMObjectFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, code, type, &error, &buffer)) {
        qbc_error_in(q, q->target->name, "code generation failed: %s", error);
        LLVMDisposeMessage(error);
        return (struct qbc_bytes){0};
    }
    struct qbc_bytes bytes = copy(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    LLVMDisposeMemoryBuffer(buffer);
    return bytes;
}

static struct qbc_bytes optimized(struct qbc *q, LLVMTargetMachineRef machine, LLVMModuleRef code,
                                  enum qbc_code what)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failed = LLVMRunPasses(code, q->quick ? "default<O1>" : "default<O3>", machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (failed) {
        char *text = LLVMGetErrorMessage(failed);
        qbc_error_in(q, "qbc", "LLVM's optimizer failed: %s", text);
        LLVMDisposeErrorMessage(text);
        return (struct qbc_bytes){0};
    }
    if (what != QBC_CODE_LLVM)
        return machine_code(q, machine, code, what);
    char *text = LLVMPrintModuleToString(code);
    struct qbc_bytes bytes = copy(text, strlen(text));
    LLVMDisposeMessage(text);
    return bytes;
}

/* LLVM would print what it has to say, and end the process after an error. */
static void report_llvm(LLVMDiagnosticInfoRef info, void *user)
{
    struct qbc *q = user;
    char *text = LLVMGetDiagInfoDescription(info);
    LLVMDiagnosticSeverity severity = LLVMGetDiagInfoSeverity(info);
    if (severity == LLVMDSError)
        qbc_error_in(q, q->target->name, "LLVM: %s", text);
    else if (severity == LLVMDSWarning)
        qbc_warn_in(q, q->target->name, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

static LLVMContextRef create_context(struct qbc *q)
{
    LLVMContextRef context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(context, report_llvm, q);
    return context;
}

/* `code` becomes bytes of the kind `what`, and is gone. What was made in spite of an error is of no use. */
static struct qbc_bytes finish(struct qbc *q, LLVMTargetMachineRef machine, LLVMModuleRef code, enum qbc_code what)
{
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(code, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(code, q->target->triple);
    set_attributes(q, code);
    size_t before = q->errors;
    struct qbc_bytes bytes = optimized(q, machine, code, what);
    LLVMDisposeModule(code);
    if (q->errors == before)
        return bytes;
    free(bytes.data);
    return (struct qbc_bytes){0};
}

struct qbc_bytes qbc_emit_code(struct qbc *q, MlirOperation module, enum qbc_code what)
{
    struct qbc_bytes bytes = {0};
    LLVMTargetMachineRef machine = machine_for(q);
    if (!machine)
        return bytes;
    mlirRegisterAllLLVMTranslations(q->mlir);
    LLVMContextRef context = create_context(q);
    LLVMModuleRef code = mlirTranslateModuleToLLVMIR(module, context);
    if (code) {
        set_prefix(q, code);
        bytes = finish(q, machine, code, what);
    } else {
        qbc_error_in(q, "qbc", "the module does not translate to LLVM IR; this is a bug in qbc");
    }
    LLVMContextDispose(context);
    LLVMDisposeTargetMachine(machine);
    return bytes;
}

struct qbc_bytes qbc_compile_ir(struct qbc *q, const char *text)
{
    struct qbc_bytes bytes = {0};
    LLVMTargetMachineRef machine = machine_for(q);
    if (!machine)
        return bytes;
    LLVMContextRef context = create_context(q);
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, strlen(text), "ir");
    LLVMModuleRef code = NULL;
    char *error = NULL;
    if (LLVMParseIRInContext(context, buffer, &code, &error)) /* takes the buffer */
        qbc_error_in(q, "qbc", "internal error: %s", error);
    else
        bytes = finish(q, machine, code, QBC_CODE_OBJ);
    LLVMDisposeMessage(error);
    LLVMContextDispose(context);
    LLVMDisposeTargetMachine(machine);
    return bytes;
}
