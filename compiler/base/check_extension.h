/* check_extension.h: rows of an extension, held against what the compiler expects of its own. Errors are reported. */
#ifndef QBC_CHECK_EXTENSION_H
#define QBC_CHECK_EXTENSION_H

#include "extension.h"

void qbc_check_format(struct qbc *q, const char *extension, const struct qbc_format *f);
void qbc_check_target(struct qbc *q, const char *extension, const struct qbc_target *t);

#endif
