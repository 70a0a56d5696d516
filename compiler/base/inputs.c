/* inputs: which files a compilation has read, for -depfile.
 *
 * Every opening of a file that is not written is noted here: the model, its external data, tokenizer.json, extensions,
 * the runtime that goes into a program.
 */
#include "base.h"

#include <string.h>

void qbc_note_input(struct qbc *q, const char *path)
{
    enum { FIRST = 8 };
    for (size_t i = 0; i < q->n_inputs; ++i)
        if (!strcmp(q->inputs[i], path))
            return;
    if (q->n_inputs == q->inputs_room) {
        size_t room = q->inputs_room ? 2 * q->inputs_room : FIRST;
        const char **grown = qbc_alloc(q, room * sizeof *grown);
        for (size_t i = 0; i < q->n_inputs; ++i)
            grown[i] = q->inputs[i];
        q->inputs = grown;
        q->inputs_room = room;
    }
    q->inputs[q->n_inputs++] = qbc_copy(q, path, strlen(path));
}
