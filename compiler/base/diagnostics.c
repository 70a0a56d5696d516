/* diagnostics: errors as clang prints them, and counted.
 *
 *     model.onnx:/layers.0/MatMul: error: MatMul: weight is int8, want a float type
 *
 * Everything goes through MLIR's diagnostics, so that its own verifier and parser come out the same
 * way. Locations are file:line:column for parsed text and "file:node" for imported nodes
 * (a NameLoc around the file's location).
 */
#include "base.h"

#include <mlir-c/Diagnostics.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_text(MlirStringRef text, void *to)
{
    fwrite(text.data, 1, text.length, to);
}

static void print_location(MlirLocation loc, FILE *to)
{
    if (mlirLocationIsAName(loc)) {
        MlirLocation child = mlirLocationNameGetChildLoc(loc);
        if (!mlirLocationIsNull(child) && mlirLocationIsAFileLineColRange(child)) {
            MlirStringRef file =
                mlirIdentifierStr(mlirLocationFileLineColRangeGetFilename(child));
            fprintf(to, "%.*s:", (int)file.length, file.data);
        }
        MlirStringRef name = mlirIdentifierStr(mlirLocationNameGetName(loc));
        fprintf(to, "%.*s: ", (int)name.length, name.data);
    } else if (mlirLocationIsAFileLineColRange(loc)) {
        MlirStringRef file = mlirIdentifierStr(mlirLocationFileLineColRangeGetFilename(loc));
        int line = mlirLocationFileLineColRangeGetStartLine(loc);
        fprintf(to, "%.*s:", (int)file.length, file.data);
        if (line > 0)
            fprintf(to, "%d:%d: ", line, mlirLocationFileLineColRangeGetStartColumn(loc));
        else
            fputc(' ', to);
    } else {
        fputs("qbc: ", to);
    }
}

static MlirLogicalResult handle(MlirDiagnostic diagnostic, void *user)
{
    static const char *const severities[] = {"error", "warning", "note", "remark"};
    struct qbc *q = user;
    MlirDiagnosticSeverity severity = mlirDiagnosticGetSeverity(diagnostic);
    q->errors += severity == MlirDiagnosticError;
    q->warnings += severity == MlirDiagnosticWarning;
    print_location(mlirDiagnosticGetLocation(diagnostic), stderr);
    fprintf(stderr, "%s: ", severities[severity]);
    mlirDiagnosticPrint(diagnostic, print_text, stderr);
    fputc('\n', stderr);
    for (intptr_t i = 0; i < mlirDiagnosticGetNumNotes(diagnostic); ++i)
        handle(mlirDiagnosticGetNote(diagnostic, i), user);
    return mlirLogicalResultSuccess();
}

void qbc_diagnostics_attach(struct qbc *q)
{
    mlirContextAttachDiagnosticHandler(q->mlir, handle, q, NULL);
}

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

/* mlirEmitError wants text without a format. A note of its own is printed as such. */
static void emit(struct qbc *q, MlirOperation op, MlirDiagnosticSeverity severity, const char *text)
{
    MlirLocation loc = mlirOperationGetLocation(op);
    if (severity == MlirDiagnosticError) {
        mlirEmitError(loc, text);
        return;
    }
    q->warnings += severity == MlirDiagnosticWarning;
    print_location(loc, stderr);
    fprintf(stderr, "%s: %s\n", severity == MlirDiagnosticWarning ? "warning" : "note", text);
}

void qbc_error(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, MlirDiagnosticError, vtext(q, format, args));
    va_end(args);
}

void qbc_warn(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, MlirDiagnosticWarning, vtext(q, format, args));
    va_end(args);
}

void qbc_note(struct qbc *q, MlirOperation op, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit(q, op, MlirDiagnosticNote, vtext(q, format, args));
    va_end(args);
}

void qbc_error_in(struct qbc *q, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: error: %s\n", where, vtext(q, format, args));
    va_end(args);
    ++q->errors;
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

void qbc_progress(struct qbc *q, const char *what, size_t done, size_t total)
{
    static _Thread_local struct timespec start, last;
    struct timespec now;
    if (q->options.quiet || !isatty(STDERR_FILENO))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (done == 0)
        start = last = now;
    double since_start = (double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec);
    double since_last = (double)(now.tv_sec - last.tv_sec) + 1e-9 * (double)(now.tv_nsec - last.tv_nsec);
    if (since_start < 1 || (since_last < 0.2 && done < total))
        return;
    last = now;
    fprintf(stderr, "\r%s %zu/%zu\033[K", what, done, total);
    if (done >= total)
        fputs("\r\033[K", stderr);
}
