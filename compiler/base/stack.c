/* stack: views of one shape, one after the other, as one source (base.h): the matrices of experts that a model holds one by one.
 *
 * Nothing is copied; rows are read from the view that they are of.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

const char *qbc_stack_add(struct qbc *q, const struct qbc_view *parts, size_t n)
{
    struct qbc_stack *s = qbc_alloc(q, sizeof *s);
    struct qbc_view *own = qbc_alloc(q, (n + 1) * sizeof *own);
    memcpy(own, parts, n * sizeof *own);
    *s = (struct qbc_stack){own, n, parts->rows, parts->cols};
    const char *name = qbc_text(q, "%s and %zu more", parts->source->name, n - 1);
    for (size_t i = 2; qbc_store_find(q, name); ++i)
        name = qbc_text(q, "%s and %zu more (%zu)", parts->source->name, n - 1, i);
    qbc_store_add(q, (struct qbc_source){.name = name, .element = QBC_F32, .rank = 2, .dims = {(int64_t)n * parts->rows, parts->cols}, .stack = s});
    return name;
}

/* Some columns of a row of one part. */
static void read_columns(const struct qbc_view *part, int64_t row, int64_t col, int64_t n, float *out)
{
    float *all = malloc((size_t)part->cols * sizeof *all);
    if (!all)
        abort(); /* as LLVM does; a row is small */
    qbc_view_read(part, row, 1, all);
    memcpy(out, all + col, (size_t)n * sizeof *out);
    free(all);
}

void qbc_stack_read(const struct qbc_stack *s, int64_t first, int64_t n, float *out)
{
    while (n > 0) {
        int64_t row = first / s->cols, col = first % s->cols, in_part = row % s->rows;
        const struct qbc_view *part = &s->parts[row / s->rows];
        int64_t rest = s->cols - col, now = n < rest ? n : rest, rows = n / s->cols;
        rows = rows < s->rows - in_part ? rows : s->rows - in_part;
        if (col == 0 && rows > 0) {
            qbc_view_read(part, in_part, rows, out);
            now = rows * s->cols;
        } else {
            read_columns(part, in_part, col, now, out);
        }
        first += now;
        out += now;
        n -= now;
    }
}

void qbc_stack_release(const struct qbc_stack *s)
{
    for (size_t i = 0; i < s->n; ++i)
        qbc_view_release(&s->parts[i]);
}
