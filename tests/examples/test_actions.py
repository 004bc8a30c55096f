"""The kinds of actions in examples/actions.py: draws, probabilities and their gradients."""

import doctest

import actions
import numpy as np
import pytest

KINDS = {"categorical": actions.Categorical(3), "gaussian": actions.Gaussian()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((20, kind.n_outputs))
    action = kind.sample(outputs, rng)
    gradient = kind.log_prob(action, outputs)[1]
    for k in range(kind.n_outputs):
        step = 1e-6 * (np.arange(kind.n_outputs) == k)
        difference = kind.log_prob(action, outputs + step)[0] - kind.log_prob(action, outputs - step)[0]
        np.testing.assert_allclose(gradient[:, k], difference / 2e-6, rtol=1e-6, atol=1e-8)


def test_choices_are_drawn_with_their_probabilities():
    kind, rng = KINDS["categorical"], np.random.default_rng(0)
    logits = np.tile(np.log([0.6, 0.3, 0.1]) + 5, (20_000, 1))
    shares = np.bincount(kind.sample(logits, rng), minlength=3) / len(logits)
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.014)  # four standard errors of 0.0035
    log_p = [kind.log_prob(np.array([a]), logits[:1])[0][0] for a in range(3)]
    np.testing.assert_allclose(np.exp(log_p), [0.6, 0.3, 0.1])
    assert kind.best(logits[:1]) == [0]


def test_numbers_are_drawn_with_their_mean_and_spread():
    kind, rng = KINDS["gaussian"], np.random.default_rng(0)
    outputs = np.tile([3.0, np.log(2.0)], (20_000, 1))
    drawn = kind.sample(outputs, rng)
    assert abs(drawn.mean() - 3) < 0.057 and abs(drawn.std() - 2) < 0.04  # four standard errors
    grid = np.linspace(-20, 26, 10_001)
    density = np.exp(kind.log_prob(grid, np.tile(outputs[0], (len(grid), 1)))[0])
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-9)
    assert kind.best(outputs[:1]) == [3]


def test_examples_of_the_docstrings():
    assert doctest.testmod(actions) == (0, 4)
