/* hessian_dump: what calibration saw, for tests.
 *
 *   hessian_dump MODEL.onnx TOKENS.npy COLUMNS NAME...     H of the input of each weight: f32 [COLUMNS][COLUMNS] to the
 *                                                          standard output, one after the other
 */
#include "calibrate.h"
#include "hessians.h"
#include "import.h"
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>

static bool dump(struct qbc *q, MlirOperation module, int64_t cols, char **names)
{
    struct qbc_calibration c = {.n_measure = 0};
    if (!qbc_run_passes(q, module, "onnx", "graph") || !qbc_calibrate(q, module, &c))
        return false;
    for (; *names; ++names) {
        const float *h = qbc_hessian_find(q, *names, cols);
        if (!h) {
            fprintf(stderr, "hessian_dump: nothing was seen of '%s' with %ld columns\n", *names, (long)cols);
            return false;
        }
        fwrite(h, sizeof *h, (size_t)(cols * cols), stdout);
    }
    qbc_calibration_destroy(&c);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return fputs("hessian_dump MODEL.onnx TOKENS.npy COLUMNS NAME...\n", stderr), 2;
    struct qbc q = {.options = {.input = argv[1], .calib = argv[2], .target = "native", .diagnose = qbc_print_diagnostic}};
    qbc_options_complete(&q);
    bool good = qbc_passes_open(&q) && qbc_choose_target(&q) && qbc_open(&q);
    MlirModule module = good ? qbc_import_onnx(&q, argv[1]) : (MlirModule){NULL};
    good = good && !mlirModuleIsNull(module) &&
           dump(&q, mlirModuleGetOperation(module), strtoll(argv[3], NULL, 10), argv + 4);
    qbc_hessians_destroy(&q);
    if (!mlirModuleIsNull(module))
        mlirModuleDestroy(module);
    qbc_close(&q);
    return good ? 0 : 1;
}
