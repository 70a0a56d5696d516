/* clones.h: one loop, compiled for several CPUs of an architecture; which one runs is found out when the program is loaded.
 *
 *     QBC_CLONES
 *     static float sum(const float *x, int n)
 *
 * Only for loops without fused multiply-adds whose order of sums is written out: all of them then compute the same bits.
 */
#ifndef QBC_CLONES_H
#define QBC_CLONES_H

#include <stdint.h> /* defines __GLIBC__ where that is the library */

#if defined __x86_64__ && defined __ELF__ && defined __GLIBC__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#define QBC_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define QBC_CLONES
#endif

#endif
