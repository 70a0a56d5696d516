/* status.c: what each status means, for people. */
#include "qbrt.h"

const char *qbrt_status_text(enum qbrt_status status)
{
    static const char *const text[] = {
        [QBRT_OK] = "all is well",
        [QBRT_CANNOT_OPEN] = "cannot open the file",
        [QBRT_NOT_QBM] = "not a .qbm artifact",
        [QBRT_NEWER] = "made by a newer qbc; a newer runtime is needed",
        [QBRT_DAMAGED] = "the artifact is damaged: cut or changed since it was made",
        [QBRT_NO_VARIANT] = "the artifact has no code for this CPU",
        [QBRT_BAD_CODE] = "the artifact's code image cannot be loaded",
        [QBRT_CANNOT_MAP] = "the system refuses to map the artifact's code",
        [QBRT_NO_ROOM] = "not enough memory",
        [QBRT_BAD_ALIGN] = "memory is not aligned to 64 bytes",
        [QBRT_BAD_ARGUMENT] = "an argument is missing or out of range",
        [QBRT_BAD_COUNT] = "no tokens, or more than the context has room for",
        [QBRT_BAD_TOKEN] = "a token is outside of the vocabulary",
        [QBRT_BAD_STATE] = "the saved state is damaged or of another model",
        [QBRT_NO_TOKENIZER] = "the artifact has no tokenizer",
        [QBRT_NO_THREADS] = "the system refuses to start a thread",
        [QBRT_BAD_INDEX] = "a number of an input picks what is not there",
        [QBRT_BAD_SHAPE] = "the numbers of the inputs ask for an impossible shape",
        [QBRT_BY_CHANCE] = "the inputs ask for training, which drops numbers at random; no compiled model does",
    };
    if ((unsigned)status >= sizeof text / sizeof *text || !text[status])
        return "unknown status";
    return text[status];
}
