"""The learning-rate finder finds a rate that trains, and leaves the network unchanged."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import dnn
from dnn import SGD, Adam, Network, find_rate


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, test_size=0.2, random_state=0, stratify=y)


def classifier(seed=0, **keywords):
    return Network([64, 100, 10], output="softmax", random_state=seed, **keywords)


@pytest.mark.parametrize(
    ("optimizer", "batch_size"), [(Adam(), 128), (Adam(), 32), (SGD(momentum=0.9), 32)], ids=str
)
def test_the_rate_found_trains_digits(digits, optimizer, batch_size):
    """Five epochs with the best constant rate give an accuracy of 96 +- 1.5 % on the 360 rows held out."""
    X, X_test, y, y_test = digits
    held_out = []
    for seed in range(8):
        net = classifier(seed)
        found = find_rate(net, X, y, optimizer=optimizer, batch_size=batch_size, random_state=seed)
        assert 100 * found.rates[0] < found.rate < found.rates[-1] / 3
        net.fit(X, y, optimizer=replace(optimizer, rate=found.rate), batch_size=batch_size, epochs=5)
        assert (net(X).argmax(axis=1) == y).mean() >= 0.95
        held_out.append((net(X_test).argmax(axis=1) == y_test).mean())
    assert np.mean(held_out) >= 0.95


def test_the_network_is_left_as_it_was(digits):
    X, _, y, _ = digits
    net, untouched = classifier(), classifier()
    first, second = find_rate(net, X, y), find_rate(net, X, y)
    assert net.params.tobytes() == untouched.params.tobytes()
    assert first.losses.tobytes() == second.losses.tobytes() and first.rate == second.rate
    assert find_rate(net, X, y, random_state=1).losses.tobytes() != first.losses.tobytes()
    state = np.random.default_rng(5)
    find_rate(net, X, y, random_state=state)
    assert state.random() != np.random.default_rng(5).random()  # a Generator is advanced
    for one in (net, untouched):
        one.fit(X, y, epochs=2)  # draws its orders from the generator of the network
    assert net.params.tobytes() == untouched.params.tobytes()


def test_the_curve(digits):
    X, _, y, _ = digits
    net = classifier()
    found = find_rate(net, X, y, lowest=1e-6, highest=1e-1, n_steps=51)
    np.testing.assert_allclose(found.rates, 10.0 ** np.linspace(-6, -1, 51), rtol=1e-12)
    assert found.losses.shape == (51,) and found.losses.dtype == np.float64
    assert found.rate == pytest.approx(found.rates[found.losses.argmin()] / 10)
    # Before anything is learned the curve is flat, at the loss of the given network, although the losses of
    # batches differ by 5 %.
    np.testing.assert_allclose(found.losses[:15], found.losses[0], rtol=2e-3)
    np.testing.assert_allclose(found.losses[0], net.losses(X, y).mean(), rtol=0.02)


def test_the_average_is_free_of_bias():
    """The average equals a weighted mean; with one batch of all rows, all batches are equal."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    y = X @ [1.0, 2.0, 3.0]
    net = Network([3, 1], init="zeros", dtype="float64")
    found = find_rate(net, X, y, optimizer="sgd", lowest=1e-3, highest=1e-1, n_steps=20)
    twin, costs = Network([3, 1], init="zeros", dtype="float64"), []
    for rate in np.geomspace(1e-3, 1e-1, 20):
        cost, grad = twin.loss_and_gradient(X, y)
        costs.append(cost)
        twin.optimizer("sgd").step(grad, rate)
    for n in range(1, 21):
        shares = 0.5 ** np.arange(n)[::-1]  # 20 steps are averaged over about 2
        np.testing.assert_allclose(found.losses[n - 1], np.average(costs[:n], weights=shares), rtol=1e-9)


def test_divergence_ends_the_search_without_an_error():
    """With targets in the hundreds gradient descent diverges at a rate far below the highest one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 10))
    y = 300 * (np.sin(X[:, 0]) + X[:, 1] * X[:, 2])
    net = Network([10, 32, 1], random_state=0)
    found = find_rate(net, X, y, optimizer="sgd", batch_size=32)
    assert len(found.rates) == len(found.losses) < 90
    assert np.isfinite(found.losses).all() and found.losses[-1] > 2 * found.losses[0]
    assert found.losses[:-1].max() < 10 * found.losses[0]  # the first diverging loss ended the search
    assert 1e-6 < found.rate < 1e-2
    before = net.losses(X, y).mean()
    net.fit(X, y, optimizer=SGD(found.rate), epochs=5, batch_size=32)
    assert net.losses(X, y).mean() < 0.8 * before


def test_noise_does_not_choose_the_rate():
    """With heavy tails the losses of batches differ by large factors before anything is learned."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 5))
    y = X @ rng.normal(size=5) + rng.standard_t(2, size=2000)
    net = Network([5, 16, 1], random_state=0)
    rates = [find_rate(net, X, y, batch_size=16, random_state=seed).rate for seed in range(10)]
    assert min(rates) > 1e-3 and max(rates) < 1


OUTPUTS = [
    (output, loss)
    for output in dnn.layers.OUTPUTS
    for loss in ("auto", "squared_error")
    if not (output == "softmax" and loss == "squared_error")
]


@pytest.mark.parametrize(("output", "loss"), OUTPUTS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_loss_of_fit(output, loss, optimizer):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 6))
    y = (X[:, :3] > 0) * 1.0
    if output == "softmax":
        y = y.argmax(axis=1)
    net = Network([6, 20, 3], output=output, random_state=0)
    found = find_rate(net, X, y, optimizer=optimizer, loss=loss, batch_size=64)
    assert 1e-6 < found.rate < 10 and found.losses.min() < 0.9 * found.losses[0]


@pytest.mark.parametrize("n", [1, 2, 5, 130])
def test_few_rows(n):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 3)), np.arange(n) % 2
    found = find_rate(Network([3, 8, 2], output="softmax", random_state=0), X, y, batch_size=128)
    assert np.isfinite(found.losses).all() and found.rate > 0
    assert find_rate(Network([3, 8, 2], random_state=0), X[0], [[1.0, 2.0]]).rate > 0  # one row of 3


def test_lists_and_other_types():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, size=(50, 3)), rng.integers(0, 2, size=50)
    curves = [
        find_rate(Network([3, 8, 2], output="softmax", random_state=0), X_, y_).losses
        for X_, y_ in ((X, y), (X.tolist(), y.tolist()), (X.astype(np.float32), y.astype(np.uint8)))
    ]
    for curve in curves[1:]:
        np.testing.assert_array_equal(curve, curves[0])


X = np.random.default_rng(0).normal(size=(20, 4))
BAD = [
    ({"lowest": 0}, ValueError, "lowest must be finite and above 0, got 0"),
    ({"lowest": 1.0, "highest": 1.0}, ValueError, "highest must be finite and above 1, got 1.0"),
    ({"n_steps": 9}, ValueError, "n_steps must be at least 10, got 9"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": None}, TypeError, "batch_size must be a whole number, got None"),
    ({"optimizer": "adma"}, ValueError, "did you mean 'adam'"),
    ({"loss": "log_loss"}, ValueError, "loss 'log_loss' must have an output of"),
    ({"random_state": "x"}, TypeError, "random_state must be a whole number"),
    ({"X": X.T}, ValueError, r"did you mean X\.T\?"),
    ({"X": np.where(np.arange(20)[:, None] == 17, np.nan, X)}, ValueError, "got nan in row 17, column 0"),
    ({"y": np.zeros(19)}, ValueError, r"y must have shape \(20, 1\) or \(20,\), got \(19,\)"),
    (
        {"lowest": 1e3, "highest": 1e4, "optimizer": "sgd"},
        ValueError,
        "lowest must be a rate at which the loss",
    ),
    ({"lowest": 20, "highest": 1e4, "optimizer": "adam", "y": X[:, 0] * 1e-3}, ValueError, "it never fell"),
    ({"y": np.full(20, 3e30)}, ValueError, "net must have a finite loss before training"),
]


@pytest.mark.parametrize(("change", "kind", "message"), BAD)
def test_wrong_arguments(change, kind, message):
    arguments = {"X": X, "y": X @ np.arange(1.0, 5.0), "batch_size": 20, **change}
    with pytest.raises(kind, match=message):
        find_rate(Network([4, 1], init="zeros"), arguments.pop("X"), arguments.pop("y"), **arguments)


def test_the_plot():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    y = X @ np.arange(1.0, 5.0)
    found = find_rate(Network([4, 1], init="zeros"), X, y)
    ax = found.plot(figure.subplots())
    curve, dot = ax.lines
    np.testing.assert_array_equal(curve.get_xdata(), found.rates)
    np.testing.assert_array_equal(curve.get_ydata(), found.losses)
    assert dot.get_xdata()[0] == found.rate and ax.get_xscale() == "log"
    figure.canvas.draw()
