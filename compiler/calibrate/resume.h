/* resume.h: calibration and measurements in the folder of -resume, stage by stage. */
#ifndef QBC_RESUME_H
#define QBC_RESUME_H

#include "measure.h"

/* Values on their way through the stages: f32 [n]; in malloc'ed memory. */
struct qbc_values {
    float *data;
    size_t n;
};

/* What is known after stage i: its H's, peaks, values before it for measurements, and the values behind it. */
void qbc_keep_stage(struct qbc *q, const struct qbc_calibration *c, size_t i, const struct qbc_values *behind, size_t n);
/* The stages that need not be run again, from the first on: all that is known of them is read, and the values behind the last
 * of them, size(c, stage, k) in behind[k]. False after an error. */
bool qbc_find_stages(struct qbc *q, struct qbc_calibration *c, size_t *done, struct qbc_values *behind, size_t n,
                     size_t (*size)(const struct qbc_calibration *c, size_t stage, size_t which));

/* The H that was kept for the first of these weights becomes that of all of them. False: there is none of this size. */
bool qbc_recall_h(struct qbc *q, const char *const *weights, size_t n, int64_t cols);

/* Losses of all candidates. */
void qbc_keep_losses(struct qbc *q, const struct qbc_items *items);
bool qbc_find_losses(struct qbc *q, struct qbc_items *items); /* false: they were not kept */

#endif
