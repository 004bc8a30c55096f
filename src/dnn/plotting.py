"""Plots of networks and training with matplotlib: the public name of ``dnn.inspection.plotting``."""

from .inspection.plotting import (
    boundary,
    confusion,
    digits,
    learning_curve,
    rate_curve,
    residuals,
    weights,
)

__all__ = ["boundary", "confusion", "digits", "learning_curve", "rate_curve", "residuals", "weights"]
