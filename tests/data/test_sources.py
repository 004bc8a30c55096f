"""Ready sources: arrays of all kinds, Parquet and CSV files, and functions."""

import pickle
import threading

import numpy as np
import pytest

from dnn import Network, Stream, sources

RNG = np.random.default_rng(0)
N = 200
X = RNG.normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
WEIGHTS = RNG.uniform(0.5, 1.5, N)


def rows_of(source):
    """All rows of a source: X, y and weights, block by block."""
    parts = [part for block in range(source.n_blocks) for part in source.read(block)]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def fitted(source, **how):
    net = Network([3, 8, 3], output="softmax", random_state=0)
    history = net.fit(source, epochs=2, batch_size=32, **how)
    assert not [thread for thread in threading.enumerate() if thread.name == "dnn-stream"]
    return net.params, history


def same_as_arrays(source, block_rows):
    """A source gives the rows, and the bits of a training, of arrays in the same blocks."""
    for found, expected in zip(rows_of(source), (X, Y, WEIGHTS), strict=False):
        np.testing.assert_array_equal(found, expected)
    n = len(next(iter(source.read(0))))
    expected = sources.arrays(X, Y, *(WEIGHTS,) * (n - 2), block_rows=block_rows)
    params, _ = fitted(Stream(source, buffer_rows=64))
    np.testing.assert_array_equal(params, fitted(Stream(expected, buffer_rows=64))[0])


class Chunked:
    """An array with chunks, as those of h5py and Zarr (a size per axis) or Dask (the sizes of all)."""

    def __init__(self, array, chunks):
        self.array, self.chunks = array, chunks
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        return self.array[rows]


def test_arrays_and_memory_maps(tmp_path):
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    same_as_arrays(sources.arrays(mapped, Y, WEIGHTS, block_rows=30), 30)
    assert sources.arrays(X, Y).n_blocks == 1
    assert sources.arrays(np.zeros((10, 1 << 15)), np.zeros(10)).n_blocks == 10
    assert sources.arrays(X.tolist(), Y.tolist()).n_rows == N


def test_blocks_are_whole_chunks(monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 50 * X[0].nbytes)
    of_axes = sources.arrays(Chunked(X, (20, 2)), Y, WEIGHTS)
    assert np.diff(of_axes.edges).tolist() == [40] * 5
    same_as_arrays(of_axes, 40)
    of_sizes = sources.arrays(Chunked(X, ((120, 80), (3,))), Y)
    assert of_sizes.edges.tolist() == [0, 120, 200]
    np.testing.assert_array_equal(rows_of(of_sizes)[0], X)


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(20, 3))
        file["y"] = Y
    with h5py.File(tmp_path / "data.h5") as file:
        same_as_arrays(sources.arrays(file["X"], file["y"]), N)
        same_as_arrays(sources.arrays(file["X"], file["y"], block_rows=20), 20)


def test_zarr(tmp_path):
    zarr = pytest.importorskip("zarr", reason="needs zarr, which is not among the packages for development")
    array = zarr.create_array(tmp_path / "X.zarr", shape=X.shape, chunks=(50, 3), dtype=X.dtype)
    array[:] = X
    same_as_arrays(sources.arrays(array, Y, WEIGHTS, block_rows=50), 50)


def test_dask():
    dask = pytest.importorskip(
        "dask.array", reason="needs dask, which is not among the packages for development"
    )
    source = sources.arrays(dask.from_array(X, (50, 3)), dask.from_array(Y, 50))
    assert source.n_blocks == 4
    same_as_arrays(source, 50)
    with pytest.raises(ValueError, match=r"call X\.compute_chunk_sizes"):
        unknown = dask.from_array(X, (50, 3))
        sources.arrays(unknown[unknown[:, 0] > 0], Y)


def test_a_function_is_called_once_per_epoch():
    calls = []

    def rows():
        calls.append(1)
        for begin in range(0, N, 30):
            yield X[begin : begin + 30], Y[begin : begin + 30]

    source = sources.function(rows)
    assert source.n_blocks == 1 and source.n_rows is None
    same_as_arrays(source, N)
    calls.clear()
    fitted(source)
    assert len(calls) == 3  # one for the checks on entry
    with pytest.raises(TypeError, match=r"make must be a function .* an iterator can be read only once"):
        sources.function(rows())
    with pytest.raises(ValueError, match="n_rows must be at least 1, got 0"):
        sources.function(rows, n_rows=0)


@pytest.fixture
def table():
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({"a": X[:, 0], "y": Y, "b": X[:, 1], "w": WEIGHTS, "c": X[:, 2]})


def write_parquet(table, path, rows=50):
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path, row_group_size=rows)
    return path


def write_csv(table, path):
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_style="none"))
    return path


def test_parquet(table, tmp_path):
    path = write_parquet(table, tmp_path / "one.parquet")
    source = sources.parquet(path, "y", sample_weight="w")
    assert (source.n_blocks, source.n_rows, source.features) == (4, N, ["a", "b", "c"])
    assert source.place(2, 7) == f"{path}, row 107"
    same_as_arrays(source, 50)
    some = sources.parquet(path, ["y", "c"], features=["b", "a"])
    found, y = rows_of(some)
    np.testing.assert_array_equal(found, X[:, [1, 0]])
    np.testing.assert_array_equal(y, np.c_[Y, X[:, 2]])


def test_folders_and_lists_of_files(table, tmp_path):
    (tmp_path / "later").mkdir()
    first = write_parquet(table[:90], tmp_path / "1.parquet")
    second = write_parquet(table[90:], tmp_path / "later" / "2.parquet")
    (tmp_path / "notes.txt").write_text("not a table")
    import pyarrow.dataset

    for path in (tmp_path, [first, second], pyarrow.dataset.dataset([str(first), str(second)])):
        source = sources.parquet(path, "y", features=["a", "b", "c"])
        assert source.n_blocks == 5 and source.place(2, 0) == f"{second}, row 0"
        np.testing.assert_array_equal(rows_of(source)[0], X)


def test_a_large_row_group_is_read_in_parts(table, tmp_path, monkeypatch):
    from dnn.data import table_files

    monkeypatch.setattr(table_files, "PART_BYTES", 1)
    import pyarrow

    many = pyarrow.concat_tables([table] * 12)
    source = sources.parquet(write_parquet(many, tmp_path / "x.parquet", 10_000), "y", features=["a"])
    assert [len(x) for x, _ in source.read(0)] == [1024, 1024, 352]
    np.testing.assert_array_equal(rows_of(source)[0][:, 0], np.tile(X[:, 0], 12))


def test_types_of_columns(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from decimal import Decimal

    lists = [[1, 2], None, [5, 6]]
    table = pyarrow.table({
        "y": pyarrow.array([1, 2, 3], "int8"),
        "flag": [True, None, False],
        "price": [Decimal("1.5"), Decimal("2.5"), None],
        "pair": pyarrow.array(lists, pyarrow.list_(pyarrow.uint8(), 2)),
        "bytes": pyarrow.array([b"\x00\xff", None, b"ab"], pyarrow.binary(2)),
        "name": ["a", "b", "c"],
    })  # fmt: skip
    path = write_parquet(table, tmp_path / "x.parquet")
    found, _ = rows_of(sources.parquet(path, "y", features=["flag", "price", "pair"]))
    nan = np.nan
    np.testing.assert_array_equal(found, [[1, 1.5, 1, 2], [nan, 2.5, nan, nan], [0, nan, 5, 6]])
    pixels = sources.parquet(path, "y", features=["bytes"])
    np.testing.assert_array_equal(rows_of(pixels)[0], [[0, 255], [nan, nan], [97, 98]])
    whole = write_parquet(table.select(["y", "bytes"]).take([0, 2, 2]), tmp_path / "whole.parquet", 2)
    np.testing.assert_array_equal(rows_of(sources.parquet(whole, "y"))[0], [[0, 255], [97, 98], [97, 98]])
    assert rows_of(sources.parquet(whole, "y"))[0].dtype == np.uint8
    assert rows_of(sources.parquet(path, "flag", features=["y"]))[0].dtype == np.int8
    with pytest.raises(TypeError, match=r"column 'name' of .*x.parquet must hold numbers, got string"):
        sources.parquet(path, "y")


def test_csv(table, tmp_path, monkeypatch):
    from dnn.data import table_files

    path = write_csv(table, tmp_path / "x.csv")
    source = sources.csv(path, "y", sample_weight="w")
    assert (source.n_blocks, source.n_rows, source.features) == (1, None, ["a", "b", "c"])
    monkeypatch.setattr(table_files, "TEXT_BYTES", 3000)
    assert len(list(source.read(0))) > 3
    same_as_arrays(source, N)
    text = path.read_text()
    without = tmp_path / "bare.csv"
    without.write_text(text.split("\n", 1)[1].replace(",", ";"))
    bare = sources.csv(
        without, "y", names=["a", "y", "b", "w", "c"], delimiter=";", sample_weight="w", n_rows=N
    )
    assert bare.n_rows == N
    same_as_arrays(bare, N)


@pytest.mark.parametrize("text_bytes", [1 << 20, 600])
def test_bad_rows_of_csv_files(table, tmp_path, monkeypatch, text_bytes):
    """Rows with too few or many values, with text and without a value, also in first and last place."""
    from dnn.data import table_files

    monkeypatch.setattr(table_files, "TEXT_BYTES", text_bytes)
    lines = write_csv(table, tmp_path / "x.csv").read_text().splitlines()
    wrong = {
        0: "1,2",
        1: "1",
        20: "1,2,3,4,5,6",
        50: "1,zz,1,1,1",
        51: "1,1,,1,1",
        120: "x,1,1,1,1",
        199: "1",
    }
    for row, line in wrong.items():
        lines[row + 1] = line
    lines.insert(60, "")  # an empty line is no row
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n\n")
    source = sources.csv(path, "y", sample_weight="w")
    params, history = fitted(Stream(source, on_bad_rows="skip"))
    reasons = [
        " (2 values, not 5)", " (1 values, not 5)", " (6 values, not 5)", " (y is 'zz')", "", " (a is 'x')",
        " (1 values, not 5)",
    ]  # fmt: skip
    assert history.skipped == [f"{path}, row {row}{why}" for row, why in zip(wrong, reasons, strict=True)]
    good = np.setdiff1d(np.arange(N), list(wrong))
    fresh = sources.csv(path, "y", sample_weight="w")
    for _ in range(2):  # as numbers until the first text, then as text from there on; then all as text
        x, y, w = rows_of(fresh)
        assert len(x) == N and np.isnan(np.c_[x, y, w]).any(axis=1).sum() == len(wrong)
        np.testing.assert_array_equal(x[good], X[good])
    np.testing.assert_array_equal(params, fitted(sources.arrays(X[good], Y[good], WEIGHTS[good]))[0])
    with pytest.raises(ValueError, match=r"column 'a' of X must be finite .* in .*bad.csv, row 0 \(2 values"):
        fitted(sources.csv(path, "y", sample_weight="w"))


def test_a_bad_row_of_a_parquet_file_is_named(table, tmp_path):
    b = X[:, 1].copy()
    b[130] = np.nan
    path = write_parquet(table.set_column(2, "b", [b]), tmp_path / "x.parquet", 40)
    source = sources.parquet(path, "y", features=["a", "b", "c"])
    with pytest.raises(
        ValueError, match=r"column 'b' of X must be finite .*, got nan in .*x.parquet, row 130;"
    ):
        fitted(source)
    assert fitted(Stream(source, on_bad_rows="skip"))[1].skipped == [f"{path}, row 130"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_that_disappears_or_changes(kind, table, tmp_path):
    write, of = {"parquet": (write_parquet, sources.parquet), "csv": (write_csv, sources.csv)}[kind]
    for i in range(4):
        write(table[i * 50 : i * 50 + 50], tmp_path / f"{i}.{kind}")
    how = {"epochs": 6, "batch_size": 16, "checkpoint": tmp_path / "run", "every": 1}

    def source():
        return Stream(of(tmp_path, "y", features=["a", "b", "c"]), buffer_rows=32)

    def network():
        return Network([3, 8, 3], output="softmax", random_state=0)

    whole, net = network(), network()
    whole.fit(source(), epochs=6, batch_size=16)

    def remove(event):
        if event.epoch == 2:
            (tmp_path / f"3.{kind}").rename(tmp_path / "hidden")

    with pytest.raises(FileNotFoundError, match=rf"block 3 of .*No such file .*3\.{kind}.*last good weights"):
        net.fit(source(), callbacks=[remove], **how)
    assert np.isfinite(net.params).all()
    (tmp_path / "hidden").rename(tmp_path / f"3.{kind}")
    resumed = network()
    resumed.fit(source(), **how, resume=True)
    np.testing.assert_array_equal(resumed.params, whole.params)
    stream = source()
    write(table[:20], tmp_path / f"0.{kind}")
    with pytest.raises(OSError, match=rf"0\.{kind} has changed since the source was made"):
        network().fit(stream)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_sources_of_files_can_be_pickled(kind, table, tmp_path):
    write, of = {"parquet": (write_parquet, sources.parquet), "csv": (write_csv, sources.csv)}[kind]
    source = of(write(table, tmp_path / f"x.{kind}"), "y", sample_weight="w")
    again = pickle.loads(pickle.dumps(source))
    for one, two in zip(rows_of(again), rows_of(source), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_refused(table, tmp_path):
    path = write_parquet(table, tmp_path / "x.parquet")
    text = write_csv(table, tmp_path / "x.csv")
    empty = tmp_path / "empty"
    empty.mkdir()
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(path.read_bytes()[:-9])
    cases = (
        (lambda: sources.parquet(path, "z"), ValueError, "must have one column 'z', got none among 'a', 'y'"),
        (lambda: sources.csv(text, "z"), ValueError, "must have one column 'z', got none among 'a', 'y'"),
        (lambda: sources.parquet(path, "y", features="a"), TypeError, "features must be a list of names"),
        (lambda: sources.parquet(path, "y", sample_weight=3), TypeError, "sample_weight must be the name"),
        (lambda: sources.parquet(empty, "y"), ValueError, "path must be a folder with files .parquet"),
        (lambda: sources.parquet(3, "y"), TypeError, "path must be a file, a folder, or a list of files"),
        (lambda: sources.parquet(tmp_path / "no", "y"), FileNotFoundError, "No such file"),
        (lambda: sources.parquet(damaged, "y"), OSError, "damaged.parquet must be a Parquet file"),
        (lambda: sources.csv(text, "y", delimiter=";;"), ValueError, "delimiter must be one character"),
        (lambda: sources.csv(text, "y", n_rows=0), ValueError, "n_rows must be at least 1"),
        (lambda: sources.arrays(X, Y[:5]), ValueError, r"y must have \(200,\) rows, as X has"),
        (lambda: sources.arrays(X[:, 0], Y), ValueError, "X must have shape"),
        (lambda: sources.arrays(X[:0], Y[:0]), ValueError, "X must have at least one row"),
        (lambda: sources.arrays(X, Y, block_rows=0), ValueError, "block_rows must be at least 1"),
    )
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_map_is_pickled_as_its_file(tmp_path, order):
    large = np.asarray(np.tile(X, (100, 1)), order=order)
    np.save(tmp_path / "X.npy", large)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for part in (mapped, mapped[777:], mapped[100:9000])[: 3 if order == "C" else 1]:
        source = sources.arrays(part, np.arange(len(part)), block_rows=500)
        pickled = pickle.dumps(source)
        assert len(pickled) < 8 * len(part) + 9 * len(source.edges) + 1000  # of y and the edges alone
        for found, expected in zip(rows_of(pickle.loads(pickled)), rows_of(source), strict=True):
            np.testing.assert_array_equal(found, expected)
    every_second = sources.arrays(mapped[::2], np.arange(len(mapped[::2])))  # which no map can say
    found = rows_of(pickle.loads(pickle.dumps(every_second)))[0]
    np.testing.assert_array_equal(found, large[::2])
