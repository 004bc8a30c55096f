"""The kernels without networks: accuracy of the functions, choice of the instruction set, addresses."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import reference
from scipy import special

import dnn
from dnn import _core

EXACT = {  # in the next higher precision: long double has 64 bits, double 53
    "exp": np.exp,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "erfc": special.erfc,
    "log": np.log,
}


def mapped(name, x):
    out = np.empty_like(x)
    _core.elementwise(name, x, out)
    return out


def ulps(found, exact, dtype):
    """Return the error in units in the last place, which are those of the smallest normal number below it."""
    exact = exact.astype(np.longdouble)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = exact.astype(dtype)
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny)).astype(np.longdouble)
        distance = np.abs(found.astype(np.longdouble) - exact) / unit
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    return np.where(same, 0, distance)


def every_float32(step):
    """Yield every step-th float32 by its bits, in blocks; subnormal numbers, infinities and NaN included."""
    piece = 1 << 22
    for begin in range(0, 1 << 32, piece * step):
        bits = np.arange(begin, min(begin + piece * step, 1 << 32), step, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


@pytest.mark.long
@pytest.mark.parametrize("name", list(_core.FUNCTIONS))
def test_accuracy_over_all_float32(isa, name):
    worst = 0
    for x in every_float32(211):  # a prime, so that every exponent and every last bit occurs
        with np.errstate(all="ignore"):
            exact = EXACT[name](x.astype(np.float64))
        worst = max(worst, float(ulps(mapped(name, x), exact, np.float32).max()))
    assert worst <= 4


@pytest.mark.parametrize("name", list(_core.FUNCTIONS))
def test_accuracy_in_float64(isa, name):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.normal(size=30_000) * scale
            for scale in (1e-300, 1e-20, 1e-8, 1e-3, 0.1, 0.5, 1, 3, 10, 100, 800, 1e10, 1e300)
        ]
    )
    allowed = 4
    with np.errstate(all="ignore"):
        if name in (
            "erf",
            "erfc",
        ):  # there is no long double version, and libm itself may be wrong by one unit
            exact, allowed = np.vectorize(getattr(math, name))(x), 5
        elif name == "sigmoid":
            e = np.exp(-np.abs(x.astype(np.longdouble)))
            exact = np.where(x >= 0, 1, e) / (1 + e)
        else:
            exact = EXACT[name](x.astype(np.longdouble))
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("needs a long double of more than 53 bits to compare with")
    assert ulps(mapped(name, x), exact, np.float64).max() <= allowed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_at_the_ends_of_the_range(isa, dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4], dtype)
    expected = {
        "exp": [1, 1, np.inf, 0, np.nan, np.inf, 0],
        "expm1": [0, -0.0, np.inf, -1, np.nan, np.inf, -1],
        "tanh": [0, -0.0, 1, -1, np.nan, 1, -1],
        "sigmoid": [0.5, 0.5, 1, 0, np.nan, 1, 0],
        "erf": [0, -0.0, 1, -1, np.nan, 1, -1],
        "erfc": [1, 1, 0, 2, np.nan, 0, 2],
        "log": [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.log(dtype_of(dtype)(1e4)), np.nan],
        "log1p": [0, -0.0, np.inf, np.nan, np.nan, np.log1p(dtype_of(dtype)(1e4)), np.nan],
    }
    for name, values in expected.items():
        found = mapped(name, x)
        np.testing.assert_array_equal(found, np.array(values, dtype), err_msg=name)
        zero = found[1] == 0
        assert not zero or np.signbit(found[1]), name
    assert mapped("log1p", np.array([-1.0], dtype))[0] == -np.inf


def dtype_of(name):
    return np.dtype(name).type


def through(name, x):
    """Return f(x) and f'(x) of an activation, computed by a network of one unit."""
    net = dnn.Network([1, 1, 1], activation=name, init="zeros", dtype=x.dtype)
    for W in net.weights:
        W[:] = 1
    _, cache = net.forward(x[:, None])
    return cache.A[0][:, 0], net.backward(cache, np.ones((len(x), 1), x.dtype), wrt="input")[1][:, 0]


@pytest.mark.parametrize("name", [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise])
def test_activations_are_safe_over_the_whole_range(isa, name):
    # All signs and exponents. The core flushes to zero, so that subnormal numbers may count as 0.
    x = np.concatenate([piece[np.isfinite(piece)] for piece in every_float32(100_003)])
    x = x[(np.abs(x) > 1e-30) | (x == 0)]
    f, slope = through(name, x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        function, backward = reference.ACTIVATIONS[name]
        exact, exact_slope = function(wide), backward(wide, np.ones_like(wide))
        exact, exact_slope = (
            np.where(np.abs(e) > 3.4028235e38, np.sign(e) * np.inf, e) for e in (exact, exact_slope)
        )
    eps = np.finfo(np.float32).eps
    fine = np.isfinite(exact) & np.isfinite(exact_slope)
    assert np.isfinite(f[fine]).all() and np.isfinite(slope[fine]).all()
    f, slope, exact, exact_slope, wide = (a[fine] for a in (f, slope, exact, exact_slope, wide))
    bound = 4 * eps * np.maximum(np.abs(exact), np.abs(wide)) + 1e-37
    assert (np.abs(f - exact) <= bound).all()
    assert (np.abs(slope - exact_slope) <= 4 * eps * np.maximum(1, np.abs(exact_slope))).all()
    ends = np.array([np.nan, np.inf, -np.inf], np.float32)
    f, slope = through(name, ends)
    assert np.isnan(f[0]) and not np.isnan(f[1:]).any(), f


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(_core.FUNCTIONS))
def test_an_element_does_not_depend_on_its_neighbors(isa, name, dtype):
    x = np.random.default_rng(0).normal(size=77).astype(dtype) * 3
    whole = mapped(name, x)
    for begin in range(20):
        for end in (begin + 1, begin + 7, begin + 33, 77):
            assert mapped(name, x[begin:end]).tobytes() == whole[begin:end].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_addresses(isa, dtype):
    """The same fit uses arrays that begin at every offset within a cache line."""
    rng = np.random.default_rng(0)
    results = set()
    size = np.dtype(dtype).itemsize
    X = rng.normal(size=(40, 21)).astype(dtype)
    y = rng.integers(0, 3, 40)
    for shift in range(0, 64, 2 * size):
        room = np.zeros(X.nbytes + 128, np.uint8)
        start = -room.ctypes.data % 64 + shift
        placed = room[start : start + X.nbytes].view(dtype).reshape(X.shape)
        placed[:] = X
        net = dnn.Network([21, 37, 3], activation="tanh", output="softmax", dtype=dtype, random_state=0)
        net.fit(placed, y, epochs=3, batch_size=16, alpha=0.1)
        results.add(net.params.tobytes() + net(placed).tobytes())
    assert len(results) == 1


def test_another_instruction_set_runs_other_code():
    before = _core.isa()
    tables = {}
    try:
        for name in _core.available_isas():
            _core.select_isa(name)
            tables[name] = _core.kernel_addresses()
    finally:
        _core.select_isa(before)
    assert tables
    for kernel in tables["baseline"]:
        addresses = [table[kernel] for table in tables.values()]
        if kernel[0] in ("gemm_nn", "gemm_nt", "gemm_tn"):
            assert addresses.pop(0) == 0, "on the baseline products are left to BLAS"
        assert all(addresses) and len(set(addresses)) == len(addresses), kernel


SHOW = "from dnn import _core; print(_core.isa())"


def ask(name):
    return subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, env={**os.environ, "DNN_ISA": name}
    )


def test_dnn_isa_selects_the_instruction_set():
    for name in _core.available_isas():
        assert ask(name).stdout.strip() == name
    assert ask("").stdout.strip() == _core.available_isas()[-1]


def test_a_missing_instruction_set_is_an_error():
    missing = [name for name in (*_core.ISA_NAMES, "neon", "AVX2") if name not in _core.available_isas()]
    for name in missing:
        ran = ask(name)
        assert ran.returncode != 0
        assert f"DNN_ISA must be one of {', '.join(_core.available_isas())}" in ran.stderr
        assert f"got {name!r}" in ran.stderr


def test_all_finite():
    for dtype in ("float32", "float64"):
        for n in (0, 1, 7, 64, 1001):
            x = np.full(n, np.finfo(dtype).max, dtype)
            assert _core.all_finite(x)
            for bad in (np.nan, np.inf, -np.inf):
                for at in range(0, n, max(1, n // 7)):
                    spoiled = x.copy()
                    spoiled[at] = bad
                    assert not _core.all_finite(spoiled)
    assert not _core.all_finite(np.array([[1.0, 2.0], [np.nan, 3.0]])[:, :1])
    assert _core.all_finite(np.array([[1.0, np.nan], [2.0, np.nan]])[:, :1])


def test_products_stay_on_their_thread():
    """With a team of one no other thread works, as calls of BLAS are too small to use its threads."""
    code = """
import time, numpy as np, dnn
from dnn import _core
_core.assume_threads(1)
X = np.random.default_rng(0).normal(size=(2000, 300)).astype("f4")
y = X[:, :1]
for dtype in ("float32", "float64"):
    net = dnn.Network([300, 700, 300, 1], dtype=dtype, random_state=0)
    net.fit(X, y, epochs=1, batch_size=500)
    wall, cpu = time.perf_counter(), time.process_time()
    net.fit(X, y, epochs=5, batch_size=500); net(X)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert cpu < 1.3 * wall, (dtype, cpu, wall)
"""
    if _core.load_blas()["core"] == "unmeasured":
        pytest.skip("this BLAS has not been measured: its threads are left alone")
    for isa in _core.available_isas():
        env = dict(os.environ, DNN_ISA=isa)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert ran.returncode == 0, ran.stderr
