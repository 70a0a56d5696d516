/* amx_emulator.h: AMX instructions on a CPU that has none, by the signal that each of them raises.
 *
 *     amx_emulate();      once, before code that uses them runs; where the CPU has them, its own are used
 *
 * Each thread has eight tile registers and their configuration. An instruction that is decoded here does to them exactly what
 * Intel's manual says (volume 2, "Intel AMX instruction reference"), faults included: what the CPU would refuse (a tile that
 * is not configured, shapes that do not fit, registers that must differ) ends the program with a message. What is no AMX
 * instruction ends it as it would have. amx_emulated() says how many were done.
 */
#ifndef AMX_EMULATOR_H
#define AMX_EMULATOR_H

#include "qbrt.h"

#include <stdatomic.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { AMX_TILES = 8, AMX_ROWS = 16, AMX_ROW = 64 /* bytes */, AMX_CONFIG = 64 };

struct amx_tile {
    int rows, colsb; /* 0: not configured */
    uint8_t byte[AMX_ROWS][AMX_ROW];
};

struct amx_state {
    bool configured;
    uint8_t config[AMX_CONFIG];
    struct amx_tile tile[AMX_TILES];
};

static _Thread_local struct amx_state amx;
static atomic_ulong amx_count;

/* An instruction: VEX.128.pp.0F38.W0 opcode, ModRM, and what follows. */
struct amx_instruction {
    int pp, opcode, reg, rm, vvvv, length;
    bool in_memory, has_index;
    uint64_t base, index_times; /* the address, but for the index; the index times its scale */
};

enum { AMX_NONE, AMX_66, AMX_F3, AMX_F2 }; /* pp */

static inline void amx_refuse(const char *what)
{
    static const char before[] = "amx_emulator: ";
    ssize_t done = write(STDERR_FILENO, before, sizeof before - 1);
    done += write(STDERR_FILENO, what, strlen(what));
    done += write(STDERR_FILENO, "\n", 1);
    _exit(done > 0 ? 86 : 87);
}

/* --- decoding */

/* Registers by their numbers in instructions, as places of ucontext's gregs. */
static inline uint64_t amx_register(const ucontext_t *context, int number)
{
    static const int place[] = {13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7};
    return (uint64_t)context->uc_mcontext.gregs[place[number]];
}

static inline int32_t amx_displacement(const uint8_t *at, int bytes)
{
    int32_t wide = 0;
    int8_t narrow = 0;
    if (bytes == 4)
        memcpy(&wide, at, sizeof wide);
    else if (bytes == 1)
        memcpy(&narrow, at, sizeof narrow);
    return bytes == 4 ? wide : narrow;
}

static inline void amx_address(const ucontext_t *context, const uint8_t *modrm, bool x, bool b, struct amx_instruction *i)
{
    enum { HAS_SIB = 4, NO_INDEX = 4, NO_BASE = 5, MOST = 3 };
    int mod = modrm[0] >> 6, rm = modrm[0] & 7, base = rm, bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    const uint8_t *next = modrm + 1;
    if (rm == HAS_SIB) {
        int sib = *next++, index = (sib >> 3 & 7) | x << MOST;
        base = sib & 7;
        i->has_index = true;
        i->index_times = index == NO_INDEX ? 0 : amx_register(context, index) << (sib >> 6);
    }
    bool no_base = mod == 0 && base == NO_BASE;
    bytes = no_base ? 4 : bytes;
    i->base = no_base ? 0 : amx_register(context, base | b << MOST);
    i->base += (uint64_t)(int64_t)amx_displacement(next, bytes);
    i->length = (int)(next + bytes - modrm);
    if (no_base && rm != HAS_SIB)
        i->base += (uint64_t)(uintptr_t)modrm + (uint64_t)i->length; /* of the next instruction */
}

static inline bool amx_decode(const ucontext_t *context, const uint8_t *code, struct amx_instruction *i)
{
    enum { VEX3 = 0xc4, MAP_0F38 = 2, BEFORE_MODRM = 4 };
    *i = (struct amx_instruction){.pp = code[2] & 3, .vvvv = ~(code[2] >> 3) & 15};
    bool wide = code[2] >> 7, is_256 = code[2] >> 2 & 1;
    if (code[0] != VEX3 || (code[1] & 31) != MAP_0F38 || wide || is_256)
        return false;
    i->opcode = code[3];
    if (i->opcode != 0x49 && i->opcode != 0x4b && i->opcode != 0x5e)
        return false;
    const uint8_t *modrm = code + BEFORE_MODRM;
    bool r = !(code[1] >> 7), x = !(code[1] >> 6 & 1), b = !(code[1] >> 5 & 1);
    i->reg = (modrm[0] >> 3 & 7) | r << 3;
    i->rm = (modrm[0] & 7) | b << 3;
    i->in_memory = modrm[0] >> 6 != 3;
    i->length = 1;
    if (i->in_memory)
        amx_address(context, modrm, x, b, i);
    i->length += BEFORE_MODRM;
    return true;
}

/* --- doing */

static inline uint8_t *amx_memory(uint64_t address)
{
    return (uint8_t *)(uintptr_t)address;
}

static inline void amx_release(void)
{
    amx = (struct amx_state){.configured = false};
}

static inline void amx_load_config(const uint8_t *from)
{
    enum { PALETTE = 1, COLSB = 16, ROWS = 48, RESERVED = 2 };
    amx_release();
    if (!from[0])
        return;
    if (from[0] != PALETTE)
        amx_refuse("ldtilecfg: no such palette");
    for (int i = RESERVED; i < COLSB; ++i)
        if (from[i])
            amx_refuse("ldtilecfg: reserved bytes are not 0");
    for (int i = 0; i < AMX_ROWS; ++i) {
        int colsb = from[COLSB + 2 * i] | from[COLSB + 2 * i + 1] << 8, rows = from[ROWS + i];
        if (colsb > AMX_ROW || rows > AMX_ROWS || !colsb != !rows || (i >= AMX_TILES && rows))
            amx_refuse("ldtilecfg: the shape of a tile is none");
        if (i < AMX_TILES)
            amx.tile[i].rows = rows, amx.tile[i].colsb = colsb;
    }
    memcpy(amx.config, from, AMX_CONFIG);
    amx.configured = true;
}

static inline struct amx_tile *amx_tile_of(int number)
{
    if (!amx.configured || number >= AMX_TILES || !amx.tile[number].rows)
        amx_refuse("a tile that is not configured");
    return &amx.tile[number];
}

static inline void amx_zero(struct amx_tile *t)
{
    memset(t->byte, 0, sizeof t->byte);
}

static inline void amx_move(const struct amx_instruction *i, bool load)
{
    struct amx_tile *t = amx_tile_of(i->reg);
    if (!i->has_index)
        amx_refuse("a tile's address without a stride");
    if (load)
        amx_zero(t);
    for (int row = 0; row < t->rows; ++row) {
        uint8_t *at = amx_memory(i->base + (uint64_t)row * i->index_times);
        if (load)
            memcpy(t->byte[row], at, (size_t)t->colsb);
        else
            memcpy(at, t->byte[row], (size_t)t->colsb);
    }
}

static inline int32_t amx_byte(uint8_t byte, bool is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

/* Columns of the product. */
enum { AMX_LANES = AMX_ROW / 4 };

/* Four columns of B's rows lie in a row of bytes. */
static inline void amx_widen(const struct amx_tile *b, bool is_signed, int32_t wide[AMX_ROW][AMX_LANES])
{
    for (int k = 0; k < AMX_ROW; ++k)
        for (int n = 0; n < AMX_LANES; ++n)
            wide[k][n] = amx_byte(b->byte[k / 4][4 * n + k % 4], is_signed);
}

static inline void amx_add_row(const uint8_t *a, int columns, bool is_signed, int32_t b[AMX_ROW][AMX_LANES], uint32_t *sums)
{
    for (int k = 0; k < columns; ++k)
        for (int n = 0, x = amx_byte(a[k], is_signed); n < AMX_LANES; ++n)
            sums[n] += (uint32_t)(x * b[k][n]);
}

static inline void amx_multiply(const struct amx_instruction *i)
{
    struct amx_tile *c = amx_tile_of(i->reg);
    const struct amx_tile *a = amx_tile_of(i->rm), *b = amx_tile_of(i->vvvv);
    bool a_signed = i->pp == AMX_F2 || i->pp == AMX_F3, b_signed = i->pp == AMX_F2 || i->pp == AMX_66;
    if (c == a || c == b || a == b)
        amx_refuse("a product of a register with itself");
    if (c->rows != a->rows || c->colsb != b->colsb || a->colsb != 4 * b->rows || c->colsb % 4)
        amx_refuse("shapes of tiles that are multiplied do not fit");
    int32_t wide[AMX_ROW][AMX_LANES];
    amx_widen(b, b_signed, wide); /* 0 beyond B's columns, and so is C */
    for (int row = 0; row < c->rows; ++row) {
        uint32_t sums[AMX_LANES];
        memcpy(sums, c->byte[row], sizeof sums);
        amx_add_row(a->byte[row], a->colsb, a_signed, wide, sums);
        memcpy(c->byte[row], sums, sizeof sums);
    }
}

/* 49: the configuration; tilezero and tilerelease. */
static inline bool amx_configure(const struct amx_instruction *i)
{
    if (i->in_memory && i->reg == 0 && i->pp == AMX_NONE)
        amx_load_config(amx_memory(i->base + i->index_times));
    else if (i->in_memory && i->reg == 0 && i->pp == AMX_66)
        memcpy(amx_memory(i->base + i->index_times), amx.config, AMX_CONFIG);
    else if (!i->in_memory && i->pp == AMX_F2 && i->rm == 0)
        amx_zero(amx_tile_of(i->reg));
    else if (!i->in_memory && i->pp == AMX_NONE && i->reg == 0 && i->rm == 0)
        amx_release();
    else
        return false;
    return true;
}

static inline bool amx_do(const struct amx_instruction *i)
{
    if (i->opcode == 0x49)
        return amx_configure(i);
    bool is_move = i->opcode == 0x4b && i->in_memory && i->pp != AMX_NONE;
    bool is_product = i->opcode == 0x5e && !i->in_memory;
    if (is_move)
        amx_move(i, i->pp != AMX_F3);
    if (is_product)
        amx_multiply(i);
    return is_move || is_product;
}

static void amx_on_signal(int number, siginfo_t *info, void *user)
{
    enum { RIP = 16 };
    ucontext_t *context = user;
    greg_t *rip = &context->uc_mcontext.gregs[RIP];
    struct amx_instruction i;
    (void)info;
    if (amx_decode(context, amx_memory((uint64_t)*rip), &i) && amx_do(&i)) {
        *rip += i.length;
        atomic_fetch_add_explicit(&amx_count, 1, memory_order_relaxed);
        return;
    }
    signal(number, SIG_DFL); /* and it is raised again */
}

static inline void amx_emulate(void)
{
    if (qbrt_cpu_has("amx-int8"))
        return;
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = amx_on_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGILL, &action, NULL);
}

static inline unsigned long amx_emulated(void)
{
    return atomic_load(&amx_count);
}

#else
static inline void amx_emulate(void)
{
}
#endif
#endif
