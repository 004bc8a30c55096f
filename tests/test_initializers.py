"""Initializers: standard deviations, the order of draws, and given weights."""

import numpy as np
import pytest

from dnn import Dense, Full, He, Initializer, LeCun, Network, Normal, Uniform, Xavier, Zeros
from dnn.initializers import INITIALIZERS

N_IN, N_OUT = 400, 300
# The variance of each, and whether it is bounded
SPREADS = {
    "normal": (0.01**2, False),
    "uniform": (0.05**2 / 3, True),
    "lecun": (1 / N_IN, False),
    "lecun_normal": (1 / N_IN, False),
    "lecun_uniform": (1 / N_IN, True),
    "xavier": (2 / (N_IN + N_OUT), True),
    "xavier_uniform": (2 / (N_IN + N_OUT), True),
    "xavier_normal": (2 / (N_IN + N_OUT), False),
    "he": (2 / N_IN, False),
    "he_normal": (2 / N_IN, False),
    "he_uniform": (2 / N_IN, True),
}


def test_every_name_is_tested():
    assert {*SPREADS, "zeros"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", SPREADS)
def test_spread_and_shape_of_the_distribution(name):
    variance, bounded = SPREADS[name]
    net = Network([N_IN, N_OUT], init=name, dtype="float64", random_state=0)
    W = net.weights[0]
    assert abs(W.std() / np.sqrt(variance) - 1) < 0.01
    assert abs(W.mean()) < 4 * np.sqrt(variance / W.size)
    if bounded:
        assert 0.999 < abs(W).max() / np.sqrt(3 * variance) <= 1
    else:
        assert abs(W).max() > 3.5 * np.sqrt(variance)
    kurtosis = (W**4).mean() / (W**2).mean() ** 2  # 3 for a normal distribution, 9/5 for a uniform one
    assert abs(kurtosis - (1.8 if bounded else 3)) < 0.1
    assert not net.biases[0].any()


@pytest.mark.parametrize("name", SPREADS)
def test_weights_are_drawn_unit_by_unit(name):
    """Weights are drawn as (n_out, n_in): a RandomState gives the figures of the course's notebooks."""
    variance, bounded = SPREADS[name]
    W = Network([N_IN, N_OUT], init=name, dtype="float64", random_state=np.random.RandomState(3)).weights[0]
    rng = np.random.RandomState(3)
    limit = np.sqrt(3 * variance)
    drawn = (
        rng.uniform(-limit, limit, (N_OUT, N_IN)) if bounded else rng.randn(N_OUT, N_IN) * np.sqrt(variance)
    )
    np.testing.assert_allclose(W, drawn.T, rtol=1e-14)


def test_layers_are_drawn_one_after_the_other():
    rng = np.random.default_rng(5)
    net = Network([3, 4, 2], init=LeCun(), dtype="float64", random_state=5)
    for W in net.weights:
        drawn = rng.standard_normal(W.T.shape).T / np.sqrt(len(W))
        np.testing.assert_allclose(W, drawn, rtol=1e-15)


def test_constants():
    assert Network([3, 2], init=Full(-0.25)).params.tolist() == [-0.25] * 6 + [0.0] * 2
    assert not Network([3, 2], init=Full(0)).params.any()
    assert not Network([3, 2], init=Zeros()).params.any()
    assert not Network([30, 20], init=Uniform(0), random_state=0).params.any()
    assert 0.29 < abs(Network([30, 20], init=Uniform(0.3), random_state=0).params).max() <= 0.3


def test_auto_asks_the_activation():
    net = Network([400, 300, 200, 10], activation=["relu", "tanh"], init="auto", random_state=0)
    chosen = Network(
        [400, 300, 200, 10], activation=["relu", "tanh"], init=[He(), Xavier(), Xavier()], random_state=0
    )
    assert net.params.tobytes() == chosen.params.tobytes()


# One entry for each layer


def given(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=4).astype(dtype)),
            (rng.normal(size=(4, 2)).astype(dtype), rng.normal(size=2).astype(dtype))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_given_weights_and_biases(dtype):
    pairs = given()
    wanted = np.concatenate([a.ravel() for pair in pairs for a in pair]).astype(dtype)
    weights, biases = zip(*pairs, strict=True)
    for init in (
        pairs,
        tuple(pairs),
        zip(weights, biases, strict=True),
        [list(pair) for pair in pairs],
        [(W.tolist(), b.tolist()) for W, b in pairs],
        [(np.asfortranarray(W), b) for W, b in pairs],
        [(W.astype(">f8"), b) for W, b in pairs],
    ):
        net = Network([3, 4, 2], init=init, dtype=dtype)
        np.testing.assert_array_equal(net.params, wanted)
    twin = Network([3, 4, 2], init=zip(net.weights, net.biases, strict=True), dtype=dtype)
    twin.params[:] += 1
    np.testing.assert_array_equal(net.params, wanted)  # a copy


def test_given_weights_leave_biases_at_zero():
    (W0, _), (W1, _) = given()
    wanted = np.concatenate([W0.ravel(), np.zeros(4), W1.ravel(), np.zeros(2)])
    for init in ([W0, W1], (W0, W1), [W0.tolist(), W1.tolist()], [(W0, None), (W1, None)], [W0, (W1, None)]):
        np.testing.assert_array_equal(Network([3, 4, 2], init=init, dtype="float64").params, wanted)
    # A matrix with two rows is not a pair of W and b.
    square = [[1, 2], [3, 4]]
    for W in (square, tuple(map(tuple, square)), np.array(square), list(np.array(square))):
        assert Network([2, 2], init=[W]).weights[0].tolist() == square
    ones = np.ones((2, 3, 3))
    assert Network([3, 3, 3], init=ones).params.sum() == 18


def test_init_may_mix_kinds_of_entries():
    given = np.arange(20).reshape(5, 4)
    layers = [Dense(5, "relu"), Dense(4, "tanh"), Dense(4), Dense(2)]
    net = Network(4, layers, init=["auto", given, "he", Full(2)], dtype="float64", random_state=7)
    rng = np.random.default_rng(7)
    np.testing.assert_allclose(net.weights[0].T, rng.standard_normal((5, 4)) * np.sqrt(2 / 4), rtol=1e-15)
    np.testing.assert_array_equal(net.weights[1], given)  # given weights use no random numbers
    np.testing.assert_allclose(net.weights[2].T, rng.standard_normal((4, 4)) * np.sqrt(2 / 4), rtol=1e-15)
    assert (net.weights[3] == 2).all()


def test_a_custom_initializer():
    class ScikitLearn(Initializer):
        """Draw W by rows, then b, both uniformly."""

        def draw(self, rng, n_in, n_out):
            return rng.uniform(-1, 1, (n_in, n_out))

        def draw_biases(self, rng, n_in, n_out):
            return rng.uniform(-1, 1, n_out)

    net = Network([3, 4, 2], init=ScikitLearn(), dtype="float64", random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(net.params, np.random.RandomState(0).uniform(-1, 1, net.n_params))
    with pytest.raises(NotImplementedError, match="Initializer must have a method draw"):
        Network([3, 2], init=Initializer())


(W0, B0), (W1, B1) = given()
BAD = [
    (
        [W0, W1.T],
        ValueError,
        r"W of layer 2 in init must have shape \(4, 2\), got \(2, 4\): did you mean W\.T\?",
    ),
    (
        [W0.T, W1],
        ValueError,
        r"W of layer 1 in init must have shape \(3, 4\), got \(4, 3\): did you mean W\.T\?",
    ),
    ([W0, W0], ValueError, r"W of layer 2 in init must have shape \(4, 2\), got \(3, 4\)$"),
    ([(W0, B0), (W1, B0)], ValueError, r"b of layer 2 in init must have shape \(2,\), got \(4,\)$"),
    (
        [(W0, B0[:, None]), W1],
        ValueError,
        r"b of layer 1 .* \(4,\), got \(4, 1\): did you mean b\.ravel\(\)\?",
    ),
    ([W0], ValueError, "init must have one entry for each of 2 layers, got 1$"),
    ([W0, W1, W1], ValueError, "init must have one entry for each of 2 layers, got 3$"),
    (
        [W0, B0, W1, B1],
        ValueError,
        r"for each of 2 layers, got 4: did you mean pairs, \[\(W, b\), \.\.\.\]\?",
    ),
    (["he"], ValueError, "init must have one entry for each of 2 layers, got 1$"),
    (["he"] * 4, ValueError, "init must have one entry for each of 2 layers, got 4$"),
    ([], ValueError, "init must have one entry for each of 2 layers, got 0"),
    (W0, TypeError, r"one entry for each layer, got an array \(3, 4\): did you mean \[W\]\?"),
    ([W0, "hee"], ValueError, "init must be one of .*; did you mean 'he'"),
    ([W0, 3], TypeError, "init must be one of auto, .* got 3"),
    (3, TypeError, "init must be one of auto, .* got 3"),
    (b"he", TypeError, "init must be one of auto, .* got b'he'"),
    ([W0, W1 * np.inf], ValueError, "W of layer 2 in init must be finite, got -?inf in row 0, column 0"),
    ([(W0, B0 * np.nan), W1], ValueError, "b of layer 1 in init must be finite, got nan in row 0"),
    ([W0 * 1e300, W1], ValueError, "init must give finite weights in float32, got others in layer 1"),
    ([W0, [(1, 2), (3,), (4, 5), (6, 7)]], ValueError, "W of layer 2 in init must be an array, got rows"),
    ([W0, W1.astype(str)], TypeError, "W of layer 2 in init must hold real numbers"),
    (Normal(1e200), ValueError, "init must give finite weights in float32, got others in layer 1"),
]


@pytest.mark.parametrize(("init", "kind", "message"), BAD)
def test_wrong_init(init, kind, message):
    with pytest.raises(kind, match=message):
        Network([3, 4, 2], init=init, random_state=0)


def test_weights_of_one_unit():
    with pytest.raises(
        ValueError, match=r"must have shape \(3, 1\), got \(3,\): did you mean W\[:, None\]\?"
    ):
        Network([3, 1], init=[[1, 2, 3]])


SPECS = [
    (lambda: Full(float("inf")), ValueError, "value must be finite, got inf"),
    (lambda: Full("x"), TypeError, "value must be a number, got 'x'"),
    (lambda: Uniform(-1), ValueError, "limit must be finite and at least 0, got -1"),
    (lambda: LeCun("nromal"), ValueError, "did you mean 'normal'"),
    (lambda: Xavier("gauss"), ValueError, "distribution must be one of uniform, normal"),
]


@pytest.mark.parametrize(("make", "kind", "message"), SPECS)
def test_an_initializer_is_checked_when_it_is_made(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
