# How many members of a team take part in the next steps, part of _core.pyx.
#
# At every barrier the members of a team wait for the slowest one. A member whose core is busy with another process may
# arrive a time slice late, and cores that are far from each other exchange data slowly: the first member may then be
# faster alone. A Throttle is told how long steps took and how long the first member waited, and decides. Results do not
# depend on it.
#
# Steps are done in trials of several steps. A trial of the whole team is bad if the first member spent too much of its time
# waiting, or if one member alone would have been faster:
#
#      +----------+            bad trials               +---------+
#      |          | ----------------------------------> |         |
#      |          |   two in a row; or one short trial, |         |
#      | together |   if it cost a time slice or if the |  alone  |
#      |          |   team was kept waiting before      |         |
#      |          | <---------------------------------- |         |
#      +----------+      the pause is over: 0.01 s,     +---------+
#        |      ^        then up to 8 times as long
#        v      |
#     after a good trial the next one may be 16 times as long, and the next pause is short again
#
# If steps are short, one of DNN_TRIALS_PER_SAMPLE trials is done by one member, to know how long a step takes alone.


cdef class Throttle:
    """Throttle(n_members, flops): for a team of n_members, and steps of so many flops.

    next(now, left) returns how many members do how many of the steps that are left; record(...) reports how long they took.
    Times are in seconds, and are arguments, so that a test can have its own clock.
    """

    cdef readonly int n_members
    cdef readonly int kept_waiting           # bad trials in a row
    cdef readonly bint trusted               # the last trial was good: the next may be longer
    cdef readonly double alone_until, pause  # time until which one member goes on alone; seconds of the next pause
    cdef readonly double step_alone          # seconds of a step by one member; 0: not known
    cdef Py_ssize_t steps_per_trial, n_trials
    cdef bint short_steps

    def __cinit__(self, int n_members, double flops):
        self.n_members, self.pause = n_members, DNN_PAUSE
        self.short_steps = DNN_SHORT_STEPS * flops < DNN_FLOPS_PER_TRIAL
        self.steps_per_trial = PY_SSIZE_T_MAX if n_members == 1 else max(1, <Py_ssize_t>(DNN_FLOPS_PER_TRIAL / flops))

    cdef int plan_trial(self, double now, Py_ssize_t left, Py_ssize_t* n_steps) noexcept nogil:
        """Return how many members take part in the next trial, and set how many of the steps that are left it has."""
        cdef int n = self.n_members if now >= self.alone_until else 1
        # Not the first trial, which wakes the team
        cdef bint sample = n > 1 and self.short_steps and self.n_trials % DNN_TRIALS_PER_SAMPLE == 1
        self.n_trials += 1
        if sample:
            n = 1
        n_steps[0] = min(left, self.steps_per_trial if not sample and (n == 1 or self.trusted)
                         else max(1, self.steps_per_trial // DNN_TRIAL_FRACTION))
        return n

    cdef void observe(self, double now, int n, Py_ssize_t n_steps, double took, double waited, double late) noexcept nogil:
        """Take into account a trial of n members that ended now. Its steps took `took` seconds, in which the first member
        waited `waited` seconds for the others; before them it waited `late` seconds for the last one to arrive."""
        if n == 1:
            self.step_alone = took / n_steps
            return
        # Waking a member may take as long as a short trial and is no evidence, unless it took a time slice
        if late > DNN_SLICE:
            waited, took = waited + late, took + late
        if waited <= DNN_WAITED * took and not (
                self.short_steps and self.step_alone > 0 and took > self.step_alone * n_steps):
            self.kept_waiting, self.pause, self.trusted = 0, DNN_PAUSE, True
            return
        self.kept_waiting += 1
        self.trusted = False
        # A single bad trial may be chance, unless it lost a whole time slice in a few steps, or others were bad before
        if self.kept_waiting == DNN_BAD_TRIALS \
                or (took < DNN_SHORT_TRIAL and (waited > DNN_SLICE or self.pause > DNN_PAUSE)):
            self.kept_waiting = 0
            self.alone_until = now + self.pause
            self.pause = min(2 * self.pause, DNN_PAUSES_MAX * DNN_PAUSE)

    def next(self, double now, Py_ssize_t left):
        """Return (members, steps) of the next trial."""
        cdef Py_ssize_t n_steps
        cdef int n = self.plan_trial(now, left, &n_steps)
        return n, n_steps

    def record(self, double now, int n, Py_ssize_t n_steps, double took, double waited=0.0, double late=0.0):
        """Report the times of a trial: see `observe`."""
        self.observe(now, n, n_steps, took, waited, late)
