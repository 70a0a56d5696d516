/* angles and rope: rotary position embedding.
 *
 * angles: y[t] = cos(a_0) .. cos(a_{h-1}), sin(a_0) .. sin(a_{h-1}), a_i = (pos + t) * frequency_i; once a step,
 *         read by every layer. The product is exact in f64.
 *   operands   y, frequencies
 *   attributes pairs (h), scale
 *
 * rope: rotates the pairs (a, b) of each head, (a cos - b sin, b cos + a sin).
 *   operands   y, x, angles               y may be x
 *   attributes heads, head_dim, rotary_dim, pairing: "half" pairs i with i + h, "adjacent" 2i with 2i + 1
 */
#include "kernel.h"

#include <string.h>

enum { Y = 0, X = 1, ANGLES = 2, FREQUENCIES = 1, WIDTH = 16 };

struct angles {
    MlirValue y, position, frequencies;
    int64_t pairs;
    float scale;
};

static MlirValue angle(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct angles *a = user;
    MlirValue f = k_cast(k, "arith.extf", k_float_at(k, a->frequencies, column, width), k->f64);
    struct k_sincos s = k_sincos(k, k_fmul(k, f, k_splat(k, a->position, width)));
    MlirValue scale = k_float_of(k, k_vec(k, width, k->f32), (double)a->scale);
    k_float_to(k, k_fmul(k, s.cos, scale), a->y, column);
    k_float_to(k, k_fmul(k, s.sin, scale), a->y, k_add_i(k, column, a->pairs));
    return sum;
}

void qbc_kernel_angles(struct qbc_kernel *k)
{
    struct angles a = {
        .frequencies = k->operand[FREQUENCIES],
        .pairs = qbc_int(k->launch, "pairs", 0),
        .scale = (float)qbc_float(k->launch, "scale", 1),
    };
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    a.y = k_row(k, Y, rows.i);
    a.position = k_cast(k, "arith.sitofp", k_add(k, k->pos, rows.i), k->f64);
    k_columns(k, a.pairs, WIDTH, angle, &a, (MlirValue){NULL});
    k_end(k, &rows, NULL);
}

struct head {
    MlirValue x, y, angles;
    int64_t pairs, rotated, size;
};

static MlirValue half_pairs(struct qbc_kernel *k, void *user, MlirValue column, int64_t width,
                            MlirValue sum)
{
    struct head *h = user;
    MlirValue other = k_add_i(k, column, h->pairs);
    MlirValue a = k_float_at(k, h->x, column, width), b = k_float_at(k, h->x, other, width);
    MlirValue cos = k_float_at(k, h->angles, column, width), sin = k_float_at(k, h->angles, other, width);
    k_float_to(k, k_fsub(k, k_fmul(k, a, cos), k_fmul(k, b, sin)), h->y, column);
    k_float_to(k, k_fma(k, b, cos, k_fmul(k, a, sin)), h->y, other);
    return sum;
}

static MlirValue adjacent_pairs(struct qbc_kernel *k, void *user, MlirValue column, int64_t width,
                                MlirValue sum)
{
    struct head *h = user;
    int64_t even[WIDTH], odd[WIDTH], woven[2 * WIDTH];
    for (int64_t i = 0; i < width; ++i) {
        even[i] = 2 * i, odd[i] = 2 * i + 1;
        woven[2 * i] = i, woven[2 * i + 1] = width + i;
    }
    MlirValue at = k_mul_i(k, column, 2), x = k_float_at(k, h->x, at, 2 * width);
    MlirValue a = k_shuffle(k, x, x, width, even), b = k_shuffle(k, x, x, width, odd);
    MlirValue cos = k_float_at(k, h->angles, column, width);
    MlirValue sin = k_float_at(k, h->angles, k_add_i(k, column, h->pairs), width);
    MlirValue first = k_fsub(k, k_fmul(k, a, cos), k_fmul(k, b, sin));
    MlirValue second = k_fma(k, b, cos, k_fmul(k, a, sin));
    k_float_to(k, k_shuffle(k, first, second, 2 * width, woven), h->y, at);
    return sum;
}

static MlirValue copy(struct qbc_kernel *k, void *user, MlirValue column, int64_t width, MlirValue sum)
{
    struct head *h = user;
    MlirValue rest = k_add_i(k, column, h->rotated);
    k_float_to(k, k_float_at(k, h->x, rest, width), h->y, rest);
    return sum;
}

void qbc_kernel_rope(struct qbc_kernel *k)
{
    struct head h = {
        .size = qbc_int(k->launch, "head_dim", 0),
        .rotated = qbc_int(k->launch, "rotary_dim", 0),
        .pairs = qbc_int(k->launch, "rotary_dim", 0) / 2,
    };
    bool adjacent = !strcmp(qbc_string(k->q, k->launch, "pairing", "half"), "adjacent");
    struct k_range share = k_share(k, k->rows);
    struct k_loop rows = k_for(k, share.from, share.to, 1, 0, NULL);
    h.angles = k_row(k, ANGLES, rows.i);
    struct k_loop heads = k_for(k, k_i64(k, 0), k_i64(k, qbc_int(k->launch, "heads", 0)), 1, 0, NULL);
    h.x = k_at(k, k_row(k, X, rows.i), k_mul_i(k, heads.i, h.size * 4));
    h.y = k_at(k, k_row(k, Y, rows.i), k_mul_i(k, heads.i, h.size * 4));
    k_columns(k, h.pairs, WIDTH, adjacent ? adjacent_pairs : half_pairs, &h, (MlirValue){NULL});
    k_columns(k, h.size - h.rotated, WIDTH, copy, &h, (MlirValue){NULL});
    k_end(k, &heads, NULL);
    k_end(k, &rows, NULL);
}
