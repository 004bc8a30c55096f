"""Feedback alignment learns nearly as well as backpropagation, and only with feedback weights that stay."""

import feedback_alignment as program
import numpy as np
import pytest
from scipy.special import softmax

from dnn import Network


@pytest.fixture
def net():
    return Network([5, 4, 6, 3], activation="tanh", dtype="float64", random_state=0)


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    return rng.standard_normal((7, 5)), np.eye(3)[rng.integers(3, size=7)]


def test_the_gradient_is_that_of_the_formula(net, batch):
    """The same backward pass, written by hand: only the products with B are not those of backpropagation."""
    X, Y = batch
    B = program.random_feedback(net, np.random.default_rng(2))
    before = net.params.copy()
    logits, cache = net.forward(X, logits=True)
    dZ = softmax(logits, axis=1) - Y
    grad = program.backward_through(net, B, cache, dZ)

    A1 = np.tanh(X @ net.weights[0] + net.biases[0])
    A2 = np.tanh(A1 @ net.weights[1] + net.biases[1])
    dZ2 = dZ @ B[1].T * (1 - A2**2)
    dZ1 = dZ2 @ B[0].T * (1 - A1**2)
    pairs = [(X, dZ1), (A1, dZ2), (A2, dZ)]
    by_hand = np.concatenate([part for A, d in pairs for part in ((A.T @ d).ravel(), d.sum(axis=0))])
    np.testing.assert_allclose(grad, by_hand, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(net.params, before)


def test_feedback_through_the_forward_weights_is_backpropagation(net, batch):
    logits, cache = net.forward(batch[0], logits=True)
    true, _ = net.backward(cache, logits, wrt="params")
    np.testing.assert_array_equal(program.backward_through(net, net.weights[1:], cache, logits), true)


def test_angles():
    assert program.angle([1, 0], [0, 2]) == pytest.approx(90)
    assert program.angle([3, 3], [1, 0]) == pytest.approx(45)
    equal = np.random.default_rng(0).standard_normal((100, 7))  # of some of them the cosine is above 1
    np.testing.assert_allclose([program.angle(a, a) for a in equal], 0, atol=1e-5)


@pytest.mark.long
def test_figures(data_folder, monkeypatch):
    """Five seeds gave: backpropagation 11.8 to 12.5 %, feedback alignment at most 0.4 points more.

    Redrawn feedback gave 19.9 % and more, the output layer alone 19.8 % and more; the last angle was at most
    51 degrees, that of redrawn feedback at least 87.
    """
    monkeypatch.setenv("DNN_DATA", str(data_folder))
    found = program.main(quick=True)
    last = {rule: errors[-1] for rule, errors in found["errors"].items()}
    assert last["backpropagation"] <= 14
    assert abs(last["feedback alignment"] - last["backpropagation"]) <= 2  # the figure of the issue
    assert last["redrawn feedback"] >= last["feedback alignment"] + 4
    assert last["output layer only"] >= last["feedback alignment"] + 4
    first, *_, end = found["records"]["feedback alignment"]
    assert 80 <= first[1] <= 100
    assert end[1] <= 60
    assert end[2] <= 75  # the output weights have moved towards the feedback weights
    assert found["records"]["redrawn feedback"][-1][1] >= 75
    assert found["by_depth"].shape == (2, 2)
    assert f"{last['feedback alignment']:5.2f} %" in program.tell(found)
    assert len(program.draw(found).axes) == 3
