"""Calls of `fit` whose warnings are ignored, or returned."""

import warnings

from sklearn.exceptions import ConvergenceWarning

from dnn import (
    NoProgressWarning,
)


def quietly(estimator, *args, **kwargs):
    """Fit, and let it warn that few iterations are no convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*args, **kwargs)


def with_warnings(fit):
    """What a call returns, and the messages of the warnings of training that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit()
    return found, [str(w.message) for w in caught if issubclass(w.category, NoProgressWarning)]
