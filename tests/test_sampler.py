"""Sampler: the draws of the oracle, their distribution, threads, instruction sets, and refusals."""

import copy
import os
import pickle
import threading
import time

import numpy as np
import pytest
import reference_draws as ref
from scipy import stats

from dnn import Sampler, _core

N = 400_000


@pytest.fixture
def n_threads():
    """Return a function that sets the number of threads of draws."""
    yield _core.assume_threads
    _core.assume_threads(int(os.environ.get("DNN_TEST_THREADS", "0")))


def by_hex(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_the_oracle_gives_the_published_words(counter, key, words):
    """The known answers that the authors of the generator distribute with it."""
    found = ref.philox(np.array([by_hex(counter)], np.uint32), by_hex(key))
    assert found[0].tolist() == by_hex(words)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000, 1025, 5000])
def test_draws_are_those_of_the_oracle(n, dtype, isa):
    sampler = Sampler(n)
    sampler.counter = 2**40 + 7  # both words of the number of the call are used
    logits = np.random.default_rng(n).normal(0, 3, n).astype(dtype)
    found = sampler.bernoulli(logits)
    np.testing.assert_array_equal(found, ref.bernoulli(sampler.seed, 2**40 + 7, logits))
    noise = sampler.normal(n, dtype=dtype)
    expected = ref.normal(sampler.seed, 2**40 + 8, n, dtype)
    np.testing.assert_allclose(noise, expected, rtol=0, atol=5e-7 if dtype == "float32" else 5e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_instruction_set_and_number_of_threads_draws_the_same_bits(dtype, n_threads):
    logits = np.random.default_rng(0).normal(0, 4, 200_001).astype(dtype)
    before, drawn = _core.isa(), []
    try:
        for isa in _core.available_isas():
            _core.select_isa(isa)
            for n in (1, 2, 3):
                n_threads(n)
                sampler = Sampler(0)
                drawn.append((sampler.bernoulli(logits), sampler.normal(logits.shape, dtype=dtype)))
    finally:
        _core.select_isa(before)
    assert len(drawn) >= 3
    for zeros_and_ones, noise in drawn[1:]:
        np.testing.assert_array_equal(zeros_and_ones, drawn[0][0])
        np.testing.assert_array_equal(noise, drawn[0][1])


def test_calls_beyond_one_part_of_a_draw():
    """A large draw is made in parts, between which signals are handled."""
    n = 2**24 + 1000
    found = Sampler(0).bernoulli(np.zeros(n, "float32"))
    assert abs(found.mean(dtype=float) - 0.5) < 5 * 0.5 / n**0.5
    tail = ref.bernoulli(Sampler(0).seed, 0, np.zeros(64, "float32"))
    assert (found[:64] == tail).all() and not (found[2**24 :][:64] == tail).all()


@pytest.mark.parametrize("logit", [-12.0, -3.0, -0.1, 0.0, 1.0, 5.0, 12.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ones_are_as_frequent_as_the_sigmoid_says(logit, dtype):
    n = 4_000_000 if abs(logit) > 10 else N
    p = 1 / (1 + np.exp(-logit))
    ones = Sampler(1).bernoulli(np.full(n, logit, dtype)).sum(dtype=float)
    assert stats.binomtest(int(ones), n, p).pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_standard_normal(dtype):
    x = Sampler(2).normal(N, dtype=dtype).astype(float)
    assert abs(x.mean()) < 4 / N**0.5 and abs(x.var() - 1) < 4 * (2 / N) ** 0.5
    assert abs((x**3).mean()) < 4 * (15 / N) ** 0.5 and abs((x**4).mean() - 3) < 4 * (96 / N) ** 0.5
    assert stats.kstest(x, "norm").pvalue > 1e-3
    for bound in (2.0, 3.0, 4.0):
        beyond, p = int((np.abs(x) > bound).sum()), 2 * stats.norm.sf(bound)
        assert stats.binomtest(beyond, N, p).pvalue > 1e-3, bound


def independent(x, y):
    """Assert that two normal variables are uncorrelated, and their squares too."""
    for a, b in ((x, y), (x**2 - 1, y**2 - 1)):
        assert abs((a * b).mean()) < 4.5 * a.std() * b.std() / len(a) ** 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_calls_are_independent(dtype):
    sampler, other = Sampler(3), Sampler(4)
    x, y = (sampler.normal(N, dtype=dtype).astype(float) for _ in range(2))
    independent(x, y)
    independent(x, other.normal(N, dtype=dtype).astype(float))
    for lag in (1, 2, 8, 15, 16, 31, 32, 63, 64, 1024):
        independent(x[:-lag], x[lag:])


def test_bits_of_neighbors_are_independent():
    """Runs, and all patterns of eight, of fair coins are as frequent as they must be."""
    bits = Sampler(5).bernoulli(np.zeros(8 * 50_000, "float32")).reshape(-1, 8)
    patterns = np.bincount((bits @ 2 ** np.arange(8)).astype(int), minlength=256)
    assert stats.chisquare(patterns).pvalue > 1e-3


def test_extreme_logits():
    for dtype in ("float32", "float64"):
        z = np.array([-np.inf, -1e30, -100, 100, 1e30, np.inf, np.nan], dtype)
        for _ in range(3):
            found = Sampler().bernoulli(np.tile(z, 1000)).reshape(1000, 7)
            assert (found[:, :3] == 0).all() and (found[:, 3:6] == 1).all() and np.isnan(found[:, 6]).all()


def test_shapes_dtypes_and_out():
    sampler = Sampler(0)
    for shape in ((), (0, 3), (2, 3, 4)):
        logits = np.zeros(shape, "float32")
        assert sampler.bernoulli(logits).shape == shape and sampler.normal(shape).shape == shape
    assert sampler.normal(5).shape == sampler.normal(np.int64(5)).shape == (5,)
    assert sampler.normal([2, 3], dtype="float64").dtype == np.float64
    given = {"float16": "float32", "int64": "float64", ">f4": "float32", "float64": "float64"}
    for name, dtype in given.items():
        assert sampler.bernoulli(np.zeros(3, name)).dtype == np.dtype(dtype)
    z = np.random.default_rng(0).normal(size=(30, 40))
    first = Sampler(0).bernoulli(z)
    np.testing.assert_array_equal(Sampler(0).bernoulli(np.asfortranarray(z)), first)
    in_place = z.copy()
    assert Sampler(0).bernoulli(in_place, out=in_place) is in_place
    np.testing.assert_array_equal(in_place, first)
    overlapping = np.append(z.ravel(), 0.0)
    found = Sampler(0).bernoulli(overlapping[:-1], out=overlapping[1:])
    np.testing.assert_array_equal(found, first.ravel())
    out = np.empty((2, 3))
    assert Sampler(0).normal((2, 3), out=out) is out
    np.testing.assert_array_equal(out, Sampler(0).normal((2, 3), dtype="float64"))


def test_seed_and_counter_are_the_whole_state():
    sampler = Sampler(np.random.RandomState(0))
    assert Sampler(0).seed != Sampler(1).seed != Sampler().seed
    assert Sampler(np.random.default_rng(0)).seed == Sampler(0).seed
    sampler.normal(10)
    for clone in (copy.copy(sampler), copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert clone.counter == 1
        np.testing.assert_array_equal(clone.normal(100), copy.copy(sampler).normal(100))
    first = sampler.normal(100)
    assert not (sampler.normal(100) == first).any()
    sampler.counter = 1
    np.testing.assert_array_equal(sampler.normal(100), first)
    sampler.counter = 2**64 - 1
    sampler.normal(1)
    assert sampler.counter == 0
    assert repr(sampler) == f"<Sampler: seed {sampler.seed}, counter 0>"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.bernoulli(["a"]), TypeError, "logits must be real numbers"),
        (
            lambda s: s.bernoulli(np.zeros(2, complex)),
            TypeError,
            "logits must be real numbers, got dtype complex",
        ),
        (lambda s: s.bernoulli([0.0], out=[0.0]), TypeError, "out must be a NumPy array or None"),
        (
            lambda s: s.bernoulli([0.0], out=np.zeros(1, "f4")),
            ValueError,
            "out must have shape .1,. and dtype float64",
        ),
        (lambda s: s.bernoulli([0.0] * 2, out=np.zeros(4)[::2]), ValueError, "out must be contiguous"),
        (lambda s: s.normal(-1), ValueError, "shape must be at least 0, got -1"),
        (lambda s: s.normal(2.5), TypeError, "shape must be a whole number, got 2.5"),
        (lambda s: s.normal(2, dtype="float16"), ValueError, "dtype must be float32 or float64"),
        (lambda s: s.normal((2, 3), out=np.zeros((3, 2))), ValueError, r"out must have shape \(2, 3\)"),
        (lambda s: Sampler("seed"), TypeError, "random_state must be a whole number"),
        (lambda s: Sampler(-1), ValueError, "random_state must be at least 0"),
    ],
)
def test_refusals_change_nothing(call, error, message):
    sampler = Sampler(0)
    with pytest.raises(error, match=message):
        call(sampler)
    assert sampler.counter == 0


def test_a_bad_counter_is_refused():
    sampler = Sampler(0)
    sampler.counter = -1
    with pytest.raises(ValueError, match="counter must be at least 0, got -1"):
        sampler.normal(1)


def test_other_threads_run_during_a_draw():
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.01)
    begin = len(ticks)
    Sampler(0).normal(30_000_000, dtype="float64")
    during = len(ticks) - begin
    done.set()
    thread.join()
    assert during >= 2
