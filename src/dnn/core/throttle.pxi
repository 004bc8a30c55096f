# How many members of a team take part in the next steps, part of _core.pyx.
#
# The other members of a team wait at every barrier for the slowest. A member whose core is busy with another process may
# arrive a slice of time late, and cores that are far from each other exchange data slowly: the first member may then be faster
# alone. A Throttle watches how long steps take and how long the first member waits, and decides. Results do not depend on it.
#
#                    enough of its time was waiting,
#                    or one member was faster
#      +----------+ -----------------------------------> +---------+
#      | together |   twice in a row; or once, if it     |  alone  |
#      |          |   cost a slice of time, or if the    |         |
#      |          |   team was kept waiting before       |         |
#      +----------+ <----------------------------------- +---------+
#        |      ^        the pause is over: 0.01 s,
#        |      |        then up to 8 times as long
#        v      |
#     a try that ends well is trusted: the next one may be 16 times as long, and the pause is short again
#
# Where steps are short, one of DNN_TRIES_PER_SAMPLE tries is done by one member, to know how long a step takes alone.


cdef class Throttle:
    """Throttle(n_members, flops): for a team of n_members, and steps of so many flops.

    next(now, left) returns how many members do how many of the steps that are left; record(...) says how it went. Times are
    in seconds, and are handed in: a test can have a clock of its own.
    """

    cdef readonly int n_members, kept_waiting  # kept_waiting: tries in a row in which the first member waited too long
    cdef readonly bint trusted                 # the last try went well: the next may be longer
    cdef readonly double alone_until, pause    # one member goes on alone until then; how long the next pause is
    cdef readonly double step_alone            # seconds of a step by one member; 0: not known
    cdef Py_ssize_t steps_per_try, n_tries
    cdef bint short_steps

    def __cinit__(self, int n_members, double flops):
        self.n_members, self.pause = n_members, DNN_PAUSE
        self.short_steps = 8 * flops < DNN_FLOPS_PER_TRY
        self.steps_per_try = PY_SSIZE_T_MAX if n_members == 1 else max(1, <Py_ssize_t>(DNN_FLOPS_PER_TRY / flops))

    cdef int plan_try(self, double now, Py_ssize_t left, Py_ssize_t* n_steps) noexcept nogil:
        """Return how many members take part in the next try, and set how many of the steps that are left it has."""
        cdef int n = self.n_members if now >= self.alone_until else 1
        # Not the first try, which wakes the team
        cdef bint sample = n > 1 and self.short_steps and self.n_tries % DNN_TRIES_PER_SAMPLE == 1
        self.n_tries += 1
        if sample:
            n = 1
        # Beside a busy process a step may take a hundred times as long: a few of them tell
        n_steps[0] = min(left, self.steps_per_try if not sample and (n == 1 or self.trusted)
                         else max(1, self.steps_per_try // 16))
        return n

    cdef void observe(self, double now, int n, Py_ssize_t n_steps, double took, double waited, double late) noexcept nogil:
        """A try of n members is over: its steps took so long, and the first member waited so long for the others within
        them; before them it waited `late` for the last one to arrive."""
        if n == 1:
            self.step_alone = took / n_steps
            return
        # Waking a member from its sleep may take as long as a short try and means nothing, unless it took a slice of time
        if late > DNN_SLICE:
            waited, took = waited + late, took + late
        if waited <= DNN_WAITED * took and not (self.short_steps and self.step_alone > 0 and took > self.step_alone * n_steps):
            self.kept_waiting, self.pause, self.trusted = 0, DNN_PAUSE, True
            return
        self.kept_waiting += 1
        self.trusted = False
        # Once may be chance, unless a whole slice of time was lost in a few steps, or the team was kept waiting before
        if self.kept_waiting == 2 or (took < 0.02 and (waited > DNN_SLICE or self.pause > DNN_PAUSE)):
            self.kept_waiting = 0
            self.alone_until = now + self.pause
            self.pause = min(2 * self.pause, DNN_PAUSES_MAX * DNN_PAUSE)

    def next(self, double now, Py_ssize_t left):
        """Return (members, steps) of the next try."""
        cdef Py_ssize_t n_steps
        cdef int n = self.plan_try(now, left, &n_steps)
        return n, n_steps

    def record(self, double now, int n, Py_ssize_t n_steps, double took, double waited=0.0, double late=0.0):
        """Say how a try went."""
        self.observe(now, n, n_steps, took, waited, late)
