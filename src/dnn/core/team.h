/* A team of threads that does one piece of work together, again and again, and the barrier between its parts.
 *
 * Member 0 is the thread that calls dnn_team_run; the others sleep between two runs. A wait, at a barrier or for
 * the next run, spins some microseconds first, as the others are nearly there, and then sleeps, as another
 * process may need the core that they are to arrive on.
 */
#ifndef DNN_TEAM_H
#define DNN_TEAM_H

#include <stdatomic.h>

typedef struct DnnTeam DnnTeam;

/* A team of up to n members, n >= 1, fewer if the system gives no more threads. NULL: no memory. */
DnnTeam *dnn_team_new(int n);

/* Members that the team has, the caller among them. */
int dnn_team_size(const DnnTeam *team);

/* work(arg, member) on members 0 .. n - 1; returns when all have returned. */
void dnn_team_run(DnnTeam *team, int n, void (*work)(void *arg, int member), void *arg);

/* Inside work: 0, 1, 2, ..., each to one member: pieces for whoever is free. Begins anew with each run. */
long dnn_team_next(DnnTeam *team);

/* A piece of work that is done once a round: the last round that somebody claimed it in, 0 at first. */
typedef struct {
    atomic_long round;
} DnnClaim;

/* Inside work: whether the piece is the caller's in a round, a number that grows from 1 on; the others are told no. */
int dnn_claim(DnnClaim *claim, long round);

/* Whether somebody has claimed it. */
int dnn_claimed(const DnnClaim *claim, long round);

/* Inside work: returns when all members have called it. */
void dnn_team_barrier(DnnTeam *team, int member);

/* Seconds that member 0 waited for others in the last run. */
double dnn_team_waited(const DnnTeam *team);

/* Ends the threads. In a child of a fork, which has none of them, only lets go of the memory. */
void dnn_team_free(DnnTeam *team);

/* Whether the team was made by this process, and not by one that it was forked from. */
int dnn_team_is_here(const DnnTeam *team);

#endif
