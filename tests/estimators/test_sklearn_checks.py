"""scikit-learn's estimator checks, with each option that runs other code. None is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import dnn
from dnn import MLPClassifier, MLPRegressor

# The checks train for few iterations on tiny data sets, which gives warnings.
pytestmark = pytest.mark.filterwarnings("ignore")


class ValidatedClassifier(MLPClassifier):
    """A classifier that is validated on its training rows, as a random split differs for repeated rows."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, X, y, sample_weight)


class ValidatedRegressor(MLPRegressor):
    """A regressor that is validated on its training rows."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, X, y, sample_weight)


# Checks that cannot hold, by the beginning of the estimator's name, with the reason
UNFIT = {
    (
        "MLPClassifier(early_stopping",
        "sample_weight_equivalence",
    ): "the random split differs for repeated rows",
    (
        "MLPRegressor(early_stopping",
        "sample_weight_equivalence",
    ): "the random split differs for repeated rows",
    ("MLPClassifier(early_stopping", "check_class_weight_classifiers"): "the check expects the best accuracy",
    (
        "ValidatedClassifier(early_stopping=True,n_iter_no_change=50)",
        "check_class_weight_classifiers",
    ): "as above",
    ("MLPRegressor(loss='poisson')", "check_regressor_multioutput"): "its targets are negative",
}


def check_all(estimator, check):
    for (name, unfit), why in UNFIT.items():
        if repr(estimator).replace(" ", "").startswith(name) and unfit in str(check):
            pytest.skip(why)
    check(estimator)


def estimators(kind, validated):
    yield kind()
    # With weaker penalties probabilities round to 1, which a check of multilabel targets forbids.
    yield kind(solver="lbfgs", alpha=0.1 if kind is MLPClassifier else 1e-4)
    yield kind(early_stopping=True, validation_fraction=0.25, n_iter_no_change=50)
    yield validated(early_stopping=True, n_iter_no_change=50, scoring="loss")


@parametrize_with_checks(
    [*estimators(MLPClassifier, ValidatedClassifier), *estimators(MLPRegressor, ValidatedRegressor)]
)
def test_checks(estimator, check):
    check_all(estimator, check)


def more():
    for kind in (MLPClassifier, MLPRegressor):
        yield kind(solver="sgd", learning_rate="adaptive")
        yield kind(solver=dnn.RMSprop(0.01))
        yield kind(hidden_layer_sizes=(8, 8), activation=["tanh", "silu"], clip_norm=1.0, l1=1e-5)
    for kind in (ValidatedClassifier, ValidatedRegressor):
        yield kind(early_stopping=True, n_iter_no_change=50)
    yield MLPClassifier(label_smoothing=0.05)
    for loss in ("poisson", "absolute_error", dnn.Huber(), dnn.Quantile(0.9)):
        yield MLPRegressor(loss)


@pytest.mark.long
@parametrize_with_checks(list(more()))
def test_checks_of_more_options(estimator, check):
    check_all(estimator, check)
