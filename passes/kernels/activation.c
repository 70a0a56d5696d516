/* activation: the functions between the products of a feed-forward part, by the name that qb.glu and qb.act have.
 *
 *   silu        x / (1 + exp(-x))
 *   gelu        x erfc(-x / sqrt 2) / 2
 *   gelu_tanh   x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3): equal to x (1 + tanh u) / 2, without its
 *               cancellation
 *   gelu_quick  x / (1 + exp(-1.702 x))
 *   relu, relu2 max(x, 0), and its square
 *   sigmoid, tanh, exp, erf
 *   softplus    log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)): the logarithm of 1 to 2 is 2 atanh(z), z to 1/3
 *   abs, sqrt, reciprocal
 */
#include "kernel.h"

#include <string.h>

static MlirValue constant(struct qbc_kernel *k, MlirValue like, double value)
{
    return k_float_of(k, mlirValueGetType(like), value);
}

/* y / (1 + exp(by * x)) */
static MlirValue logistic(struct qbc_kernel *k, MlirValue y, MlirValue x, double by)
{
    MlirValue e = k_exp(k, k_fmul(k, x, constant(k, x, by)));
    return k_fdiv(k, y, k_fadd(k, e, constant(k, x, 1)));
}

/* With e = erfc(|x| / sqrt 2) both sides are accurate: x (1 - e / 2) and x e / 2. */
static MlirValue gelu(struct qbc_kernel *k, MlirValue x)
{
    MlirValue half = k_fmul(k, k_erfc_of(k, x), constant(k, x, 0.5));
    MlirValue positive = k_fcmp(k, QBC_FGT, x, constant(k, x, 0));
    return k_fmul(k, x, k_select(k, positive, k_fsub(k, constant(k, x, 1), half), half));
}

static MlirValue gelu_tanh(struct qbc_kernel *k, MlirValue x)
{
    MlirValue cube = k_fmul(k, k_fmul(k, x, x), x);
    return logistic(k, x, k_fma(k, cube, constant(k, x, 0.044715), x), -1.5957691216057308);
}

static MlirValue gelu_quick(struct qbc_kernel *k, MlirValue x)
{
    return logistic(k, x, x, -1.702);
}

static MlirValue relu(struct qbc_kernel *k, MlirValue x)
{
    return k_fmax(k, constant(k, x, 0), x);
}

static MlirValue relu2(struct qbc_kernel *k, MlirValue x)
{
    MlirValue y = relu(k, x);
    return k_fmul(k, y, y);
}

static MlirValue sigmoid(struct qbc_kernel *k, MlirValue x)
{
    return logistic(k, constant(k, x, 1), x, -1);
}

static MlirValue erf_of(struct qbc_kernel *k, MlirValue x)
{
    static const double root = 1.4142135623730951;
    MlirValue scaled = k_fmul(k, x, constant(k, x, root)), e = k_erfc_of(k, scaled); /* erfc(|x|) */
    MlirValue size = k_fsub(k, constant(k, x, 1), e), negative = k_fsub(k, constant(k, x, 0), size);
    return k_select(k, k_fcmp(k, QBC_FGT, x, constant(k, x, 0)), size, negative);
}

static MlirValue softplus(struct qbc_kernel *k, MlirValue x)
{
    static const double odd[] = {2, 2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13};
    MlirValue y = k_exp(k, k_fsub(k, constant(k, x, 0), k_op1(k, "math.absf", x)));
    MlirValue z = k_fdiv(k, y, k_fadd(k, y, constant(k, x, 2))), square = k_fmul(k, z, z);
    MlirValue sum = constant(k, x, odd[6]);
    for (int i = 6; i-- > 0;)
        sum = k_fma(k, sum, square, constant(k, x, odd[i]));
    return k_fma(k, z, sum, k_fmax(k, constant(k, x, 0), x));
}

static MlirValue absolute(struct qbc_kernel *k, MlirValue x)
{
    return k_op1(k, "math.absf", x);
}

static MlirValue root(struct qbc_kernel *k, MlirValue x)
{
    return k_op1(k, "math.sqrt", x);
}

static MlirValue reciprocal(struct qbc_kernel *k, MlirValue x)
{
    return k_fdiv(k, constant(k, x, 1), x);
}

static const struct {
    const char *name;
    MlirValue (*build)(struct qbc_kernel *k, MlirValue x);
} activations[] = {
    {"silu", k_silu}, {"gelu", gelu},   {"gelu_tanh", gelu_tanh}, {"gelu_quick", gelu_quick},
    {"relu", relu},   {"relu2", relu2}, {"sigmoid", sigmoid},     {"tanh", k_tanh},
    {"exp", k_exp},   {"erf", erf_of}, {"softplus", softplus}, {"abs", absolute}, {"sqrt", root}, {"reciprocal", reciprocal},
};
enum { N_ACTIVATIONS = sizeof activations / sizeof *activations };

bool qbc_knows_activation(const char *name)
{
    for (size_t i = 0; i < N_ACTIVATIONS; ++i)
        if (!strcmp(activations[i].name, name))
            return true;
    return false;
}

MlirValue k_activation(struct qbc_kernel *k, const char *name, MlirValue x)
{
    for (size_t i = 0; i < N_ACTIVATIONS; ++i)
        if (!strcmp(activations[i].name, name))
            return activations[i].build(k, x);
    qbc_error(k->q, k->launch, "no activation '%s'; see passes/kernels/activation.c", name);
    return x;
}
