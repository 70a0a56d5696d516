/* tokenizer_test: tokenizers compiled from tokenizer.json give what the `tokenizers` library gave.
 *
 * The vectors that come with the tree and, if they are there, those of ../shared (or QBC_SHARED);
 * then what the library does not say: buffers that are too small, texts that are no UTF-8, facts,
 * long texts in little time, errors that name what is not supported.
 */
#include "tokenizer_files.h"

#include <time.h>

struct counts {
    size_t texts, ids;
};

static const char *shared(struct qbc *q, const char *name)
{
    const char *root = getenv("QBC_SHARED");
    return qbc_text(q, "%s/data/%s", root ? root : "../shared", name);
}

/* --- vectors */
static void check_text(struct qbc *q, const char *where, const char *what, const char *got,
                       size_t length, const cJSON *expected)
{
    struct qbc_json_text text = qbc_json_text(q, expected->valuestring);
    CHECK(length == text.length && !memcmp(got, text.data, length), "%s: %s: \"%.*s\", not \"%s\"",
          where, what, (int)length, got, text.data);
}

static void check_decoding(struct qbc *q, const struct qbrt_tokenizer *t, const char *where,
                           const struct ids *ids, const cJSON *expected, int flags)
{
    size_t length;
    char *text = decode_ids(t, ids->id, (size_t)ids->n, flags, &length);
    check_text(q, where, "decoded", text, length, expected);
    bool broken = strstr(expected->valuestring, "\xef\xbf\xbd") != NULL;
    free(text);
    text = stream_ids(t, ids->id, (size_t)ids->n, flags, &length);
    if (!broken) /* broken runs of byte tokens may differ, see tokenizer.h */
        check_text(q, where, "decoded one by one", text, length, expected);
    free(text);
}

static struct ids ids_of(const cJSON *list)
{
    struct ids ids = {malloc((size_t)cJSON_GetArraySize(list) * sizeof(int32_t) + 1), 0};
    for (const cJSON *item = list->child; item; item = item->next)
        ids.id[ids.n++] = item->valueint;
    return ids;
}

static void check_line(struct qbc *q, const struct qbrt_tokenizer *t, const char *where,
                       const cJSON *line)
{
    const cJSON *text = qbc_json_member(line, "text");
    const cJSON *special = qbc_json_member(line, "decoded_with_special");
    struct ids expected = ids_of(qbc_json_member(line, "ids"));
    check_decoding(q, t, where, &expected, qbc_json_member(line, "decoded"), 0);
    if (special)
        check_decoding(q, t, where, &expected, special, QBRT_TOKENIZER_SPECIAL);
    if (text) {
        struct qbc_json_text plain = qbc_json_text(q, text->valuestring);
        struct ids got = encode_text(t, plain.data, plain.length, QBRT_TOKENIZER_SPECIAL, SIZE_MAX);
        bool equal =
            got.n == expected.n && !memcmp(got.id, expected.id, (size_t)got.n * sizeof *got.id);
        ptrdiff_t at = 0;
        while (at < got.n && at < expected.n && got.id[at] == expected.id[at])
            at++;
        CHECK(equal, "%s: \"%s\": %td ids, not %td, the first %td are right", where, plain.data,
              got.n, expected.n, at);
        free(got.id);
    }
    free(expected.id);
}

static size_t check_file(struct qbc *q, const struct qbrt_tokenizer *t, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t room = 0, n = 0;
    ssize_t length;
    while (file && (length = getline(&line, &room, file)) > 0) {
        cJSON *root = qbc_json_parse(q, line, (size_t)length);
        CHECK(root, "%s: line %zu is no JSON", path, n + 1);
        if (root)
            check_line(q, t, qbc_text(q, "%s:%zu", path, n + 1), root);
        cJSON_Delete(root);
        n++;
    }
    free(line);
    if (file)
        fclose(file);
    return n;
}

static bool compile(struct qbc *q, const char *path, struct qbrt_tokenizer *t)
{
    uint8_t *blob, *again;
    size_t size, size_again;
    bool ok = qbc_tokenizer_compile(q, path, &blob, &size) &&
              qbc_tokenizer_compile(q, path, &again, &size_again);
    CHECK(ok, "%s cannot be compiled", path);
    CHECK(!ok || (size == size_again && !memcmp(blob, again, size)), "%s: other bytes", path);
    ok = ok && qbrt_tokenizer_open(t, blob, size) == 0;
    CHECK(ok, "%s: its tables cannot be opened", path);
    return ok;
}

static void check_bundled(struct qbc *q)
{
    for (size_t i = 0; i < N_BUNDLED; i++) {
        struct qbrt_tokenizer t;
        const char *path = bundled_tokenizers[i];
        const char *vectors =
            i ? qbc_text(q, "%sl", path) : "test/models/docs-4m/tokenizer-vectors.jsonl";
        if (compile(q, path, &t))
            CHECK(check_file(q, &t, vectors) >= 30, "%s: too few lines", vectors);
    }
}

static void check_shared(struct qbc *q)
{
    static const char *const folders[] = {"tokenizer", "tokenizer/gpt2", "tokenizer/llama3",
                                          "tokenizer/llama2", "stories260K"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct qbrt_tokenizer t;
        const char *folder = shared(q, folders[i]);
        const char *path = qbc_text(q, "%s/tokenizer.json", folder);
        if (access(path, R_OK) || !compile(q, path, &t))
            continue;
        n += check_file(q, &t, qbc_text(q, "%s/vectors.jsonl", folder));
        n += check_file(q, &t, qbc_text(q, "%s/decode.jsonl", folder));
    }
    printf("%zu lines of ../shared%s\n", n, n ? "" : " (skipped, it is not there)");
}

/* --- what the library does not say */
static void check_ids(const struct qbrt_tokenizer *t, const char *text, size_t length, int flags,
                      const char *same, size_t same_length, int same_flags)
{
    struct ids a = encode_text(t, text, length, flags, SIZE_MAX);
    struct ids b = encode_text(t, same, same_length, same_flags, SIZE_MAX);
    CHECK(a.n == b.n && a.n >= 0 && !memcmp(a.id, b.id, (size_t)a.n * sizeof *a.id),
          "%td and %td ids for \"%s\" and \"%s\"", a.n, b.n, text, same);
    free(a.id);
    free(b.id);
}

static void check_small_buffers(const struct qbrt_tokenizer *t)
{
    static const char text[] = "The scheduler wakes up <|end|> e\xcc\x81 \xe6\x97\xa5\xe6\x9c\xac";
    size_t length = sizeof text - 1, size = qbrt_tokenizer_scratch(t, length);
    int32_t ids[64];
    char *scratch = malloc(size), out[256];
    ptrdiff_t n = qbrt_tokenizer_encode(t, text, length, 0, ids, 64, scratch, size);
    CHECK(n > 4 && n < 64, "%td ids", n);
    for (ptrdiff_t room = 0; room < n; room++) {
        int32_t few[64];
        memset(few, -1, sizeof few);
        CHECK(qbrt_tokenizer_encode(t, text, length, 0, few, (size_t)room, scratch, size) == n,
              "another count with room for %td", room);
        CHECK(!memcmp(few, ids, (size_t)room * sizeof *few) && few[room] == -1,
              "ids with room for %td", room);
    }
    bool small = false, enough = false;
    for (size_t less = 0; less <= size; less++) {
        char *part = malloc(less ? less : 1);
        ptrdiff_t got = qbrt_tokenizer_encode(t, text, length, 0, ids, 64, part, less);
        CHECK(got == n || got == QBRT_TOKENIZER_SMALL, "%td ids with %zu bytes", got, less);
        small = small || got == QBRT_TOKENIZER_SMALL;
        enough = got == n;
        free(part);
    }
    CHECK(small && enough, "scratch is never too small, or always");
    size_t bytes = qbrt_tokenizer_decode(t, ids, (size_t)n, 0, out, 5);
    CHECK(bytes > 5 && !memcmp(out, text, 5), "a text that is cut");
    CHECK(qbrt_tokenizer_scratch(t, SIZE_MAX / 2) == SIZE_MAX, "scratch for half of all memory");
    free(scratch);
}

static void check_no_utf8(const struct qbrt_tokenizer *t)
{
    static const char *const broken[][2] = {
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xe6\x97", "\xef\xbf\xbd"},
        {"\xc0\x80x", "\xef\xbf\xbd\xef\xbf\xbdx"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x9f\x98 \xf4\x90\x80\x80",
         "\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        check_ids(t, broken[i][0], strlen(broken[i][0]), 0, broken[i][1], strlen(broken[i][1]), 0);
}

static void check_special(const struct qbrt_tokenizer *t)
{
    static const char text[] = "one<|end|>two";
    int32_t end = qbrt_tokenizer_find(t, "<|end|>", 7);
    struct ids ids = encode_text(t, text, sizeof text - 1, 0, SIZE_MAX);
    size_t n = 0, length;
    CHECK(end == 4094, "<|end|> is %d", (int)end);
    CHECK(qbrt_tokenizer_vocab(t) == 4096, "%d ids", (int)qbrt_tokenizer_vocab(t));
    CHECK(qbrt_tokenizer_find(t, "<|end", 5) < 0 && qbrt_tokenizer_find(t, "", 0) < 0 &&
              qbrt_tokenizer_find(t, "<|end|>x", 8) < 0,
          "found what is no token");
    for (ptrdiff_t i = 0; i < ids.n; i++)
        n += ids.id[i] == end;
    CHECK(n == 1, "<|end|> inside of a text: %zu times", n);
    char *out = decode_ids(t, ids.id, (size_t)ids.n, 0, &length);
    CHECK(!strcmp(out, "onetwo"), "\"%s\" without special tokens", out);
    free(out);
    free(ids.id);
    ids = encode_text(t, text, sizeof text - 1, QBRT_TOKENIZER_PLAIN, SIZE_MAX);
    for (ptrdiff_t i = 0; i < ids.n; i++)
        CHECK(ids.id[i] != end, "a stranger's <|end|> became the token");
    out = decode_ids(t, ids.id, (size_t)ids.n, 0, &length);
    CHECK(!strcmp(out, text), "\"%s\" from a stranger's text", out);
    free(out);
    free(ids.id);
}

/* Ids of each incomplete character wait for the rest. */
static void check_stream(const struct qbrt_tokenizer *t)
{
    static const char text[] = "\xf0\x9f\x98\x80!";
    struct ids ids = encode_text(t, text, sizeof text - 1, 0, SIZE_MAX);
    struct qbrt_tokenizer_stream s;
    char out[64];
    qbrt_tokenizer_stream_begin(&s, t, 0);
    CHECK(ids.n > 2, "the character is %td tokens", ids.n - 1);
    for (ptrdiff_t i = 0; i < ids.n; i++) {
        size_t n = qbrt_tokenizer_stream_next(&s, ids.id[i], out, sizeof out);
        size_t expected = i == ids.n - 1 ? 1 : i == ids.n - 2 ? 4 : 0;
        CHECK(n == expected, "token %td gave %zu bytes", i, n);
    }
    CHECK(qbrt_tokenizer_stream_end(&s, out, sizeof out) == 0, "something is left");
    qbrt_tokenizer_stream_begin(&s, t, 0);
    qbrt_tokenizer_stream_next(&s, ids.id[0], out, sizeof out);
    CHECK(qbrt_tokenizer_stream_end(&s, out, sizeof out) == 3 && !memcmp(out, "\xef\xbf\xbd", 3),
          "half a character at the end");
    free(ids.id);
}

/* Words of half a million characters, marks without end, spaces: all in well under a second. What is quadratic takes minutes on
 * any machine. */
static void check_time(const struct qbrt_tokenizer *t)
{
    static const char *const units[] = {"a",
                                        " ",
                                        "\n",
                                        "e\xcc\x81\xcc\xa3",
                                        "ab1 ",
                                        "<",
                                        "  \n",
                                        "\xe1\x84\x80\xe1\x85\xa1",
                                        "\xe6\x97\xa5",
                                        "'s "};
    enum { BYTES = 500000 };
    char *text = malloc(BYTES);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), length = BYTES / unit * unit;
        for (size_t at = 0; at < length; at++)
            text[at] = units[i][at % unit];
        clock_t start = clock();
        struct ids ids = encode_text(t, text, length, 0, SIZE_MAX);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC / 2;
        CHECK(ids.n > 0 && seconds < 60, "\"%s\": %td ids in %.1f s", units[i], ids.n, seconds);
        free(ids.id);
    }
    free(text);
}

static void check_facts(struct qbc *q)
{
    struct qbc_tokenizer_facts facts;
    CHECK(qbc_tokenizer_facts(q, bundled_tokenizers[0], &facts), "no facts");
    CHECK(facts.bos == 4094 && facts.pad == 4094 && facts.n_eos == 1 && facts.eos[0] == 4094,
          "bos %d, pad %d, %zu eos", (int)facts.bos, (int)facts.pad, facts.n_eos);
    CHECK(!facts.chat_template, "a chat template");
    CHECK(qbc_tokenizer_facts(q, "test/models/tokenizers/metaspace.json", &facts) &&
              facts.bos == -1 && facts.n_eos == 0,
          "facts from no files");
}

static void write_file(struct qbc *q, const char *folder, const char *name, const char *text)
{
    FILE *file = fopen(qbc_text(q, "%s/%s", folder, name), "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s cannot be written", name);
}

/* Facts from many files: each one counts where those before it are silent. */
static void check_more_facts(struct qbc *q)
{
    static const char *const names[] = {"tokenizer.json", "generation_config.json", "config.json",
                                        "tokenizer_config.json", "chat_template.jinja"};
    struct qbc_tokenizer_facts facts;
    char folder[] = "/tmp/tokenizer_test.XXXXXX";
    CHECK(mkdtemp(folder), "no folder");
    const char *path = qbc_text(q, "%s/tokenizer.json", folder);
    write_file(q, folder, names[0],
               "{\"added_tokens\": [{\"id\": 7, \"content\": \"<pad>\"}], "
               "\"model\": {\"vocab\": {\"</s>\": 9}}}");
    write_file(
        q, folder, names[3],
        "{\"eos_token\": \"</s>\", \"pad_token\": {\"content\": \"<pad>\"}, \"bos_token\": null, "
        "\"chat_template\": [{\"name\": \"tool\", \"template\": \"T\"}, "
        "{\"name\": \"default\", \"template\": \"D\"}]}");
    CHECK(qbc_tokenizer_facts(q, path, &facts) && facts.bos == -1 && facts.pad == 7 &&
              facts.n_eos == 1 && facts.eos[0] == 9 && !strcmp(facts.chat_template, "D"),
          "names: bos %d, pad %d, %zu eos", (int)facts.bos, (int)facts.pad, facts.n_eos);
    write_file(q, folder, names[1], "{\"eos_token_id\": [3, 4], \"pad_token_id\": null}");
    write_file(q, folder, names[2],
               "{\"eos_token_id\": 5, \"text_config\": {\"bos_token_id\": 6}}");
    write_file(q, folder, names[4], "{{ jinja }}");
    CHECK(qbc_tokenizer_facts(q, path, &facts) && facts.bos == 6 && facts.pad == 7 &&
              facts.n_eos == 2 && facts.eos[0] == 3 && facts.eos[1] == 4 &&
              !strcmp(facts.chat_template, "{{ jinja }}"),
          "ids: bos %d, pad %d, %zu eos", (int)facts.bos, (int)facts.pad, facts.n_eos);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(qbc_text(q, "%s/%s", folder, names[i]));
    rmdir(folder);
}

/* --- errors: the message must hold `expected` */
static void check_error(struct qbc *q, const char *json, const char *expected)
{
    char path[] = "/tmp/tokenizer_test.XXXXXX", seen[1024] = "";
    uint8_t *blob;
    size_t size, errors = q->errors;
    int file = mkstemp(path), terminal = dup(STDERR_FILENO);
    FILE *log = tmpfile();
    bool written = write(file, json, strlen(json)) == (ssize_t)strlen(json);
    fflush(stderr);
    dup2(fileno(log), STDERR_FILENO);
    bool ok = qbc_tokenizer_compile(q, path, &blob, &size);
    fflush(stderr);
    dup2(terminal, STDERR_FILENO);
    rewind(log);
    seen[fread(seen, 1, sizeof seen - 1, log)] = 0;
    CHECK(written && !ok && !blob && q->errors == errors + 1, "%s: no error", json);
    CHECK(strstr(seen, expected) && strstr(seen, path), "%s: said \"%s\"", json, seen);
    fclose(log);
    close(terminal);
    close(file);
    unlink(path);
}

#define MODEL "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}"
#define EXPRESSION(text)                                                                           \
    "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"" text                   \
    "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " MODEL "}"

static void check_errors(struct qbc *q)
{
    static const char *const cases[][2] = {
        {"{", "no valid JSON at line 1"},
        {"{\n  \"model\": oops}", "no valid JSON at line 2"},
        {"[]", "no tokenizer"},
        {"{\"version\": \"2.0\", " MODEL "}", "version 2.0"},
        {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}}}", "WordPiece"},
        {"{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", "Unigram"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}", "empty"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}", "\"a\""},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}", "\"b\""},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a\"]}}", "merge 0"},
        {"{\"normalizer\": {\"type\": \"Precompiled\"}, " MODEL "}", "Precompiled"},
        {"{\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}, " MODEL "}", "UnicodeScripts"},
        {"{\"decoder\": {\"type\": \"CTC\"}, " MODEL "}", "CTC"},
        {"{\"post_processor\": {\"type\": \"Other\"}, " MODEL "}", "Other"},
        {EXPRESSION("(a"), "at 2: a parenthesis is missing"},
        {EXPRESSION("a)"), "a parenthesis too many"},
        {EXPRESSION("[a"), "a bracket is missing"},
        {EXPRESSION("*a"), "nothing to repeat"},
        {EXPRESSION("(a)\\\\1"), "escape is not supported"},
        {EXPRESSION("\\\\p{Klingon}"), "property of characters is not supported"},
        {EXPRESSION("(a*)*"), "can be empty"},
        {EXPRESSION("(?<=a+)b"), "varying length"},
        {EXPRESSION("[z-a]"), "range of characters is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_error(q, cases[i][0], cases[i][1]);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    struct qbrt_tokenizer t;
    check_bundled(&q);
    check_shared(&q);
    if (compile(&q, bundled_tokenizers[0], &t)) {
        check_small_buffers(&t);
        check_no_utf8(&t);
        check_special(&t);
        check_stream(&t);
        check_time(&t);
    }
    check_facts(&q);
    check_more_facts(&q);
    check_errors(&q);
    qbc_arena_free(&q);
    return check_failures() != 0;
}
