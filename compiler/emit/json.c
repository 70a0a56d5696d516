/* json.c: reading JSON files. See json.h. */
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char escaped_nul[] = "\\u0000";
static const char marked_nul[] = "\xc0\x80";

/* Respell \u0000 where the backslash is not itself escaped. Returns the new length. */
static size_t mark_nul(char *text, size_t length)
{
    size_t out = 0, step;
    for (size_t i = 0; i < length; i += step) {
        size_t left = length - i, marked = 0;
        step = text[i] == '\\' && left > 1 ? 2 : 1;
        if (left >= sizeof escaped_nul - 1 &&
            !memcmp(text + i, escaped_nul, sizeof escaped_nul - 1)) {
            step = sizeof escaped_nul - 1;
            marked = sizeof marked_nul - 1;
            memcpy(text + out, marked_nul, marked);
        } else {
            memmove(text + out, text + i, step);
        }
        out += marked ? marked : step;
    }
    text[out] = 0;
    return out;
}

char *qbc_json_read_bytes(struct qbc *q, const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    long size = -1;
    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0)
        text = malloc((size_t)size + 1);
    if (text && fread(text, 1, (size_t)size, file) != (size_t)size) {
        free(text);
        text = NULL;
    }
    if (!text)
        qbc_error_in(q, path, "cannot be read: %s", strerror(errno ? errno : EIO));
    else
        text[size] = 0, qbc_note_input(q, path);
    if (file)
        fclose(file);
    *length = text ? (size_t)size : 0;
    return text;
}

cJSON *qbc_json_read(struct qbc *q, const char *path)
{
    size_t length;
    const char *end = NULL;
    char *text = qbc_json_read_bytes(q, path, &length);
    if (!text)
        return NULL;
    length = mark_nul(text, length);
    cJSON *root = cJSON_ParseWithLengthOpts(text, length + 1, &end, true);
    if (!root) {
        size_t line = 1, column = 1;
        for (const char *p = text; end && p < end && p < text + length; p++, column++)
            if (*p == '\n') {
                line++;
                column = 0;
            }
        qbc_error_in(q, path, "no valid JSON at line %zu, column %zu", line, column);
    }
    free(text);
    return root;
}

cJSON *qbc_json_parse(struct qbc *q, const char *text, size_t length)
{
    char *copy = qbc_copy(q, text, length);
    length = mark_nul(copy, length);
    return cJSON_ParseWithLengthOpts(copy, length + 1, NULL, true);
}

struct qbc_json_text qbc_json_text(struct qbc *q, const char *string)
{
    size_t length = string ? strlen(string) : 0, out = 0;
    char *copy = qbc_copy(q, string ? string : "", length);
    for (size_t i = 0; i < length; i++) {
        bool nul = !strncmp(copy + i, marked_nul, 2);
        copy[out++] = nul ? 0 : copy[i];
        i += nul;
    }
    copy[out] = 0;
    return (struct qbc_json_text){copy, out};
}

const cJSON *qbc_json_member(const cJSON *object, const char *name)
{
    const cJSON *found = NULL;
    if (!cJSON_IsObject(object))
        return NULL;
    for (const cJSON *item = object->child; item; item = item->next)
        if (item->string && !strcmp(item->string, name))
            found = item; /* the last one counts */
    return cJSON_IsNull(found) ? NULL : found;
}

const char *qbc_json_string(const cJSON *object, const char *name)
{
    const cJSON *item = qbc_json_member(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

bool qbc_json_bool(const cJSON *object, const char *name, bool fallback)
{
    const cJSON *item = qbc_json_member(object, name);
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}
