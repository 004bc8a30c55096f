"""Losses: custom functions, quantiles, and the targets that a loss refuses."""

import numpy as np
import pytest
from networks import examples

import dnn
from dnn import Network


def half_square(y, logits):
    residual = logits - y
    return (residual**2).sum(axis=1) / 2, residual


@pytest.mark.parametrize("options", [{}, {"alpha": 0.2, "l1": 0.1}, {"clip_norm": 0.1}, {"batch_size": None}])
def test_a_custom_loss_trains_as_the_same_loss_of_the_core(options):
    X, y = examples(50, [7, 2], "squared_error", "identity")
    w = np.linspace(0.1, 2, 50)
    a, b = (Network([7, 9, 2], dtype="float64", dropout=0.2, random_state=0) for _ in range(2))
    options = {"batch_size": 16, "sample_weight": w, "epochs": 4, "X_val": X, "y_val": y, **options}
    one = a.fit(X, y, **options)
    two = b.fit(X, y, loss=half_square, **options)
    np.testing.assert_allclose(a.params, b.params, rtol=0, atol=1e-13)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-12)
    np.testing.assert_allclose(one.val_loss, two.val_loss, rtol=1e-12)
    assert two.loss_name == "half_square"
    np.testing.assert_allclose(a.losses(X, y), b.losses(X, y, loss=half_square), rtol=1e-9)
    np.testing.assert_allclose(
        b.loss_and_gradient(X, y, loss=half_square)[1], b.loss_and_gradient(X, y)[1], atol=1e-14
    )
    assert dnn.check_gradient(b, X, y, loss=half_square) < 1e-8


def test_errors_of_a_custom_loss():
    X, y = examples(50, [7, 2], "squared_error", "identity")
    net = Network([7, 2], random_state=0)
    before = net.params.copy()

    def broken(y, logits):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, y, loss=broken)
    for wrong, kind, message in (
        (lambda y, s: s, TypeError, r"loss must return \(losses, d_logits\)"),
        (lambda y, s: (s, s), ValueError, r"loss must return losses \(50,\) and d_logits \(50, 2\)"),
    ):
        with pytest.raises(kind, match=message):
            net.fit(X, y, loss=wrong)
    np.testing.assert_array_equal(net.params, before)


def test_one_target_for_several_quantiles():
    X, y = examples(40, [3, 1], "squared_error", "identity")
    levels = dnn.Quantile((0.1, 0.5, 0.9))
    net = Network([3, 3], dtype="float64", random_state=0)
    one = net.losses(X, y, loss=levels)
    np.testing.assert_array_equal(one, net.losses(X, np.repeat(y, 3, axis=1), loss=levels))
    np.testing.assert_array_equal(one, net.losses(X, y.ravel(), loss=levels))
    # Sorting crossed quantiles never increases the loss.
    rng = np.random.default_rng(0)
    S = rng.normal(size=(40, 3))
    tau = np.array([0.1, 0.5, 0.9])

    def pinball(S):
        return np.maximum(tau * (y - S), (tau - 1) * (y - S)).sum(axis=1)

    assert (pinball(np.sort(S, axis=1)) <= pinball(S) + 1e-12).all()
    with pytest.raises(ValueError, match="1 level, or 3 for 3 outputs, got 2"):
        net.losses(X, y, loss=dnn.Quantile((0.1, 0.9)))
    with pytest.raises(ValueError, match="levels must increase"):
        dnn.Quantile((0.9, 0.1))


def test_poisson_refuses_negative_targets():
    net = Network([3, 1], output="exp", random_state=0)
    with pytest.raises(ValueError, match="y must be at least 0 for poisson, got -1"):
        net.fit(np.zeros((2, 3)), [1, -1])
    assert net.fit(np.zeros((2, 3)), [1, 2], epochs=1).loss_name == "poisson"
