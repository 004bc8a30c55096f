"""scikit-learn's checks of estimators, with each option that takes another path. None is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import dnn
from dnn import MLPClassifier, MLPRegressor

# What a check lets warn is its own affair: few iterations, tiny sets.
pytestmark = pytest.mark.filterwarnings("ignore")


class ValidatedClassifier(MLPClassifier):
    """Stops early on the rows that it is trained on: drawn ones would not be the same for repeated rows."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, X, y, sample_weight)


class ValidatedRegressor(MLPRegressor):
    """As `ValidatedClassifier`."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, X, y, sample_weight)


def estimators():
    for kind in (MLPClassifier, MLPRegressor):
        yield kind()
        yield kind(solver="sgd", learning_rate="adaptive")
        # Weaker penalties let probabilities round to 1, which a check of several labels at once forbids
        yield kind(solver="lbfgs", alpha=0.1)
        yield kind(solver=dnn.RMSprop(0.01), warm_start="optimizer")
        yield kind(hidden_layer_sizes=(8, 8), activation=["tanh", "silu"], clip_norm=1.0, l1=1e-5)
    for kind in (ValidatedClassifier, ValidatedRegressor):
        yield kind(early_stopping=True, n_iter_no_change=50)
        yield kind(early_stopping=True, n_iter_no_change=50, scoring="loss")
    yield MLPClassifier(class_weight={1: 1.0}, label_smoothing=0.05)
    for loss in ("poisson", "absolute_error", dnn.Huber(), dnn.Quantile(0.9)):
        yield MLPRegressor(loss)


@parametrize_with_checks(list(estimators()))
def test_checks(estimator, check):
    check(estimator)


DRAWN = [
    kind(early_stopping=True, validation_fraction=0.25, n_iter_no_change=50)
    for kind in (MLPClassifier, MLPRegressor)
]


@parametrize_with_checks(DRAWN)
def test_checks_with_a_validation_set_that_is_drawn(estimator, check):
    if "sample_weight_equivalence" in str(check):
        pytest.skip("other rows are drawn from rows that are there twice: a ValidatedClassifier is checked")
    check(estimator)
