/* npy_inside.h: what the readers of .npy share. */
#ifndef QBRUN_NPY_INSIDE_H
#define QBRUN_NPY_INSIDE_H

#include "npy.h"
#include <stdio.h>

/* Up to the data. NULL when all is well. */
const char *npy_read_header(FILE *f, struct npy_header *h);

#endif
