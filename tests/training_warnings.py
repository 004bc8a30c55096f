"""Calls of `fit` whose warnings are ignored, or returned."""

import warnings

from sklearn.exceptions import ConvergenceWarning

from dnn import NoProgressWarning


def quietly(estimator, *args, **kwargs):
    """Fit, and ignore the warning that a few iterations do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*args, **kwargs)


def with_warnings(fit):
    """Return the result of a call, and the messages of its NoProgressWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit()
    return found, [str(w.message) for w in caught if issubclass(w.category, NoProgressWarning)]
