/* linked_test.c: models that a linker has put into the program: here, this one. */
#include "instance.h"
#include "step.h"
#include "toy.h"

/* As inputs/toy_image.c, for one thread. */
static void toy_step(const struct qbrt_step *s, int64_t thread)
{
    const float *values = (const float *)s->weights + TOY_TABLE;
    float *state = (float *)s->state, sum = 0;
    REQUIRE(thread == 0 && s->threads == 1);
    for (int64_t t = 0; t < s->pos; t++)
        sum += state[t];
    for (int64_t t = 0; t < s->n_tokens; t++) {
        sum += state[s->pos + t] = values[s->tokens[t]];
        for (int64_t v = 0; v < TOY_VOCAB && t >= s->first_logit; v++)
            s->logits[(t - s->first_logit) * TOY_VOCAB + v] =
                ((const float *)s->weights)[s->tokens[t] * TOY_VOCAB + v] + (float)v * sum;
    }
}

static _Alignas(QBRT_ALIGN) float weights[TOY_TABLE + TOY_VOCAB];
static _Alignas(QBRT_ALIGN) uint8_t memory[1 << 16];

/* What qbc writes: a root whose image is somewhere else. */
static struct qbrt_linked link_toy(struct qbc *q, int n_variants, size_t *root_bytes)
{
    static struct toy_artifact a;
    struct qbrt_linked linked = {.weights = weights, .decode = toy_step, .step = toy_step};
    toy_weights(weights);
    toy_artifact(&a);
    for (int i = 0; i < n_variants; i++) {
        a.requirements[i][0] = "a-feature";
        a.variants[a.facts.n_variants++] = (struct qbc_artifact_variant){
            .target = "toy", .triple = "toy-none-elf", .requirements = a.requirements[i], .n_requirements = 1};
    }
    linked.root = qbc_qbm_sealed_root(q, "root", &a.facts, root_bytes, &linked.file_bytes);
    REQUIRE(linked.root && *root_bytes % 8 == 0);
    return linked;
}

static bool has(void *context, const char *feature)
{
    ++*(int *)context;
    return strcmp(feature, "a-feature") != 0;
}

static enum qbrt_status open_with(struct qbrt_linked linked, const struct qbrt_host *host)
{
    struct qbrt_model *model = (struct qbrt_model *)memory;
    char detail[QBRT_DETAIL];
    enum qbrt_status status = qbrt_open_linked(&linked, host, memory, sizeof memory, &model, detail);
    CHECK((model != NULL) == (status == QBRT_OK), "a model or none, status %d", (int)status);
    return status;
}

static void test_open(struct qbrt_linked linked)
{
    int asked = 0;
    struct qbrt_host host = {.context = &asked, .has_feature = has};
    struct qbrt_model *model;
    CHECK(!open_with(linked, NULL), "nobody is asked");
    CHECK(open_with(linked, &host) == QBRT_NO_VARIANT && asked == 1, "the host is asked, and says no");
    struct qbrt_linked bad = linked;
    bad.root = (const uint8_t *)linked.root + 4;
    CHECK(open_with(bad, NULL) == QBRT_BAD_ALIGN, "the root lies at a multiple of 8");
    bad = linked, bad.weights = (const uint8_t *)weights + 32;
    CHECK(open_with(bad, NULL) == QBRT_BAD_ALIGN, "weights lie at a multiple of 64");
    bad = linked, bad.step = NULL;
    CHECK(open_with(bad, NULL) == QBRT_BAD_ARGUMENT, "without code");
    bad = linked, bad.file_bytes--;
    CHECK(open_with(bad, NULL) == QBRT_DAMAGED, "weights end where they should");
    CHECK(qbrt_open_linked(&linked, NULL, memory, qbrt_model_size() - 1, &model, NULL) == QBRT_NO_ROOM && !model,
          "a byte too few");
    CHECK(qbrt_open_linked(&linked, NULL, memory + 8, sizeof memory - 8, &model, NULL) == QBRT_BAD_ALIGN, "any place");
    CHECK(qbrt_open_linked(NULL, NULL, memory, sizeof memory, &model, NULL) == QBRT_BAD_ARGUMENT, "nothing");
}

static void test_facts(struct qbrt_linked linked)
{
    struct qbrt_model *model;
    REQUIRE(!qbrt_open_linked(&linked, NULL, memory, sizeof memory, &model, NULL));
    const struct qbrt_facts *facts = qbrt_facts(model);
    CHECK(facts->vocab == TOY_VOCAB && facts->variant == 0 && facts->n_tensors == 2, "facts are the root's");
    CHECK(!strcmp(qbrt_tensor(model, 0).name, "table") && !strcmp(qbrt_requirement(model, 0, 0), "a-feature"),
          "so are tensors and requirements");
    qbrt_close(model);
}

/* Every bit of the root but those of its padding. */
static void test_damage(struct qbrt_linked linked, size_t bytes)
{
    uint8_t *root = aligned_alloc(QBRT_ALIGN, (bytes + 63) / 64 * 64);
    REQUIRE(root);
    int survived = 0;
    for (size_t i = 0; i < bytes; i++) {
        memcpy(root, linked.root, bytes);
        root[i] ^= (uint8_t)(1 << i % 8);
        struct qbrt_linked bad = linked;
        bad.root = root;
        survived += open_with(bad, NULL) == QBRT_OK;
    }
    CHECK(survived < 8, "%d changed bytes were not seen", survived);
    free(root);
}

static void test_instance(struct qbrt_linked linked)
{
    static const int32_t tokens[] = {3, 9, 31};
    float logits[TOY_VOCAB], all[3 * TOY_VOCAB];
    struct qbrt_instance *i;
    struct qbrt_model *model;
    REQUIRE(!qbrt_open_linked(&linked, NULL, memory, sizeof memory, &model, NULL));
    const size_t bytes = qbrt_instance_size(model);
    CHECK(qbrt_instance_open(&linked, memory, bytes - 1, NULL, &i) == QBRT_NO_ROOM && !i, "a byte too few");
    CHECK(qbrt_instance_open(&linked, memory, 10, NULL, &i) == QBRT_NO_ROOM && !i, "far too few");
    CHECK(qbrt_instance_open(&linked, memory + 1, bytes, NULL, &i) == QBRT_BAD_ALIGN && !i, "any place");
    REQUIRE(!qbrt_instance_open(&linked, memory, bytes, NULL, &i));
    REQUIRE(!qbrt_instance_eval_all(i, tokens, 3, all) && qbrt_instance_position(i) == 3);
    qbrt_instance_reset(i);
    REQUIRE(!qbrt_instance_eval(i, tokens, 3, logits));
    float sum = 0;
    for (int t = 0; t < 3; t++)
        sum += weights[TOY_TABLE + tokens[t]];
    for (int v = 0; v < TOY_VOCAB; v++) {
        CHECK(logits[v] == weights[31 * TOY_VOCAB + v] + (float)v * sum, "logit %d: %g", v, (double)logits[v]);
        CHECK(logits[v] == all[2 * TOY_VOCAB + v], "logit %d of all", v);
    }
    CHECK(qbrt_instance_is_end(i, TOY_VOCAB - 1) == 1 && !qbrt_instance_is_end(i, 0), "ends are the model's");
    CHECK(qbrt_instance_argmax(i, logits) == qbrt_argmax(logits, TOY_VOCAB), "the vocabulary is the model's");
    CHECK(qbrt_instance_encode(i, "a", 1, 0, NULL, 0, NULL, 0) == -2 && !qbrt_instance_text_next(i, 3, NULL, 0),
          "there is no tokenizer");
    CHECK(qbrt_instance_eval(NULL, tokens, 3, logits) == QBRT_BAD_ARGUMENT, "no instance");
}

int main(void)
{
    struct qbc q = {0};
    size_t bytes;
    struct qbrt_linked linked = link_toy(&q, 1, &bytes), two = link_toy(&q, 2, &bytes);
    CHECK(open_with(two, NULL) == QBRT_DAMAGED, "a linked model has one variant");
    free((void *)(uintptr_t)two.root);
    free((void *)(uintptr_t)linked.root);
    linked = link_toy(&q, 1, &bytes);
    test_open(linked);
    test_facts(linked);
    test_damage(linked, bytes);
    test_instance(linked);
    free((void *)(uintptr_t)linked.root);
    qbc_arena_free(&q);
    return check_failures() != 0;
}
