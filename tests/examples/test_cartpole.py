"""The carts of examples/cartpole.py move as gymnasium's, and their episodes end and start as its do."""

import doctest

import cartpole
import numpy as np
import pytest


def catch(observation):
    """Push to the side to which the pole leans and turns, and keep it leaning towards the middle."""
    return (observation @ [0.02, 0.1, 1.0, 0.5] > 0).astype(int)


def drift(observation):
    """Keep the pole leaning to the right, so that the cart must run off the track to hold it."""
    return (observation @ [0, 0, 1.0, 0.5] > 0.1).astype(int)


@pytest.mark.parametrize("policy", [None, catch, drift], ids=["drawn", "catch", "drift"])
def test_carts_move_as_those_of_gymnasium(policy):
    """Drawn pushes let the pole fall after some 22 steps; others reach the time limit, or the track's end."""
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'dnn-core[dev]'")
    rng = np.random.default_rng(0)
    carts = cartpole.CartPole(3, rng)
    twins = [gymnasium.make("CartPole-v1") for _ in range(carts.n)]
    ends, observation = [], carts.observe(carts.state)

    def start(i):
        twins[i].reset()
        twins[i].unwrapped.state = carts.state[i].copy()

    for i in range(carts.n):
        start(i)
    for _ in range(600):
        action = policy(observation) if policy else rng.integers(0, 2, carts.n)
        observation, reward, terminated, truncated, reached = carts.step(action)
        for i, twin in enumerate(twins):
            expected = twin.step(int(action[i]))
            np.testing.assert_allclose(reached[i], expected[0], rtol=0, atol=1e-6)
            assert (reward[i], terminated[i], truncated[i]) == expected[1:4]
            if terminated[i] or truncated[i]:
                off_track = abs(reached[i, 0]) > 2.4
                ends.append("time" if truncated[i] else "track" if off_track else "pole")
                start(i)
                assert np.abs(observation[i]).max() <= 0.05
                assert not np.array_equal(observation[i], reached[i])
            else:
                np.testing.assert_array_equal(observation[i], reached[i])
    if policy is catch:
        assert ends == ["time"] * carts.n
    else:
        assert len(ends) >= 6 and set(ends) == {"track" if policy is drift else "pole"}


def test_returns_are_those_of_one_episode_of_each_cart():
    """A cart goes on after its episode, which ends when the first push to the left has made it fall."""
    carts = cartpole.CartPole(5, np.random.default_rng(0))
    left = cartpole.episode_returns(carts, lambda observation: np.zeros(carts.n, int))
    assert left.min() >= 8 and left.max() <= 11  # the known range for pushes to one side only
    assert np.unique(left).size > 1
    np.testing.assert_array_equal(cartpole.episode_returns(carts, catch), 500)


def test_environment_keeps_observations_and_returns():
    carts = cartpole.CartPole(4, np.random.default_rng(0))
    lengths, current = [], np.zeros(carts.n)
    for _ in range(50):
        observation, _, terminated, _, _ = carts.step(np.ones(carts.n, int))
        assert observation is carts.observation
        current += 1
        lengths += current[terminated].tolist()
        current[terminated] = 0
    assert len(lengths) >= 16 and carts.returns == lengths
    carts.reset()
    assert carts.returns == []


def test_gymnasium_judges_as_the_twin_does():
    pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'dnn-core[dev]'")
    np.testing.assert_array_equal(cartpole.judge("CartPole-v1", catch, 2), 500)
    left = cartpole.judge("CartPole-v1", lambda observation: np.zeros(len(observation), int), 20)
    assert left.min() >= 8 and left.max() <= 11 and np.unique(left).size > 1


def test_example_of_the_docstring():
    assert doctest.testmod(cartpole) == (0, 3)
