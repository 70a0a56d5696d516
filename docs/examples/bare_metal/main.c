/* main.c: a language model on a machine without an operating system.
 *
 * All memory is in the arrays below: the linker script says where they lie, and the size of the program is what it needs.
 * PROMPT and NEW_TOKENS may be given to the compiler.
 */
#include "board.h"
#include "model.h"

#ifndef PROMPT
#define PROMPT "The function returns"
#endif
#ifndef NEW_TOKENS
#define NEW_TOKENS 32
#endif

static _Alignas(QBRT_ALIGN) unsigned char memory[MODEL_SESSION_BYTES];
static unsigned char scratch[MODEL_TOKENIZE_BYTES(sizeof PROMPT)];
static int32_t tokens[MODEL_CONTEXT];
static float logits[MODEL_VOCAB];

static void print(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        board_put(text[i]);
}

static void print_line(const char *text)
{
    while (*text)
        board_put(*text++);
    board_put('\n');
}

static void print_token(struct model_instance *m, int32_t token)
{
    char text[MODEL_TEXT_BYTES];
    print(text, model_text_next(m, token, text, sizeof text));
}

static enum qbrt_status speak(struct model_instance *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        print_token(m, tokens[i]);
    enum qbrt_status status = model_eval(m, tokens, n, logits);
    for (int i = 0; i < NEW_TOKENS && !status; i++) {
        int32_t token = model_argmax(m, logits);
        if (model_is_end(m, token))
            break;
        print_token(m, token);
        status = model_eval(m, &token, 1, logits);
    }
    print_line("");
    return status;
}

int main(void)
{
    struct model_instance *m;
    enum qbrt_status status = model_open(memory, sizeof memory, NULL, &m);
    if (status) {
        print_line(model_status_text(status));
        return 1;
    }
    ptrdiff_t n = model_tokenize(m, PROMPT, sizeof PROMPT - 1, QBRT_TOKENIZER_SPECIAL, tokens, MODEL_CONTEXT, scratch,
                                 sizeof scratch);
    if (n < 1 || n > MODEL_CONTEXT - NEW_TOKENS) {
        print_line("the prompt does not fit into the context");
        return 1;
    }
    status = speak(m, (size_t)n);
    print_line(status ? model_status_text(status) : "[end]");
    return status != QBRT_OK;
}
