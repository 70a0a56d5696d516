/* passes.h: the passes, one function each; passes.def is the list, in the pipeline's order. */
#ifndef QBC_PASSES_H
#define QBC_PASSES_H

#include "base.h"

#define PASS(name, level, about) void qbc_pass_##name(struct qbc *q, MlirOperation module);
#include "passes.def"
#undef PASS

#endif
