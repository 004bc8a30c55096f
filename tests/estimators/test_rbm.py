"""BernoulliRBM: the steps of the oracle, threads and chunks, scikit-learn's interface, refusals."""

import copy
import pickle
import signal
import threading
import time

import numpy as np
import pytest
import reference_draws as ref
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from dnn import BernoulliRBM, MLPClassifier, _core


def pictures(n=60, n_features=20, dtype="float64"):
    """Return rows with values between 0 and 1, of which neighbors are similar."""
    rng = np.random.default_rng(0)
    return np.clip(rng.random((n, 1)) + rng.normal(0, 0.4, (n, n_features)), 0, 1).astype(dtype)


ARRAYS = ("components_", "intercept_hidden_", "intercept_visible_", "h_samples_")


def arrays_of(rbm):
    return {name: getattr(rbm, name) for name in ARRAYS}


def assert_same(found, expected, same=True):
    for name, array in arrays_of(expected).items():
        assert (getattr(found, name) == array).all() == same, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "cd"])
@pytest.mark.parametrize(("n_steps", "batch", "n_hidden"), [(1, 7, 12), (3, 7, 12), (1, 45, 30), (2, 100, 3)])
def test_steps_are_those_of_the_oracle(n_steps, batch, n_hidden, persistent, dtype, isa):
    """60 rows: the last batch is short, and the batch of 45 has two tiles of rows."""
    X = pictures(dtype=dtype)
    rbm = BernoulliRBM(
        n_hidden, learning_rate=0.5, batch_size=batch, n_iter=3, n_steps=n_steps, persistent=persistent,
        random_state=0,
    )  # fmt: skip
    start = clone(rbm).set_params(n_iter=0).fit(X)
    rbm.fit(X)
    W, c, b, chains = (array.astype(float) for array in arrays_of(start).values())
    step = 0
    for _ in range(3):
        for begin in range(0, len(X), batch):
            rows = X[begin : begin + batch].astype(float)
            ref.rbm_step(W, c, b, chains, rows, 0.5, n_steps, persistent, start._sampler.seed, step)
            step += 1
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    assert rbm.components_.dtype == dtype and np.abs(W - start.components_).max() > 0.01
    for found, expected in zip(arrays_of(rbm).values(), (W, c, b, chains), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "cd"])
def test_threads_and_chunks_change_no_bit(persistent, dtype, isa, monkeypatch):
    X = pictures(300, 150, dtype)
    ask = {"batch_size": 36, "n_iter": 2, "n_steps": 2, "persistent": persistent, "random_state": 0}
    whole = BernoulliRBM(130, n_threads=1, **ask).fit(X)
    assert whole.components_.size > 2 * 8192  # several tiles of weights
    for n_threads in (2, 3):
        assert_same(BernoulliRBM(130, n_threads=n_threads, **ask).fit(X), whole)
    flops_per_row = 2 * 130 * 150 * (3 + 2 * 2)
    for n_rows, seconds in ((1, 1e-9), (200, 1e9), (1, 1e9)):  # one step per call; five; one, then eight
        monkeypatch.setattr("dnn.estimators.rbm.FLOPS_FIRST", n_rows * flops_per_row)
        monkeypatch.setattr("dnn.estimators.rbm.SECONDS", seconds)
        assert_same(BernoulliRBM(130, **ask).fit(X), whole)


def test_partial_fit_continues():
    X = pictures()
    fitted = BernoulliRBM(8, batch_size=20, n_iter=3, random_state=0).fit(X)
    by_parts = BernoulliRBM(8, batch_size=20, random_state=0)
    for part in (X, X[:40], X[40:], X):
        by_parts.partial_fit(part)
    assert_same(by_parts, fitted)
    again = fitted.fit(X)  # from new weights
    assert again is fitted
    assert_same(by_parts, fitted)


def test_sparse_rows_are_those_of_the_dense_matrix(monkeypatch):
    X = sparse.random(60, 20, 0.3, format="csr", random_state=0)
    monkeypatch.setattr("dnn.estimators.rbm.FLOPS_FIRST", 1.0)
    dense, found = (BernoulliRBM(8, random_state=0).fit(rows) for rows in (X.toarray(), X))
    assert_same(found, dense)
    for method in ("transform", "score_samples"):
        np.testing.assert_allclose(getattr(found, method)(X), getattr(dense, method)(X.toarray()), rtol=1e-12)


def test_copies_and_pickles_continue_apart():
    X = pictures()
    rbm = BernoulliRBM(8, random_state=0).fit(X)
    before = copy.deepcopy(rbm)
    others = [copy.copy(rbm), copy.deepcopy(rbm), pickle.loads(pickle.dumps(rbm))]
    for other in others:
        other.partial_fit(X)
    assert_same(rbm, before)
    rbm.partial_fit(X)
    for other in others:
        assert_same(other, rbm)
    assert_same(clone(rbm).fit(X), before)


def test_transform_gibbs_and_scores_are_those_of_the_formulas():
    X = np.round(pictures())
    rbm = BernoulliRBM(8, learning_rate=0.5, random_state=0).fit(X)
    W, c, b = rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    np.testing.assert_allclose(rbm.transform(X), sigmoid(X @ W.T + c), rtol=1e-12)
    np.testing.assert_array_equal(rbm.network_(X), rbm.transform(X))

    def unnormalized(v):  # log of the sum over h of exp(h W v + c h + b v)
        return v @ b + np.logaddexp(0, v @ W.T + c).sum(axis=1)

    scores, possible = rbm.score_samples(X), []
    for i in range(X.shape[1]):
        flipped = X.copy()
        flipped[:, i] = 1 - X[:, i]
        possible.append(-20 * np.logaddexp(0, unnormalized(flipped) - unnormalized(X)))
    assert np.isclose(scores, possible, rtol=1e-9).any(axis=0).all()

    v = np.repeat(X[:1], 20_000, axis=0)
    seed, counter = rbm._sampler.seed, rbm._sampler.counter
    found = rbm.gibbs(v)
    h = ref.bernoulli(seed, counter, v @ W.T + c)
    np.testing.assert_array_equal(found, ref.bernoulli(seed, counter + 1, h @ W + b))
    assert not (rbm.gibbs(v) == found).all()


def test_the_hash_of_rows_chooses_all_features_equally():
    from scipy import stats

    from dnn.estimators.rbm import _features_of

    rng = np.random.default_rng(0)
    for X in (
        rng.random((20_000, 30)),
        rng.integers(0, 2, (20_000, 30)),
        rng.integers(0, 17, (20_000, 30)) / 16,
    ):
        features = _features_of(X.astype("float32"))
        assert stats.chisquare(np.bincount(features, minlength=30)).pvalue > 1e-3
        order = rng.permutation(len(X))
        np.testing.assert_array_equal(_features_of(X[order].astype("float32")), features[order])


def test_chains_and_contrastive_divergence_learn_the_distribution():
    """The model has the two patterns that are in the data, and hardly any of the fourteen others."""
    rng = np.random.default_rng(0)
    X = np.array([[0, 0, 1, 1], [1, 1, 0, 0]])[rng.integers(0, 2, 2000)]
    patterns = (np.arange(16)[:, None] >> np.arange(4)) & 1
    for persistent in (True, False):
        rbm = BernoulliRBM(
            4, learning_rate=0.1, batch_size=100, n_iter=100, persistent=persistent, random_state=0
        ).fit(X)
        W, c, b = rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_
        log_p = patterns @ b + np.logaddexp(0, patterns @ W.T + c).sum(axis=1)
        p = np.exp(log_p - np.logaddexp.reduce(log_p))
        assert p[3] + p[12] > 0.9 and min(p[3], p[12]) > 0.05, p  # few chains change between the two


def test_names_of_features_and_pipelines():
    pd = pytest.importorskip("pandas")
    X, y = pd.DataFrame(pictures(), columns=[f"x{i}" for i in range(20)]), np.arange(60) % 2
    rbm = BernoulliRBM(3, random_state=0).set_output(transform="pandas").fit(X)
    assert list(rbm.feature_names_in_) == list(X.columns)
    assert list(rbm.get_feature_names_out()) == ["bernoullirbm0", "bernoullirbm1", "bernoullirbm2"]
    assert list(rbm.transform(X).columns) == list(rbm.get_feature_names_out())
    model = make_pipeline(BernoulliRBM(3, random_state=0), MLPClassifier((4,), solver="lbfgs", max_iter=5000))
    assert model.fit(X, y).predict(X).shape == (60,)


def test_verbose_prints_a_line_per_pass(capsys):
    BernoulliRBM(3, n_iter=2, verbose=1, random_state=0).fit(pictures())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("[BernoulliRBM] Iteration 2, pseudo-likelihood = -1")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be at least 1, got 0"),
        ({"n_components": 2.0}, TypeError, "n_components must be a whole number, got 2.0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be finite and above 0, got 0"),
        ({"n_iter": -1}, ValueError, "n_iter must be at least 0, got -1"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"persistent": "yes"}, TypeError, "persistent must be True or False, got 'yes'"),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64, got 'float16'"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
        ({"verbose": -1}, ValueError, "verbose must be at least 0, got -1"),
        ({"random_state": "a"}, ValueError, "random_state must be None, a whole number"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refused_parameters_change_nothing(parameters, error, message):
    X = pictures()
    rbm = BernoulliRBM(4, random_state=0).fit(X)
    before = copy.deepcopy(vars(rbm))
    rbm.set_params(**parameters)
    with pytest.raises(error, match=message):
        rbm.fit(X[:, :7])
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(rbm, name), before[name])
    for name in ("n_features_in_", "_n_features_out"):
        assert vars(rbm)[name] == before[name]
    assert vars(rbm._sampler) == vars(before["_sampler"])


def test_refused_rows_change_nothing():
    X = pictures()
    rbm = BernoulliRBM(4, random_state=0).fit(X)
    before = copy.deepcopy(rbm)
    for call in (rbm.fit, rbm.partial_fit, rbm.transform, rbm.gibbs, rbm.score_samples):
        with pytest.raises(ValueError, match="NaN"):
            call(np.where(X > 0.5, np.nan, X))
    for call in (rbm.partial_fit, rbm.transform, rbm.gibbs, rbm.score_samples):
        with pytest.raises(ValueError, match="20 features"):
            call(X[:, :5])
    with pytest.raises(
        ValueError, match=r"n_components and batch_size must be as in the first call, \(4, 10\)"
    ):
        rbm.set_params(batch_size=11).partial_fit(X)
    assert_same(rbm, before)
    rbm.intercept_hidden_ = np.zeros(5)
    with pytest.raises(ValueError, match=r"intercept_hidden_ must have shape \(4,\), got \(5,\)"):
        rbm.transform(X)


def test_weights_that_overflow_are_an_error():
    with pytest.raises(ValueError, match="the weights are not finite after pass 1"):
        BernoulliRBM(4, learning_rate=1e30, random_state=0, dtype="float32").fit(pictures() * 1e30)


@pytest.mark.long
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("batch", [10, 50_000])
def test_an_interrupt_is_answered_in_time(n_threads, batch):
    """Also within a step that takes seconds."""
    X = np.zeros((50_000, 400), "float32")
    rbm = BernoulliRBM(400, batch_size=batch, n_iter=1000, n_threads=n_threads, random_state=0)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        rbm.fit(X)
    # 0.2 s on an idle machine; tests may share their cores with others
    assert time.perf_counter() - sent[0] < 1.0
    assert np.isfinite(rbm.transform(X[:5])).all()
    rbm.set_params(batch_size=batch).partial_fit(X[:100])


def test_dtypes():
    X = pictures(dtype="float32")
    assert BernoulliRBM(3).fit(X).transform(X).dtype == np.float32
    assert BernoulliRBM(3).fit(X.astype(float)).transform(X).dtype == np.float64
    rbm = BernoulliRBM(3, dtype="float32").fit(X.astype(float))
    assert rbm.gibbs(X).dtype == rbm.score_samples(X).dtype == np.float32
    assert BernoulliRBM(3).fit((X > 0.5).astype(int)).components_.dtype == np.float64


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [BernoulliRBM(5), BernoulliRBM(3, n_iter=1, n_steps=2, persistent=False, dtype="float32")]
)
def test_checks_of_sklearn(estimator, check):
    check(estimator)


def test_without_scikit_learn(monkeypatch):
    import sys

    import dnn

    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "dnn.estimators.rbm")
    with pytest.raises(
        ImportError, match=r"BernoulliRBM needs scikit-learn: pip install 'dnn-core\[sklearn\]'"
    ):
        _ = dnn.BernoulliRBM


def test_the_core_checks_what_memory_depends_on():
    W, c, b, h = np.zeros((3, 4)), np.zeros(3), np.zeros(4), np.zeros((5, 3))
    ask = {"batch": 5, "rate": 0.1, "n_gibbs": 1, "persistent": True, "seed": 0}
    trainer = _core.RbmTrainer(W, c, b, h, **ask)
    with pytest.raises(ValueError, match="X must have 4 columns, got 3"):
        trainer.steps(np.zeros((2, 3)))
    with pytest.raises(TypeError):
        trainer.steps(np.zeros((2, 4), "float32"))
    for arrays in ((W.T, c, b, h), (W, b, b, h), (W, c, c, h), (W, c, b, h[:4]), (W, c, b, h.astype("f4"))):
        with pytest.raises((ValueError, TypeError)):
            _core.RbmTrainer(*arrays, **ask)
    trainer.steps(np.zeros((0, 4)))
    assert trainer.call == 0
    trainer.steps(np.zeros((6, 4)))
    assert trainer.call == 4  # two steps of two draws
