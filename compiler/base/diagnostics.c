/* diagnostics: errors are counted, and told to whom the options name.
 *
 *     model.onnx:/layers.0/MatMul: error: MatMul: weight is int8, want a float type
 *
 * Everything an operation stands for goes through MLIR's diagnostics, so that its own verifier and parser
 * come out the same way. Locations are file:line:column for parsed text and "file:node" for imported nodes
 * (a NameLoc around the file's location).
 */
#include "base.h"

#include <mlir-c/Diagnostics.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- text that grows; not in the arena, for MLIR's threads may come here */

struct text {
    char *at;
    size_t n;
};

static void append(MlirStringRef part, void *user)
{
    struct text *t = user;
    char *grown = realloc(t->at, t->n + part.length + 1);
    if (!grown)
        abort(); /* nothing is left to tell it with */
    memcpy(grown + t->n, part.data, part.length);
    t->at = grown;
    t->n += part.length;
    t->at[t->n] = 0;
}

static char *copy_of(MlirStringRef s)
{
    struct text t = {0};
    append(s, &t);
    return t.at;
}

/* --- places */

struct place {
    char *file, *node; /* malloc'ed, or NULL */
    int line, column;
    char *where;
};

static void read_file_location(MlirLocation loc, struct place *p)
{
    int line = mlirLocationFileLineColRangeGetStartLine(loc);
    p->file = copy_of(mlirIdentifierStr(mlirLocationFileLineColRangeGetFilename(loc)));
    p->line = line > 0 ? line : 0;
    p->column = line > 0 ? mlirLocationFileLineColRangeGetStartColumn(loc) : 0;
}

static struct place place_of(MlirLocation loc)
{
    struct place p = {0};
    struct text where = {0};
    char numbers[32] = "";
    if (mlirLocationIsAName(loc)) {
        MlirLocation child = mlirLocationNameGetChildLoc(loc);
        if (!mlirLocationIsNull(child) && mlirLocationIsAFileLineColRange(child))
            read_file_location(child, &p);
        p.node = copy_of(mlirIdentifierStr(mlirLocationNameGetName(loc)));
        p.line = p.column = 0; /* an ONNX file has none */
    } else if (mlirLocationIsAFileLineColRange(loc)) {
        read_file_location(loc, &p);
        if (p.line)
            snprintf(numbers, sizeof numbers, ":%d:%d", p.line, p.column);
    }
    append(qbc_str(p.file ? p.file : p.node ? "" : "qbc"), &where);
    append(qbc_str(p.file && p.node ? ":" : ""), &where);
    append(qbc_str(p.node ? p.node : numbers), &where);
    p.where = where.at;
    return p;
}

static void tell(const struct qbc *q, const struct qbc_diagnostic *d)
{
    if (q->options.diagnose)
        q->options.diagnose(q->options.user, d);
}

static void tell_at(const struct qbc *q, MlirLocation loc, enum qbc_severity severity, const char *text)
{
    struct place p = place_of(loc);
    tell(q, &(struct qbc_diagnostic){severity, p.where, text, p.file, p.node, p.line, p.column});
    free(p.file);
    free(p.node);
    free(p.where);
}

void qbc_print_diagnostic(void *user, const struct qbc_diagnostic *d)
{
    static const char *const severities[] = {"error", "warning", "note", "remark", "error"};
    (void)user;
    fprintf(stderr, "%s: %s: %s\n", d->where, severities[d->severity], d->text);
}

/* --- MLIR's */

static MlirLogicalResult handle(MlirDiagnostic diagnostic, void *user)
{
    static const enum qbc_severity severities[] = {QBC_ERROR, QBC_WARNING, QBC_NOTE, QBC_REMARK};
    struct qbc *q = user;
    struct text text = {0};
    enum qbc_severity severity = severities[mlirDiagnosticGetSeverity(diagnostic)];
    q->errors += severity == QBC_ERROR;
    q->warnings += severity == QBC_WARNING;
    append(qbc_str(""), &text);
    mlirDiagnosticPrint(diagnostic, append, &text);
    tell_at(q, mlirDiagnosticGetLocation(diagnostic), severity, text.at);
    free(text.at);
    for (intptr_t i = 0; i < mlirDiagnosticGetNumNotes(diagnostic); ++i)
        handle(mlirDiagnosticGetNote(diagnostic, i), user);
    return mlirLogicalResultSuccess();
}

void qbc_diagnostics_attach(struct qbc *q)
{
    mlirContextAttachDiagnosticHandler(q->mlir, handle, q, NULL);
}

/* --- ours */

static char *vtext(struct qbc *q, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = qbc_alloc(q, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

/* An error goes through MLIR, whose handlers of tests want it; a note of its own is told as such. */
static void emit(struct qbc *q, MlirOperation op, enum qbc_severity severity, const char *text)
{
    MlirLocation loc = mlirOperationGetLocation(op);
    if (severity == QBC_ERROR) {
        mlirEmitError(loc, text);
        return;
    }
    q->warnings += severity == QBC_WARNING;
    tell_at(q, loc, severity, text);
}

void qbc_error(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, QBC_ERROR, vtext(q, format, args));
    va_end(args);
}

void qbc_warn(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, QBC_WARNING, vtext(q, format, args));
    va_end(args);
}

void qbc_warn_slow(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!q->options.no_slow_path)
        emit(q, op, QBC_WARNING, qbc_text(q, "%s [-Wslow-path]", vtext(q, format, args)));
    va_end(args);
}

void qbc_note(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, QBC_NOTE, vtext(q, format, args));
    va_end(args);
}

void qbc_error_in(struct qbc *q, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ++q->errors;
    tell(q, &(struct qbc_diagnostic){QBC_ERROR, .where = where, .text = vtext(q, format, args)});
    va_end(args);
}

void qbc_warn_in(struct qbc *q, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ++q->warnings;
    tell(q, &(struct qbc_diagnostic){QBC_WARNING, .where = where, .text = vtext(q, format, args)});
    va_end(args);
}

void qbc_remark_in(struct qbc *q, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(q, &(struct qbc_diagnostic){QBC_REMARK, .where = where, .text = vtext(q, format, args)});
    va_end(args);
}

static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= 64)
        return 64;
    for (size_t j = 0; j <= n; ++j)
        row[j] = j;
    for (size_t i = 0; a[i]; ++i) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; ++j) {
            size_t best = corner + (a[i] != b[j]);
            corner = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (corner + 1 < best)
                best = corner + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

const char *qbc_nearest(const char *wrong, const char *const *names)
{
    const char *best = NULL;
    size_t least = strlen(wrong) / 3 + 2; /* a typo or two, more in long words */
    for (; *names; ++names) {
        size_t d = distance(wrong, *names);
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    return best;
}

bool qbc_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words))
        ++words;
    return *words;
}

const char *qbc_suggestion(struct qbc *q, const char *wrong, const char *const *names, const char *otherwise)
{
    const char *near = qbc_nearest(wrong, names);
    return near ? qbc_text(q, "; did you mean '%s'?", near) : otherwise;
}

void qbc_progress(struct qbc *q, const char *what, size_t done, size_t total)
{
    if (q->options.progress)
        q->options.progress(q->options.user, what, done, total);
}

bool qbc_stop(struct qbc *q)
{
    if (!q->stopped && q->options.stop && q->options.stop(q->options.user)) {
        q->stopped = true;
        ++q->errors;
    }
    return q->stopped;
}

void qbc_out_of_memory(const struct qbc *q, size_t bytes)
{
    char text[64];
    snprintf(text, sizeof text, "out of memory (%zu bytes)", bytes);
    tell(q, &(struct qbc_diagnostic){QBC_FATAL, .where = "qbc", .text = text});
    abort();
}
