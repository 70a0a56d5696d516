/* kept.h: the folder of -resume: what a compilation has worked out so far, for the next one that is asked for the same. Files
 * appear in it whole or not at all. Without -resume nothing is kept or found.
 */
#ifndef QBC_KEPT_H
#define QBC_KEPT_H

#include "base.h"

/* Make the folder, or see that it is of the same model, texts and options that matter. False after an error. */
bool qbc_kept_open(struct qbc *q);
bool qbc_keeps(const struct qbc *q);

/* What was kept under a name: mapped as long as `q`; NULL: nothing. */
const void *qbc_kept_find(struct qbc *q, const char *name, size_t *bytes);
void qbc_kept_release(const void *data, size_t bytes); /* or until then; NULL: nothing */

/* Keep something: pieces from any thread, at offsets; then `end`, which says whether it was all. A full disk costs nothing but
 * what is kept: a warning. */
struct qbc_keeper;
struct qbc_keeper *qbc_kept_begin(struct qbc *q, const char *name); /* NULL: nothing is kept */
void qbc_kept_write(struct qbc_keeper *keeper, size_t offset, const void *bytes, size_t n);
void qbc_kept_end(struct qbc *q, struct qbc_keeper *keeper, bool whole);
/* All at once. */
void qbc_kept_put(struct qbc *q, const char *name, const void *bytes, size_t n);
void qbc_kept_remove(struct qbc *q, const char *name);

#endif
