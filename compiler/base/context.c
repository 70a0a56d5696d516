/* context: the MLIR context, with upstream's dialects and ours (dialects/qb.irdl.mlir). */
#include "changes.h"
#include "extension.h"

#include <mlir-c/Dialect/IRDL.h>
#include <mlir-c/RegisterEverything.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdio.h>

extern const char qbc_irdl_text[]; /* written by the build */

static void initialize(void)
{
    mlirRegisterAllPasses();
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
}

/* Two threads must not fill the tables at once. */
void qbc_initialize_llvm(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize);
}

bool qbc_open(struct qbc *q)
{
    qbc_initialize_llvm();
    q->mlir = mlirContextCreate();
    MlirDialectRegistry registry = mlirDialectRegistryCreate();
    mlirRegisterAllDialects(registry);
    mlirContextAppendDialectRegistry(q->mlir, registry);
    mlirDialectRegistryDestroy(registry);
    mlirContextLoadAllAvailableDialects(q->mlir);
    mlirContextSetAllowUnregisteredDialects(q->mlir, true); /* level 0: onnx.* */
    qbc_diagnostics_attach(q);

    MlirModule dialect = mlirModuleCreateParse(q->mlir, qbc_str(qbc_irdl_text));
    bool good = !mlirModuleIsNull(dialect) &&
                mlirLogicalResultIsSuccess(mlirLoadIRDLDialects(dialect));
    if (!mlirModuleIsNull(dialect))
        mlirModuleDestroy(dialect);
    if (!good)
        qbc_error_in(q, "qbc", "dialects/qb.irdl.mlir does not load");
    q->store = qbc_store_create(q);
    return good;
}

void qbc_close(struct qbc *q)
{
    qbc_changes_destroy(q->changes);
    qbc_store_destroy(q->store);
    mlirContextDestroy(q->mlir);
    q->store = NULL;
    qbc_extensions_close(q);
    q->passes = NULL;
    qbc_arena_free(q);
}

MlirModule qbc_parse_file(struct qbc *q, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        qbc_error_in(q, path, "cannot be opened");
        return (MlirModule){NULL};
    }
    fclose(file);
    qbc_note_input(q, path);
    MlirModule module = mlirModuleCreateParseFromFile(q->mlir, qbc_str(path));
    if (!mlirModuleIsNull(module))
        qbc_matrices_take(q, mlirModuleGetOperation(module));
    return module;
}
