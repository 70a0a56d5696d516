/* import_dump: what the front end makes of a model.
 *
 *   import_dump MODEL.onnx          level-0 IR
 *   import_dump MODEL.onnx T P [N]  every value's shape, and its first N (12) numbers where it has
 * some
 */
#include "evaluate.h"
#include "import.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void print(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

static void show(const struct qbc_array *a, size_t most)
{
    printf("  [");
    for (size_t d = 0; d < a->rank; ++d)
        printf("%s%lld", d ? ", " : "", (long long)a->dims[d]);
    printf("]");
    for (size_t i = 0; a->known && i < a->n && i < most; ++i) {
        if (a->f)
            printf(" %.9g", (double)a->f[i]);
        else
            printf(" %lld", (long long)a->i[i]);
    }
    puts(a->known ? a->n > most ? " ..." : "" : " ?");
}

static int evaluate_all(struct qbc *q, MlirOperation module, int64_t tokens, int64_t past,
                        size_t most)
{
    MlirOperation func = qbc_find_func(module, "main"), where;
    struct qbc_ops ops = qbc_collect(q, func, NULL);
    struct qbc_evaluation *e = qbc_evaluation_create(q, func, tokens, past);
    struct timespec start, end;
    size_t failed = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    MlirOperation end_of_function = mlirBlockGetTerminator(qbc_func_body(func));
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(end_of_function); ++i)
        qbc_evaluate(e, mlirOperationGetOperand(end_of_function, i));
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (size_t i = 0; i < ops.n; ++i)
        for (intptr_t k = 0; k < mlirOperationGetNumResults(ops.op[i]); ++k) {
            if (qbc_is(ops.op[i], "onnx.None") || qbc_is(ops.op[i], "qb.weight"))
                continue;
            const struct qbc_array *a = qbc_evaluate(e, mlirOperationGetResult(ops.op[i], k));
            mlirLocationPrint(mlirOperationGetLocation(ops.op[i]), print, stdout);
            printf(" %s %ld:", qbc_op_name(ops.op[i]), (long)k);
            if (a) {
                show(a, most);
            } else {
                printf(" PROBLEM %s", qbc_evaluation_problem(e, &where));
                puts(mlirOperationEqual(where, ops.op[i]) ? "" : " (before)");
                ++failed;
            }
        }
    qbc_evaluation_destroy(e);
    printf("%zu operations, %zu values without shape, %.2f ms\n", ops.n, failed,
           (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);
    return failed != 0;
}

int main(int argc, char **argv)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    if (argc < 2 || argc == 3 || argc > 5)
        return fprintf(stderr, "import_dump MODEL.onnx [T P [N]]\n"), 1;
    if (!qbc_open(&q))
        return 1;
    MlirModule module = qbc_import_onnx(&q, argv[1]);
    int status = mlirModuleIsNull(module);
    if (!status && !mlirOperationVerify(mlirModuleGetOperation(module)))
        status = 1;
    if (!status && argc > 3)
        status = evaluate_all(&q, mlirModuleGetOperation(module), atol(argv[2]), atol(argv[3]),
                              argc > 4 ? (size_t)atol(argv[4]) : 12);
    else if (!status)
        mlirOperationPrint(mlirModuleGetOperation(module), print, stdout);
    if (!mlirModuleIsNull(module))
        mlirModuleDestroy(module);
    qbc_close(&q);
    return status;
}
