"""The parameters of an estimator: their checks, and the optimizer that they describe."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer
from sklearn.utils import check_random_state

from .. import _checks as checks
from .. import _core
from .. import _threads as threads
from ..initializers import initializers_of
from ..layers import Activation, activation_of, layers_of
from ..optimizers import LBFGS, SGD, Adam, AdamW, Optimizer, RMSprop
from ..schedules import Schedule
from .optimizer import PortableOptimizer, SklearnLearningRate

if TYPE_CHECKING:
    from ..network import Network

SOLVERS = ("lbfgs", "sgd", "adam", "adamw", "rmsprop")
RATES = ("constant", "invscaling", "adaptive")


Estimator = TypeVar("Estimator")


def draft_of(est: Estimator) -> Estimator:
    """Return a shallow copy of an estimator, which a call changes until nothing can be refused any more."""
    draft = object.__new__(type(est))
    draft.__dict__.update(vars(est))
    return draft


def adopt(est: Estimator, draft: Estimator) -> None:
    """Give an estimator the attributes of its draft, and remove all others."""
    est.__dict__.update(vars(draft))
    for name in vars(est).keys() - vars(draft).keys():
        del est.__dict__[name]


def is_word(value: Any, word: str) -> bool:
    """Return whether a parameter is this word; ``==`` would compare an array element by element."""
    return isinstance(value, str) and value == word


class ParameterMixin(BaseEstimator):  # type: ignore[misc]
    """The parameters that both estimators have; their constructors set them, as scikit-learn requires."""

    def set_params(self, **params: Any) -> Any:
        """Set parameters and return self; if one is refused, none is set.

        Parameters
        ----------
        **params
            Parameters of the constructor.

        Examples
        --------
        >>> from dnn import MLPRegressor
        >>> MLPRegressor().set_params(alpha=0.1).alpha
        0.1
        """
        draft = draft_of(self)
        BaseEstimator.set_params(draft, **params)
        adopt(self, draft)
        return self

    def _generator(self) -> Any:
        """Return the generator of random numbers."""
        try:
            return check_random_state(self.random_state)
        except (TypeError, ValueError):
            raise ValueError(
                "random_state must be None, a whole number in 0 .. 2**32 - 1, or a numpy.random.RandomState, "
                f"got {self.random_state!r}"
            ) from None

    def _activations(self, n_hidden: int) -> list[Any]:
        """Return the activation of each hidden layer."""
        if isinstance(self.activation, Activation):
            return [self.activation] * n_hidden
        several = isinstance(self.activation, (Sequence, np.ndarray))
        if not several or len(self.activation) != n_hidden:
            hint = ""
            if isinstance(self.activation, numbers.Integral) or are_sizes(self.activation):
                sizes = (*_sizes(self.hidden_layer_sizes), *_sizes(self.activation))
                hint = f": did you mean hidden_layer_sizes={sizes}?"
            raise (ValueError if several else TypeError)(
                f"activation must be one, or a list of {n_hidden} for {n_hidden} hidden layers, "
                f"got {self.activation!r}{hint}"
            )
        return list(self.activation)

    def _initializers(self, net: Network) -> None:
        """Check the parameter `init` also for a network that has been initialized already."""
        names = [layer.info.name for layer in net.layers]
        initializers_of(self.init, names, [W.shape for W in net.weights])

    def _check_network(self, sizes: list[int]) -> None:
        """Check the parameters of the network, also where there is a network already."""
        activations = self._activations(len(sizes))
        layers_of([1, *sizes, 2], None, activations, "identity", self.dropout)
        initializers_of(self.init, [*(activation_of(a)[0] for a in activations), "identity"])

    def _check_parameters(self) -> list[int]:
        """Check the parameters that are not checked elsewhere; return the sizes of the hidden layers."""
        sizes = _sizes(self.hidden_layer_sizes)
        for size in sizes:
            if isinstance(size, str) and size in (*_core.ACTIVATIONS, *checks.SYNONYMS):
                raise TypeError(
                    f"hidden_layer_sizes must be a whole number or a list of them, got "
                    f"{self.hidden_layer_sizes!r}: did you mean activation={size!r}?"
                )
        sizes = [checks.check_integer("hidden_layer_sizes", size, 1) for size in sizes]
        self._check_network(sizes)
        if not isinstance(self.solver, (Optimizer, LBFGS)):
            checks.check_name("solver", self.solver, SOLVERS)
        checks.check_name("learning_rate", self.learning_rate, RATES)
        for name, low, below, above in (
            ("alpha", 0.0, np.inf, False), ("l1", 0.0, np.inf, False), ("power_t", 0.0, np.inf, False),
            ("learning_rate_init", 0.0, np.inf, True), ("tol", 0.0, np.inf, False),
            ("validation_fraction", 0.0, 1.0, False), ("beta_1", 0.0, 1.0, False),
            ("beta_2", 0.0, 1.0, False), ("epsilon", 0.0, np.inf, True),
            ("momentum", 0.0, np.nextafter(1, 2), False),
        ):  # fmt: skip
            checks.check_real(name, getattr(self, name), low, float(below), above=above)
        checks.check_integer("max_iter", self.max_iter, 1)
        checks.check_integer("max_fun", self.max_fun, 1)
        if not isinstance(self.n_iter_no_change, float) or self.n_iter_no_change != np.inf:
            checks.check_integer("n_iter_no_change", self.n_iter_no_change, 1)
        if not is_word(self.batch_size, "auto"):
            checks.check_integer("batch_size", self.batch_size, 1)
        for name in ("shuffle", "nesterovs_momentum", "early_stopping", "progress"):
            checks.check_boolean(name, getattr(self, name))
        if not is_word(self.warm_start, "optimizer"):
            checks.check_boolean("warm_start", self.warm_start)
        if self.weight_decay is not None:
            checks.check_real("weight_decay", self.weight_decay, 0.0)
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise TypeError(f"schedule must be a schedule or None, got {self.schedule!r}")
        if self.schedule is not None and isinstance(self.solver, (Optimizer, LBFGS)):
            raise ValueError("schedule must be None where solver is an optimizer, which has its own rate")
        if not is_word(self.dtype, "auto"):
            checks.check_dtype(self.dtype)
        if not isinstance(self.verbose, (bool, np.bool_)):
            checks.check_integer("verbose", self.verbose, 0)
        if self.scoring is not None and not is_word(self.scoring, "loss"):
            get_scorer(self.scoring)
        threads.check_n_threads(self.n_threads)
        return sizes

    def _is_lbfgs(self) -> bool:
        return isinstance(self.solver, LBFGS) or is_word(self.solver, "lbfgs")

    def _lbfgs(self) -> LBFGS:
        """Return L-BFGS as the parameters describe it."""
        if isinstance(self.solver, LBFGS):
            return self.solver
        # ftol and the trials of a line search are SciPy's own, as in scikit-learn
        ftol = 1e7 * float(np.finfo(float).eps)
        return LBFGS(gtol=self.tol, ftol=ftol, line_search=20, max_evaluations=self.max_fun)

    def _portable_optimizer(self) -> PortableOptimizer:
        """Return the optimizer that the parameters describe, with a fresh state."""
        if isinstance(self.solver, Optimizer):
            return PortableOptimizer(self.solver, self.weight_decay)
        kind = self.learning_rate if self.solver == "sgd" else "constant"
        rate = self.schedule or SklearnLearningRate(kind, self.learning_rate_init, self.power_t)
        spec: Optimizer
        if self.solver == "sgd":
            # scikit-learn accepts a momentum of 1 too; the nearest value below differs by less than rounding
            momentum = min(float(self.momentum), float(np.nextafter(1, 0)))
            spec = SGD(rate, momentum, nesterov=bool(self.nesterovs_momentum and momentum))
        elif self.solver == "adam":
            spec = Adam(rate, self.beta_1, self.beta_2, self.epsilon, "uncorrected")
        elif self.solver == "adamw":
            spec = AdamW(rate, self.beta_1, self.beta_2, self.epsilon)
        else:
            spec = RMSprop(rate)
        return PortableOptimizer(spec, self.weight_decay)


def _sizes(sizes: Any) -> list[Any]:
    """Return the items of a list of sizes, or a size alone as a list."""
    return list(sizes) if hasattr(sizes, "__iter__") and not isinstance(sizes, (str, bytes)) else [sizes]


def are_sizes(value: Any) -> bool:
    """Return whether a value looks like sizes of hidden layers, given in the place of another argument."""
    items = _sizes(value)
    return bool(items) and all(isinstance(item, numbers.Integral) and item not in (0, 1) for item in items)
