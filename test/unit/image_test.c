/* image_test: which ELF images may be loaded. Each refused one is made by a real linker from
 * source that breaks one rule. */
#include "image.h"
#include "toy.h"

static char detail[QBRT_DETAIL];

static enum qbrt_status check(const uint8_t *image, size_t bytes)
{
    struct image out;
    return image_check(&out, image, bytes, (uint16_t)toy_native()->machine, detail);
}

/* Link `text` with linker flags `more`; it must be refused for the reason `why` (NULL: not). */
static void expect(const char *text, const char *more, const char *why)
{
    size_t bytes;
    char source[300];
    snprintf(source, sizeof source, "%s", toy_path("source.c"));
    toy_write(source, text, strlen(text));
    uint8_t *image = toy_image(toy_native(), source, more, &bytes);
    REQUIRE(image);
    enum qbrt_status status = check(image, bytes);
    if (why ? status != QBRT_BAD_CODE || !strstr(detail, why) : status != QBRT_OK) {
        fprintf(stderr, "image_test: want '%s', got %d '%s' for:\n%s\n", why ? why : "loaded",
                status, detail, text);
        exit(1);
    }
    free(image);
}

static void test_rules(void)
{
    const char *plain = "int f(int x) { return x + 1; }";
    expect(plain, "", NULL);
    expect("static const int t[] = {1, 2, 3}; int f(int x) { return t[x]; }", "", NULL);
    expect(plain, "--rosegment", NULL);
    expect(plain, "--dynamic-linker=/lib/ld.so", NULL); /* lld leaves it out of shared objects */
    expect("int g(int); int f(int x) { return g(x); }", "", "writable"); /* its .got.plt */
    expect("__asm__(\".section .rodata\\n.quad f\"); int f(void) { return 1; }", "-z notext",
           "relocations");
    expect("__asm__(\".global g\"); int f(void) { return 1; }", "", "symbol from outside");
    expect("int f(int x) { static int n; return n += x; }", "", "writable");
    expect("int t[] = {1, 2}; int f(int x) { return t[x] += x; }", "", "writable");
    expect("extern const int a; const int a = 1; const int *const p = &a;", "", "writable");
    expect("static _Thread_local int n; int f(int x) { return n += x; }", "", "memory");
    expect("__attribute__((constructor)) static void f(void) { __asm__(\"nop\"); }", "",
           "writable");

    /* needs a library: link against the object itself as a shared one */
    char more[400];
    snprintf(more, sizeof more, "--no-as-needed %s", toy_path("library.so"));
    size_t bytes;
    uint8_t *image = toy_image(toy_native(), "test/unit/inputs/toy_image.c", "", &bytes);
    toy_write(toy_path("library.so"), image, bytes);
    free(image);
    expect(plain, more, "shared library");
}

static void test_bounds(void)
{
    size_t bytes;
    uint8_t *image = toy_image(toy_native(), "test/unit/inputs/toy_image.c", "", &bytes);
    struct image out;
    uint16_t machine = (uint16_t)toy_native()->machine;
    REQUIRE(!image_check(&out, image, bytes, machine, detail));
    uint64_t decode = toy_symbol(image, bytes, "toy_decode");
    REQUIRE(image_holds_code(&out, decode));
    REQUIRE(!image_holds_code(&out, out.span) && !image_holds_code(&out, UINT64_MAX));
    REQUIRE(image_check(&out, image, bytes, (uint16_t)(machine + 1), detail) == QBRT_BAD_CODE);
    REQUIRE(strstr(detail, "another machine"));
    REQUIRE(check((const uint8_t *)"not an ELF file", 15) == QBRT_BAD_CODE);

    /* cut anywhere, on a copy with nothing behind it: refused or sound, never read beyond */
    for (size_t n = 0; n < bytes; n += 7) {
        uint8_t *part = malloc(n + 1);
        memcpy(part, image, n);
        if (!check(part, n))
            REQUIRE(n > decode);
        free(part);
    }
    /* any header byte changed: no crash, and whatever is accepted stays inside */
    for (size_t i = 0; i < 1024; i++) {
        for (int bit = 0; bit < 8; bit++) {
            image[i] ^= (uint8_t)(1 << bit);
            if (!image_check(&out, image, bytes, machine, detail)) {
                for (size_t k = 0; k < out.n_segments; k++) {
                    const struct image_segment *s = &out.segment[k];
                    REQUIRE(s->offset + s->bytes <= bytes && s->address + s->bytes <= out.span);
                }
            }
            image[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(image);
}

int main(void)
{
    test_rules();
    test_bounds();
    toy_clean();
    puts("image_test: passed");
    return 0;
}
