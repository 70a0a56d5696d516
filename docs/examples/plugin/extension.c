/* extension: what this shared object brings; the one name that it exports. */
#include "house.h"

static const struct qbc_target *const targets[] = {&house_target};
static const struct qbc_format *const formats[] = {&house_format};
static const struct qbc_extension_pass passes[] = {
    {
        .pass = {.name = "house-first-block",
                 .about = "the house format for the first block's down projection",
                 .run = house_pass},
        .after = "assign-formats",
    },
};

const struct qbc_extension qbc_extension = {
    .version = QBC_VERSION,
    .name = "house",
    .targets = targets,
    .n_targets = sizeof targets / sizeof *targets,
    .formats = formats,
    .n_formats = sizeof formats / sizeof *formats,
    .passes = passes,
    .n_passes = sizeof passes / sizeof *passes,
};
