"""Sources of dataframes: of Dask, pandas and polars."""

import pickle
import threading

import numpy as np
import pytest

from dnn import MLPClassifier, Network, Stream, sources
from dnn.data import frames

RNG = np.random.default_rng(0)
N = 200
X = RNG.normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
WEIGHTS = RNG.uniform(0.5, 1.5, N)
COLUMNS = {"a": X[:, 0], "y": Y, "b": X[:, 1], "w": WEIGHTS, "c": X[:, 2]}


def pandas_frame(**columns):
    return pytest.importorskip("pandas").DataFrame({**COLUMNS, **columns})


def polars_frame(**columns):
    return pytest.importorskip("polars").DataFrame({**COLUMNS, **columns})


def dask_frame(**columns):
    dask = pytest.importorskip("dask.dataframe", reason="needs dask: pip install 'dnn-core[dev]'")
    return dask.from_pandas(pandas_frame(**columns), npartitions=4)


KINDS = {"pandas": pandas_frame, "polars": polars_frame, "dask": dask_frame}


def fitted(source, **how):
    net = Network([3, 8, 3], output="softmax", random_state=0)
    net.fit(Stream(source, buffer_rows=64), epochs=2, batch_size=32, **how)
    assert not [thread for thread in threading.enumerate() if thread.name == "dnn-stream"]
    return net.params


def parts_of(source):
    parts = [part for block in range(source.n_blocks) for part in source.read(block)]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_and_the_bits_are_those_of_arrays(kind, monkeypatch):
    monkeypatch.setattr(frames, "BLOCK_BYTES", 50 * 3 * 8)
    source = sources.dataframe(KINDS[kind](), "y", sample_weight="w", n_rows=N)
    assert (source.n_blocks, source.n_rows, source.features) == (4, N, ["a", "b", "c"])
    for found, expected in zip(parts_of(source), (X, Y, WEIGHTS), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.concatenate([y for b in range(4) for y in source.targets(b)]), Y)
    expected = fitted(sources.arrays(X, Y, WEIGHTS, block_rows=50))
    np.testing.assert_array_equal(fitted(source), expected)
    np.testing.assert_array_equal(fitted(pickle.loads(pickle.dumps(source))), expected)
    found, y = parts_of(sources.dataframe(KINDS[kind](), ["y", "c"], features=["b", "a"]))
    np.testing.assert_array_equal(found, X[:, [1, 0]])
    np.testing.assert_array_equal(y, np.c_[Y, X[:, 2]])


def test_unknown_divisions_and_lengths():
    df = dask_frame(i=np.arange(N)).clear_divisions()
    assert not df.known_divisions
    source = sources.dataframe(df[df.a > 0], "y", features=["a", "b", "c"])  # rows per partition differ
    assert source.n_rows is None and source.n_blocks == 4
    rows = X[:, 0] > 0
    np.testing.assert_array_equal(parts_of(source)[0], X[rows])
    history = Network([3, 3], output="softmax").fit(source, epochs=2)
    assert history.n_rows == [rows.sum()] * 2
    empty = sources.dataframe(df[df.i < 60], "y")  # two partitions have no row
    assert Network([5, 3], output="softmax").fit(empty, epochs=1).n_rows == [60]
    with pytest.raises(ValueError, match=r"column 'b' of X must be finite .* in row 3 of partition 1"):
        spoilt = dask_frame(b=np.where(np.arange(N) == 53, np.nan, 1))
        Network([3, 1]).fit(sources.dataframe(spoilt, "y", features=["a", "b", "c"]))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_may_be_text(kind):
    names = np.array(["ash", "elm", "oak"])[Y]
    source = sources.dataframe(KINDS[kind](y=names), "y", sample_weight="w")
    est = MLPClassifier(8, max_iter=9, tol=10.0, n_iter_no_change=1, random_state=0).fit(source)
    assert est.classes_.tolist() == ["ash", "elm", "oak"] and est.feature_names_in_.tolist() == [
        "a",
        "b",
        "c",
    ]
    missing = sources.dataframe(KINDS[kind](y=[None, *names[1:]]), "y", features=["a"])
    with pytest.raises(TypeError, match="y must hold labels of one type, and none missing"):
        MLPClassifier().fit(missing)


@pytest.mark.parametrize("kind", KINDS)
def test_types_of_columns(kind):
    if kind == "polars":
        polars = pytest.importorskip("polars")
        wide = [polars.Series(values, dtype=dtype) for values, dtype in (
            ([1, None, 3], polars.Int16), ([True, None, False], polars.Boolean), ([1, 2, 3], polars.UInt8),
        )]  # fmt: skip
    else:
        pandas = pytest.importorskip("pandas")
        wide = [
            pandas.array([1, None, 3], "Int16"), pandas.array([True, None, False], "boolean"),
            pandas.array([1, 2, 3], "UInt8"),
        ]  # fmt: skip
    made = pytest.importorskip("polars" if kind == "polars" else "pandas").DataFrame
    df = made({"y": [1.0, 2.0, 3.0], "i": wide[0], "flag": wide[1], "u": wide[2], "f": [0.5, None, 1.5]})
    if kind == "dask":
        df = pytest.importorskip("dask.dataframe").from_pandas(df, npartitions=1)
    found, y = parts_of(sources.dataframe(df, "y"))
    nan = np.nan
    np.testing.assert_array_equal(found, [[1, 1, 1, 0.5], [nan, nan, 2, nan], [3, 0, 3, 1.5]])
    np.testing.assert_array_equal(y, [1, 2, 3])
    assert parts_of(sources.dataframe(df, "y", features=["u"]))[0].dtype == np.uint8


def test_what_is_refused():
    df, ddf = pandas_frame(), dask_frame()
    cases = (
        (lambda: sources.dataframe(X, "y"), TypeError, "df must be a dataframe of Dask, .* got ndarray"),
        (lambda: sources.dataframe(df, "z"), ValueError, "df must have one column 'z', got none among 'a'"),
        (lambda: sources.dataframe(ddf, "y", features=["z"]), ValueError, "df must have one column 'z'"),
        (lambda: sources.dataframe(df.assign(a="x"), "y"), TypeError, "column 'a' of df must hold numbers"),
        (lambda: sources.dataframe(ddf.assign(a="x"), "y"), TypeError, "column 'a' of df must hold numbers"),
        (lambda: sources.dataframe(df[:0], "y"), ValueError, "df must have at least one row"),
        (lambda: sources.dataframe(df, "y", n_rows=3), ValueError, "n_rows must be None or 200"),
        (lambda: sources.dataframe(ddf, "y", n_rows=0), ValueError, "n_rows must be at least 1, got 0"),
        (lambda: sources.arrays(df, Y), TypeError, "X must be an array, got a dataframe: sources.dataframe"),
        (lambda: sources.arrays(ddf, Y), TypeError, "X must be an array, got a dataframe: sources.dataframe"),
    )
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
