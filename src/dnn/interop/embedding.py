"""Models for C: what `dnn_open` and `dnn_from_object` of include/dnn.h call."""

from __future__ import annotations

import os
from typing import Any

from .. import _core
from ..files import load
from ..network import Network
from ..predictor import Predictor


def opened(path: bytes) -> _core.EmbeddedModel:
    """Return the snapshot of the model in a file."""
    return embedded(load(os.fsdecode(path)))


def embedded(model: Any) -> _core.EmbeddedModel:
    """Return the snapshot of a network, a predictor or a fitted MLP estimator.

    Examples
    --------
    >>> embedded([1, 2])
    Traceback (most recent call last):
    TypeError: C can use a Network, a Predictor or an MLP estimator of dnn, got list
    """
    kind = "outputs"
    if hasattr(model, "decoding"):
        kind, _ = model.decoding()
        model = model.network_
    if isinstance(model, Network):
        model = model.predictor()  # whose parameters nobody writes to
    if not isinstance(model, Predictor):
        raise TypeError(
            f"C can use a Network, a Predictor or an MLP estimator of dnn, got {type(model).__name__}"
        )
    return _core.EmbeddedModel(_core.Plan(*model.spec), model.params, kind)
