/* qbrt_test: a whole artifact through the public interface: open, evaluate in any split, any number
 * of threads, save and restore, refuse what must be refused. */
#include "qbrt.h"
#include "toy.h"

struct machine {
    struct qbrt_model *model;
    struct qbrt_session *session;
    struct qbrt_pool *pool;
    void *memory[3];
};

static void *room(size_t bytes)
{
    return aligned_alloc(QBRT_ALIGN, (bytes + QBRT_ALIGN - 1) / QBRT_ALIGN * QBRT_ALIGN);
}

static struct machine start(const char *path, int threads)
{
    struct machine m = {.memory[0] = room(qbrt_model_size())};
    char detail[QBRT_DETAIL];
    enum qbrt_status status =
        qbrt_open_file(path, m.memory[0], qbrt_model_size(), &m.model, detail);
    if (status)
        fprintf(stderr, "%s: %s (%s)\n", path, qbrt_status_text(status), detail);
    REQUIRE(status == QBRT_OK);
    size_t bytes = qbrt_session_size(m.model);
    m.memory[1] = room(bytes);
    memset(m.memory[1], 0x55, bytes);
    m.memory[2] = room(qbrt_pool_size(threads));
    REQUIRE(!qbrt_pool_create(threads, m.memory[2], qbrt_pool_size(threads), &m.pool));
    struct qbrt_parallel parallel = qbrt_pool_parallel(m.pool);
    REQUIRE(!qbrt_session_create(m.model, m.memory[1], bytes, &parallel, &m.session));
    return m;
}

static void stop(struct machine m)
{
    qbrt_pool_destroy(m.pool);
    qbrt_close(m.model);
    for (int i = 0; i < 3; i++)
        free(m.memory[i]);
}

enum { N = 50 };

static void make_tokens(int32_t *tokens)
{
    for (int i = 0; i < N; i++)
        tokens[i] = (i * 37 + i / 5) % TOY_VOCAB;
}

/* Every way to cut N tokens gives the same bits as the plain computation. */
static void test_eval(const char *path, int threads)
{
    int32_t tokens[N];
    static float want[N * TOY_VOCAB], got[N * TOY_VOCAB];
    make_tokens(tokens);
    toy_expect(tokens, N, want);
    struct machine m = start(path, threads);
    for (size_t cut = 1; cut <= N; cut += 3) {
        qbrt_reset(m.session);
        memset(got, 0, sizeof got);
        for (size_t at = 0; at < N; at += cut) {
            size_t n = N - at < cut ? N - at : cut;
            REQUIRE(!qbrt_eval_all(m.session, tokens + at, n, got + at * TOY_VOCAB));
        }
        REQUIRE(!memcmp(want, got, sizeof want));
        qbrt_reset(m.session);
        REQUIRE(!qbrt_eval(m.session, tokens, cut, got));
        REQUIRE(!memcmp(want + (cut - 1) * TOY_VOCAB, got, TOY_VOCAB * sizeof *got));
        REQUIRE(qbrt_position(m.session) == cut && qbrt_room(m.session) == TOY_CONTEXT - cut);
    }
    stop(m);
}

/* On errors neither the session nor the logits change. */
static void test_bad_calls(const char *path)
{
    struct machine m = start(path, 1);
    float logits[TOY_VOCAB] = {42};
    int32_t tokens[TOY_CONTEXT + 1] = {1, 2, 3};
    const int32_t bad[] = {1, TOY_VOCAB}, negative[] = {1, -1};
    REQUIRE(qbrt_eval(m.session, tokens, 0, logits) == QBRT_BAD_COUNT);
    REQUIRE(qbrt_eval(m.session, tokens, TOY_CONTEXT + 1, logits) == QBRT_BAD_COUNT);
    REQUIRE(qbrt_eval(m.session, bad, 2, logits) == QBRT_BAD_TOKEN);
    REQUIRE(qbrt_eval_all(m.session, negative, 2, logits) == QBRT_BAD_TOKEN);
    REQUIRE(qbrt_eval(m.session, tokens, 1, NULL) == QBRT_BAD_ARGUMENT);
    REQUIRE(logits[0] == 42 && qbrt_position(m.session) == 0);
    REQUIRE(!qbrt_eval(m.session, tokens, TOY_CONTEXT, logits));
    REQUIRE(qbrt_eval(m.session, tokens, 1, logits) == QBRT_BAD_COUNT);

    struct qbrt_session *s;
    struct qbrt_model *model;
    struct qbrt_pool *pool;
    char detail[QBRT_DETAIL];
    size_t bytes = qbrt_session_size(m.model);
    REQUIRE(qbrt_session_create(m.model, m.memory[1], bytes - 1, NULL, &s) == QBRT_NO_ROOM && !s);
    REQUIRE(qbrt_session_create(m.model, (char *)m.memory[1] + 8, bytes, NULL, &s) ==
            QBRT_BAD_ALIGN);
    REQUIRE(qbrt_open_file(path, m.memory[1], qbrt_model_size() - 1, &model, NULL) == QBRT_NO_ROOM);
    REQUIRE(qbrt_open_file("/nowhere", m.memory[0], 1 << 16, &model, detail) == QBRT_CANNOT_OPEN);
    REQUIRE(qbrt_open_file("/tmp", m.memory[0], 1 << 16, &model, detail) == QBRT_CANNOT_OPEN);
    REQUIRE(qbrt_pool_size(0) == 0 && qbrt_pool_size(1025) == 0);
    REQUIRE(qbrt_pool_create(2, m.memory[1], qbrt_pool_size(2) - 1, &pool) == QBRT_NO_ROOM);
    stop(m);
}

static void test_facts(const char *path)
{
    struct machine m = start(path, 2);
    const struct qbrt_facts *f = qbrt_facts(m.model);
    REQUIRE(f->vocab == TOY_VOCAB && f->context == TOY_CONTEXT && f->chunk == TOY_CHUNK);
    REQUIRE(f->parameters == TOY_TABLE + TOY_VOCAB && f->bos == -1 && f->variant == 0);
    REQUIRE(f->n_tensors == 2 && f->n_record == 2 && f->n_states == 1 && f->n_variants == 1);
    REQUIRE(!strcmp(f->producer, "qbc test") && !*f->chat_template && !f->tokenizer);
    REQUIRE(f->weights_bytes == (TOY_TABLE + TOY_VOCAB) * sizeof(float));
    struct qbrt_tensor_facts t = qbrt_tensor(m.model, 1);
    REQUIRE(!strcmp(t.name, "values") && t.lookup && t.block == 0 && t.offset == 4096);
    REQUIRE(qbrt_tensor(m.model, 0).block == -1 && !*qbrt_tensor(m.model, 2).name);
    REQUIRE(!strcmp(qbrt_record_key(m.model, 0), "flags")); /* sorted */
    REQUIRE(!strcmp(qbrt_record_value(m.model, 1), "f32") && !*qbrt_record_key(m.model, 2));
    REQUIRE(qbrt_is_eos(m.model, TOY_VOCAB - 1) && !qbrt_is_eos(m.model, 0));
    REQUIRE(qbrt_eos(m.model, 1) == -1);
    REQUIRE(!strcmp(qbrt_requirement(m.model, 0, 0), toy_native()->requirement));
    REQUIRE(!*qbrt_requirement(m.model, 0, 1) && !*qbrt_requirement(m.model, 1, 0));
    stop(m);
}

static void test_save(const char *path)
{
    int32_t tokens[N];
    float want[TOY_VOCAB], got[TOY_VOCAB];
    make_tokens(tokens);
    struct machine a = start(path, 1), b = start(path, 2);
    size_t bytes = qbrt_state_size(a.session);
    uint8_t *saved = malloc(bytes);
    REQUIRE(!qbrt_eval(a.session, tokens, 20, want));
    REQUIRE(qbrt_state_save(a.session, saved, bytes - 1) == QBRT_NO_ROOM);
    REQUIRE(!qbrt_state_save(a.session, saved, bytes));
    REQUIRE(!qbrt_eval(a.session, tokens + 20, 7, want));

    REQUIRE(!qbrt_eval(b.session, tokens, 3, got));
    for (size_t i = 0; i < bytes; i++) {
        saved[i] ^= 4;
        REQUIRE(qbrt_state_restore(b.session, saved, bytes) == QBRT_BAD_STATE);
        saved[i] ^= 4;
    }
    REQUIRE(qbrt_state_restore(b.session, saved, bytes - 1) == QBRT_BAD_STATE);
    REQUIRE(qbrt_position(b.session) == 3);
    REQUIRE(!qbrt_state_restore(b.session, saved, bytes) && qbrt_position(b.session) == 20);
    REQUIRE(!qbrt_eval(b.session, tokens + 20, 7, got));
    REQUIRE(!memcmp(want, got, sizeof want));
    free(saved);
    stop(a);
    stop(b);
}

/* The last variant that fits wins; one that does not is passed over, and named when none fits. */
static void test_variants(struct qbc *q)
{
    size_t bytes, arm_bytes;
    uint8_t *image = toy_image(toy_native(), "test/unit/inputs/toy_image.c", "", &bytes);
    const struct toy *stranger = toy_native() == &toy_arm ? &toy_x86 : &toy_arm;
    struct toy future = *toy_native();
    future.target = "future";
    future.requirement = "avx4096";
    struct toy_artifact a;
    struct qbrt_model *model;
    char detail[QBRT_DETAIL];
    void *memory = room(qbrt_model_size());

    toy_artifact(&a);
    toy_add_variant(&a, toy_native(), image, bytes);
    toy_add_variant(&a, toy_native(), image, bytes);
    toy_add_variant(&a, &future, image, bytes);
    REQUIRE(toy_emit(q, &a, toy_path("fat.qbm")));
    struct machine m = start(toy_path("fat.qbm"), 2);
    REQUIRE(qbrt_facts(m.model)->variant == 1 && qbrt_choose(m.model, qbrt_this_machine()) == 1);
    REQUIRE(!qbrt_missing(m.model, qbrt_this_machine(), 0, 0) && !qbrt_missing(m.model, qbrt_this_machine(), 3, 0));
    REQUIRE(!strcmp(qbrt_missing(m.model, qbrt_this_machine(), 2, 0), "avx4096"));
    REQUIRE(!qbrt_missing(m.model, qbrt_this_machine(), 2, 1));
    stop(m);

    toy_artifact(&a);
    toy_add_variant(&a, &future, image, bytes);
    REQUIRE(toy_emit(q, &a, toy_path("future.qbm")));
    REQUIRE(qbrt_open_file(toy_path("future.qbm"), memory, qbrt_model_size(), &model, detail) ==
            QBRT_NO_VARIANT);
    REQUIRE(!model && strstr(detail, "needs avx4096") && strstr(detail, "future"));

    uint8_t *arm = toy_image(stranger, "test/unit/inputs/toy_image.c", "", &arm_bytes);
    if (arm) {
        toy_artifact(&a);
        toy_add_variant(&a, stranger, arm, arm_bytes);
        REQUIRE(toy_emit(q, &a, toy_path("arm.qbm")));
        REQUIRE(qbrt_open_file(toy_path("arm.qbm"), memory, qbrt_model_size(), &model, detail) ==
                QBRT_NO_VARIANT);
        REQUIRE(strstr(detail, stranger->triple));
        REQUIRE(!qbrt_open_facts(toy_path("arm.qbm"), memory, qbrt_model_size(), &model, detail));
        REQUIRE(qbrt_facts(model)->vocab == TOY_VOCAB && qbrt_facts(model)->variant == -1);
        struct qbrt_session *s;
        void *session = room(qbrt_session_size(model));
        REQUIRE(qbrt_session_create(model, session, qbrt_session_size(model), NULL, &s) ==
                QBRT_NO_VARIANT);
        free(session);
        qbrt_close(model);
    }
    free(arm);
    free(image);
    free(memory);
}

/* From memory: the code is copied. */
static void test_memory(const char *path)
{
    size_t bytes;
    uint8_t *file = toy_read(path, &bytes);
    void *memory = room(qbrt_model_size());
    struct qbrt_model *model;
    struct qbrt_session *s;
    const int32_t token = 5;
    float want[TOY_VOCAB], got[TOY_VOCAB];
    REQUIRE(!qbrt_open_memory(file, bytes, qbrt_this_machine(), memory, qbrt_model_size(), &model,
                              NULL));
    void *session = room(qbrt_session_size(model));
    REQUIRE(!qbrt_session_create(model, session, qbrt_session_size(model), NULL, &s));
    REQUIRE(!qbrt_eval(s, &token, 1, got));
    toy_expect(&token, 1, want);
    REQUIRE(!memcmp(want, got, sizeof want));
    qbrt_close(model);
    free(session);
    free(memory);
    free(file);
}

int main(void)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    REQUIRE(qbc_open(&q));
    char path[300];
    snprintf(path, sizeof path, "%s", toy_path("toy.qbm"));
    toy_make(&q, path);
    for (int threads = 1; threads <= 8; threads++)
        test_eval(path, threads);
    test_bad_calls(path);
    test_facts(path);
    test_save(path);
    test_variants(&q);
    test_memory(path);
    qbc_close(&q);
    toy_clean();
    puts("qbrt_test: passed");
    return 0;
}
