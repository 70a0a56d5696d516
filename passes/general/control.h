/* control.h: what If, Loop and Scan share. */
#ifndef QBC_GENERAL_CONTROL_H
#define QBC_GENERAL_CONTROL_H

#include "general.h"

/* --- bodies */
MlirBlock g_body_of(struct g_op *o, const char *name); /* g_body, refused where there is none */
size_t g_results_of(MlirBlock body);
/* Writes a body here; its first n results, solid. False: an error was told. */
bool g_write_body(struct g_op *o, MlirBlock body, size_t n, struct g_tensor **results);

/* What a body's results look like is known when it was written, but their room is needed before the loop. So it is written
 * twice: once, between these two, into a block that is thrown away. */
struct g_trial {
    struct qbc_build outer;
    MlirBlock block;
    int64_t arena_bytes;
};
struct g_trial g_begin_trial(struct general *g);
void g_end_trial(struct general *g, struct g_trial *t);

/* --- what a loop carries */
bool g_same_sizes(const struct g_tensor *a, const struct g_tensor *b); /* and elements */
struct g_tensor *g_own_copy(struct general *g, struct g_tensor *from); /* in memory of its own, that a loop may change */
/* The new values, all computed before any is overwritten. False: refused. */
bool g_update(struct g_op *o, size_t n, struct g_tensor *const *old, struct g_tensor *const *next);
struct g_tensor *g_scalar(struct general *g, enum qbc_element element, struct g_num value);
/* A value of each turn; its first axis is the turn. It has no place yet. */
struct g_tensor *g_collected(struct general *g, const struct g_tensor *one, struct g_size turns);
void g_put_turn(struct general *g, struct g_tensor *all, struct g_tensor *one, MlirValue turn);

/* --- while (turn < most && condition), with `condition` in memory; NULL: true */
struct g_turns {
    MlirOperation op;
    MlirValue turn;
    struct qbc_build outer;
};
struct g_turns g_begin_turns(struct general *g, MlirValue most, struct g_tensor *condition);
MlirValue g_end_turns(struct general *g, struct g_turns *t); /* how many there were */

#endif
