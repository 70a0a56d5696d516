/* evaluate_table: the rows of evaluate.def, and what they compute of single elements. */
#include "evaluate_ops.h"

#include <math.h>
#include <string.h>

#define OP(name, function)
#define UNARY(name, on_float, on_int)                                                              \
    static float name##_float(float x) { return (float)(on_float); }                               \
    static int64_t name##_int(int64_t x) { return (int64_t)(on_int); }
#define BINARY(name, on_float, on_int)                                                             \
    static float name##_float(float x, float y) { return (float)(on_float); }                      \
    static int64_t name##_int(int64_t x, int64_t y) { return (int64_t)(on_int); }
#define VARIADIC BINARY
#define COMPARE(name, test)                                                                        \
    static bool name##_float(float x, float y) { return test; }                                    \
    static bool name##_int(int64_t x, int64_t y) { return test; }
#include "evaluate.def"
#undef OP
#undef UNARY
#undef BINARY
#undef VARIADIC
#undef COMPARE

static const struct qbc_ev_row rows[] = {
#define OP(op, function) {.name = op, .run = qbc_ev_##function},
#define UNARY(op, on_float, on_int)                                                                \
    {.name = #op, .run = qbc_ev_unary, .float1 = op##_float, .int1 = op##_int},
#define BINARY(op, on_float, on_int)                                                               \
    {.name = #op, .run = qbc_ev_binary, .float2 = op##_float, .int2 = op##_int},
#define VARIADIC(op, on_float, on_int)                                                             \
    {.name = #op, .run = qbc_ev_variadic, .float2 = op##_float, .int2 = op##_int},
#define COMPARE(op, test)                                                                          \
    {.name = #op, .run = qbc_ev_compare, .test_float = op##_float, .test_int = op##_int},
#include "evaluate.def"
};

const struct qbc_ev_row *qbc_ev_find(const char *name)
{
    if (!strncmp(name, "onnx.", 5))
        name += 5;
    else if (strncmp(name, "qb.", 3))
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return strncmp(name, "qb.", 3) ? NULL : &rows[sizeof rows / sizeof *rows - 1]; /* "qb." */
}
