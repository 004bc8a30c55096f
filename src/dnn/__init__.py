"""Dense neural networks at the speed of the processor.

>>> import numpy as np
>>> from dnn import Network
>>> net = Network([4, 16, 3], output="softmax", random_state=0)
>>> net(np.zeros((2, 4))).shape
(2, 3)
"""

from typing import Any

from .gradient_check import check_gradient
from .network import Cache, Network
from .specs import SGD, Adam, Constant, Dense, He, Normal, StepDecay, Xavier, Zeros
from .training import DivergedError, Event, History, OptimizerState

__all__ = [
    "SGD",
    "Adam",
    "Cache",
    "Constant",
    "Dense",
    "DivergedError",
    "Event",
    "He",
    "History",
    "Network",
    "Normal",
    "OptimizerState",
    "StepDecay",
    "Xavier",
    "Zeros",
    "check_gradient",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # read on demand: importlib.metadata takes longer to import than all of dnn
        from importlib.metadata import version

        return version("dnn")
    raise AttributeError(f"module 'dnn' has no attribute {name!r}")
