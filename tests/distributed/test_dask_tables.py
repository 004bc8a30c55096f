"""DaskTableClassifier and DaskTableRegressor on raw tables of a Dask cluster."""

import gc
import pickle
import sys
import threading
from types import SimpleNamespace

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from clusters import cluster_of
from distributed import Client
from sklearn.base import clone, is_classifier, is_regressor
from table_models import table_of, target_of

import dnn
from dnn import TableClassifier, TableEncoder, TableRegressor
from dnn.distributed.dask import DaskTableClassifier, DaskTableRegressor
from dnn.distributed.dask_tables import batch_of, folds_for, frame_of, sample_of
from dnn.distributed.table_members import BestRound, Member, held_out_of
from dnn.distributed.table_shards import encoded_shard, learned_encoder, look, sampled_rows, share_of
from dnn.training.history import History

pytestmark = pytest.mark.long  # a cluster takes seconds to start, and is the same on every Python

N, PARTITIONS = 240, 6
OPTIONS = {
    "n_members": 2, "epochs": 6, "learning_rate_init": 0.02, "hidden_layer_sizes": (8,), "random_state": 0,
    "n_shards": 3, "rounds_per_epoch": 1,
}  # fmt: skip


def table():
    """Return a table of pandas with all kinds of columns, and its numeric target."""
    columns, y = table_of(N)
    X = pd.DataFrame(columns)
    X["day"] = pd.to_datetime(X["day"])
    X["level"] = pd.Categorical(np.array(["a", "b", "c"])[np.arange(N) % 3])
    return X, y


X, Y = table()
LABELS = target_of("binary", Y)


@pytest.fixture(scope="module")
def client():
    with cluster_of(2) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def classifier(client):
    return DaskTableClassifier(**OPTIONS).fit(*on_dask(X, LABELS))


def on_dask(X, *columns, npartitions=PARTITIONS):
    """Return a dataframe of Dask, and series in its partitions."""
    frame = X.assign(**{f"column {k}": column for k, column in enumerate(columns)})
    whole = dd.from_pandas(frame, npartitions=npartitions)
    return whole[list(X.columns)], *(whole[f"column {k}"] for k in range(len(columns)))


def bits(est):
    """Return all weights, and what was learned beside them."""
    local = est.to_local()
    others = [local.temperature_] if hasattr(local, "temperature_") else local._residuals
    return np.concatenate([*(net.params for net in local.members_), others])


# Predictions


def test_predictions_of_dask_are_lazy_and_those_of_the_local_estimator(classifier):
    local = classifier.to_local()
    assert type(local) is TableClassifier and (local.predict(X) == LABELS).mean() > 0.7
    frame = on_dask(X)[0]
    lazy, p = classifier.predict(frame), classifier.predict_proba(frame)
    assert isinstance(lazy, dd.Series) and isinstance(p, dd.DataFrame) and list(p.columns) == ["no", "yes"]
    found = lazy.compute()
    assert found.index.equals(X.index) and (found.to_numpy() == local.predict(X)).all()
    assert lazy.dtype == found.dtype  # what Dask said before
    np.testing.assert_array_equal(p.compute().to_numpy(), local.predict_proba(X))
    assert (classifier.predict(X) == local.predict(X)).all()  # a table in memory
    assert classifier.score(*on_dask(X, LABELS)) == local.score(X, LABELS)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask calls pandas so where it reads Parquet files
def test_a_path_is_fitted_and_predicted_on_the_workers(classifier, tmp_path):
    whole = dd.from_pandas(X.assign(target=LABELS), npartitions=PARTITIONS)
    whole.to_parquet(tmp_path / "rows", write_index=False)
    pattern = str(tmp_path / "rows" / "*.parquet")
    est = DaskTableClassifier(**OPTIONS).fit(pattern, "target")
    assert (bits(est) == bits(classifier)).all()
    assert "target" not in est.feature_names_in_
    p = est.predict_proba(pattern).compute().to_numpy()
    np.testing.assert_array_equal(p, est.to_local().predict_proba(X))
    assert est.score(pattern, "target") == est.to_local().score(X, LABELS)
    several = sorted(map(str, (tmp_path / "rows").glob("*.parquet")))
    assert (bits(DaskTableClassifier(**OPTIONS).fit(several, "target")) == bits(classifier)).all()


def test_arrays_without_names():
    values = np.random.default_rng(0).normal(size=(120, 3))
    with cluster_of(1) as cluster, Client(cluster):
        rows = da.from_array(values, chunks=(30, 3))
        est = DaskTableRegressor(**OPTIONS).fit(rows, rows[:, 0])
        found = est.predict(rows)
        assert isinstance(found, da.Array) and found.shape == (120,)
        np.testing.assert_array_equal(found.compute(), est.to_local().predict(values))
        assert not hasattr(est, "feature_names_in_") and est.n_features_in_ == 3


# The local estimator


def test_the_local_estimator_is_saved_with_its_training(classifier, tmp_path):
    local = classifier.to_local()
    local.save(tmp_path / "model.safetensors")
    again = dnn.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), local.predict_proba(X))
    assert local.validation_score_ == again.validation_score_ == classifier.validation_score_
    assert again.summary_["n_rows"] == N and len(again.histories_) == 2
    assert 0 < again.summary_["confusion"].sum() <= N / 4 + 1  # rows of one fold or two, each once
    assert np.isfinite(local.predictor()({name: X[name][0] for name in X})).all()


def test_the_local_estimator_writes_a_report(classifier, tmp_path):
    classifier.to_local().report(tmp_path / "report.html")
    assert "confusion" in (tmp_path / "report.html").read_text().casefold()


def test_a_regressor_learns_the_scale_of_all_rows(client):
    frame, y = on_dask(X, 100 * Y)
    est = DaskTableRegressor(**OPTIONS | {"epochs": 30}).fit(frame, y)
    local = est.to_local()
    assert type(local) is TableRegressor and local.score(X, 100 * Y) > 0.7
    np.testing.assert_allclose(
        [local._mean, local._scale, local._low, local._high],
        [np.mean(100 * Y), np.std(100 * Y), np.min(100 * Y), np.max(100 * Y)], rtol=1e-12,
    )  # fmt: skip
    low, high = local.predict_interval(X, 0.9).T
    assert 0.6 < ((low <= 100 * Y) & (100 * Y <= high)).mean() <= 1
    assert is_regressor(est) and is_classifier(DaskTableClassifier())


def test_several_classes_that_not_all_shards_have(client):
    y = target_of("multiclass", Y)
    order = np.argsort(y, kind="stable")  # each partition has one class or two
    est = DaskTableClassifier(**OPTIONS).fit(*on_dask(X.iloc[order].reset_index(drop=True), y[order]))
    assert est.classes_.tolist() == ["low", "mid", "top"]
    assert est.predict_proba(X).shape == (N, 3)


def test_the_cluster_forgets_all_tasks(client):
    frame, y = on_dask(X, LABELS)
    DaskTableClassifier(**OPTIONS | {"epochs": 1}).fit(frame, y)
    pause = threading.Event()
    for _ in range(500):
        gc.collect()  # a future in a circle of references keeps its tasks until then
        if not client.cluster.scheduler.tasks:
            return
        pause.wait(0.02)
    raise AssertionError(list(client.cluster.scheduler.tasks))


# Bits


@pytest.mark.parametrize("n_workers", [1, 4])
def test_the_number_of_workers_changes_no_bit(classifier, n_workers):
    with cluster_of(n_workers) as cluster, Client(cluster) as client:
        est = DaskTableClassifier(**OPTIONS, client=client).fit(*on_dask(X, LABELS))
    assert (bits(est) == bits(classifier)).all()


def test_encoded_rows_are_those_of_one_process():
    local = TableClassifier()
    codes, _ = local._read_target(LABELS)
    shards = [(X[k::3], LABELS[k::3], None) for k in range(3)]
    sizes = [len(shard[0]) for shard in shards]
    firsts = np.cumsum([0, *sizes])
    parts = [sampled_rows(shard, np.arange(n), local) for shard, n in zip(shards, sizes, strict=True)]
    learned = learned_encoder(parts, TableEncoder(task="classification", random_state=3), N)
    found = [
        encoded_shard(
            k, shard, share_of(learned, firsts[k], firsts[k + 1]), np.arange(sizes[k]), local, None, 8, 0,
            int(firsts[k]),
        )
        for k, shard in enumerate(shards)
    ]  # fmt: skip
    order = np.concatenate([np.arange(N)[k::3] for k in range(3)])
    alone = TableEncoder(task="classification", random_state=3).fit_rows(X.iloc[order], codes[order])
    for kind in range(2):
        together = np.concatenate([shard.kinds[kind][:] for shard in found])
        np.testing.assert_array_equal(together, alone[kind][:])
    folds = np.bincount(np.concatenate([shard.folds for shard in found]))
    assert folds.min() >= N // 8 - 1 and len(folds) == 8


def test_small_shards_have_different_folds():
    local = TableRegressor()
    local._read_target(Y)
    encoder = TableEncoder(task="regression").fit(X, Y)
    none = encoder, [np.zeros((0, code.table.shape[1])) for code in encoder.encoding_.categories]
    folds = []
    for first in range(0, 24, 3):
        shard = (X[first : first + 3], Y[first : first + 3], None)
        folds += encoded_shard(0, shard, none, np.zeros(0, int), local, None, 8, 0, first).folds.tolist()
    assert np.bincount(folds).tolist() == [3] * 8


def test_multiples_of_weights_change_no_bit(client):
    weights = np.random.default_rng(1).integers(0, 3, N).astype(float)
    frame, y, once, four = on_dask(X, LABELS, weights, 4 * weights)
    ests = [DaskTableClassifier(**OPTIONS).fit(frame, y, each) for each in (once, four)]
    assert (bits(ests[0]) == bits(ests[1])).all()
    whole = dd.from_pandas(X.assign(y=LABELS, w=weights), npartitions=PARTITIONS)
    assert (bits(DaskTableClassifier(**OPTIONS).fit(whole, "y", "w")) == bits(ests[0])).all()


def test_balanced_classes_are_those_of_all_rows(client, classifier):
    counts = dict(zip(*np.unique(LABELS, return_counts=True), strict=True))
    of_classes = {str(label): N / (2 * n) for label, n in counts.items()}
    data = on_dask(X, LABELS)
    balanced, given = (
        DaskTableClassifier(**OPTIONS, class_weight=each).fit(*data) for each in ("balanced", of_classes)
    )
    assert (bits(balanced) == bits(given)).all() and not (bits(balanced) == bits(classifier)).all()
    assert balanced.to_local().class_weight == "balanced"


# Uneven shards


def test_shards_without_rows_levels_or_values(client):
    uneven = X.copy()
    uneven["code"] = np.where(np.arange(N) < 40, "only here", uneven["code"].astype(str))
    uneven.loc[40:79, "some"] = None  # the second partition
    whole = dd.from_pandas(uneven.assign(y=LABELS, part=np.repeat(np.arange(6), 40)), npartitions=PARTITIONS)
    whole = dd.concat([whole[whole.part == 9], whole])  # as many partitions without rows
    est = DaskTableClassifier(**OPTIONS | {"n_shards": 12}).fit(whole.drop(columns="part"), "y")
    columns = {column.name: column for column in est.to_local().encoder_.columns_.columns}
    assert "only here" in columns["code"].levels
    assert columns["some"].missing > 40 / N
    found = est.predict(whole).compute()
    assert (found.to_numpy() == est.predict(uneven)).all()


def test_a_sample_of_the_rows_teaches_the_encoder(client):
    frame, y = on_dask(X, 100 * Y)
    est = DaskTableRegressor(**OPTIONS, sample_rows=60).fit(frame, y)
    size = next(c for c in est.to_local().encoder_.columns_.columns if c.name == "size")
    assert X["size"].min() < size.low < size.high < X["size"].max()
    assert est.to_local().summary_["n_rows"] == N
    late = X.assign(size=X["size"].astype(object))
    late.loc[7, "size"] = "large"
    with pytest.raises(ValueError, match=r"shard 0: column 'size' of X must hold numbers, as in fit, got"):
        est.fit(dd.from_pandas(late.astype({"size": str}), npartitions=6), on_dask(X, Y)[1])


# Errors


def changed(column, row, value):
    found = X.assign(y=LABELS if isinstance(value, (str, type(None))) else Y, w=1.0)
    found.loc[row, column] = value
    return dd.from_pandas(found, npartitions=PARTITIONS)


REFUSED = {
    "y": (lambda: (on_dask(X)[0], None), {}, "y must be a series of Dask or the name of a column of X"),
    "column": (lambda: (on_dask(X)[0], "target"), {}, "y must be a column of X, got 'target'"),
    "names": (lambda: (*on_dask(X, Y), "w"), {}, "y and sample_weight must both be names of columns"),
    "memory": (lambda: (X, "size"), {}, "X must be a dataframe of Dask or a path of Parquet files, got Data"),
    "nan": (lambda: (changed("y", 50, np.nan), "y"), {}, r"shard 1: y must be finite, got nan in row 10"),
    "negative": (lambda: (changed("w", 3, -1.0), "y", "w"), {}, "shard 0: sample_weight must not be neg"),
    "infinite": (lambda: (changed("tail", 9, np.inf), "y"), {}, "column 'tail' of X must hold finite"),
    "time_limit": (lambda: on_dask(X, Y), {"time_limit": 3.0}, "time_limit must be None on a cluster"),
    "sample_rows": (lambda: on_dask(X, Y), {"sample_rows": 1}, "sample_rows must be at least 2, got 1"),
    "n_shards": (lambda: on_dask(X, Y), {"n_shards": 0}, "n_shards must be at least 1, got 0"),
    "rounds": (lambda: on_dask(X, Y), {"rounds_per_epoch": 0}, "rounds_per_epoch must be at least 1, got 0"),
    "outer": (lambda: on_dask(X, Y), {"outer": 0.9}, "outer must be Nesterov"),
    "metric": (lambda: on_dask(X, Y), {"metric": "r2"}, "metric must be"),
    "partitions": (lambda: (on_dask(X)[0], on_dask(X, Y, npartitions=4)[1]), {}, "y must have the chunks"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_calls_leave_the_estimator_as_it_was(client, name):
    data, options, message = REFUSED[name]
    est = DaskTableRegressor(**OPTIONS | options)
    est.local_ = SimpleNamespace()  # of a fit before
    before = dict(vars(est))
    with pytest.raises((TypeError, ValueError), match=message):
        est.fit(*data())
    assert vars(est) == before


@pytest.mark.parametrize("label", [None, "?"])
def test_labels(client, label):
    data = changed("y", 50, label)
    if label is not None:  # any text is a label
        assert len(DaskTableClassifier(**OPTIONS | {"epochs": 1}).fit(data, "y").classes_) == 3
        return
    with pytest.raises(ValueError, match=r"shard 1: y must have no missing labels, got .* in row 10"):
        DaskTableClassifier(**OPTIONS).fit(data, "y")


def test_targets_that_are_no_classes(client):
    with pytest.raises(ValueError, match="y must have at least 2 classes, got only 1: 'yes'"):
        DaskTableClassifier(**OPTIONS).fit(*on_dask(X, ["yes"] * N))
    with pytest.raises(ValueError, match=r"shard \d: y must hold labels of classes, got the number \d+\.5"):
        DaskTableClassifier(**OPTIONS).fit(*on_dask(X, np.arange(N) + 0.5))
    with pytest.raises(ValueError, match="class_weight must have labels of y, got 'maybe'"):
        DaskTableClassifier(**OPTIONS, class_weight={"maybe": 2.0}).fit(*on_dask(X, LABELS))
    with pytest.raises(ValueError, match="sample_weight must be above 0 in at least 2 rows"):
        DaskTableClassifier(**OPTIONS).fit(*on_dask(X, LABELS, np.zeros(N)))


# Parts that need no cluster


def test_parameters_are_those_of_the_local_estimator_and_more():
    est = DaskTableClassifier(n_members=3, metric="accuracy")
    assert set(TableClassifier().get_params()) < set(est.get_params())
    assert clone(est).get_params() == est.get_params()
    assert pickle.loads(pickle.dumps(est)).n_members == 3
    with pytest.raises(TypeError, match="n_networks"):
        DaskTableClassifier(n_networks=3)


def test_a_path_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(ImportError, match=r"a path of Parquet files needs .*pip install 'dnn-core\[dask\]'"):
        frame_of("rows.parquet")


def test_a_fitted_estimator_pickles(classifier):
    again = pickle.loads(pickle.dumps(classifier))
    assert again.client is None and (again.predict(X) == classifier.predict(X)).all()


def test_a_sample_has_a_row_of_each_part():
    found = sample_of(10**6, 1000, np.random.default_rng(0))
    assert (found // 1000 == np.arange(1000)).all() and len(np.unique(found % 1000)) > 500
    assert len(np.unique(sample_of(11, 7, np.random.default_rng(0)))) == 7


def test_sizes_follow_the_rows_and_the_shards():
    assert [batch_of(256, k) for k in (1, 2, 4, 8, 16, 64)] == [256, 128, 64, 32, 16, 16]
    assert batch_of(8, 16) == 8
    assert folds_for(10**6, 4) == 10


def test_the_survey_of_a_shard():
    n, (labels, counts) = look(0, (X, LABELS, None), TableClassifier())
    assert (n, labels.tolist(), counts.sum()) == (N, ["no", "yes"], N)
    with pytest.raises(ValueError, match=f"shard 4: y must have {N} rows, as X has, got 3"):
        look(4, (X, LABELS[:3], None), TableClassifier())


def test_rows_that_two_members_have_not_seen_count_once():
    rows = np.array([[1.0], [3.0]]), np.array([0, 1]), None
    other = np.array([[3.0], [5.0]]), np.array([0, 1]), None
    members = [
        Member(None, History("log_loss"), fold, held) for fold, held in ((2, rows), (2, other), (0, rows))
    ]
    logits, y, weights = held_out_of(members)
    assert logits.ravel().tolist() == [2.0, 4.0, 1.0, 3.0] and y.tolist() == [0, 1, 0, 1] and weights is None


def test_the_best_round_is_kept_until_patience_ends(monkeypatch):
    scores = iter([3.0, float("nan"), 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("dnn.distributed.table_members.result_of", lambda engine, future: next(scores))
    client = SimpleNamespace(submit=lambda *args, **options: None)
    recipe = SimpleNamespace(patience=1)
    best = BestRound(
        SimpleNamespace(recipe=recipe, rounds_per_epoch=3, engine=SimpleNamespace(client=client), local=None),
        None, None,
    )  # fmt: skip
    stops = []
    for k in range(6):
        net = SimpleNamespace(params=np.array([float(k)]))
        best(SimpleNamespace(net=net, stop=lambda k=k: stops.append(k)))
    best.end(net)
    assert stops == [5] and best.best == 2 and net.params.tolist() == [2.0]
