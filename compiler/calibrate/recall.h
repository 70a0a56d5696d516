/* recall.h: a calibration that -resume's folder holds whole, without the model being compiled and run again. */
#ifndef QBC_RECALL_H
#define QBC_RECALL_H

#include "calibrate.h"

/* What is known of all taps, their H's beside it (resume.h): kept when the last stage is done. */
void qbc_keep_taps(struct qbc *q, const struct qbc_calibration *c);
/* H's and peaks as if the text had been read. False: they are not all there. */
bool qbc_recall_taps(struct qbc *q, struct qbc_calibration *c);

#endif
