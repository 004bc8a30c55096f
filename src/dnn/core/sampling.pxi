# Random draws, part of _core.pyx: arrays of Bernoulli and normal variables.
#
# The generator is a function of (seed, call, number of the value): see kernels/sampling.h. Members of a team draw parts of a
# call, and where the parts begin changes no bit.


cdef struct Draw:
    bint normal
    void (*bernoulli_of)(uint64_t, uint64_t, Py_ssize_t, Py_ssize_t, const void*, void*) noexcept nogil
    void (*normal_of)(uint64_t, uint64_t, Py_ssize_t, Py_ssize_t, void*) noexcept nogil
    uint64_t seed, call
    const char* logits
    char* out
    int size, n_members
    Py_ssize_t begin, end  # the values to draw next


cdef void draw_part(void* arg, int me) noexcept nogil:
    """Draw a member's part of the values begin .. end."""
    cdef const Draw* draw = <const Draw*>arg
    cdef Py_ssize_t n_blocks = (draw.end - draw.begin + DNN_SAMPLING_ALIGNED - 1) // DNN_SAMPLING_ALIGNED
    cdef Py_ssize_t begin = draw.begin + n_blocks * me // draw.n_members * DNN_SAMPLING_ALIGNED
    cdef Py_ssize_t end = min(draw.end, draw.begin + n_blocks * (me + 1) // draw.n_members * DNN_SAMPLING_ALIGNED)
    if draw.normal:
        draw.normal_of(draw.seed, draw.call, begin, end - begin, draw.out + begin * draw.size)
    else:
        draw.bernoulli_of(draw.seed, draw.call, begin, end - begin, draw.logits + begin * draw.size,
                          draw.out + begin * draw.size)


cdef int draw_all(Draw* draw, Py_ssize_t n) except -1:
    """Draw n values; between parts of DNN_DRAWS_PER_POLL, Python's signal handlers run."""
    global N_TEAMS
    cdef DnnTeam* team = NULL
    cdef int available
    draw.n_members = ASSUMED if ASSUMED else <int>min(n // DNN_DRAWS_PER_MEMBER, 64)
    if draw.n_members > 1 and not ASSUMED:
        available = threads.available()
        draw.n_members = min(draw.n_members, (available + N_TEAMS) // (N_TEAMS + 1))
    draw.begin, draw.end = 0, n
    if draw.n_members <= 1 and n <= DNN_VALUES_HELD:
        draw.n_members = 1
        draw_part(draw, 0)
        return 0
    draw.n_members = max(1, draw.n_members)
    if draw.n_members > 1:
        team = dnn_team_new(draw.n_members)
        if team == NULL:
            raise MemoryError(f"no memory for a team of {draw.n_members} threads")
        draw.n_members = dnn_team_size(team)
        N_TEAMS += 1
    try:
        draw.end = 0
        while draw.end < n:
            draw.begin, draw.end = draw.end, min(n, draw.end + DNN_DRAWS_PER_POLL)
            with nogil:
                if team == NULL:
                    draw_part(draw, 0)
                else:
                    dnn_team_run(team, draw.n_members, draw_part, draw)
            PyErr_CheckSignals()
    finally:
        if team != NULL:
            N_TEAMS -= 1
            dnn_team_free(team)
    return 0


def bernoulli(logits, out, uint64_t seed, uint64_t call):
    """Write 1 with the probability sigmoid(logit), otherwise 0, to out (n,) for each of the logits (n,), of the same dtype;
    out may be logits itself."""
    cdef ArrayRef z = bind(logits, -1, 1, b"fd"), to = bind(out, z.n_rows, 1, b"f" if z.size == 4 else b"d", True)
    cdef Draw draw
    draw.normal, draw.bernoulli_of, draw.normal_of = False, SAMPLING[z.size == 8].bernoulli, NULL
    draw.seed, draw.call, draw.logits, draw.out, draw.size = seed, call, z.at, to.at, z.size
    draw_all(&draw, z.n_rows)


def normal(out, uint64_t seed, uint64_t call):
    """Write standard normal variables to out (n,)."""
    cdef ArrayRef to = bind(out, -1, 1, b"fd", True)
    cdef Draw draw
    draw.normal, draw.bernoulli_of, draw.normal_of = True, NULL, SAMPLING[to.size == 8].normal
    draw.seed, draw.call, draw.logits, draw.out, draw.size = seed, call, NULL, to.at, to.size
    draw_all(&draw, to.n_rows)
