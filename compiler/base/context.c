/* context: the MLIR context, with upstream's dialects and ours (dialects/qb.irdl.mlir). */
#include "base.h"

#include <mlir-c/Dialect/IRDL.h>
#include <mlir-c/RegisterEverything.h>
#include <stdio.h>

extern const char qbc_irdl_text[]; /* written by the build */

bool qbc_open(struct qbc *q)
{
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
    qbc_store_destroy(q->store);
    mlirContextDestroy(q->mlir);
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
    return mlirModuleCreateParseFromFile(q->mlir, qbc_str(path));
}
