"""Rounds on a Dask cluster have the bits of one process, with all kinds of data of Dask, or a clear error."""

import os
import signal
import sys
import threading
from itertools import pairwise

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from clusters import cluster_of
from distributed import Client

from dnn import SGD, DivergedError, Network, Stream, sources
from dnn.distributed import dask as on_dask
from dnn.distributed import rounds
from dnn.distributed.dask import Workers, client_of, shards_of

pytestmark = pytest.mark.long  # a cluster takes seconds to start, and is the same on every Python

N, CHUNK, SHARDS = 130, 10, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=N)
WEIGHTS = RNG.uniform(0.5, 1.5, N)
OPTIONS = {"epochs": 3, "rounds_per_epoch": 2, "random_state": 0}
EDGES = np.arange(0, N + 1, CHUNK)


@pytest.fixture(scope="module")
def client():
    """Return a client of two workers that are threads of this process."""
    with cluster_of(2) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """Check that a cluster forgets all tasks of a test."""
    yield
    if "client" in request.fixturenames:
        client = request.getfixturevalue("client")
        assert wait_for(lambda: not client.cluster.scheduler.tasks), client.cluster.scheduler.tasks


def wait_for(done, seconds=10.0):
    """Wait until something is true; return whether it is."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if done():
            return True
        pause.wait(0.02)
    return bool(done())


def network():
    return Network([3, 4, 1], random_state=0)


def parts(*arrays, edges=EDGES, n_shards=SHARDS):
    """Return shards of arrays whose chunk i is in shard i mod n_shards."""
    chunks = [tuple(a[i:j] for a in arrays) for i, j in pairwise(edges)]
    n = min(n_shards, len(chunks))
    return [tuple(np.concatenate(each) for each in zip(*chunks[k::n], strict=True)) for k in range(n)]


def in_process(shards, **options):
    """Return the parameters and the history of the engine of one process."""
    net = network()
    history = rounds.fit(net, shards, **(OPTIONS | options))
    return net.params, history


def on_cluster(client, *data, **options):
    """Return the parameters and the history on a cluster; no wait is longer than 20 s."""
    net = network()
    options = {"n_shards": SHARDS, "timeout": 20} | OPTIONS | options
    history = on_dask.fit(net, *data, client=client, **options)
    return net.params, history


def same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    for name in ("loss", "val_loss", "n_rows", "n_skipped", "stopped_by", "best_epoch"):
        # As text, because a round without a step has the loss NaN
        assert repr(getattr(found[1], name)) == repr(getattr(expected[1], name)), name


def arrays(*data, chunks=CHUNK):
    return [da.from_array(each, chunks=(chunks, *each.shape[1:])) for each in data]


def test_each_run_has_the_bits_of_one_process(client):
    expected = in_process(parts(X, Y))
    for _ in range(10):
        same(on_cluster(client, *arrays(X, Y)), expected)


def test_a_tree_of_sums(client):
    edges = np.linspace(0, N, 71).astype(int)
    sizes = tuple(np.diff(edges).tolist())
    data = [da.from_array(each, chunks=(sizes, *each.shape[1:])) for each in (X, Y)]
    expected = in_process(parts(X, Y, edges=edges, n_shards=70), epochs=1)
    same(on_cluster(client, *data, n_shards=70, epochs=1), expected)


def test_weights_and_validation(client):
    V, v = X[::3], Y[::3]
    options = {"epochs": 40, "patience": 2, "optimizer": SGD(0.2)}
    expected = in_process(
        parts(X, Y, WEIGHTS), validation=parts(V, v, edges=np.array([0, 30, 44])), **options
    )
    X_val, y_val = arrays(V, v, chunks=30)
    found = on_cluster(
        client, *arrays(X, Y), sample_weight=arrays(WEIGHTS)[0], X_val=X_val, y_val=y_val, **options
    )
    assert found[1].stopped_by == "patience"
    same(found, expected)


@pytest.mark.parametrize("sizes", [(0, 130), (100, 0, 1, 29), (1, 1, 128), (130,), (0, 0, 130, 0)])
def test_chunks_of_any_size(client, sizes):
    data = [da.from_array(each, chunks=(sizes, *each.shape[1:])) for each in (X, Y)]
    edges = np.cumsum([0, *sizes])
    same(on_cluster(client, *data), in_process(parts(X, Y, edges=edges)))


def test_chunks_in_columns_and_of_unknown_sizes(client):
    expected = in_process(parts(X, Y))
    columns = da.from_array(X, chunks=(CHUNK, 1))
    same(on_cluster(client, columns, arrays(Y[:, None])[0]), expected)
    unknown = [each[da.from_array(np.ones(N, bool), chunks=CHUNK)] for each in (columns, arrays(Y)[0])]
    assert np.isnan(unknown[0].chunks[0]).all()
    same(on_cluster(client, *unknown), expected)
    keep = X[:, 0] > 1  # leaves chunks without a row
    kept = [each[da.from_array(keep, chunks=CHUNK)] for each in arrays(X, Y)]
    sizes = np.add.reduceat(keep, EDGES[:-1], dtype=int)
    assert not sizes.all()
    same(on_cluster(client, *kept), in_process(parts(X[keep], Y[keep], edges=np.cumsum([0, *sizes]))))


@pytest.mark.parametrize("divisions", ["known", "unknown"])
def test_dataframes(client, divisions):
    table = pd.DataFrame(X.astype(np.float32), columns=list("abc")).assign(
        y=Y.astype(np.float32), w=WEIGHTS.astype(np.float32)
    )
    frame = dd.from_pandas(table, chunksize=CHUNK)
    if divisions == "unknown":
        frame = frame.clear_divisions()
    assert frame.known_divisions == (divisions == "known")
    expected = in_process(parts(*(table[each].to_numpy() for each in (list("abc"), "y", "w"))))
    found = on_cluster(client, frame[["a", "b", "c"]], frame["y"], sample_weight=frame["w"])
    same(found, expected)
    mixed = on_cluster(
        client, frame[["a", "b", "c"]], frame["y"], sample_weight=arrays(table["w"].to_numpy())[0]
    )
    same(mixed, expected)


def test_sources(client, tmp_path):
    table = pd.DataFrame(X.astype(np.float32), columns=list("abc")).assign(y=Y.astype(np.float32))
    for k, (i, j) in enumerate(pairwise(EDGES)):
        table[i:j].to_parquet(tmp_path / f"{k:02}.parquet")
    files = sources.parquet(sorted(tmp_path.glob("*.parquet")), "y")
    np.save(tmp_path / "X.npy", X)
    mapped = sources.arrays(np.load(tmp_path / "X.npy", mmap_mode="r"), Y, block_rows=CHUNK)
    validation = shards_of(files, None, None, SHARDS)
    for source in (files, mapped, Stream(mapped, buffer_rows=25)):
        expected = in_process(shards_of(source, None, None, SHARDS), validation=validation)
        assert sum(expected[1].n_rows) == 3 * N
        same(on_cluster(client, source, X_val=files), expected)


def test_bad_rows_of_a_stream(client):
    bad = X.copy()
    bad[[3, 77], 1] = np.nan
    stream = Stream(sources.arrays(bad, Y, block_rows=CHUNK), on_bad_rows="skip")
    found = on_cluster(client, stream)
    same(found, in_process(shards_of(stream, None, None, SHARDS)))
    assert sum(found[1].n_skipped) == 2 * 3 and sum(found[1].n_rows) == (N - 2) * 3
    with pytest.raises(ValueError, match=r"^shard [03]: .*\brow (3|77)\b"):
        on_cluster(client, stream.source)


def bad(value, at):
    changed = X.copy()
    changed[at] = value
    return changed


def wrong(what):
    """Return data that is refused, and the message."""
    x, y = arrays(X, Y)
    of_chunks = r"^y must have the chunks of rows of X, 13 of 10, 10, 10, 10 \.\.\., got "
    return {
        "NaN": (arrays(bad(np.nan, (77, 1)))[0], y, r"^shard 3: X .*row 17"),
        "columns": (x[:, :2], y, r"^shard \d: X must have shape \(n_samples, 3\)"),
        "chunks": (x, arrays(Y, chunks=20)[0], of_chunks + "7 of 20"),
        "rows": (x, arrays(np.append(Y, 1.0))[0], of_chunks + "14 of 10"),
        "empty": (x[:0], y[:0], "^shards must have at least one row with a weight above 0, got none"),
        "source and y": (sources.arrays(X, Y), y, "^y must not be given with a source"),
    }[what]


@pytest.mark.parametrize("what", ["NaN", "columns", "chunks", "rows", "empty", "source and y"])
def test_data_that_is_refused(client, what):
    *data, message = wrong(what)
    net = network()
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        on_dask.fit(net, *data, client=client, n_shards=SHARDS, timeout=20, **OPTIONS)
    np.testing.assert_array_equal(net.params, before)


def test_data_that_is_not_of_dask(client):
    x = arrays(X)[0]
    for name, given, kind in (
        ("X", (X, Y), "ndarray"),
        ("y", (x, Y), "ndarray"),
        ("y", (x, None), "NoneType"),
    ):
        message = "%s must be an array or a dataframe of Dask, got " + kind
        with pytest.raises(TypeError, match=message % name):
            on_cluster(client, *given)
        with pytest.raises(TypeError, match=message % f"{name}_val"):
            on_cluster(client, *arrays(X, Y), X_val=given[0], y_val=given[1])


class Locked:
    """A source that cannot be pickled."""

    n_blocks, n_rows = 2, N

    def __init__(self):
        self.lock = threading.Lock()

    def read(self, block):
        yield X, Y


def test_data_that_workers_cannot_use(client):
    sparse = arrays(X)[0].map_blocks(scipy.sparse.csr_array, dtype=float)
    with pytest.raises(TypeError, match=r"^the chunks of X and y must be arrays of NumPy, got csr_array"):
        on_cluster(client, sparse, arrays(Y)[0])
    with pytest.raises(TypeError, match=r"pickle can send them: cannot pickle '_thread.lock' object"):
        on_cluster(client, Locked())


def test_a_worker_without_dnn(client, monkeypatch):
    def lacks(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(on_dask, "import_module", lacks)
    with pytest.raises(ImportError, match=r"^workers and scheduler of Dask need dnn: pip install"):
        on_cluster(client, *arrays(X, Y))


def test_divisions_of_dataframes_are_those_of_X(client):
    table = pd.DataFrame(X, columns=list("abc")).assign(y=Y)
    frame = dd.from_pandas(table, chunksize=65)
    with pytest.raises(ValueError, match=r"^y must have the divisions of X"):
        on_cluster(client, frame[["a", "b", "c"]], frame["y"].repartition(divisions=[0, 100, N - 1]))


def test_options_are_checked_before_anything_is_computed(client):
    computed = []

    def seen(chunk):
        computed.append(len(chunk))
        return chunk

    data = [each.map_blocks(seen, meta=np.zeros((0,) * each.ndim)) for each in arrays(X, Y)]
    computed.clear()
    for options in ({"epochs": 0}, {"batch_size": 0}, {"n_shards": 0}, {"timeout": 0.0}, {"optimizer": "no"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            on_cluster(client, *data, **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        on_cluster(client, *data, epoch=1)
    assert not computed


def test_the_present_client(client):
    assert client_of(None) is client
    assert Workers().client is client


def test_clients_that_are_refused(client, monkeypatch):
    with pytest.raises(TypeError, match=r"^client must be a distributed.Client or None, got 'tcp://"):
        Workers("tcp://127.0.0.1:8786")
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "asynchronous", True)
        with pytest.raises(TypeError, match=r"^client must be one that waits"):
            Workers(client)

    def none(**_):
        raise ValueError("No global client found and no address provided")

    monkeypatch.setattr("distributed.get_client", none)
    with pytest.raises(ValueError, match=r"^client must be given where there is none yet"):
        on_dask.fit(network(), *arrays(X, Y))


def test_without_dask(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("dask", "distributed")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ImportError, match=r"needs distributed: pip install 'dnn-core\[dask\]'$"):
        on_dask.fit(network(), X, Y)


def test_a_diverging_shard_is_named(client):
    net = network()
    with pytest.raises(DivergedError, match=r"^shard \d: training diverged in epoch 0") as raised:
        on_dask.fit(
            net,
            *arrays(1e6 * X, Y),
            client=client,
            n_shards=SHARDS,
            timeout=20,
            optimizer=SGD(10.0),
            epochs=2,
        )
    assert raised.value.epoch == 0
    assert np.isfinite(net.params).all()


def test_an_engine_of_arrays_in_memory(client):
    engine = Workers(client, timeout=20)
    shards = [*parts(X, Y), (X[:0], Y[:0])]
    net = network()
    history = rounds.fit(net, shards, engine=engine, **OPTIONS)
    kept = wait_for(lambda: len(client.cluster.scheduler.tasks) == len(shards))
    engine.release()
    assert kept
    same((net.params, history), in_process(shards))


def test_the_cluster_keeps_what_the_shards_need(client):
    """No task of a round is left when some rounds are over, nor any task after an error of a callback."""
    scheduler, counts = client.cluster.scheduler, []

    def count(event):
        counts.append(len(scheduler.tasks))
        if event.epoch == 40:
            raise OverflowError

    with pytest.raises(OverflowError) as raised:
        on_cluster(client, *arrays(X, Y), epochs=50, rounds_per_epoch=1, callbacks=[count])
    assert wait_for(lambda: not scheduler.tasks), "while the traceback exists"
    assert raised.tb is not None
    of_shards = 2 * 13 + 2 * SHARDS  # chunks, and shards before and after their checks
    of_round = SHARDS + 2
    assert len(counts) == 41 and min(counts) >= of_shards
    assert max(counts) <= of_shards + 10 * of_round  # tasks are forgotten a moment after the round


class Interrupting:
    """A source that sends SIGINT to this process while it is read, once."""

    n_blocks, n_rows = 13, N
    reads = 0

    def read(self, block):
        Interrupting.reads += 1
        if Interrupting.reads == 60:
            os.kill(os.getpid(), signal.SIGINT)
        rows = slice(block * CHUNK, (block + 1) * CHUNK)
        yield X[rows], Y[rows]


def test_ctrl_c_leaves_no_task_and_the_best_weights(client, ctrl_c):
    losses, params = [], []

    def keep(event):
        losses.append(event.history.val_loss[-1])
        params.append(event.net.params.copy())

    net = network()
    with pytest.raises(KeyboardInterrupt):
        on_dask.fit(
            net, Interrupting(), X_val=sources.arrays(X, Y), client=client, n_shards=SHARDS, timeout=20,
            callbacks=[keep], epochs=1000, rounds_per_epoch=1,
        )  # fmt: skip
    np.testing.assert_array_equal(net.params, params[np.argmin(losses)])


def test_checkpoint_and_resume_with_another_number_of_workers(client, tmp_path):
    path = tmp_path / "rounds.npz"
    whole = on_cluster(client, *arrays(X, Y), epochs=6)

    def stop(event):
        if event.epoch == 4:
            raise OverflowError

    with pytest.raises(OverflowError):
        on_cluster(client, *arrays(X, Y), epochs=6, checkpoint=path, callbacks=[stop])
    with (
        cluster_of(1) as other,
        Client(other, set_as_default=False) as client_of_one,
    ):
        same(on_cluster(client_of_one, *arrays(X, Y), epochs=6, checkpoint=path, resume=True), whole)
    with pytest.raises(ValueError, match="shards"):
        on_cluster(client, *arrays(X, Y), epochs=6, checkpoint=path, resume=True, n_shards=3)
