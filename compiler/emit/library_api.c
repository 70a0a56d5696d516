/* library_api.c: the functions that a generated header declares.
 *
 * Each is a jump to the runtime's function that does it (runtime/instance.h), so two models can stand in one program, a
 * shared library shows no other names, and any language can call them:
 *
 *     define i32 @model_eval(ptr %0, ptr %1, i64 %2, ptr %3) {
 *       %r = tail call i32 @qbrt_instance_eval(ptr %0, ptr %1, i64 %2, ptr %3)
 *       ret i32 %r
 *     }
 *
 * Only _open does more: it puts the table of what is linked before the arguments.
 */
#include "library.h"

#include <stdio.h>
#include <string.h>

/* p pointer, z size_t or ptrdiff_t, i int32_t or an enum, v nothing; the result first. */
static const struct {
    const char *name, *types, *calls;
} functions[] = {
    {"open", "ipzpp", "instance_open"},
    {"eval", "ippzp", "instance_eval"},
    {"eval_all", "ippzp", "instance_eval_all"},
    {"position", "zp", "instance_position"},
    {"reset", "vp", "instance_reset"},
    {"save", "ippz", "instance_save"},
    {"restore", "ippz", "instance_restore"},
    {"argmax", "ipp", "instance_argmax"},
    {"sample", "ipppp", "instance_sample"},
    {"is_end", "ipi", "instance_is_end"},
    {"tokenize", "zppzipzpz", "instance_encode"},
    {"detokenize", "zppzipz", "instance_decode"},
    {"text_begin", "vpi", "instance_text_begin"},
    {"text_next", "zpipz", "instance_text_next"},
    {"text_end", "zppz", "instance_text_end"},
    {"status_text", "pi", "status_text"},
};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions, OPEN = 0 };

const char *qbc_library_function(size_t i)
{
    return i < N_FUNCTIONS ? functions[i].name : NULL;
}

/* The C ABIs of RISC-V and others want to know how a small number is widened. */
static const char *type_name(char type, bool is_argument)
{
    switch (type) {
    case 'p':
        return "ptr";
    case 'z':
        return "i64";
    case 'i':
        return is_argument ? "i32 signext" : "signext i32";
    default:
        return "void";
    }
}

/* "ptr %0, i64 %1" */
static const char *arguments(struct qbc *q, const char *types, bool named)
{
    const char *text = "";
    for (size_t i = 0; types[i]; ++i)
        text = qbc_text(q, "%s%s%s%s", text, i ? ", " : "", type_name(types[i], true),
                        named ? qbc_text(q, " %%%zu", i) : "");
    return text;
}

static const char *function(struct qbc *q, const char *prefix, size_t i)
{
    const char *types = functions[i].types, *calls = functions[i].calls;
    const char *result = type_name(types[0], false), *before = i == OPEN ? qbc_text(q, "ptr @%s_linked, ", prefix) : "";
    bool gives = types[0] != 'v';
    const char *declared = qbc_text(q, "declare hidden %s @qbrt_%s(%s%s)\n", result, calls, i == OPEN ? "ptr, " : "",
                                    arguments(q, types + 1, false));
    return qbc_text(q, "%sdefine %s @%s_%s(%s) nounwind {\n  %stail call %s @qbrt_%s(%s%s)\n  ret %s\n}\n", declared,
                    result, prefix, functions[i].name, arguments(q, types + 1, true), gives ? "%r = " : "", result,
                    calls, before, arguments(q, types + 1, true),
                    gives ? qbc_text(q, "%s %%r", types[0] == 'p' ? "ptr" : types[0] == 'z' ? "i64" : "i32") : "void");
}

struct qbc_bytes qbc_library_api(struct qbc *q, uint64_t file_bytes)
{
    const char *p = q->options.prefix;
    const char *text = qbc_text(q,
                                "@%s_root = external hidden constant i8\n"
                                "@%s_weights = external hidden constant i8\n"
                                "declare hidden void @%s_decode(ptr, i64)\n"
                                "declare hidden void @%s_step(ptr, i64)\n"
                                "@%s_linked = hidden constant {ptr, ptr, i64, ptr, ptr} "
                                "{ptr @%s_root, ptr @%s_weights, i64 %llu, ptr @%s_decode, ptr @%s_step}\n",
                                p, p, p, p, p, p, p, (unsigned long long)file_bytes, p, p);
    for (size_t i = 0; i < N_FUNCTIONS; ++i)
        text = qbc_text(q, "%s%s", text, function(q, p, i));
    return qbc_compile_ir(q, text);
}
