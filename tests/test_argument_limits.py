"""Arguments beyond what can be held: sizes without addresses, numbers beyond a float, very large seeds."""

from decimal import Decimal
from fractions import Fraction

import pytest

import dnn
from dnn import Network

HUGE = 10**400


@pytest.mark.parametrize(
    "sizes", [[2**62, 4], [2**31, 2**31, 2**31], [10**30, 1], [1, 10**30], [1, 2**62], [2**40] * 3, [HUGE, 1]]
)
def test_networks_too_large_to_have_addresses(sizes):
    with pytest.raises(ValueError, match="layers must"):
        Network(sizes)
    with pytest.raises(ValueError, match=r"units must|layers must|number of inputs must"):
        Network(sizes[0], [dnn.Dense(units) for units in sizes[1:]])
    if sizes[0] == 1:
        with pytest.raises(ValueError, match=r"hidden_layer_sizes must|layers must"):
            dnn.MLPRegressor(hidden_layer_sizes=sizes[1:]).fit([[1.0], [2.0]], [1.0, 2.0])


def fit(**more):
    Network([2, 1]).fit([[1, 2], [3, 4]], [1, 2], **more)


@pytest.mark.parametrize("value", [HUGE, -HUGE, Fraction(HUGE), Fraction(HUGE, 3)])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("alpha", lambda v: fit(alpha=v)),
        ("clip_norm", lambda v: fit(clip_norm=v)),
        ("min_delta", lambda v: fit(min_delta=v)),
        ("max_seconds", lambda v: fit(max_seconds=v)),
        ("ema", lambda v: fit(ema=v)),
        ("rate", dnn.SGD),
        ("momentum", lambda v: dnn.SGD(0.1, momentum=v)),
        ("epsilon", lambda v: dnn.Adam(epsilon=v)),
        ("dropout", lambda v: Network([2, 2, 1], dropout=v)),
        ("delta", dnn.Huber),
        ("alpha", lambda v: dnn.MLPRegressor(alpha=v).fit([[1.0], [2.0]], [1.0, 2.0])),
        ("tol", lambda v: dnn.MLPClassifier(tol=v).fit([[1.0], [2.0]], [0, 1])),
        (
            "learning_rate_init",
            lambda v: dnn.MLPRegressor(learning_rate_init=v).fit([[1.0], [2.0]], [1.0, 2.0]),
        ),
        ("X", lambda v: Network([2, 1])([[1, v]])),
        ("X", lambda v: Network([2, 1])([1, v])),
        ("y", lambda v: Network([2, 1]).fit([[1, 2]], [v])),
        ("sample_weight", lambda v: fit(sample_weight=[1, v])),
    ],
)  # fmt: skip
def test_numbers_beyond_a_float(name, call, value):
    with pytest.raises(ValueError, match=rf"{name} must .*about -?1?e?.*e\+(399|400)"):
        call(value)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("epochs", lambda v: fit(epochs=v)),
        ("batch_size", lambda v: fit(batch_size=v)),
        ("n_threads", lambda v: fit(n_threads=v)),
        ("units", dnn.Dense),
        ("seed", lambda v: Network([2, 2, 1], dropout=0.5).forward([[1, 2]], training=True, seed=v)),
        ("max_iter", lambda v: dnn.MLPRegressor(max_iter=v).fit([[1.0], [2.0]], [1.0, 2.0])),
        ("batch_size", lambda v: dnn.MLPRegressor(batch_size=v).fit([[1.0], [2.0]], [1.0, 2.0])),
    ],
)
def test_integers_too_large_for_the_core(name, call):
    for value in (2**64, 10**30, HUGE):
        with pytest.raises(ValueError, match=f"{name} must be at most .*, got"):
            call(value)


def test_large_seeds_are_accepted():
    for seed in (2**64, HUGE):
        assert (
            Network([2, 1], random_state=seed).params.tobytes()
            == Network([2, 1], random_state=seed).params.tobytes()
        )
    net = Network([2, 8, 1], dropout=0.5, random_state=0)
    net.forward([[1, 2]], training=True, seed=2**64 - 1)


def test_decimals_are_refused():
    with pytest.raises(TypeError, match="alpha must be a number, got Decimal"):
        fit(alpha=Decimal(1))
