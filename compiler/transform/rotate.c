/* rotate: rotations that nothing is learned for. passes/insert_rotations.c knows where they go. */
#include "pipeline.h"
#include "transform.h"

void qbc_transform_rotate(struct qbc *q, MlirOperation graph, const struct qbc_transform *self)
{
    qbc_set_string(q, graph, "qb.rotations", self->where);
    qbc_pass_run(q, qbc_find_pass(q, "insert-rotations"), graph);
}
