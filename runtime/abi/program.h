/* program.h: a program that brings its model (qbc -emit=exe).
 *
 *     0             the static qbrun, as it is
 *     BASE          an artifact (docs/qbm.md), at a multiple of any system's pages
 *     BASE + SIZE   this trailer, to the end of the file: magic, BASE, SIZE; 8 bytes each, little-endian
 */
#ifndef QBRT_PROGRAM_H
#define QBRT_PROGRAM_H

#include <stdint.h>

#define QBRT_PROGRAM_MAGIC UINT64_C(0x314c45444f4d4251) /* "QBMODEL1" */
enum { QBRT_PROGRAM_TRAILER_BYTES = 24, QBRT_PROGRAM_ALIGN = 65536 };

#endif
