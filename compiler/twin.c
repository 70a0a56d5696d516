/* twin: an artifact for another machine cannot be run here, and one that is only considered need not be written: the same
 * formats and codes, with code for this machine, in a nameless file.
 */
#include "make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The twin into `file`. */
static bool write_twin(struct qbc *q, MlirOperation graph, FILE *file)
{
    struct qbc_variant variant;
    MlirOperation module = mlirOperationClone(graph);
    struct qbc_options was = q->options;
    const struct qbc_target **targets = q->targets, *target = q->target, *native = qbc_native_target(q);
    size_t n_targets = q->n_targets;
    q->options.output = qbc_text(q, "/proc/self/fd/%d", fileno(file));
    q->options.emit = "qbm";
    q->options.prefix = NULL;
    q->target = native;
    q->targets = &native;
    q->n_targets = 1;
    bool good = native && qbc_run_passes(q, module, "graph", "quant") && qbc_make_variants(q, module, "quant", &variant);
    good = good && qbc_emit_artifact(q, &variant, 1);
    if (native)
        qbc_destroy_variants(q, &variant);
    mlirOperationDestroy(module);
    q->options = was;
    q->targets = targets;
    q->n_targets = n_targets;
    q->target = target;
    return good;
}

bool qbc_judge_twin(struct qbc *q, MlirOperation graph, struct qbc_learned *learned)
{
    FILE *file = tmpfile();
    if (!file) {
        qbc_error_in(q, "-eval", "no room in the folder of temporary files (TMPDIR): %s", strerror(errno));
        return false;
    }
    bool good = write_twin(q, graph, file) && qbc_judge(q, &learned->calibration, fileno(file), &learned->quality);
    fclose(file);
    return good;
}

bool qbc_judge_output(struct qbc *q, MlirOperation graph, struct qbc_learned *learned)
{
    int file = strcmp(q->options.emit, "qbm") ? -1 : open(q->options.output, O_RDONLY | O_CLOEXEC);
    bool good = file < 0 || qbc_judge(q, &learned->calibration, file, &learned->quality), here = file >= 0;
    if (here)
        close(file);
    here = here && learned->quality.predictions;
    return good && (here || qbc_judge_twin(q, graph, learned));
}
