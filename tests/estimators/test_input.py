"""The inputs of estimators: arrays, tables with names of columns, and sparse matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from training_warnings import quietly

import dnn
from dnn import MLPClassifier, MLPRegressor

BOTH = [MLPClassifier, MLPRegressor]


class Slow(np.ndarray):
    """An array of a subclass, which scikit-learn validates."""


@pytest.mark.parametrize("estimator", BOTH)
def test_fast_and_sklearn_validation_give_the_same_results(estimator, iris):
    X, y = iris
    est = quietly(estimator(max_iter=3, random_state=0), X, y)
    np.testing.assert_array_equal(est.predict(X), est.predict(X.view(Slow)))
    np.testing.assert_array_equal(est.predict(X), est.predict(np.asfortranarray(X)))
    hole = X.copy()
    hole[3, 1] = np.nan
    bad = [hole, np.where(np.isnan(hole), np.inf, hole), X[:0], X[:, :3], X[0], X[None], X + 1j]
    for wrong in bad:
        said = []
        for given in (wrong, wrong.view(Slow)):
            with pytest.raises((ValueError, TypeError)) as caught:
                est.predict(given)
            said.append((type(caught.value), str(caught.value)))
        assert said[0] == said[1]


def test_names_of_columns_use_sklearn_validation(iris):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(iris[0], columns=list("abcd"))
    est = quietly(MLPClassifier(max_iter=2), X, iris[1])
    with pytest.warns(UserWarning, match="valid feature names"):
        est.predict(iris[0])
    with pytest.raises(ValueError, match="feature names"):
        est.predict(X[list("dcba")])


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 37},
        {"solver": "lbfgs"},
        {"early_stopping": True},
        {"shuffle": False},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_sparse_inputs_train_as_dense_ones(container, options, digits):
    X, y = digits
    w = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    dense = quietly(MLPClassifier(20, max_iter=4, random_state=0, **options), X, y, sample_weight=w)
    est = quietly(MLPClassifier(20, max_iter=4, random_state=0, **options), container(X), y, sample_weight=w)
    np.testing.assert_allclose(est.loss_curve_, dense.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(est.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-6, atol=1e-12)


def test_sparse_of_several_outputs_and_of_quantiles(diabetes):
    X, y = diabetes
    for kind, target in (("squared_error", np.column_stack([y, -y])), (dnn.Quantile((0.2, 0.8)), y)):
        one, two = (
            quietly(MLPRegressor(kind, 10, max_iter=4, random_state=0), x, target)
            for x in (X, sp.csr_array(X))
        )
        np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-12)


def test_a_wide_sparse_matrix_is_never_dense():
    """A dense 20 000 x 50 000 array of float32 would have 4 GB; the sparse one has less than a megabyte."""
    import tracemalloc

    rng, shape = np.random.default_rng(0), (20_000, 50_000)
    where = tuple(rng.integers(size, size=10_000) for size in shape)
    X = sp.csr_array((rng.random(10_000, np.float32), where), shape)
    y = np.asarray(X.sum(axis=1)) > 0.3
    tracemalloc.start()
    est = quietly(MLPClassifier(4, max_iter=1, batch_size=50, random_state=0), X, y)
    est.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables(library, iris):
    frames = pytest.importorskip(library)
    X, y = iris
    table = frames.DataFrame({f"c{i}": X[:, i] for i in range(4)})
    target = frames.Series(np.array(["a", "b", "c"])[y])
    one = quietly(MLPClassifier(5, max_iter=5, random_state=0), table, target)
    two = quietly(MLPClassifier(5, max_iter=5, random_state=0), X, np.array(["a", "b", "c"])[y])
    np.testing.assert_array_equal(one.predict_proba(table), two.predict_proba(X))
    assert one.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]
