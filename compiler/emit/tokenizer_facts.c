/* tokenizer_facts.c: what the files beside a model say about its special tokens, and the template
 * of its chats. See tokenizer.h.
 */
#include "json.h"
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reader {
    struct qbc *q;
    const char *tokenizer; /* path of tokenizer.json */
    struct qbc_tokenizer_facts *facts;
    bool read_tokens; /* `added` is read, if it can be */
    cJSON *added;     /* tokenizer.json */
};

/* Path of a file in the folder of tokenizer.json; NULL if there is none. */
static const char *beside(struct reader *r, const char *name)
{
    const char *slash = strrchr(r->tokenizer, '/');
    int folder = slash ? (int)(slash + 1 - r->tokenizer) : 0;
    const char *path = qbc_text(r->q, "%.*s%s", folder, r->tokenizer, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

static bool is_id(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valueint >= 0;
}

static void take_one(const cJSON *root, const char *name, int32_t *id)
{
    const cJSON *item = qbc_json_member(root, name);
    if (cJSON_IsArray(item))
        item = item->child;
    if (*id < 0 && is_id(item))
        *id = item->valueint;
}

static void take_eos(struct reader *r, const cJSON *item)
{
    struct qbc_tokenizer_facts *facts = r->facts;
    size_t n = (size_t)(cJSON_IsArray(item) ? cJSON_GetArraySize(item) : 1);
    if (facts->n_eos > 0 || !item)
        return;
    facts->eos = qbc_alloc(r->q, (n + 1) * sizeof *facts->eos);
    for (const cJSON *id = cJSON_IsArray(item) ? item->child : item; id; id = id->next) {
        if (is_id(id))
            facts->eos[facts->n_eos++] = id->valueint;
        if (id == item)
            break;
    }
}

static void take_ids(struct reader *r, const cJSON *root)
{
    take_one(root, "bos_token_id", &r->facts->bos);
    take_one(root, "pad_token_id", &r->facts->pad);
    take_eos(r, qbc_json_member(root, "eos_token_id"));
}

/* --- tokenizer_config.json names tokens by their spelling */
static int32_t id_of(struct reader *r, const char *content)
{
    if (!r->read_tokens)
        r->added = qbc_json_read(r->q, r->tokenizer);
    r->read_tokens = true;
    const cJSON *list = qbc_json_member(r->added, "added_tokens");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
        const char *other = qbc_json_string(item, "content");
        const cJSON *id = qbc_json_member(item, "id");
        if (other && is_id(id) && !strcmp(other, content))
            return id->valueint;
    }
    const cJSON *vocab = qbc_json_member(qbc_json_member(r->added, "model"), "vocab");
    const cJSON *id = qbc_json_member(vocab, content);
    return is_id(id) ? id->valueint : -1;
}

static void take_named(struct reader *r, const cJSON *root, const char *name, int32_t *id)
{
    const cJSON *item = qbc_json_member(root, name);
    const char *content =
        cJSON_IsString(item) ? item->valuestring : qbc_json_string(item, "content");
    if (*id < 0 && content)
        *id = id_of(r, content);
}

static void take_template(struct reader *r, const cJSON *root)
{
    const cJSON *item = qbc_json_member(root, "chat_template");
    const char *chosen = cJSON_IsString(item) ? item->valuestring : NULL;
    for (const cJSON *one = cJSON_IsArray(item) ? item->child : NULL; one; one = one->next) {
        const char *name = qbc_json_string(one, "name");
        if (!chosen || (name && !strcmp(name, "default")))
            chosen = qbc_json_string(one, "template");
    }
    if (chosen && !r->facts->chat_template)
        r->facts->chat_template = qbc_json_text(r->q, chosen).data;
}

static void take_names(struct reader *r, const cJSON *root)
{
    int32_t eos = r->facts->n_eos ? 0 : -1;
    take_named(r, root, "bos_token", &r->facts->bos);
    take_named(r, root, "pad_token", &r->facts->pad);
    take_named(r, root, "eos_token", &eos);
    if (r->facts->n_eos == 0 && eos >= 0) {
        r->facts->eos = qbc_alloc(r->q, sizeof *r->facts->eos);
        r->facts->eos[r->facts->n_eos++] = eos;
    }
    take_template(r, root);
}

/* --- the files */
static bool read_file(struct reader *r, const char *name,
                      void (*take)(struct reader *r, const cJSON *root))
{
    const char *path = beside(r, name);
    cJSON *root = path ? qbc_json_read(r->q, path) : NULL;
    if (path && !root)
        return false;
    if (root)
        take(r, root);
    cJSON_Delete(root);
    return true;
}

/* Composed models keep the ids of the language model one level down. */
static void take_config(struct reader *r, const cJSON *root)
{
    take_ids(r, root);
    take_ids(r, qbc_json_member(root, "text_config"));
}

static bool read_template(struct reader *r)
{
    const char *path = beside(r, "chat_template.jinja");
    size_t length;
    if (!path)
        return true;
    char *text = qbc_json_read_bytes(r->q, path, &length);
    if (text)
        r->facts->chat_template = qbc_copy(r->q, text, length);
    free(text);
    return text != NULL;
}

bool qbc_tokenizer_facts(struct qbc *q, const char *path, struct qbc_tokenizer_facts *facts)
{
    struct reader r = {.q = q, .tokenizer = path, .facts = facts};
    *facts = (struct qbc_tokenizer_facts){.bos = -1, .pad = -1};
    bool ok = read_template(&r) && read_file(&r, "generation_config.json", take_ids) &&
              read_file(&r, "config.json", take_config) &&
              read_file(&r, "tokenizer_config.json", take_names);
    cJSON_Delete(r.added);
    return ok;
}
