/* within: an artifact within a budget. */
#include "make.h"

/* Formats are chosen, code is made for them, and then it is known what the file will have beside weights: if that is more
 * than was thought, or so much less that the budget is not used, they are chosen again. */
bool qbc_emit_within(struct qbc *q, MlirOperation graph, struct qbc_choice *choice)
{
    enum { MOST_ROUNDS = 8 };
    struct qbc_variant *variants = qbc_alloc(q, q->n_targets * sizeof *variants);
    struct qbc_artifact_size size = {0};
    bool good = true, settled = false;
    for (int round = 0; round <= MOST_ROUNDS && good && !settled; ++round) {
        good = (round < MOST_ROUNDS || qbc_choice_fall_back(choice)) && qbc_choice_make(q, choice);
        MlirOperation module = mlirOperationClone(graph);
        good = good && qbc_run_passes(q, module, "graph", "quant") && qbc_make_variants(q, module, "quant", variants) &&
               qbc_measure_artifact(q, variants, q->n_targets, &size);
        settled = round == MOST_ROUNDS || (good && qbc_choice_settled(choice, choice->whole_file ? size.file : size.weights));
        good = good && (!settled || qbc_emit_artifact(q, variants, q->n_targets));
        qbc_destroy_variants(q, variants);
        mlirOperationDestroy(module);
    }
    if (!settled && !q->errors)
        qbc_error_in(q, choice->budget, "cannot be met: code and facts alone leave no room for weights; try a larger one");
    return good && settled;
}
