"""DaskMLPClassifier and DaskMLPRegressor on data of a Dask cluster."""

import pickle

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from clusters import cluster_of
from distributed import Client
from sklearn.base import clone, is_classifier, is_regressor

import dnn
from dnn import SGD, MLPClassifier, MLPRegressor, Stream, sources
from dnn.distributed.dask import DaskMLPClassifier, DaskMLPRegressor
from dnn.distributed.rounds import Nesterov, RoundHistory

pytestmark = pytest.mark.long  # a cluster takes seconds to start, and is the same on every Python

N, CHUNK = 160, 20
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=N)
LABELS = np.where(Y > 0.3, "yes", "no")
OPTIONS = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_shards": 3, "rounds_per_epoch": 2, "random_state": 0}


@pytest.fixture(scope="module")
def client():
    with cluster_of(2) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def classifier(client):
    return DaskMLPClassifier(**OPTIONS).fit(*arrays(X, LABELS))


def arrays(*given):
    """Return arrays of Dask with chunks of the same rows."""
    return tuple(da.from_array(each, chunks=(CHUNK, *each.shape[1:])) for each in given)


def frames(*columns):
    """Return X as a dataframe of Dask with names, and series in its partitions."""
    names = ["a", "b", "c"]
    whole = pd.DataFrame(X, columns=names).assign(**{f"y{k}": each for k, each in enumerate(columns)})
    parts = dd.from_pandas(whole, npartitions=N // CHUNK)
    return parts[names], *(parts[f"y{k}"] for k in range(len(columns)))


def params(est):
    return est.to_local().network_.params


# Data and predictions


def test_predictions_of_arrays_are_lazy_and_those_of_the_local_estimator(classifier):
    local = classifier.to_local()
    assert type(local) is MLPClassifier and local.classes_.tolist() == ["no", "yes"]
    (rows,) = arrays(X)
    lazy, p = classifier.predict(rows), classifier.predict_proba(rows)
    assert isinstance(lazy, da.Array) and lazy.dtype == local.predict(X).dtype and p.shape == (N, 2)
    assert (lazy.compute() == local.predict(X)).all()
    np.testing.assert_array_equal(p.compute(), local.predict_proba(X))
    columns = rows.rechunk((CHUNK, 2))  # chunks of columns are put together
    np.testing.assert_array_equal(classifier.predict_proba(columns).compute(), local.predict_proba(X))
    assert (classifier.predict(X) == local.predict(X)).all()
    assert classifier.score(*arrays(X, LABELS)) == local.score(X, LABELS)


def test_dataframes_have_the_bits_of_arrays_and_names(classifier):
    est = DaskMLPClassifier(**OPTIONS).fit(*frames(LABELS))
    assert (params(est) == params(classifier)).all()
    assert est.feature_names_in_.tolist() == ["a", "b", "c"] and not hasattr(classifier, "feature_names_in_")
    rows = frames()[0]
    found = est.predict(rows)
    assert isinstance(found, dd.Series) and found.dtype == found.compute().dtype
    assert (found.compute().to_numpy() == classifier.predict(X)).all()
    assert list(est.predict_proba(rows).columns) == ["no", "yes"]
    assert est.score(*frames(LABELS)) == classifier.score(X, LABELS)
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(rows.rename(columns={"a": "z"})).compute()


def test_partitions_without_rows():
    with cluster_of(1) as cluster, Client(cluster):
        rows, y = frames(Y)
        whole = rows.assign(y=y)
        whole = dd.concat([whole[whole.a > 99], whole])
        est = DaskMLPRegressor(**OPTIONS | {"n_shards": 16}).fit(whole[["a", "b", "c"]], whole["y"])
        assert est.predict(whole[["a", "b", "c"]]).compute().shape == (N,)


def test_regression_of_one_output_and_of_several(client):
    one = DaskMLPRegressor(**OPTIONS | {"max_iter": 40}, learning_rate_init=0.02).fit(*arrays(X, Y))
    assert one.score(*arrays(X, Y)) == one.to_local().score(X, Y) > 0.8
    assert is_regressor(one) and is_classifier(DaskMLPClassifier())
    both = np.stack([Y, -Y], axis=1)
    est = DaskMLPRegressor(**OPTIONS).fit(*arrays(X, both))
    rows = arrays(X)[0]
    assert est.predict(rows).shape == (N, 2)
    np.testing.assert_array_equal(est.predict(rows).compute(), est.to_local().predict(X))


def test_several_labels_at_once(client):
    labels = np.stack([Y > 0, X[:, 0] > 0], axis=1).astype(int)
    est = DaskMLPClassifier(**OPTIONS).fit(*arrays(X, labels))
    assert est.predict(arrays(X)[0]).compute().shape == (N, 2)


@pytest.mark.parametrize("streamed", [False, True])
def test_sources_are_read_by_the_workers(client, streamed):
    source = sources.arrays(X, LABELS, block_rows=CHUNK)
    est = DaskMLPClassifier(**OPTIONS).fit(Stream(source) if streamed else source)
    assert est.classes_.tolist() == ["no", "yes"] and est.history_.n_rows[:2] != [0, 0]
    assert sum(est.history_.n_rows) == N * OPTIONS["max_iter"]


# Laws


def test_the_number_of_workers_changes_no_bit(classifier):
    with cluster_of(4) as cluster, Client(cluster) as client:
        est = DaskMLPClassifier(**OPTIONS, client=client).fit(*arrays(X, LABELS))
    assert (params(est) == params(classifier)).all()


def test_one_shard_averaged_once_per_epoch_is_a_training_of_one_process(client):
    options = {"hidden_layer_sizes": (6,), "max_iter": 3, "batch_size": 16, "random_state": 0, "alpha": 0.1}
    est = DaskMLPRegressor(**options, n_shards=1, rounds_per_epoch=1, outer=None).fit(*arrays(X, Y))
    rng = np.random.RandomState(0)
    net = MLPRegressor(**options)._network([3, 6, 1], np.float64, rng)  # the weights are drawn first
    seed = int.from_bytes(rng.bytes(8), "little")
    order = lambda epoch: np.random.default_rng([seed, 0, epoch]).permutation(N)  # noqa: E731
    net.fit(
        X, Y, optimizer=dnn.Adam(0.002, epsilon_form="uncorrected"), epochs=3, batch_size=16, order=order,
        alpha=0.1,
    )  # fmt: skip
    np.testing.assert_allclose(params(est), net.params, rtol=1e-14)  # p * n / n is rounded


def test_what_is_auto_depends_on_the_shards(client):
    options = {name: OPTIONS[name] for name in ("hidden_layer_sizes", "max_iter", "random_state")}
    data = arrays(X, Y)
    for n_shards, chosen in (
        (4, {"batch_size": 32, "outer": None}),
        (8, {"batch_size": 16, "outer": Nesterov(1.0, 0.5)}),
    ):
        auto = DaskMLPRegressor(**options, n_shards=n_shards).fit(*data)
        given = DaskMLPRegressor(**options, n_shards=n_shards, rounds_per_epoch=4, **chosen).fit(*data)
        assert (params(auto) == params(given)).all() and len(auto.history_.loss) == 4 * options["max_iter"]


def test_multiples_of_weights_change_no_bit(client):
    weights = RNG.integers(1, 4, N).astype(float)
    ests = [
        DaskMLPClassifier(**OPTIONS, alpha=0.0).fit(*arrays(X, LABELS, w)) for w in (weights, 4 * weights)
    ]
    assert (params(ests[0]) == params(ests[1])).all()
    plain = DaskMLPClassifier(**OPTIONS, alpha=0.0).fit(*arrays(X, LABELS, np.ones(N)))
    assert not (params(ests[0]) == params(plain)).all()


def test_weights_of_classes(client, classifier):
    counts = dict(zip(*np.unique(LABELS, return_counts=True), strict=True))
    of_classes = {str(label): N / (2 * n) for label, n in counts.items()}
    balanced, given, as_weights = (
        DaskMLPClassifier(**OPTIONS, class_weight=kind).fit(*arrays(X, LABELS, *weights))
        for kind, weights in (
            ("balanced", ()), (of_classes, ()), (None, [np.array([of_classes[label] for label in LABELS])]),
        )
    )  # fmt: skip
    assert (params(balanced) == params(given)).all() and (params(given) == params(as_weights)).all()
    assert not (params(balanced) == params(classifier)).all()
    assert balanced.class_weight == balanced.to_local().class_weight == "balanced"


# Ends of a training


def test_early_stopping_keeps_the_best_round(client):
    rows = arrays(X, LABELS)
    est = DaskMLPClassifier(
        **OPTIONS | {"max_iter": 100},
        early_stopping=True,
        n_iter_no_change=2,
        learning_rate_init=0.1,
        tol=0.0,
    ).fit(*rows, X_val=rows[0], y_val=rows[1])
    history = est.history_
    assert type(history) is RoundHistory and history.stopped_by == "patience"
    assert len(history.val_loss) == len(history.loss) == history.best_epoch + 1 + 2 * 2
    assert est.to_local().network_.losses(X, (LABELS == "yes") * 1.0).mean() == pytest.approx(
        min(history.val_loss), rel=1e-6
    )


def test_tol_ends_a_training(client):
    options = OPTIONS | {"max_iter": 100, "tol": 10.0, "n_iter_no_change": 3}
    est = DaskMLPRegressor(**options).fit(*arrays(X, Y))
    assert est.history_.stopped_by == "tol" and est.to_local().n_iter_ == 5
    assert len(est.to_local().loss_curve_) == 5 and len(est.history_.loss) == 10


def test_an_adaptive_rate_is_lowered_before_the_end(client):
    options = OPTIONS | {"max_iter": 12, "tol": 10.0, "n_iter_no_change": 3}
    options |= {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05}
    est = DaskMLPRegressor(**options).fit(*arrays(X, Y))
    rates = est.history_.rate[::2]
    assert rates[0] == 0.05 and rates[-1] < 0.05 and est.history_.stopped_by == "epochs"
    assert len(set(rates)) > 1 and all(np.diff(rates) <= 0)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "sgd", "learning_rate": "invscaling"}, {"solver": "sgd", "learning_rate": "adaptive"}],
    ids=["adam", "invscaling", "adaptive"],
)
def test_a_training_resumes_to_the_same_bits(client, tmp_path, options):
    options = OPTIONS | {"max_iter": 6, "tol": 0.5, "n_iter_no_change": 1} | options
    data = arrays(X, Y)
    whole = DaskMLPRegressor(**options).fit(*data)

    def interrupt(event):
        if event.epoch == 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        DaskMLPRegressor(**options, callbacks=[interrupt]).fit(*data, checkpoint=tmp_path / "state")
    est = DaskMLPRegressor(**options).fit(*data, checkpoint=tmp_path / "state", resume=True)
    assert (params(est) == params(whole)).all() and est.history_.loss == whole.history_.loss
    assert est.history_.rate == whole.history_.rate and est.history_.stopped_by == whole.history_.stopped_by
    with pytest.raises(ValueError, match="epochs"):
        DaskMLPRegressor(**options | {"max_iter": 9}).fit(*data, checkpoint=tmp_path / "state", resume=True)


# Parameters and errors


def test_parameters_are_those_of_the_local_estimator_and_more():
    est = DaskMLPClassifier(alpha=0.5, n_shards=3, outer=Nesterov(0.5, 0.5))
    assert set(MLPClassifier().get_params()) < set(est.get_params())
    assert est.batch_size == est.rounds_per_epoch == "auto" and est.get_params()["alpha"] == 0.5
    assert clone(est).get_params() == est.get_params()
    assert clone(est).set_params(alpha=2.0).alpha == 2.0
    again = pickle.loads(pickle.dumps(est))
    assert again.get_params() == est.get_params()
    with pytest.raises(TypeError, match="n_units"):
        DaskMLPClassifier(n_units=3)
    with pytest.raises(ValueError, match="Invalid parameter 'n_units'"):
        est.set_params(n_units=3)


def test_a_fitted_estimator_pickles_and_saves(classifier, tmp_path):
    again = pickle.loads(pickle.dumps(classifier))
    assert again.client is None and (again.predict(X) == classifier.predict(X)).all()
    classifier.to_local().save(tmp_path / "model")
    assert (dnn.load(tmp_path / "model").predict(X) == classifier.predict(X)).all()


REFUSED = {
    "X": (lambda: (X, arrays(Y)[0]), {}, {}, "X must be an array or a dataframe of Dask, got ndarray"),
    "y": (lambda: arrays(X), {}, {}, "y must be an array or a dataframe of Dask, got NoneType"),
    "chunks": (lambda: (arrays(X)[0], arrays(Y)[0].rechunk(40)), {}, {}, "y must have the chunks of rows of"),
    "nan": (lambda: arrays(np.where(X == X[50, 1], np.nan, X), Y), {}, {}, "shard 2: X must be finite"),
    "y_nan": (lambda: arrays(X, np.where(Y == Y[50], np.nan, Y)), {}, {}, "shard 2: y must be finite"),
    "text": (lambda: arrays(X, LABELS), {}, {}, "y must hold"),
    "weights": (lambda: arrays(X, Y, np.full(N, -1.0)), {}, {}, "sample_weight must not be negative"),
    "early": (lambda: arrays(X, Y), {"early_stopping": True}, {}, "early_stopping=True must come with X_val"),
    "y_val": (lambda: arrays(X, Y), {}, {"X_val": arrays(X)[0]}, "y_val must be an array or a dataframe"),
    "lbfgs": (lambda: arrays(X, Y), {"solver": "lbfgs"}, {}, "solver must take steps on a cluster"),
    "warm": (lambda: arrays(X, Y), {"warm_start": True}, {}, "warm_start must be False on a cluster"),
    "shuffle": (lambda: arrays(X, Y), {"shuffle": False}, {}, "shuffle must be True on a cluster"),
    "alpha": (lambda: arrays(X, Y), {"alpha": -1.0}, {}, "alpha.*-1"),
    "batch": (lambda: arrays(X, Y), {"batch_size": 0}, {}, "batch_size must be at least 1, got 0"),
    "outer": (lambda: arrays(X, Y), {"outer": 0.9}, {}, "outer must be Nesterov"),
    "rounds": (lambda: arrays(X, Y), {"rounds_per_epoch": 0}, {}, "rounds_per_epoch must be at least 1"),
    "n_shards": (lambda: arrays(X, Y), {"n_shards": 0}, {}, "n_shards must be at least 1, got 0"),
    "empty": (lambda: arrays(X[:0], Y[:0]), {}, {}, "X must have at least one row, got none"),
    "resume": (lambda: arrays(X, Y), {}, {"resume": True}, "resume must come with checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_calls_leave_the_estimator_as_it_was(client, name):
    data, options, more, message = REFUSED[name]
    est = DaskMLPRegressor(**OPTIONS | options)
    est.local_ = "of a fit before"
    before = dict(vars(est))
    with pytest.raises((TypeError, ValueError), match=message):
        est.fit(*data(), **more)
    assert vars(est) == before


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (lambda: arrays(X, LABELS), {"class_weight": {"maybe": 2.0}}, "class_weight"),
        (
            lambda: arrays(X, LABELS),
            {"class_weight": "equal"},
            'class_weight must be a dict, "balanced" or None, got .equal',
        ),
        (
            lambda: arrays(X, np.where(Y == Y[50], np.nan, Y > 0)),
            {},
            r"shard 2: y must have no missing labels, got .*nan.* in row 10",
        ),
    ],
    ids=["label", "word", "nan"],
)
def test_refused_labels(client, data, options, message):
    with pytest.raises(ValueError, match=message):
        DaskMLPClassifier(**OPTIONS, **options).fit(*data())


def test_a_solver_of_your_own(client):
    est = DaskMLPRegressor(**OPTIONS | {"solver": SGD(0.01, momentum=0.9)}).fit(*arrays(X, Y))
    assert np.isfinite(params(est)).all()
