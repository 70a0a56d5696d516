/* house.h: the parts of this extension. */
#ifndef HOUSE_H
#define HOUSE_H

#include <qbc/extension.h>
#include <qbc/format.h>
#include <qbc/target.h>

extern const struct qbc_format house_format;
extern const struct qbc_target house_target;
void house_pass(struct qbc *q, MlirOperation module);

#endif
