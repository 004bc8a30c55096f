"""A cache of decoded rows: the same bits as without it, nothing is read twice, no incomplete file is used."""

import errno
import gc
import os

import numpy as np
import pytest

from dnn import MLPClassifier, Network, Stream, sources
from dnn.data import row_cache
from dnn.data.row_cache import RowCache, narrowed

RNG = np.random.default_rng(0)
N = 300
X = RNG.normal(size=(N, 4))
PIXELS = RNG.integers(0, 256, (N, 4))
Y = (X[:, 0] > 0).astype(np.int64)
WEIGHTS = RNG.uniform(0.5, 1.5, N)


class Counted:
    """Rows in blocks, in parts, and how often each block was read."""

    def __init__(self, *arrays, block_rows=40, part_rows=15, n_rows=N):
        self.arrays, self.block_rows, self.part_rows, self.n_rows = arrays, block_rows, part_rows, n_rows
        self.n_blocks = -(-len(arrays[0]) // block_rows)
        self.n_read = np.zeros(self.n_blocks, int)

    def read(self, block):
        self.n_read[block] += 1
        rows = range(len(self.arrays[0]))[block * self.block_rows :][: self.block_rows]
        for begin in range(0, len(rows), self.part_rows):
            part = rows[begin : begin + self.part_rows]
            yield tuple(array[part.start : part.stop] for array in self.arrays)


def fitted(source, net=None, **how):
    net = net or Network([4, 8, 2], output="softmax", random_state=0)
    history = net.fit(source, **{"epochs": 3, "batch_size": 32, **how})
    return net.params.copy(), history


def stream(source, **how):
    return Stream(source, buffer_rows=100, on_bad_rows="skip", **how)


SPOILT = np.where(np.arange(N)[:, None] == 77, [1.0, np.nan, 1e300, 0.0], X)
ROWS = {
    "numbers": (X, Y),
    "pixels": (PIXELS, Y, WEIGHTS),
    "whole floats": (PIXELS.astype(float), Y),
    "minus zero": (np.where(PIXELS == 7, -0.0, PIXELS), Y),
    "bad rows": (SPOILT, Y, WEIGHTS),
    "narrow": (X.astype("f2"), Y.astype("i1")),
    "other byte order": (X.astype(">f8"), Y.astype(">i4")),
    "transposed": (np.asfortranarray(X), Y),
    "probabilities": (X.astype("f4"), np.eye(2)[Y]),
}


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("name", ROWS)
def test_the_bits_are_those_without_a_cache(name, prefetch, tmp_path):
    for length in ({}, {"block_rows": N, "n_rows": None}):
        expected, history = fitted(stream(Counted(*ROWS[name], **length)))
        for cache in (True, tmp_path / str(length)):
            for _ in range(2):  # the second time from the folder
                source = Counted(*ROWS[name], **length)
                found, again = fitted(stream(source, cache=cache, prefetch=prefetch))
                np.testing.assert_array_equal(found.view("u4"), expected.view("u4"))
                assert again.to_dict() | {"seconds": 0} == history.to_dict() | {"seconds": 0}


def test_each_block_is_read_once(tmp_path):
    for cache, n_read in ((False, 5), (True, 1), (tmp_path, 1), (tmp_path, 0)):
        source = Counted(X, Y)
        fitted(Stream(source, buffer_rows=100, cache=cache), epochs=5)
        assert source.n_read[-1] == n_read  # in the rows that are checked on entry, it is not
    assert len(os.listdir(tmp_path)) == 1
    other = Counted(X, Y)
    fitted(Stream(other, cache=tmp_path), Network([4, 2], output="softmax", dtype="float64"))
    assert other.n_read[-1] == 1 and len(os.listdir(tmp_path)) == 2  # another precision


def test_files_are_as_small_as_they_can_be(tmp_path):
    sizes = []
    for rows in (X, PIXELS.astype(float)):
        folder = tmp_path / str(len(sizes))
        fitted(stream(Counted(rows, Y), cache=folder))
        sizes.append(os.path.getsize(*(folder / name for name in os.listdir(folder))))
    assert 0 <= sizes[0] - sizes[1] - X.size * 3 < 100  # float32, and bytes; numbers of other lengths
    for value, dtype in ((256.0, "f4"), (-1, "f4"), (-0.0, "f4"), (np.nan, "f8"), (1e300, "f8"), (True, "?")):
        assert narrowed(np.array([[value]]), np.dtype("f4")).dtype == np.dtype(dtype)
    late = np.zeros((50, 1))
    late[-1] = 0.5
    assert narrowed(late, np.dtype("f4")).dtype == np.dtype("f4")
    assert narrowed(late, np.dtype("f8")).dtype == np.dtype("f8")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_changed_file_is_noticed(kind, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    def write(values):
        table = pyarrow.table({"a": values[:, 0], "b": values[:, 1], "y": Y})
        if kind == "csv":
            csv.write_csv(table, tmp_path / "x.csv")
        else:
            parquet.write_table(table, tmp_path / "x.parquet", row_group_size=50)
        return {"parquet": sources.parquet, "csv": sources.csv}[kind](tmp_path / f"x.{kind}", "y")

    def params(source, **how):
        return fitted(
            Stream(source, buffer_rows=100, **how), Network([2, 2], output="softmax", random_state=0)
        )[0]

    cache = tmp_path / "cache"
    for values in (X, X[::-1], X):
        source = write(values)
        expected = params(source)
        for _ in range(2):
            np.testing.assert_array_equal(params(source, cache=cache), expected)
        assert len(os.listdir(cache)) == 1
    source = write(X)
    write(X[:, ::-1] * 100)
    with pytest.raises(OSError, match="has changed since the source was made"):
        params(source, cache=cache)
    assert len(os.listdir(cache)) == 1


def test_an_interrupted_training_leaves_no_file_and_resumes_to_the_same_bits(tmp_path):
    def stop(event):
        raise KeyError("killed")

    def late(event):
        if event.epoch == 1:
            raise KeyError("killed")

    how = {"checkpoint": tmp_path / "run", "every": 1, "epochs": 4}
    expected, _ = fitted(stream(Counted(X, Y)), epochs=4)
    for callback in (stop, late):
        for cache in (True, tmp_path / callback.__name__):
            (tmp_path / "run").unlink(missing_ok=True)
            with pytest.raises(KeyError):
                fitted(stream(Counted(X, Y), cache=cache), callbacks=[callback], **how)
            found, _ = fitted(stream(Counted(X, Y), cache=cache), resume=True, **how)
            np.testing.assert_array_equal(found, expected)


def test_a_training_that_ends_in_the_first_epoch_removes_its_file(tmp_path):
    source = Counted(X, Y)
    fitted(Stream(source, buffer_rows=32, cache=tmp_path, prefetch=0), max_seconds=1e-9)
    assert source.n_read[-1] + source.n_read[-2] < 2 and not os.listdir(tmp_path)
    cache = RowCache(source, tmp_path, np.dtype("f4"))
    name = cache.partial
    assert os.path.exists(name)
    killed = name.replace(f"-{os.getpid()}-", "-2147483647-")  # no process can have this number
    open(killed, "w").close()
    cache.close()
    assert os.listdir(tmp_path) == [os.path.basename(killed)]
    RowCache(source, tmp_path, np.dtype("f4")).close()
    assert not os.listdir(tmp_path)


def test_a_cache_that_nobody_closes_is_no_leak(tmp_path):
    for folder in (True, tmp_path):
        cache = RowCache(Counted(X, Y), folder, np.dtype("f4"))
        list(cache.read(0))
        del cache
        gc.collect()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "tail", "index", "length", "empty", "version"])
def test_a_damaged_file_is_written_anew(damage, tmp_path):
    expected, _ = fitted(stream(Counted(X, Y), cache=tmp_path))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes({
        "cut": whole[: len(whole) // 2], "tail": whole[:-3] + b"abc", "empty": b"",
        "length": whole.replace(b"[15, 4]", b"[95, 4]"),
        "index": whole.replace(b'"<f4"', b'"O"   '), "version": whole.replace(b"8 blocks", b"9 blocks"),
    }[damage])  # fmt: skip
    assert path.read_bytes() != whole
    source = Counted(X, Y)
    np.testing.assert_array_equal(fitted(stream(source, cache=tmp_path))[0], expected)
    assert source.n_read[-1] == 1 and path.read_bytes()[-200:] == whole[-200:]


@pytest.mark.parametrize("fails_at", [1, 9])
@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_gives_one_warning(fails_at, folder, tmp_path, monkeypatch):
    expected, _ = fitted(stream(Counted(X, Y)))
    write, n = row_cache._write_all, 0

    def full(file, array):
        nonlocal n
        n += 1
        if n >= fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, array)

    monkeypatch.setattr(row_cache, "_write_all", full)
    cache = tmp_path / "cache" if folder else True
    with pytest.warns(
        UserWarning, match="the cache.* cannot be written, and is not used: .*No space"
    ) as caught:
        found, _ = fitted(stream(Counted(X, Y), cache=cache))
    assert len(caught) == 1
    np.testing.assert_array_equal(found, expected)
    assert not folder or not os.listdir(cache)


def test_a_folder_that_cannot_be_written_gives_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    source = stream(Counted(X, Y), cache=tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="cannot be written, and is not used: .*Not a directory"):
        np.testing.assert_array_equal(fitted(source)[0], fitted(stream(Counted(X, Y)))[0])


def test_labels_and_validation_sets(tmp_path):
    labels = np.array(["left", "right"])[Y]
    how = {"max_iter": 9, "tol": 10.0, "n_iter_no_change": 2, "random_state": 0}
    expected = MLPClassifier(8, **how).fit(stream(Counted(X, labels)), X_val=stream(Counted(X, labels)))
    source, val = Counted(X, labels), Counted(X, labels, block_rows=60)
    cached = MLPClassifier(8, **how).fit(stream(source, cache=True), X_val=stream(val, cache=tmp_path))
    np.testing.assert_array_equal(cached.network_.params, expected.network_.params)
    np.testing.assert_allclose(cached.validation_scores_, expected.validation_scores_, rtol=1e-12)
    assert (
        cached.n_iter_ == 4 and source.n_read[-1] == 2 and val.n_read[-1] == 2
    )  # for the labels, and on entry
    for _ in range(2):
        objects = stream(Counted(X, labels.astype(object)), cache=tmp_path)
        other = MLPClassifier(8, **how).fit(objects)
        np.testing.assert_array_equal(other.network_.params, expected.network_.params)

    def loss(y, logits):
        assert y.dtype == object
        return np.zeros(len(y)), np.zeros_like(logits)

    fitted(objects, loss=loss)
    dates = stream(Counted(X, np.full(N, np.datetime64("2020-01-01"))), cache=True)
    with pytest.warns(
        UserWarning, match="is not used: y and weights must be numbers or texts, got datetime64"
    ):
        fitted(dates, loss=lambda y, logits: (np.zeros(len(y)), np.zeros_like(logits)))


def test_what_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cache must be the path of a folder, True or False, got 3"):
        Stream(Counted(X, Y), cache=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache must be the path of a folder, got the file"):
        Stream(Counted(X, Y), cache=tmp_path / "file")
