/* precision: -precision=FILE.json. Formats that somebody chose go to the weights, as the solver's would.
 *
 *     {"blocks": {"0": "i8g32"}, "tensors": {"0.ffn_down": "i6g64", "embed": "i8g32"}}
 *
 * Tensors go before blocks; other members are not looked at, so that a report is such a file.
 */
#include "json.h"
#include "make.h"

#include <string.h>

/* A name that no weight has is a mistake of the hand that wrote it. */
static void check_names(struct qbc *q, struct qbc_ops weights, const cJSON *tensors)
{
    const char **names = qbc_alloc(q, (weights.n + 1) * sizeof *names);
    for (size_t i = 0; i < weights.n; ++i)
        names[i] = qbc_string(q, weights.op[i], "name", "");
    for (const cJSON *t = tensors ? tensors->child : NULL; t; t = t->next)
        if (!cJSON_IsString(t))
            qbc_error_in(q, q->options.precision, "tensors.%s: the name of a format is missing", t->string);
        else if (!qbc_one_of(t->string, names))
            qbc_error_in(q, q->options.precision, "the model has no weight '%s'%s", t->string,
                         qbc_suggestion(q, t->string, names, ""));
}

static void assign(struct qbc *q, MlirOperation weight, const cJSON *tensors, const cJSON *blocks)
{
    const char *format = qbc_json_string(tensors, qbc_string(q, weight, "name", ""));
    int64_t block = qbc_int(weight, "block", -1);
    if (!format && block >= 0)
        format = qbc_json_string(blocks, qbc_text(q, "%lld", (long long)block));
    if (format && qbc_rank(mlirOperationGetResult(weight, 0)) == 2 && qbc_read_format(q, q->options.precision, format))
        qbc_set_string(q, weight, "assigned", format);
}

bool qbc_read_precision(struct qbc *q, MlirOperation graph)
{
    cJSON *file = qbc_json_read(q, q->options.precision);
    if (!file)
        return false;
    const cJSON *tensors = qbc_json_member(file, "tensors"), *blocks = qbc_json_member(file, "blocks");
    struct qbc_ops weights = qbc_collect(q, graph, "qb.weight");
    if (!tensors && !blocks)
        qbc_error_in(q, q->options.precision, "has neither \"tensors\" nor \"blocks\"");
    check_names(q, weights, tensors);
    for (size_t i = 0; i < weights.n && !q->errors; ++i)
        assign(q, weights.op[i], tensors, blocks);
    cJSON_Delete(file);
    return !q->errors;
}
