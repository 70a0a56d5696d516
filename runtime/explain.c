/* explain.c: sentences for people, without printf. */
#include "internal.h"
#include <stdarg.h>

struct pen {
    char *text;
    size_t used;
};

static void put(struct pen *pen, char c)
{
    if (pen->used + 1 < QBRT_DETAIL)
        pen->text[pen->used++] = c;
}

/* Names come from the file: control characters must not reach a terminal. */
static void put_string(struct pen *pen, const char *s)
{
    for (; s && *s; s++)
        put(pen, (unsigned char)*s < ' ' || *s == 127 ? '?' : *s);
}

static void put_number(struct pen *pen, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n)
        put(pen, digits[--n]);
}

void qbrt_explain(char *detail, const char *format, ...)
{
    if (!detail)
        return;
    struct pen pen = {.text = detail};
    va_list arguments;
    va_start(arguments, format);
    for (const char *f = format; *f; f++) {
        if (*f != '%')
            put(&pen, *f);
        else if (*++f == 's')
            put_string(&pen, va_arg(arguments, const char *));
        else
            put_number(&pen, va_arg(arguments, uint64_t));
    }
    va_end(arguments);
    detail[pen.used] = 0;
}
