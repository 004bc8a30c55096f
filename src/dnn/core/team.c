#if defined(__linux__)
#define _GNU_SOURCE /* sched_getcpu, pthread_attr_setaffinity_np */
#else
#define _POSIX_C_SOURCE 200809L /* pthread_sigmask, getpid */
#endif

#include "team.h"

#include "kernels/kernels.h" /* dnn_seconds */

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE _mm_pause()
#elif defined(__aarch64__)
#define PAUSE __asm__ volatile("yield")
#else
#define PAUSE (void)0
#endif

#define LINE 64          /* bytes of a cache line */
/* Pauses before the clock is read: a barrier that no member is late for ends within them. benchmarks/threads.py */
#define FREE_PAUSES 64
/* Seconds of spinning: about the cost of sleeping and being woken. benchmarks/threads.py */
#define SPIN 20e-6
#define STACK (1 << 20)  /* bytes of a member's stack: kernels store rows there, and some systems give 128 KB */

/* A counter that threads wait for to grow. */
typedef struct {
    _Alignas(LINE) atomic_uint count;
    atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t grown;
} Signal;

typedef struct {
    Signal runs; /* the runs that this member has been called to */
    pthread_t thread;
    DnnTeam *team;
    int index;
} Member;

struct DnnTeam {
    Signal phases; /* the barriers that have been passed */
    _Alignas(LINE) atomic_int arrived; /* members that have arrived at the next barrier */
    _Alignas(LINE) atomic_long next;
    _Alignas(LINE) int n_active; /* members that take part in this run */
    int size;
    bool ending;
    void (*work)(void *arg, int member);
    void *arg;
    double waited;
    pid_t process;
    Member *members;
#if defined(__linux__)
    cpu_set_t allowed; /* cores of the caller, and of the members once they have begun; empty: not known */
    int core;          /* the core that the last member began on */
#endif
};

static void signal_init(Signal *s)
{
    atomic_init(&s->count, 0);
    atomic_init(&s->sleepers, 0);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->grown, NULL);
}

static void signal_destroy(Signal *s)
{
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->grown);
}

/* Either a waiter sees that the count has grown, or this function sees the waiter among the sleepers: each side writes
 * one of the two and then reads the other, and all threads see these accesses in the same order (sequential
 * consistency). */
static void signal_grow(Signal *s)
{
    atomic_fetch_add(&s->count, 1);
    if (atomic_load(&s->sleepers) > 0) {
        pthread_mutex_lock(&s->mutex);
        pthread_cond_broadcast(&s->grown);
        pthread_mutex_unlock(&s->mutex);
    }
}

/* Waits until the count is no longer `seen`. Returns the seconds that this took, or 0 if it took a few pauses only. */
static double signal_wait(Signal *s, unsigned seen)
{
    for (int i = 0; i < FREE_PAUSES; i++) {
        if (atomic_load_explicit(&s->count, memory_order_acquire) != seen)
            return 0;
        PAUSE;
    }
    const double begin = dnn_seconds();
    while (dnn_seconds() - begin < SPIN)
        for (int i = 0; i < FREE_PAUSES; i++) {
            if (atomic_load_explicit(&s->count, memory_order_acquire) != seen)
                return dnn_seconds() - begin;
            PAUSE;
        }
    pthread_mutex_lock(&s->mutex);
    atomic_fetch_add(&s->sleepers, 1);
    while (atomic_load(&s->count) == seen)
        pthread_cond_wait(&s->grown, &s->mutex);
    atomic_fetch_sub(&s->sleepers, 1);
    pthread_mutex_unlock(&s->mutex);
    return dnn_seconds() - begin;
}

static double barrier(DnnTeam *team)
{
    const unsigned phase = atomic_load_explicit(&team->phases.count, memory_order_relaxed);
    const int n_active = team->n_active; /* read before arriving: afterwards member 0 may write it for the next run */
    if (atomic_fetch_add(&team->arrived, 1) + 1 < n_active)
        return signal_wait(&team->phases, phase);
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    signal_grow(&team->phases);
    return 0;
}

void dnn_team_barrier(DnnTeam *team, int member)
{
    const double waited = barrier(team);
    if (member == 0)
        team->waited += waited;
}

static void *member_main(void *arg)
{
    Member *self = arg;
    DnnTeam *team = self->team;
#if defined(__linux__)
    if (CPU_COUNT(&team->allowed))
        pthread_setaffinity_np(pthread_self(), sizeof team->allowed, &team->allowed);
#endif
    for (unsigned run = 0;; run++) {
        signal_wait(&self->runs, run);
        if (team->ending)
            return NULL;
        team->work(team->arg, self->index);
        barrier(team);
    }
}

/* Linux often starts a thread on the core of the thread that created it, and moves it milliseconds later, when a pass
 * of five milliseconds is over. So each member starts on a different core; after that it may run on all cores that its
 * creator may use. If this fails, the system chooses the core. */
static int member_create(Member *member)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes))
        return 1;
    pthread_attr_setstacksize(&attributes, STACK);
    int failed = 1;
#if defined(__linux__)
    DnnTeam *team = member->team;
    cpu_set_t first_core;
    if (CPU_COUNT(&team->allowed)) {
        do
            team->core = (team->core + 1) % CPU_SETSIZE;
        while (!CPU_ISSET(team->core, &team->allowed));
        CPU_ZERO(&first_core);
        CPU_SET(team->core, &first_core);
        if (!pthread_attr_setaffinity_np(&attributes, sizeof first_core, &first_core))
            failed = pthread_create(&member->thread, &attributes, member_main, member);
        if (failed)
            pthread_attr_setaffinity_np(&attributes, sizeof team->allowed, &team->allowed);
    }
#endif
    if (failed)
        failed = pthread_create(&member->thread, &attributes, member_main, member);
    pthread_attr_destroy(&attributes);
    return failed;
}

DnnTeam *dnn_team_new(int n)
{
    assert(n >= 1);
    DnnTeam *team = aligned_alloc(LINE, (sizeof *team + LINE - 1) / LINE * LINE);
    Member *members = aligned_alloc(LINE, (size_t)n * sizeof *members);
    if (!team || !members) {
        free(team);
        free(members);
        return NULL;
    }
    signal_init(&team->phases);
    atomic_init(&team->arrived, 0);
    atomic_init(&team->next, 0);
    team->members = members;
    team->ending = false;
    team->waited = 0;
    team->process = getpid();
#if defined(__linux__)
    team->core = sched_getcpu();
    if (team->core < 0 || pthread_getaffinity_np(pthread_self(), sizeof team->allowed, &team->allowed))
        CPU_ZERO(&team->allowed);
#endif
    /* Members block all signals, so that the system delivers them to a thread of Python. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (team->size = 1; team->size < n; team->size++) {
        Member *member = &members[team->size];
        signal_init(&member->runs);
        member->team = team;
        member->index = team->size;
        if (member_create(member)) {
            signal_destroy(&member->runs);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return team;
}

int dnn_team_size(const DnnTeam *team)
{
    return team->size;
}

void dnn_team_run(DnnTeam *team, int n, void (*work)(void *arg, int member), void *arg)
{
    assert(1 <= n && n <= team->size);
    team->work = work;
    team->arg = arg;
    team->waited = 0;
    team->n_active = n;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    for (int i = 1; i < n; i++)
        signal_grow(&team->members[i].runs);
    work(arg, 0);
    dnn_team_barrier(team, 0);
}

long dnn_team_next(DnnTeam *team)
{
    return atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
}

/* Relaxed accesses suffice, because the barriers around a round order the data that pieces read and write. */
int dnn_claim(DnnClaim *claim, long round)
{
    assert(round > 0);
    long seen = atomic_load_explicit(&claim->round, memory_order_relaxed);
    return seen < round && atomic_compare_exchange_strong_explicit(&claim->round, &seen, round, memory_order_relaxed,
                                                                   memory_order_relaxed);
}

int dnn_claimed(const DnnClaim *claim, long round)
{
    return atomic_load_explicit(&claim->round, memory_order_relaxed) >= round;
}

double dnn_team_waited(const DnnTeam *team)
{
    return team->waited;
}

int dnn_team_is_here(const DnnTeam *team)
{
    return team->process == getpid();
}

void dnn_team_free(DnnTeam *team)
{
    if (dnn_team_is_here(team)) {
        team->ending = true;
        for (int i = 1; i < team->size; i++)
            signal_grow(&team->members[i].runs);
        for (int i = 1; i < team->size; i++) {
            pthread_join(team->members[i].thread, NULL);
            signal_destroy(&team->members[i].runs);
        }
        signal_destroy(&team->phases);
    }
    free(team->members);
    free(team);
}
