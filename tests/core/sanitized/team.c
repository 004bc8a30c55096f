/* 1e5 barriers of a team with more members than cores and uneven work: each member writes its number between two
 * barriers and reads the others' after the second; and pieces of work, each of which one member does and the others
 * see done. Run under ThreadSanitizer. */
#include "core/team.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 8
#define PIECES 5

typedef struct {
    DnnTeam *team;
    int n, rounds;
    long written[MOST];
    long wrong[MOST * 16];
    DnnClaim claims[PIECES];
    long done[PIECES];
} Work;

static void work(void *arg, int me)
{
    Work *w = arg;
    if (me == 0)
        for (int p = 0; p < PIECES; p++) {
            atomic_store(&w->claims[p].round, 0);
            w->done[p] = 0;
        }
    dnn_team_barrier(w->team, me);
    for (int round = 0; round < w->rounds; round++) {
        volatile long busy = 0;
        for (int i = 0; i < (round * 7 + me * 13) % 50; i++)
            busy += i;
        for (int p = 0; p < PIECES; p++)
            if (dnn_claim(&w->claims[(p + me) % PIECES], round + 1))
                w->done[(p + me) % PIECES]++;
        w->written[me] = (long)round * MOST + me;
        dnn_team_barrier(w->team, me);
        for (int m = 0; m < w->n; m++)
            w->wrong[me * 16] += w->written[m] != (long)round * MOST + m;
        for (int p = 0; p < PIECES; p++)
            w->wrong[me * 16] += w->done[p] != round + 1 || !dnn_claimed(&w->claims[p], round + 1);
        dnn_team_barrier(w->team, me);
    }
}

int main(void)
{
    long wrong = 0;
    for (int n = 1; n <= MOST; n += n < 4 ? 1 : 4) {
        Work w = {.n = n, .rounds = n <= 4 ? 20000 : 2500};
        w.team = dnn_team_new(MOST);
        if (!w.team || dnn_team_size(w.team) != MOST)
            return 2;
        dnn_team_run(w.team, n, work, &w);
        w.rounds = 3; /* again, with members that have gone to sleep, and in between alone */
        for (int i = 0; i < 200; i++)
            dnn_team_run(w.team, w.n = i % 3 ? n : 1, work, &w);
        dnn_team_free(w.team);
        for (int m = 0; m < n; m++)
            wrong += w.wrong[m * 16];
    }
    printf("%ld wrong\n", wrong);
    return wrong != 0;
}
