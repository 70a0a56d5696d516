/* operands: what an operation's operands must be before its lowering looks at them, which it then need not do.
 *
 * A letter for each operand: a digit is its rank, x any; p, w, t at least 1, 2, 3; s that of operand 0, - one less; q at most 1,
 * or that of operand 0; m at most 4. `least` operands must be there; of operations that are not listed, all.
 */
#include "general.h"

#include <string.h>

static const struct need {
    const char *name;
    size_t least;
    const char *ranks;
} needs[] = {
    {"AffineGrid", 2, "31"},       {"Attention", 3, "xxxm441"},     {"AveragePool", 1, "t"},      {"BatchNormalization", 5, "w1111"},
    {"CausalConvWithState", 2, "3313"}, {"CenterCropPad", 2, "x1"}, {"Clip", 1, "xxx"},           {"Col2Im", 3, "311"},
    {"Compress", 2, "x1"},         {"ConstantOfShape", 1, "1"},     {"Conv", 2, "ts1"},           {"ConvInteger", 2, "tsqq"},
    {"ConvTranspose", 2, "ts1"},   {"DepthToSpace", 1, "4"},        {"DequantizeLinear", 2, "xqq"}, {"Dropout", 1, "x"},
    {"Expand", 2, "x1"},           {"EyeLike", 1, "2"},             {"GRU", 3, "33321332"},       {"Gather", 2, "px"},
    {"GatherElements", 2, "ps"},   {"GatherND", 2, "pp"},           {"Gemm", 2, "22x"},           {"GlobalAveragePool", 1, "t"},
    {"GlobalLpPool", 1, "t"},      {"GlobalMaxPool", 1, "t"},       {"GridSample", 2, "ts"},      {"GroupNormalization", 3, "w11"},
    {"InstanceNormalization", 3, "w11"}, {"LRN", 1, "w"},           {"LSTM", 3, "33321332"},      {"LayerNormalization", 2, "p"},
    {"LinearAttention", 3, "333433"}, {"Loop", 0, ""},              {"LpPool", 1, "t"},           {"MatMul", 2, "pp"},
    {"MatMulInteger", 2, "ppqq"},  {"MaxPool", 1, "t"},             {"MaxUnpool", 2, "ts1"},      {"MeanVarianceNormalization", 1, "w"},
    {"NegativeLogLikelihoodLoss", 2, "w-1"}, {"NonMaxSuppression", 2, "33"}, {"Pad", 1, "x1x1"},  {"QLinearConv", 8, "txxsxxxx1"},
    {"QLinearMatMul", 8, "pqqpqq"}, {"QuantizeLinear", 2, "xqq"},   {"RMSNormalization", 2, "p"}, {"RNN", 3, "33321332"},
    {"ReduceL1", 1, "x1"},         {"ReduceL2", 1, "x1"},           {"ReduceLogSum", 1, "x1"},    {"ReduceLogSumExp", 1, "x1"},
    {"ReduceMax", 1, "x1"},        {"ReduceMean", 1, "x1"},         {"ReduceMin", 1, "x1"},       {"ReduceProd", 1, "x1"},
    {"ReduceSum", 1, "x1"},        {"ReduceSumSquare", 1, "x1"},    {"Reshape", 1, "x1"},         {"Resize", 1, "p111"},
    {"ReverseSequence", 2, "w1"},  {"RotaryEmbedding", 3, "xxx2"},  {"Scatter", 3, "pss"},        {"ScatterElements", 3, "pss"},
    {"Scan", 0, ""},               {"ScatterND", 3, "ppx"},       {"Slice", 1, "p1111"},           {"SoftmaxCrossEntropyLoss", 2, "w-1"}, {"SpaceToDepth", 1, "4"},
    {"Split", 1, "p1"},            {"Squeeze", 1, "x1"},            {"TensorScatter", 2, "ps1"},  {"Tile", 2, "x1"},
    {"DFT", 1, "wxx"},             {"STFT", 2, "3x1x"},            {"ai.onnx.ml.LinearRegressor", 1, "2"}, {"ai.onnx.ml.TreeEnsemble", 1, "2"},
    {"ai.onnx.ml.ArrayFeatureExtractor", 2, "px"}, {"MaxRoiPool", 2, "42"}, {"OptionalHasElement", 0, ""},
    {"Trilu", 1, "wx"},            {"Upsample", 1, "p1"},
};

static const struct need *need_of(const char *name)
{
    for (size_t i = 0; i < sizeof needs / sizeof *needs; ++i)
        if (!strcmp(needs[i].name, name))
            return &needs[i];
    return NULL;
}

static bool has_rank(char letter, size_t rank, size_t first)
{
    switch (letter) {
    case 'x':
        return true;
    case 'p':
        return rank >= 1;
    case 'w':
        return rank >= 2;
    case 't':
        return rank >= 3;
    case 's':
        return rank == first;
    case '-':
        return rank + 1 == first;
    case 'q':
        return rank <= 1 || rank == first;
    case 'm':
        return rank <= 4;
    default:
        return rank == (size_t)(letter - '0');
    }
}

/* Without ids tables have a row for each of the batch and its tokens; with them a row a position. */
static bool tables_fit(const struct g_op *o)
{
    bool rotary = !strcmp(o->row->name, "RotaryEmbedding");
    size_t rank = g_has(o, 3) ? 2 : 3;
    return !rotary || (o->in[1]->rank == rank && o->in[2]->rank == rank);
}

bool g_operands_fit(struct g_op *o)
{
    const struct need *need = need_of(o->row->name);
    size_t least = need ? need->least : o->n_in;
    for (size_t i = 0; i < least; ++i)
        if (!g_has(o, i)) {
            g_refuse(o, "its operand %zu is missing", i);
            return false;
        }
    for (size_t i = 0; need && need->ranks[i] && i < o->n_in; ++i)
        if (o->in[i] && !has_rank(need->ranks[i], o->in[i]->rank, o->in[0] ? o->in[0]->rank : 0)) {
            g_refuse(o, "its operand %zu has rank %zu, which it does not take", i, o->in[i]->rank);
            return false;
        }
    if (tables_fit(o))
        return true;
    g_refuse(o, "its tables have ranks %zu and %zu, which it does not take", o->in[1]->rank, o->in[2]->rank);
    return false;
}
