"""Schedules: closed forms, the same rates for any chunking, and OnPlateau."""

import copy
import itertools
import math
import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import SGDRegressor

import dnn
from dnn import (
    SGD,
    Adam,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    Network,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)
from dnn.schedules import schedule_of
from dnn.training.options import FitOptions


def cosine(fraction, begin, end):
    return end + (begin - end) * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0))) / 2


def one_cycle(fraction):
    return cosine(fraction / 0.4, 0.06, 0.3) if fraction < 0.4 else cosine((fraction - 0.4) / 0.6, 0.3, 0.003)


# Each schedule with its formula for step i, with steps_per_epoch steps per epoch
PURE = {
    "constant": (Constant(0.3), lambda i, a: 0.3),
    "step": (StepDecay(0.3, 0.5, 2), lambda i, a: 0.3 * 0.5 ** (i // a // 2)),
    "inverse": (InverseScaling(0.3), lambda i, a: 0.3 / math.sqrt(i + 1)),
    "inverse 0.7": (InverseScaling(0.3, power=0.7), lambda i, a: 0.3 / (i + 1) ** 0.7),
    "inverse 0": (InverseScaling(0.3, power=0), lambda i, a: 0.3),
    "exponential": (Exponential(0.3, 0.9), lambda i, a: 0.3 * 0.9 ** (i / a)),
    "exponential 2.5": (Exponential(0.3, 0.5, every=2.5), lambda i, a: 0.3 * 0.5 ** (i / a / 2.5)),
    "cosine": (Cosine(0.3, 6), lambda i, a: cosine(i / a / 6, 0.3, 0.0)),
    "cosine up": (Cosine(0.3, 2.5, final=0.4), lambda i, a: cosine(i / a / 2.5, 0.3, 0.4)),
    "one cycle": (OneCycle(0.3, 8, initial=0.2, peak=0.4, final=0.01), lambda i, a: one_cycle(i / a / 8)),
    "warm-up": (WarmUp(2, 0.3), lambda i, a: 0.3 * min((i + 1) / (2 * a), 1.0)),
    "warm-up, cosine": (
        WarmUp(1, Cosine(0.3, 6)),
        lambda i, a: 0.3 * (i + 1) / a if i < a else cosine((i - a) / a / 6, 0.3, 0.0),
    ),
}


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("steps_per_epoch", [1, 3, 7])
def test_schedules_equal_their_formulas(name, steps_per_epoch):
    schedule, formula = PURE[name]
    rates = schedule.rates(0, 100, steps_per_epoch)
    assert rates.dtype == np.float64 and rates.shape == (100,) and rates.flags.c_contiguous
    np.testing.assert_allclose(
        rates, [formula(i, steps_per_epoch) for i in range(100)], rtol=1e-14, atol=1e-17
    )


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("steps_per_epoch", [1, 3, 16])
def test_the_same_rates_for_any_chunking(name, steps_per_epoch):
    schedule, _ = PURE[name]
    whole = schedule.rates(0, 203, steps_per_epoch)
    rng = np.random.default_rng(0)
    drawn = [[0, *np.sort(rng.integers(0, 204, n)), 203] for n in (1, 2, 5, 30)]
    for cuts in (*drawn, list(range(204))):
        parts = [schedule.rates(int(a), int(b - a), steps_per_epoch) for a, b in itertools.pairwise(cuts)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert schedule.rates(5, 0, steps_per_epoch).shape == (0,)


@pytest.mark.parametrize("name", PURE)
def test_a_schedule_never_ends(name):
    """Long after its last epoch the rates of a schedule are finite and not negative."""
    rates = PURE[name][0].rates(2**40, 5, 10)
    assert np.isfinite(rates).all() and (rates >= 0).all()


@pytest.mark.parametrize("name", ["exponential", "cosine", "one cycle"])
def test_smaller_batches_take_smaller_steps_down(name):
    """Numbers of epochs do not depend on the number of steps per epoch."""
    schedule, _ = PURE[name]
    fine, coarse = schedule.rates(0, 400, 40), schedule.rates(0, 40, 4)
    np.testing.assert_allclose(fine[::10], coarse, rtol=1e-13)
    assert len(set(fine[:40])) == 40


def test_exponential_interpolates_step_decay():
    smooth, stairs = Exponential(0.8, 0.5, every=2).rates(0, 80, 4), StepDecay(0.8, 0.5, 2).rates(0, 80, 4)
    np.testing.assert_allclose(smooth[::8], stairs[::8], rtol=1e-14)
    assert (smooth <= stairs * (1 + 1e-14)).all() and (np.diff(smooth) < 0).all()


def test_cosine_ends_exactly():
    rates = Cosine(0.3, 4, final=0.07).rates(0, 60, 10)
    assert rates[0] == 0.3 and (np.diff(rates[:41]) < 0).all() and (rates[40:] == 0.07).all()
    assert abs(rates[20] - (0.3 + 0.07) / 2) < 1e-15
    assert Cosine(0.3, 4).rates(40, 1, 10)[0] == 0.0


def test_defaults_of_one_cycle():
    rates = OneCycle(0.5, epochs=10).rates(0, 1200, 100)
    assert abs(rates[0] - 0.5 / 25) < 1e-15 and rates.argmax() == 300 and rates[300] == 0.5
    assert (np.diff(rates[:301]) > 0).all() and (np.diff(rates[300:1001]) < 0).all()
    np.testing.assert_allclose(rates[1000:], 0.5e-4, rtol=1e-12)


def test_a_warm_up_begins_above_zero_and_ends_where_then_begins():
    rates = WarmUp(0.5, InverseScaling(0.6, power=1)).rates(0, 8, 8)
    np.testing.assert_allclose(rates, [0.15, 0.3, 0.45, 0.6, 0.6, 0.3, 0.2, 0.15], rtol=1e-15)
    assert WarmUp(0.01, StepDecay(0.3, 0.5, 1)).rates(0, 3, 1).tolist() == [
        0.3,
        0.3,
        0.15,
    ]  # at least one step


def test_inverse_scaling_equals_that_of_scikit_learn():
    """A line that is trained row by row has the weights of SGDRegressor."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0] + 3 + rng.normal(size=60)
    regressor = SGDRegressor(
        penalty=None, learning_rate="invscaling", eta0=0.05, power_t=0.3, shuffle=False, max_iter=1, tol=None
    ).fit(X, y)
    net = Network([4, 1], init="zeros", dtype="float64")
    net.fit(X, y, optimizer=SGD(InverseScaling(0.05, power=0.3)), epochs=1, batch_size=1, shuffle=False)
    np.testing.assert_allclose(net.weights[0][:, 0], regressor.coef_, rtol=1e-12)
    np.testing.assert_allclose(net.biases[0], regressor.intercept_, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.1, np.float32(0.1), 1, *(s for s, _ in PURE.values())], ids=str)
def test_a_schedule_without_state_starts_as_itself(rate):
    schedule = schedule_of(rate)
    assert schedule.start().rates(0, 5, 2).tobytes() == schedule.rates(0, 5, 2).tobytes()
    assert not schedule.watches
    schedule.observe(1.0)
    assert schedule == pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule)
    assert hash(schedule) == hash(copy.copy(schedule))


# OnPlateau


def rates_after(spec, losses):
    """Return the rate before each loss, and after the last one."""
    plateau, rates = spec.start(), []
    for loss in losses:
        rates.append(plateau.rates(0, 1, 1)[0])
        plateau.observe(loss)
    return [*rates, plateau.rates(0, 1, 1)[0]]


def test_on_plateau_waits_then_lowers_the_rate():
    spec = OnPlateau(0.8, factor=0.5, patience=2, threshold=0.1)
    nan = float("nan")
    assert rates_after(spec, [5, 4, 3, 2]) == [0.8] * 5  # the loss falls
    assert rates_after(spec, [5, 5, 5]) == [0.8, 0.8, 0.8, 0.4]  # two losses in a row did not fall
    assert rates_after(spec, [5, 5, 4, 4, 4]) == [0.8] * 5 + [0.4]  # a lower loss restarts the waiting
    assert rates_after(spec, [5, 5, 5, 5, 5]) == [0.8] * 3 + [0.4, 0.4, 0.2]  # a lower rate restarts it too
    assert rates_after(spec, [5, 4.5, 4.5]) == [0.8] * 3 + [0.4]  # a fall by exactly 10 % does not count
    assert rates_after(spec, [5, 4.49, 4.1]) == [0.8] * 4  # the lowest loss is then 4.49
    assert rates_after(spec, [5, 6, 4.6]) == [0.8] * 3 + [0.4]  # the lowest loss counts, not the last one
    assert rates_after(spec, [-5, -5.6, -5.7, -5.8]) == [0.8] * 4 + [0.4]  # negative losses may fall too
    assert rates_after(spec, [-5, -4.6, -5.4]) == [0.8] * 3 + [0.4]
    assert rates_after(spec, [0.0, -1e-9, -2e-9]) == [0.8] * 4
    assert rates_after(spec, [nan, nan, 3.0, 2.0]) == [
        0.8,
        0.8,
        0.4,
        0.4,
        0.4,
    ]  # NaN does not count as a fall
    low = OnPlateau(0.8, factor=0.1, patience=1, min_rate=0.05)
    assert rates_after(low, [1, 1, 1, 1]) == [0.8, 0.8, pytest.approx(0.08), 0.05, 0.05]


def test_each_training_has_its_own_plateau_state():
    spec = OnPlateau(0.8, patience=1)
    first, second = spec.start(), spec.start()
    for _ in range(3):
        first.observe(1.0)
    assert first.rate == 0.2 and second.rate == 0.8 and first.watches and spec.watches
    assert spec == OnPlateau(0.8, patience=1) and spec.rates(0, 2, 1).tolist() == [0.8, 0.8]
    spec.observe(1.0)  # a spec is frozen and keeps no state
    assert spec.rates(0, 1, 1)[0] == 0.8
    assert pickle.loads(pickle.dumps(first)).rate == 0.2
    assert "rate=0.2" in repr(first)


def test_warm_up_passes_losses_to_its_schedule():
    spec = WarmUp(2, OnPlateau(0.8, patience=1))
    assert spec.watches and not WarmUp(2, 0.8).watches
    rate = spec.start()
    assert rate.rates(0, 4, 1).tolist() == [0.4, 0.8, 0.8, 0.8]
    rate.observe(1.0)
    rate.observe(1.0)
    assert rate.rates(2, 2, 1).tolist() == [0.4, 0.4] and spec.rates(2, 1, 1).tolist() == [0.8]


def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 3)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=48)).astype(np.float32)


def small():
    return Network([3, 8, 1], random_state=0)


SPEC = OnPlateau(0.3, factor=0.5, patience=2, threshold=0.1)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_fit_reports_each_epoch_to_the_schedule(validated, batch_size):
    """The schedule gets val_loss if there is one, and otherwise loss; the next epoch uses the new rate."""
    X, y = problem()
    validation = {"X_val": X[32:], "y_val": y[32:]} if validated else {}
    history = small().fit(X[:32], y[:32], optimizer=SGD(SPEC), epochs=30, batch_size=batch_size, **validation)
    watched = history.val_loss if validated else history.loss
    assert history.rate == rates_after(SPEC, watched)[:-1]
    assert history.rate[-1] < 0.3 / 3


@pytest.mark.parametrize("batch_size", [None, 16])
def test_on_plateau_gives_the_same_bits_for_any_chunking(monkeypatch, batch_size):
    X, y = problem()
    results = set()
    for chunk in (1, 1e6, 1e9):
        monkeypatch.setattr("dnn.network.FitOptions", partial(FitOptions, chunk=chunk))
        net = small()
        history = net.fit(X, y, optimizer=Adam(SPEC), epochs=20, batch_size=batch_size)
        results.add((net.params.tobytes(), tuple(history.loss), tuple(history.rate)))
    assert len(results) == 1 and len(set(history.rate)) > 1


def test_on_plateau_continues_with_the_optimizer_state():
    X, y = problem()
    whole, pieces = small(), small()
    rates = whole.fit(X, y, optimizer=SGD(SPEC), epochs=30).rate
    assert len(set(rates)) > 3
    state, found = pieces.optimizer(SGD(SPEC)), []
    for epochs in (7, 20, 3):
        found += pieces.fit(X, y, optimizer=state, epochs=epochs).rate
    assert found == rates and pieces.params.tobytes() == whole.params.tobytes()
    assert pieces.fit(X, y, optimizer=SGD(SPEC), epochs=1).rate == [
        0.3
    ]  # a new optimizer state starts with the first rate


def test_a_custom_loop_reports_losses_to_the_schedule():
    net = small()
    state = net.optimizer(SGD(OnPlateau(0.5, patience=1)))
    before = net.params.copy()
    state.schedule.observe(1.0)
    state.schedule.observe(1.0)
    state.step(np.ones(net.n_params, np.float32))
    np.testing.assert_allclose(before - net.params, 0.25, rtol=1e-5)


# Wrong arguments

BAD = [
    (lambda: Constant(-1), ValueError, "rate must be finite and at least 0, got -1"),
    (lambda: InverseScaling("x"), TypeError, "rate must be a number, got 'x'"),
    (lambda: InverseScaling(0.1, power=-1), ValueError, "power must be finite and at least 0, got -1"),
    (lambda: Exponential(0.1, 1.0), ValueError, "factor must be finite and above 0 and below 1, got 1.0"),
    (lambda: Exponential(0.1, 0.5, every=0), ValueError, "every must be finite and above 0, got 0"),
    (lambda: Exponential(-0.1, 0.5), ValueError, "rate must be finite"),
    (lambda: Cosine(0.1, 0), ValueError, "epochs must be finite and above 0, got 0"),
    (lambda: Cosine(0.1, 5, final=-1), ValueError, "final must be finite and at least 0, got -1"),
    (lambda: Cosine(-0.1, 5), ValueError, "rate must be finite"),
    (lambda: OneCycle(0.1, -1), ValueError, "epochs must be finite and above 0"),
    (lambda: OneCycle(-0.1, 5), ValueError, "rate must be finite"),
    (lambda: OneCycle(0.1, 5, initial=1), ValueError, "initial must be finite and at least 0 and below 1"),
    (lambda: OneCycle(0.1, 5, peak=0), ValueError, "peak must be finite and above 0 and below 1, got 0"),
    (lambda: OneCycle(0.1, 5, final=2), ValueError, "final must be finite and at least 0 and below 1"),
    (lambda: WarmUp(0, 0.1), ValueError, "epochs must be finite and above 0, got 0"),
    (lambda: WarmUp(1, -0.1), ValueError, "then must be finite and at least 0, got -0.1"),
    (lambda: WarmUp(1, "adam"), TypeError, "then must be a number, got 'adam'"),
    (lambda: OnPlateau(-1), ValueError, "rate must be finite"),
    (lambda: OnPlateau(0.1, factor=1), ValueError, "factor must be finite and above 0 and below 1, got 1"),
    (lambda: OnPlateau(0.1, patience=0), ValueError, "patience must be at least 1, got 0"),
    (lambda: OnPlateau(0.1, patience=2.5), TypeError, "patience must be a whole number, got 2.5"),
    (lambda: OnPlateau(0.1, threshold=1), ValueError, "threshold must be finite and at least 0 and below 1"),
    (lambda: OnPlateau(0.1, min_rate=-1), ValueError, "min_rate must be finite and at least 0, got -1"),
    (lambda: OnPlateau(0.1, min_rate=0.2), ValueError, "min_rate must be at most the rate 0.1, got 0.2"),
    (lambda: SGD(Schedule).rate, TypeError, "rate must be a number, got <class"),
    (lambda: Schedule().rates(0, 1, 1), NotImplementedError, "Schedule must have a method rates"),
]


@pytest.mark.parametrize(("make", "kind", "message"), BAD)
def test_a_schedule_is_checked_when_it_is_made(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_custom_schedule():
    class Triangle(Schedule):
        def rates(self, first, n, steps_per_epoch):
            return 0.1 * (1 - np.abs((np.arange(first, first + n) % 4) / 2 - 1))

    X, y = problem()
    history = small().fit(X, y, optimizer=SGD(Triangle()), epochs=5, batch_size=None)
    assert history.rate == [0.0, 0.05, 0.1, 0.05, 0.0]
    assert dnn.SGD(Triangle()).rate.watches is False
