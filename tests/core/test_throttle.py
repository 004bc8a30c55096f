"""The throttle: how many members take part in the next steps. The clock is a number that the tests set."""

import pytest

from dnn._core import Throttle

SHORT = 1e6  # flops of a step of which a try has 200
LONG = 1e9  # flops of a step that is a try by itself


def tries(throttle, now, outcomes, n=2):
    """Let a team do tries with these outcomes (took, waited), all at `now`; return the sizes of the tries."""
    sizes = []
    for took, waited in outcomes:
        members, steps = throttle.next(now, 10**6)
        if members == 1 and n > 1:  # a sample by one member, which was slow
            throttle.record(now, 1, steps, 1e3 * steps)
            members, steps = throttle.next(now, 10**6)
        assert members == n
        sizes.append(steps)
        throttle.record(now, members, steps, took, waited)
    return sizes


def test_one_member_does_all_steps_at_once():
    throttle = Throttle(1, SHORT)
    assert throttle.next(0.0, 12345) == (1, 12345)


def test_a_try_that_goes_well_is_trusted():
    throttle = Throttle(2, SHORT)
    assert tries(throttle, 0.0, [(1e-3, 0.0)] * 3) == [12, 200, 200]
    assert throttle.trusted
    assert throttle.next(0.0, 7) == (2, 7)  # never more than are left


def test_waiting_once_in_a_long_try_may_be_chance():
    throttle = Throttle(2, LONG)
    tries(throttle, 0.0, [(1.0, 0.1), (1.0, 0.5)])
    assert (throttle.kept_waiting, throttle.trusted, throttle.alone_until) == (1, False, 0.0)
    tries(throttle, 0.0, [(1.0, 0.1)])
    assert throttle.kept_waiting == 0 and throttle.trusted


def test_waiting_twice_in_a_row_lets_one_member_go_on_alone():
    throttle = Throttle(2, LONG)
    tries(throttle, 5.0, [(1.0, 0.5)] * 2)
    assert throttle.alone_until == pytest.approx(5.01)
    assert throttle.next(5.0099, 100)[0] == 1
    assert throttle.next(5.0101, 100)[0] == 2  # the team is tried again


def test_a_lost_slice_of_time_counts_at_once():
    throttle = Throttle(2, LONG)
    tries(throttle, 0.0, [(0.01, 0.005)])
    assert throttle.alone_until == pytest.approx(0.01)


def test_a_member_that_arrives_a_slice_late_has_kept_the_team_waiting():
    throttle = Throttle(2, LONG)
    members, steps = throttle.next(0.0, 100)
    throttle.record(0.0, members, steps, 0.01, 0.0, late=0.0009)  # it was asleep
    assert throttle.trusted
    throttle.record(0.0, members, steps, 0.01, 0.0, late=0.008)
    assert throttle.alone_until == pytest.approx(0.01)


def test_pauses_double_up_to_eight_times_and_shrink_again():
    throttle, now, pauses = Throttle(2, LONG), 0.0, []
    for _ in range(6):
        tries(throttle, now, [(0.01, 0.005)])
        pauses.append(throttle.alone_until - now)
        now = throttle.alone_until + 1e-6
    assert pauses == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.08, 0.08])
    tries(throttle, now, [(1.0, 0.0)])
    assert throttle.pause == pytest.approx(0.01)


def test_short_steps_are_sampled_alone_and_a_slower_team_is_left():
    throttle = Throttle(2, SHORT)
    assert throttle.next(0.0, 1000) == (2, 12)
    throttle.record(0.0, 2, 12, 12e-6)
    assert throttle.next(0.0, 1000) == (1, 12)  # the second try is a sample
    throttle.record(0.0, 1, 12, 12e-6)
    assert throttle.step_alone == pytest.approx(1e-6)
    tries(
        throttle, 0.0, [(300e-6, 0.0)] * 2
    )  # 1.5 us per step, and nobody waited: cores are far from each other
    assert throttle.alone_until == pytest.approx(0.01)


def test_long_steps_are_never_sampled():
    throttle = Throttle(2, LONG)
    for _ in range(200):
        members, steps = throttle.next(0.0, 10)
        assert (members, steps) == (2, 1)
        throttle.record(0.0, members, steps, 1.0, 0.0)
