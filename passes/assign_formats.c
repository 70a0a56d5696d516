/* assign-formats: say in which format each weight is stored.
 *
 *   before   %w = "qb.weight"() {name = "0.ffn_up", ...} : () -> tensor<NxKxf32>
 *   after    %b = "qb.weight"() {name = "0.ffn_up", format = "i4g32", ...}
 *                     : () -> tensor<NxKx!qb.block<"i4g32">>
 *            %w = "qb.dequant"(%b) : (tensor<NxKx!qb.block<"i4g32">>) -> tensor<NxKxf32>
 *
 * needs    qb.linear and qb.embed recognised
 * leaves   every weight of theirs with a `format`: what {assigned = "i4g64"} says, else -quant, or the last -quant-tensor rule
 *          "REGEX=FORMAT" (POSIX extended, anywhere in the weight's name) that matches;
 *          a float format is only noted: the weight stays dense. What says {keep = "f16"} gets that instead of codes
 *          Codes that the model holds (coded.h) are taken over where the format can keep them: {fit = "import"},
 *          or "import_rounded" when scales become f16 that were none. Where no option names a format they get the
 *          one that keeps them, floats f32; or {fit = "exact"}, where these are -s, 0 and s alone, the format that holds just that.
 * keeps    vectors and other weights (they are f32), and weights that came as blocks
 */
#include "coded.h"
#include "kernel.h"
#include "parts.h"
#include "pattern.h"

#include <mlir-c/BuiltinTypes.h>
#include <regex.h>
#include <string.h>

struct rule {
    const char *text;
    const char *pattern;
    const struct qbc_format *format;
    regex_t regex;
    bool compiled;
    size_t matches;
};

enum { MOST_NAMES = 6 };

static const struct qbc_format *find_format(struct qbc *q, const char *option, const char *name)
{
    const struct qbc_format *format = qbc_read_format(q, option, name);
    const char *lacking = format ? qbc_format_lacks_kernel(format) : NULL;
    if (lacking)
        qbc_error_in(q, option, "there are no kernels for %s yet (format '%s'); qbc --list-formats shows what there is",
                     lacking, name);
    return lacking ? NULL : format;
}

static void read_rule(struct qbc *q, struct rule *rule, const char *text)
{
    const char *option = qbc_text(q, "-quant-tensor=%s", text), *equals = strrchr(text, '=');
    rule->text = option;
    if (!equals || equals == text) {
        qbc_error_in(q, option, "write REGEX=FORMAT, for example 'ffn_down=i8g32'");
        return;
    }
    rule->pattern = qbc_copy(q, text, (size_t)(equals - text));
    rule->format = find_format(q, option, equals + 1);
    int status = regcomp(&rule->regex, rule->pattern, REG_EXTENDED | REG_NOSUB);
    rule->compiled = !status;
    if (status) {
        char why[128];
        regerror(status, &rule->regex, why, sizeof why);
        qbc_error_in(q, option, "'%s' is no regular expression: %s", rule->pattern, why);
    }
}

/* Weights that linears and embeddings multiply or look up, each once, in program order. */
static bool wanted(MlirOperation weight)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    for (MlirOpOperand use = mlirValueGetFirstUse(w); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        bool matrix = qbc_is(user, "qb.linear") || qbc_is(user, "qb.embed") || qbc_is(user, "qb.expert_linear");
        if (matrix && mlirOpOperandGetOperandNumber(use) == 1)
            return true;
    }
    return false;
}

static bool is_blocks(struct qbc *q, MlirOperation weight)
{
    return qbc_block_format(q, mlirOperationGetResult(weight, 0));
}

static const struct qbc_format *choose(const char *name, const struct qbc_format *format,
                                       struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (rules[i].compiled && !regexec(&rules[i].regex, name, 0, NULL, 0)) {
            ++rules[i].matches;
            format = rules[i].format ? rules[i].format : format;
        }
    return format;
}

/* Floats that are ternary or binary numbers in disguise get a format that keeps them. */
static const struct qbc_format *few_levels(struct qbc *q, MlirOperation weight, const struct qbc_format *otherwise)
{
    struct qbc_view view;
    bool there = qbc_store_find(q, qbc_string(q, weight, "source", "")) && qbc_rank(mlirOperationGetResult(weight, 0)) == 2;
    const struct qbc_format *format = there && qbc_view_of(q, weight, &view) ? qbc_exact_format(q, &view) : NULL;
    if (format)
        qbc_set_string(q, weight, "fit", "exact");
    return format ? format : otherwise;
}

/* Codes in another order than that of their groups: only what products read can be put in order (sort-columns). */
static bool may_be_sorted(struct qbc *q, MlirOperation weight, const struct qbc_coded *coded)
{
    struct qbc_ops users = qbc_users(q, mlirOperationGetResult(weight, 0));
    bool good = coded->length <= QBC_MOST_INDEX;
    for (size_t i = 0; i < users.n && good; ++i)
        good = qbc_is(users.op[i], "qb.linear");
    return good;
}

/* The format of a weight that the model holds as codes; `asked` NULL: whatever keeps them. */
static const struct qbc_format *import(struct qbc *q, MlirOperation weight, const struct qbc_format *asked)
{
    struct qbc_view view;
    enum qbc_kept kept = QBC_KEPT_NOT;
    if (!qbc_has(weight, "blocks"))
        return asked ? asked : few_levels(q, weight, qbc_find_format(q, "f32"));
    if (!qbc_view_of(q, weight, &view))
        return NULL;
    bool can = !view.source->coded->groups || may_be_sorted(q, weight, view.source->coded);
    const struct qbc_format *format = asked || !can ? asked : qbc_coded_format(q, &view, &kept);
    if (asked && can)
        kept = qbc_coded_keeps(&view, asked);
    if (!format || (!asked && qbc_format_lacks_kernel(format))) {
        format = qbc_find_format(q, qbc_coded_is_half(&view) ? "f16" : "f32");
        kept = QBC_KEPT_NOT;
        qbc_warn_slow(q, weight, "no format keeps the codes of '%s' (%d bits in groups of %ld%s); it is stored as %s, without loss, unless "
                 "-quant names a format", qbc_string(q, weight, "name", ""), view.source->coded->bits,
                 (long)view.source->coded->group, can ? "" : ", in another order", format->name);
    }
    if (kept != QBC_KEPT_NOT)
        qbc_set_string(q, weight, "fit", kept == QBC_KEPT_EXACT ? "import" : "import_rounded");
    return format;
}

/* What somebody chose for this weight, else what holds for all. */
static const struct qbc_format *assigned(struct qbc *q, MlirOperation weight, const struct qbc_format *all)
{
    const char *name = qbc_string(q, weight, "assigned", NULL);
    mlirOperationRemoveAttributeByName(weight, qbc_str("assigned"));
    return name ? find_format(q, "assigned", name) : all;
}

/* {keep = "f16"}: not to be rounded more than that. */
static const struct qbc_format *kept(struct qbc *q, MlirOperation weight, const struct qbc_format *format)
{
    const char *keep = qbc_string(q, weight, "keep", NULL);
    return keep && format->codebook != QBC_CODE_FLOAT ? find_format(q, "keep", keep) : format;
}

static void assign(struct qbc *q, MlirOperation weight, const struct qbc_format *format)
{
    MlirValue w = mlirOperationGetResult(weight, 0);
    MlirType dense = mlirValueGetType(w);
    if (qbc_rank(w) != 2) {
        qbc_error(q, weight, "the weight of a linear or an embedding is a matrix");
        return;
    }
    qbc_set_string(q, weight, "format", format->name);
    if (format->codebook == QBC_CODE_FLOAT)
        return;
    struct qbc_build b = qbc_after(q, weight);
    MlirType block = qbc_block_type(q, format->name);
    mlirValueSetType(w, qbc_tensor2(q, block, qbc_dim(w, 0), qbc_dim(w, 1)));
    MlirValue dequant = qbc_op(&b, "qb.dequant", dense, 1, w);
    MlirOperation except = mlirOpResultGetOwner(dequant);
    mlirValueReplaceAllUsesExcept(w, dequant, 1, &except);
}

static void report_unused(struct qbc *q, const struct rule *rule, const char *const *names,
                          size_t n)
{
    const char *list = n ? "" : "none";
    size_t step = n > MOST_NAMES ? n / MOST_NAMES : 1; /* from all parts of the model */
    for (size_t i = 0, shown = 0; i < n && shown < MOST_NAMES; i += step, ++shown)
        list = qbc_text(q, "%s%s%s", list, i ? ", " : "", names[i]);
    qbc_error_in(q, rule->text, "no tensor's name matches '%s'; the %zu tensors are %s%s",
                 rule->pattern, n, list, n > MOST_NAMES ? ", ..." : "");
}

void qbc_pass_assign_formats(struct qbc *q, MlirOperation module)
{
    size_t n_rules = q->options.n_quant_tensor, before = q->errors, n = 0;
    struct rule *rules = qbc_alloc(q, (n_rules + 1) * sizeof *rules);
    const char *quant = q->options.quant;
    const struct qbc_format *format = quant ? find_format(q, qbc_text(q, "-quant=%s", quant), quant) : NULL;
    for (size_t i = 0; i < n_rules; ++i)
        read_rule(q, &rules[i], q->options.quant_tensor[i]);

    struct qbc_ops weights = qbc_collect(q, module, "qb.weight");
    const char **names = qbc_alloc(q, (weights.n + 1) * sizeof *names);
    for (size_t i = 0; i < weights.n && q->errors == before; ++i) {
        if (!wanted(weights.op[i]) || is_blocks(q, weights.op[i]))
            continue;
        names[n] = qbc_string(q, weights.op[i], "name", "");
        const struct qbc_format *chosen = import(q, weights.op[i], choose(names[n++], assigned(q, weights.op[i], format), rules, n_rules));
        if (chosen)
            assign(q, weights.op[i], kept(q, weights.op[i], chosen));
    }
    bool good = q->errors == before;
    for (size_t i = 0; i < n_rules; ++i) {
        if (good && !rules[i].matches)
            report_unused(q, &rules[i], names, n);
        if (rules[i].compiled)
            regfree(&rules[i].regex);
    }
}
