/* image.h: what of an ELF image is loaded, and whether it may be. */
#ifndef QBRT_IMAGE_H
#define QBRT_IMAGE_H

#include "qbrt.h"

enum { IMAGE_MOST_SEGMENTS = 8 };

struct image_segment {
    uint64_t address, offset, bytes; /* virtual address, place in the image */
    bool is_code;
};

struct image {
    uint64_t span; /* bytes from address 0 to the end of the last segment */
    size_t n_segments;
    struct image_segment segment[IMAGE_MOST_SEGMENTS]; /* by rising address */
};

/* Returns QBRT_OK or QBRT_BAD_CODE. `bytes` may be read wherever they lie. */
enum qbrt_status image_check(struct image *image, const uint8_t *bytes, uint64_t size,
                             uint16_t machine, char *detail);
bool image_holds_code(const struct image *image, uint64_t address);

#endif
