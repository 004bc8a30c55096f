"""What an estimator's parameters say: all checked, and what they make of its optimizer."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from . import checks, threads
from .convergence import Descent, Pace
from .optimizers import LBFGS, SGD, Adam, AdamW, Optimizer, RMSprop
from .schedules import Schedule

SOLVERS = ("lbfgs", "sgd", "adam", "adamw", "rmsprop")
RATES = ("constant", "invscaling", "adaptive")


class Parameters(BaseEstimator):  # type: ignore[misc]
    """The parameters that both estimators have; they set them, as scikit-learn wants it."""

    def _check_parameters(self) -> list[int]:
        """Check all parameters that nothing else checks; return the sizes of the hidden layers."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") and not isinstance(sizes, str) else [sizes]
        sizes = [checks.check_integer("hidden_layer_sizes", size, 1) for size in sizes]
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
        if self.n_iter_no_change != np.inf:
            checks.check_integer("n_iter_no_change", self.n_iter_no_change, 1)
        if not isinstance(self.batch_size, str) or self.batch_size != "auto":
            checks.check_integer("batch_size", self.batch_size, 1)
        for name in ("shuffle", "nesterovs_momentum", "early_stopping", "progress"):
            checks.check_boolean(name, getattr(self, name))
        if self.warm_start != "optimizer":
            checks.check_boolean("warm_start", self.warm_start)
        if self.weight_decay is not None:
            checks.check_real("weight_decay", self.weight_decay, 0.0)
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise TypeError(f"schedule must be a schedule or None, got {self.schedule!r}")
        if self.schedule is not None and isinstance(self.solver, (Optimizer, LBFGS)):
            raise ValueError("schedule must be None where solver is an optimizer, which has its own rate")
        if self.dtype != "auto":
            checks.check_dtype(self.dtype)
        if callable(self.callbacks):
            raise TypeError(f"callbacks must be a list of functions, got {self.callbacks!r}")
        threads.asked(self.n_threads)
        return sizes

    def _is_lbfgs(self) -> bool:
        return isinstance(self.solver, LBFGS) or self.solver == "lbfgs"

    def _descent(self) -> Descent:
        """Return the optimizer that the parameters ask for, with a fresh state."""
        if isinstance(self.solver, Optimizer):
            return Descent(self.solver, self.weight_decay)
        kind = self.learning_rate if self.solver == "sgd" else "constant"
        rate = self.schedule or Pace(kind, self.learning_rate_init, self.power_t)
        spec: Optimizer
        if self.solver == "sgd":
            # scikit-learn takes a momentum of 1 too: the nearest below differs by less than rounding
            momentum = min(float(self.momentum), float(np.nextafter(1, 0)))
            spec = SGD(rate, momentum, nesterov=bool(self.nesterovs_momentum and momentum))
        elif self.solver == "adam":
            spec = Adam(rate, self.beta_1, self.beta_2, self.epsilon, "uncorrected")
        elif self.solver == "adamw":
            spec = AdamW(rate, self.beta_1, self.beta_2, self.epsilon)
        else:
            spec = RMSprop(rate)
        return Descent(spec, self.weight_decay)
