"""Small data sets, and one thread of BLAS for estimators that train on them."""

import pytest
import sklearn.datasets
import threadpoolctl
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Limit BLAS to one thread, which is fastest for many small matrix products."""
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def iris():
    return sklearn.datasets.load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def digits():
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


@pytest.fixture(scope="module")
def diabetes():
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
