"""The average of what shards give, and the outer optimizer."""

import numpy as np
import pytest

from dnn.distributed.averages import GROUP, Nesterov, Total, groups_of, total_of
from dnn.distributed.local import LocalResult, State
from dnn.distributed.rounds import sum_in_order


def result(rng, weight, n_rows=3, n_steps=1, dtype="float32", rate=0.1):
    params, slots = rng.normal(size=5).astype(dtype), rng.normal(size=(2, 5)).astype(dtype)
    return LocalResult(params, State(slots, n_steps), n_rows, 1, weight, 0.5, rate)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_is_that_of_numpy(dtype):
    rng = np.random.default_rng(0)
    results = [result(rng, weight, n, n, dtype) for n, weight in enumerate((2.0, 0.5, 7.25), 1)]
    total = total_of(results)
    params, state = total.mean(np.zeros(5, dtype), State(np.zeros((2, 5), dtype), 9))
    weights = [each.weight for each in results]
    assert params.dtype == np.float64 and state.slots.dtype == dtype and state.n_steps == 3
    expected = np.average([each.params.astype(float) for each in results], axis=0, weights=weights)
    np.testing.assert_allclose(params, expected, rtol=1e-15)
    slots = np.average([each.state.slots for each in results], axis=0, weights=weights)
    np.testing.assert_allclose(state.slots, slots, rtol=1e-6 if dtype == "float32" else 1e-15)
    assert (total.n_rows, total.n_skipped, total.weight, total.mean_loss) == (6, 3, 9.75, 0.5)


def test_a_shard_without_weight_changes_nothing():
    rng = np.random.default_rng(0)
    one = result(rng, 2.0)
    nan = np.full(5, np.nan)
    idle = LocalResult(nan, State(np.full((2, 5), np.nan), 99), 0, 4, 0.0, 0.0)
    for order in ([one, idle], [idle, one]):
        total = total_of(order)
        np.testing.assert_array_equal(total.params, total_of([one]).params)
        np.testing.assert_array_equal(total.slots, total_of([one]).slots)
        assert (total.n_steps, total.n_rows, total.n_skipped, total.rate) == (1, 3, 5, 0.1)


def test_without_any_weight_the_mean_is_what_was_there():
    params, state = np.arange(5.0, dtype="float32"), State(np.ones((2, 5), "float32"), 7)
    total = total_of([LocalResult(params * 2, State(state.slots * 2, 8), 0, 0, 0.0, 0.0)])
    mean, same = total.mean(params, state)
    np.testing.assert_array_equal(mean, params)
    assert same is state and np.isnan(total.mean_loss) and np.isnan(total.rate)


@pytest.mark.parametrize("weight", [1.0, 3.0, 0.1, 1e-300, 1e150])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_the_mean_of_equal_shards_has_the_bits_of_one(weight, n):
    one = result(np.random.default_rng(0), weight)
    params, state = sum_in_order([one] * n).mean(one.params, one.state)
    np.testing.assert_array_equal(params.astype("float32"), one.params)
    np.testing.assert_array_equal(state.slots, one.state.slots)


@pytest.mark.parametrize("n", [1, 32, 33, 1024, 1025, 1100])
def test_groups_have_at_most_32_members_and_their_sums_too(n):
    rng = np.random.default_rng(0)
    results = [result(rng, float(w)) for w in rng.uniform(0.1, 3, n)]
    assert GROUP == 32 and [each for group in groups_of(results) for each in group] == results
    assert max(map(len, groups_of(results))) <= 32
    total = sum_in_order(results)
    assert isinstance(total, Total) and total.n_rows == 3 * n
    # By hand, with a sum for each group and for each group of groups
    expected = [each.params * np.float64(each.weight) for each in results]
    while True:
        sums = []
        for first in range(0, len(expected), 32):
            sums.append(np.zeros(5))
            for each in expected[first : first + 32]:
                sums[-1] = sums[-1] + each
        expected = sums
        if len(expected) == 1:
            break
    np.testing.assert_array_equal(total.params, expected[0])


def test_nesterov_is_the_formula_of_sgd_on_the_differences():
    """With d as the gradient, it is SGD with Nesterov's momentum: v = mu v - d; p += rate (mu v - d)."""
    rng = np.random.default_rng(0)
    outer = Nesterov(0.7, 0.9)
    params, velocity, v = rng.normal(size=4), np.zeros(4), np.zeros(4)
    p = params.copy()
    for _ in range(5):
        d = rng.normal(size=4)
        params, velocity = outer.step(params, params - d, velocity)
        v = 0.9 * v - d
        p = p + 0.7 * (0.9 * v - d)
    np.testing.assert_allclose(params, p, rtol=1e-13)
    np.testing.assert_allclose(velocity, -v, rtol=1e-13)


def test_nesterov_without_momentum_and_with_rate_1_is_the_average():
    params, average = np.array([1.0, 2.0]), np.array([1.5, -3.0])
    assert Nesterov(1.0, 0.0).step(params, average, np.zeros(2))[0].tolist() == average.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate must be finite and above 0, got 0.0"),
        ({"rate": "x"}, "rate must be a number, got 'x'"),
        ({"momentum": 1.0}, "momentum must be .* below 1, got 1.0"),
        ({"momentum": -0.1}, "momentum must be .*, got -0.1"),
    ],
)
def test_options_of_nesterov_out_of_range(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Nesterov(**options)
