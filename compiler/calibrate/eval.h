/* eval.h: the text that quality is told on. It shares nothing with the text that was learned from. */
#ifndef QBC_EVAL_H
#define QBC_EVAL_H

#include "tokens.h"

/* -eval's windows, at most `most` tokens; it is an error where they say again what the windows to learn from say. Without
 * -eval every fourth window is taken out of these. False after an error. */
bool qbc_eval_read(struct qbc *q, const struct qbc_reading *how, size_t most, struct qbc_windows *learn,
                   struct qbc_windows *out);
/* How many tokens a model of this size may be judged on in minutes. */
size_t qbc_affordable_tokens(struct qbc *q, MlirOperation graph);

#endif
