/* json.h: reading JSON files with cJSON, strings with NUL characters included.
 *
 * cJSON ends strings at a NUL. The reader therefore spells the escape \u0000 as the bytes C0 80,
 * which no UTF-8 text has, and qbc_json_text turns them back.
 */
#ifndef QBC_JSON_H
#define QBC_JSON_H

#include "base.h"

#include <cjson/cJSON.h>

/* A text of known length; it also ends with a NUL. */
struct qbc_json_text {
    const char *data;
    size_t length;
};

/* The bytes of a file with a final NUL, from malloc; NULL after an error. */
char *qbc_json_read_bytes(struct qbc *q, const char *path, size_t *length);

/* Parse a file; the caller deletes the result with cJSON_Delete. NULL after an error that names
 * file, line and column. */
cJSON *qbc_json_read(struct qbc *q, const char *path);

/* The same for one text in memory, without an error message; NULL when it is no JSON. */
cJSON *qbc_json_parse(struct qbc *q, const char *text, size_t length);

/* A string as cJSON holds it (valuestring, or string for a key), in the arena of `q`. NULL gives an
 * empty text. */
struct qbc_json_text qbc_json_text(struct qbc *q, const char *string);

/* Members: NULL, or the fallback, when absent or null or of another type. */
const cJSON *qbc_json_member(const cJSON *object, const char *name);
const char *qbc_json_string(const cJSON *object, const char *name); /* as cJSON holds it */
bool qbc_json_bool(const cJSON *object, const char *name, bool fallback);

#endif
