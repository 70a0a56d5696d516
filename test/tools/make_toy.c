/* make_toy: write the toy artifact (test/unit/toy.h) for a script to use.
 *
 *     make_toy OUT.qbm [x86|arm|riscv] [tokenizer.json]
 *
 * Runs in the source folder. Exit status 77: the compiler for that machine is not there.
 */
#include "../unit/toy.h"
#include "tokenizer.h"

static const struct toy *choose(const char *name)
{
    if (!strcmp(name, "x86"))
        return &toy_x86;
    if (!strcmp(name, "arm"))
        return &toy_arm;
    return strcmp(name, "riscv") ? toy_native() : &toy_riscv;
}

int main(int argc, char **argv)
{
    struct qbc q = {.options = {.diagnose = qbc_print_diagnostic}};
    struct toy_artifact a;
    size_t bytes;
    if (argc < 2 || !qbc_open(&q))
        return 1;
    const struct toy *toy = choose(argc > 2 ? argv[2] : "");
    uint8_t *image = toy_image(toy, "test/unit/inputs/toy_image.c", "", &bytes), *blob;
    if (!image)
        return 77;
    toy_artifact(&a);
    toy_add_variant(&a, toy, image, bytes);
    if (argc > 3) {
        if (!qbc_tokenizer_compile(&q, argv[3], &blob, &a.facts.tokenizer_bytes))
            return 1;
        a.facts.tokenizer = blob;
    }
    bool good = toy_emit(&q, &a, argv[1]);
    free(image);
    qbc_close(&q);
    toy_clean();
    return good ? 0 : 1;
}
