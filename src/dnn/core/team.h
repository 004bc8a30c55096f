/* A team of threads that work together on one piece of work after another, and the barriers within a piece.
 *
 * Member 0 is the thread that calls dnn_team_run; the others sleep between two runs. A member that waits, at a barrier
 * or for the next run, first spins for some microseconds, because the others are usually about to arrive. Then it
 * sleeps, because another process, or a late member, may need its core.
 */
#ifndef DNN_TEAM_H
#define DNN_TEAM_H

#include <stdatomic.h>

typedef struct DnnTeam DnnTeam;

/* Returns a team of n members, n >= 1, or of fewer if the system cannot start more threads. NULL: no memory. */
DnnTeam *dnn_team_new(int n);

/* Returns the number of members, the caller included. */
int dnn_team_size(const DnnTeam *team);

/* Calls work(arg, member) on members 0 .. n - 1, 1 <= n <= size; returns when all of them have returned. */
void dnn_team_run(DnnTeam *team, int n, void (*work)(void *arg, int member), void *arg);

/* Within work: returns 0, 1, 2, ..., each number to one member, in the order of the calls. Restarts at 0 with each run. */
long dnn_team_next(DnnTeam *team);

/* A piece of work that one member does in each round: the last round in which a member claimed it, 0 at first. */
typedef struct {
    atomic_long round;
} DnnClaim;

/* Within work: returns whether the caller is the first to claim a piece in this round, and therefore does it. Rounds
 * are numbered 1, 2, ... */
int dnn_claim(DnnClaim *claim, long round);

/* Returns whether a member has claimed a piece in this round. */
int dnn_claimed(const DnnClaim *claim, long round);

/* Within work: returns when all members have called it. */
void dnn_team_barrier(DnnTeam *team, int member);

/* Returns the seconds that member 0 has waited for others in the last run, or in this one so far. */
double dnn_team_waited(const DnnTeam *team);

/* Ends the threads and frees the team. In the child of a fork, which has none of the threads, only frees the memory. */
void dnn_team_free(DnnTeam *team);

/* Returns whether this process made the team, and not a process that it was forked from. */
int dnn_team_is_here(const DnnTeam *team);

#endif
