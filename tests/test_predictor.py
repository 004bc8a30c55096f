"""Predictors, and predictions of one row and of a few rows."""

import numpy as np
import pytest
from networks import small_examples, small_network

from dnn import Network


def test_a_predictor_is_a_snapshot():
    X, y = small_examples()
    net = small_network()
    predict, before = net.predictor(), net(X)
    net.fit(X, y, epochs=2)
    np.testing.assert_array_equal(predict(X), before)
    assert predict(X[0]).shape == (3,)
    out = np.empty((60, 3))
    assert predict(X, out=out) is out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_batches_are_converted_like_large_ones(dtype):
    """Small batches run other code of the core, which gives the same bits and errors."""
    net = Network([3, 4, 2], dtype=dtype, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 3)) * [1, 1e-30, 1e10]
    for rows in (X, X.astype(np.float32), (1e3 * X).astype(np.int64), X.astype(np.longdouble)):
        many = net(np.repeat(rows, 1000, axis=0))[::1000]
        lists = rows.tolist() if rows.dtype != np.longdouble else rows.astype(float).tolist()
        scalars = [list(row) for row in rows]
        for found in (net(rows), net(lists), net(scalars), net.predictor()(lists), net(tuple(lists))):
            np.testing.assert_array_equal(found, many, strict=True)
        for i in range(5):
            for row in (rows[i], lists[i], scalars[i], lists[i : i + 1]):
                np.testing.assert_array_equal(np.atleast_2d(net(row)), many[i : i + 1])
    # NaN, infinities, booleans and integers of any size are accepted.
    assert np.isnan(net([float("nan"), 0, 0])).all() and np.isnan(net(np.array([np.nan, 0, 0]))).all()
    assert np.isfinite(net([True, 2**60, -(2**53) - 1])).all()
    np.testing.assert_array_equal(net([1, 2**53 + 1, 0]), net(np.array([[1, 2**53 + 1, 0]] * 100))[0])


def test_small_batches_raise_the_same_errors_as_large_ones():
    net = Network([3, 1], random_state=0)
    for X in ([1e39, 0, 0], np.array([0, -1e39, 0]), [[0, 0, 0], [0, 1e39, 0]], np.full((2, 3), 1e39)):
        with pytest.raises(ValueError, match=r"X must fit float32, got 1e\+39"):
            net(X)
    for X in ([1, 2], [[1, 2]], [[1, 2, 3], [1, 2]], [], [[]], np.zeros((2, 2)), np.zeros(4), 1.0):
        with pytest.raises(ValueError, match="X must"):
            net(X)
    for X in ([1, 2, "a"], [[1, 2, 3j]], np.array([1, 2, 3j]), [1, 2, [3]]):
        with pytest.raises((TypeError, ValueError), match="X must"):
            net(X)
