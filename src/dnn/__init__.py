"""Dense neural networks at the speed of the processor.

>>> import numpy as np
>>> from dnn import Network
>>> net = Network([4, 16, 3], output="softmax", random_state=0)
>>> net(np.zeros((2, 4))).shape
(2, 3)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import sources as sources
from ._config import show_config
from ._installation import get_include, warn_of_namesake
from .cache import Cache
from .data.streams import RowSource, Stream
from .files import ModelFormatError, load
from .initializers import Full, He, Initializer, LeCun, Normal, Uniform, Xavier, Zeros
from .inspection.gradient_check import check_gradient
from .inspection.rate_finder import RateCurve, find_rate
from .layers import ELU, Dense, Dropout, LeakyReLU
from .losses import Huber, LogLoss, Quantile
from .network import Network
from .optimizers import LBFGS, SGD, Adam, AdamW, RMSprop
from .predictor import Predictor
from .sampler import Sampler
from .schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    OnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)
from .training.history import DivergedError, Event, History, NoProgressWarning, StreamHistory
from .training.many import fit_many
from .training.optimizer_state import OptimizerState

warn_of_namesake(__path__[0])

if TYPE_CHECKING:
    # "as" tells type checkers that the name is public, because it is not in __all__: see below
    from .estimators.classifier import MLPClassifier as MLPClassifier
    from .estimators.rbm import BernoulliRBM as BernoulliRBM
    from .estimators.regressor import MLPRegressor as MLPRegressor
    from .estimators.tables.encoder import TableEncoder as TableEncoder
    from .estimators.tables.models import TableClassifier as TableClassifier
    from .estimators.tables.models import TableRegressor as TableRegressor
    from .interop.keras import from_keras as from_keras
    from .interop.onnx_reader import from_onnx as from_onnx
    from .interop.sklearn import from_sklearn as from_sklearn
    from .interop.torch import from_torch as from_torch

__all__ = [
    "ELU",
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "Cache",
    "Constant",
    "Cosine",
    "Dense",
    "DivergedError",
    "Dropout",
    "Event",
    "Exponential",
    "Full",
    "He",
    "History",
    "Huber",
    "Initializer",
    "InverseScaling",
    "LeCun",
    "LeakyReLU",
    "LogLoss",
    "ModelFormatError",
    "Network",
    "NoProgressWarning",
    "Normal",
    "OnPlateau",
    "OneCycle",
    "OptimizerState",
    "Predictor",
    "Quantile",
    "RMSprop",
    "RateCurve",
    "RowSource",
    "Sampler",
    "Schedule",
    "StepDecay",
    "Stream",
    "StreamHistory",
    "Uniform",
    "WarmUp",
    "Xavier",
    "Zeros",
    "check_gradient",
    "find_rate",
    "fit_many",
    "from_keras",
    "from_onnx",
    "from_torch",
    "get_include",
    "load",
    "show_config",
]


# These are not in __all__, because ``from dnn import *`` must work without scikit-learn.
_NEED_SKLEARN = {
    "BernoulliRBM": "estimators.rbm",
    "MLPClassifier": "estimators.classifier",
    "MLPRegressor": "estimators.regressor",
    "TableClassifier": "estimators.tables.models",
    "TableEncoder": "estimators.tables.encoder",
    "TableRegressor": "estimators.tables.models",
    "from_sklearn": "interop.sklearn",
}
_ON_FIRST_USE = {
    **_NEED_SKLEARN,
    "from_keras": "interop.keras",
    "from_onnx": "interop.onnx_reader",
    "from_torch": "interop.torch",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # read on demand, because importlib.metadata takes longer to import than dnn
        from importlib.metadata import version

        return version("dnn-core")
    if name in _ON_FIRST_USE:  # scikit-learn is optional and takes half a second to import
        try:
            return getattr(import_module(f".{_ON_FIRST_USE[name]}", __name__), name)
        except ModuleNotFoundError as error:
            if name not in _NEED_SKLEARN or (error.name or "").partition(".")[0] != "sklearn":
                raise
            raise ImportError(f"{name} needs scikit-learn: pip install 'dnn-core[sklearn]'") from error
    if name == "plotting":  # imported on first use, because matplotlib is optional
        return import_module(".plotting", __name__)
    raise AttributeError(f"module 'dnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE, "__version__", "plotting"})
