/* depfile: a rule for make that says what the output was made of, as compilers write it with -MD. CMake and ninja read it. */
#include "emit.h"
#include "pipeline.h"

#include <string.h>

/* As make wants names: spaces and '#' behind a backslash, '$' twice. */
static const char *escaped(struct qbc *q, const char *name)
{
    char *text = qbc_alloc(q, 2 * strlen(name) + 1), *at = text;
    for (; *name; ++name) {
        if (strchr(" #\\", *name))
            *at++ = '\\';
        else if (*name == '$')
            *at++ = '$';
        *at++ = *name;
    }
    return text;
}

bool qbc_write_depfile(struct qbc *q)
{
    if (!q->options.depfile)
        return true;
    const char *text = qbc_text(q, "%s:", escaped(q, q->options.output));
    for (size_t i = 0; i < q->n_inputs; ++i)
        text = qbc_text(q, "%s \\\n  %s", text, escaped(q, q->inputs[i]));
    text = qbc_text(q, "%s\n", text);
    return qbc_write_file(q, q->options.depfile, text, strlen(text));
}
