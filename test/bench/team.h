/* team.h: threads that begin together, and how long the slowest of them took.
 *
 * The calling thread is one of them and every thread keeps its own time, so that no clock is read by a thread
 * that waits for a core while the others already work.
 */
#ifndef TEAM_H
#define TEAM_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TEAM_MOST = 256 };

struct team;
struct member {
    struct team *team;
    int number;
    double begin, end;
};
struct team {
    int threads;
    void (*work)(void *user, int thread);
    void *user;
    pthread_barrier_t barrier;
    struct member member[TEAM_MOST];
};

static inline double team_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void *team_member(void *arg)
{
    struct member *m = arg;
    pthread_barrier_wait(&m->team->barrier);
    m->begin = team_now();
    m->team->work(m->team->user, m->number);
    m->end = team_now();
    return NULL;
}

/* Seconds from the first begin to the last end. Ends the program when there are no threads to be had. */
static inline double team_run(int threads, void (*work)(void *user, int thread), void *user)
{
    static struct team team;
    pthread_t ids[TEAM_MOST];
    team.threads = threads, team.work = work, team.user = user;
    pthread_barrier_init(&team.barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; ++i) {
        team.member[i] = (struct member){.team = &team, .number = i};
        if (i && pthread_create(&ids[i], NULL, team_member, &team.member[i])) {
            fprintf(stderr, "error: the system gives no %d threads\n", threads);
            exit(1);
        }
    }
    team_member(&team.member[0]);
    double begin = team.member[0].begin, end = team.member[0].end;
    for (int i = 1; i < threads; ++i) {
        pthread_join(ids[i], NULL);
        begin = team.member[i].begin < begin ? team.member[i].begin : begin;
        end = team.member[i].end > end ? team.member[i].end : end;
    }
    pthread_barrier_destroy(&team.barrier);
    return end - begin;
}

#endif
