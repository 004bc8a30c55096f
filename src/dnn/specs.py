"""Frozen values that say what is wanted: layers, initializers, optimizers, schedules; every check of them.

A spec is checked when it is made. Names come from the tables of the compiled core, so that what it can
compute and what may be asked for are one list.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from . import _core

Random: TypeAlias = np.random.Generator | np.random.RandomState
SYNONYMS = {"logistic": "sigmoid"}


# Checks: the parameter, what was wanted, what came


def check_integer(name: str, value: Any, at_least: int) -> int:
    """Return a whole number that is at least so large."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def check_real(name: str, value: Any, low: float, below: float = math.inf, *, above: bool = False) -> float:
    """Return a finite float in [low, below), or in (low, below) with `above`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or number < low or number >= below or (above and number == low):
        wanted = f"above {low:g}" if above else f"at least {low:g}"
        if below < math.inf:
            wanted += f" and below {below:g}"
        raise ValueError(f"{name} must be finite and {wanted}, got {value!r}")
    return number


def check_name(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return a name that is in a list; the error suggests the nearest."""
    allowed = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    known = SYNONYMS.get(value, value)
    if known in allowed:
        return known
    near = difflib.get_close_matches(value.lower(), [*allowed, *SYNONYMS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{hint}")


def generator_of(random_state: Any) -> Random:
    """Return the source of random numbers: None, a seed, a Generator or RandomState."""
    if isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    return np.random.default_rng(check_integer("random_state", random_state, 0))


# Layers


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense layer: ``A = f(A_prev @ W + b)``.

    Parameters
    ----------
    units : int, at least 1
        Number of outputs of the layer.
    activation : str, default "identity"
        The function f: identity, sigmoid (or logistic), tanh, relu, leaky_relu, softmax.

    Examples
    --------
    >>> from dnn import Dense, Network
    >>> Network(8, [Dense(64, "relu"), Dense(1)]).n_params
    641
    """

    units: int
    activation: str = "identity"

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        object.__setattr__(self, "activation", check_name("activation", self.activation, _core.ACTIVATIONS))


OUTPUTS = ("identity", "sigmoid", "softmax", "tanh")


def layers_of(sizes: Any, spec: Any, activation: Any, output: str) -> tuple[int, tuple[Dense, ...]]:
    """Return the number of inputs and the layers that Network's arguments stand for."""
    if spec is not None:
        if activation != "relu" or output != "identity":
            raise ValueError("activation and output must not be given where the layers say them")
        n_inputs = check_integer("the number of inputs", sizes, 1)
        if isinstance(spec, Dense) or not isinstance(spec, Sequence) or not spec:
            raise TypeError(f"layers must be a list of Dense, at least one, got {spec!r}")
        for layer in spec:
            if not isinstance(layer, Dense):
                raise TypeError(f"layers must be a list of Dense, got {layer!r}")
        layers = tuple(spec)
    else:
        if isinstance(sizes, (str, bytes)) or not isinstance(sizes, (Sequence, np.ndarray)) or len(sizes) < 2:
            raise TypeError(
                f"layers must be a list of sizes, inputs first and outputs last, such as [64, 100, 10], "
                f"got {sizes!r}"
            )
        n_inputs, *units = (check_integer("a size in layers", size, 1) for size in sizes)
        n_hidden = len(units) - 1
        if isinstance(activation, str):
            activation = [activation] * n_hidden
        elif not isinstance(activation, Sequence) or len(activation) != n_hidden:
            raise ValueError(
                f"activation must be one name, or {n_hidden} for {n_hidden} hidden layers, got {activation!r}"
            )
        layers = tuple(Dense(u, a) for u, a in zip(units, [*activation, output], strict=True))
    for layer in layers[:-1]:
        if _core.ACTIVATIONS[layer.activation].row_wise:
            raise ValueError(f"the activation of a hidden layer must not be {layer.activation!r}")
    last = layers[-1]
    check_name("output", last.activation, OUTPUTS)
    if last.activation == "softmax" and last.units == 1:
        raise ValueError("output softmax must have at least 2 units, got 1: one unit wants output='sigmoid'")
    return n_inputs, layers


# Losses


def loss_of(loss: Any, output: str) -> _core.Loss:
    """Return the row of the table for a loss on an output activation."""
    names = dict.fromkeys(row.name for row in _core.LOSSES.values())
    if loss == "auto":
        loss = "log_loss" if output in ("sigmoid", "softmax") else "squared_error"
    loss = check_name("loss", loss, ["auto", *names])
    wanted = []
    for row in _core.LOSSES.values():
        if row.name == loss:
            if row.output == output or (not row.output and not _core.ACTIVATIONS[output].row_wise):
                return row
            wanted.append(row.output or "an element-wise activation")
    raise ValueError(f"loss {loss!r} must have an output of {' or '.join(wanted)}, got {output!r}")


# Initializers: draw(rng, n_in, n_out) -> W (n_in, n_out)


@dataclass(frozen=True, slots=True)
class Zeros:
    """Weights of zero. Units of a layer then stay equal for ever: right for one layer, wrong for two.

    Examples
    --------
    >>> from dnn import Network, Zeros
    >>> float(abs(Network([3, 1], init=Zeros()).params).max())
    0.0
    """

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return np.zeros((n_in, n_out))


@dataclass(frozen=True, slots=True)
class Normal:
    """Weights from a normal distribution, unit by unit: n_in numbers for the first, for the second, ...

    Parameters
    ----------
    scale : float, default 0.01
        Standard deviation; the default is the usual small start of shallow nets.

    Examples
    --------
    >>> from dnn import Network, Normal
    >>> Network([2, 4, 1], activation="tanh", init=Normal(0.01), random_state=3).n_params
    17
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_real("scale", self.scale, 0.0)

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return rng.standard_normal((n_out, n_in)).T * self.scale


def _scaled(rng: Random, n_in: int, n_out: int, variance: float, distribution: str) -> np.ndarray:
    if distribution == "normal":
        return Normal(math.sqrt(variance)).draw(rng, n_in, n_out)
    limit = math.sqrt(3 * variance)  # a uniform number in +-c has the variance c^2 / 3
    return rng.uniform(-limit, limit, (n_out, n_in)).T


@dataclass(frozen=True, slots=True)
class Xavier:
    """Weights of variance 2 / (n_in + n_out): keeps the spread of signals through tanh, forward and backward.

    Parameters
    ----------
    distribution : "uniform" or "normal", default "uniform", as in the paper

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks,
    equations 12 and 16.

    Examples
    --------
    >>> from dnn import Network, Xavier
    >>> bool(abs(Network([3, 3], init=Xavier(), random_state=0).weights[0]).max() <= 1)
    True
    """

    distribution: str = "uniform"

    def __post_init__(self) -> None:
        check_name("distribution", self.distribution, ("uniform", "normal"))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return _scaled(rng, n_in, n_out, 2 / (n_in + n_out), self.distribution)


@dataclass(frozen=True, slots=True)
class He:
    """Weights of variance 2 / n_in: keeps the spread of signals through relu, which drops half of them.

    Parameters
    ----------
    distribution : "normal" or "uniform", default "normal", as in the paper

    References
    ----------
    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers, equation 10.

    Examples
    --------
    >>> from dnn import He, Network
    >>> Network([2, 10, 5, 1], init=He(), random_state=3).n_params
    91
    """

    distribution: str = "normal"

    def __post_init__(self) -> None:
        check_name("distribution", self.distribution, ("normal", "uniform"))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return _scaled(rng, n_in, n_out, 2 / n_in, self.distribution)


Initializer: TypeAlias = Zeros | Normal | Xavier | He
INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "normal": Normal(),
    "xavier": Xavier(),
    "xavier_uniform": Xavier(),
    "xavier_normal": Xavier("normal"),
    "he": He(),
    "he_normal": He(),
    "he_uniform": He("uniform"),
}


def initializer_of(init: Any, activation: str) -> Initializer:
    """Return the initializer of a layer with this activation."""
    if isinstance(init, Initializer):
        return init
    init = check_name("init", init, ["auto", *INITIALIZERS])
    if init == "auto":
        return He() if _core.ACTIVATIONS[activation].relu_like else Xavier()
    return INITIALIZERS[init]


# Schedules of the rate: rates(first, n, a_epoch) -> (n,)


@dataclass(frozen=True, slots=True)
class Constant:
    """A rate that stays as it is. A plain number means the same.

    Examples
    --------
    >>> from dnn import Constant
    >>> Constant(0.1).rates(0, 3, 1).tolist()
    [0.1, 0.1, 0.1]
    """

    rate: float

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)

    def rates(self, first: int, n: int, a_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with a_epoch steps an epoch."""
        return np.full(n, float(self.rate))


@dataclass(frozen=True, slots=True)
class StepDecay:
    """A rate that is multiplied by `factor` after every `every` epochs.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first epochs.
    factor : float in (0, 1), default 0.5
        What each step down multiplies it by.
    every : int, at least 1, default 10
        Epochs from one step down to the next.

    Examples
    --------
    >>> from dnn import StepDecay
    >>> StepDecay(0.8, factor=0.5, every=2).rates(0, 6, 1).tolist()
    [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    """

    rate: float
    factor: float = 0.5
    every: int = 10

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("factor", self.factor, 0.0, 1.0, above=True)
        check_integer("every", self.every, 1)

    def rates(self, first: int, n: int, a_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with a_epoch steps an epoch."""
        epochs = np.arange(first, first + n) // a_epoch
        return self.rate * np.power(float(self.factor), epochs // self.every)


Rate: TypeAlias = float | Constant | StepDecay


def schedule_of(rate: Any) -> Constant | StepDecay:
    """Return the schedule that a rate stands for."""
    return rate if isinstance(rate, (Constant, StepDecay)) else Constant(check_real("rate", rate, 0.0))


# Optimizers: `kernel` is the row of the table, `hyper` its hyper-parameters


@dataclass(frozen=True, slots=True)
class SGD:
    """Gradient descent: ``p -= rate * g``, or with a momentum mu ``v = mu v - rate g; p += v``.

    Parameters
    ----------
    rate : float or schedule, default 0.01
    momentum : float in [0, 1), default 0
    nesterov : bool, default False
        ``p += mu v - rate g`` after the same v, as scikit-learn and Keras.
    averaged : bool, default False
        The course's form, an exponential average of the gradients: ``v = mu v + (1 - mu) g; p -= rate v``.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), On the importance of initialization and momentum in deep
    learning, equations 1 to 4.

    Examples
    --------
    >>> from dnn import SGD, StepDecay
    >>> SGD(0.1, momentum=0.9, nesterov=True).kernel
    'nesterov'
    >>> SGD(StepDecay(0.1)).rate.every
    10
    """

    rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    averaged: bool = False

    def __post_init__(self) -> None:
        schedule_of(self.rate)
        check_real("momentum", self.momentum, 0.0, 1.0)
        if self.nesterov and self.averaged:
            raise ValueError(
                "nesterov and averaged must not both be True: the averaged form has no Nesterov step"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must have a momentum above 0, got 0")

    @property
    def kernel(self) -> str:
        """Name of the update in the core."""
        if self.nesterov:
            return "nesterov"
        if self.averaged:
            return "averaged"
        return "momentum" if self.momentum else "sgd"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, the rate apart."""
        return () if self.kernel == "sgd" else (float(self.momentum),)


@dataclass(frozen=True, slots=True)
class Adam:
    """Adaptive moments: a rate for each parameter from averages m of its gradient g and v of g^2.

    With m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t), ``p -= rate m' / (sqrt(v') + epsilon)``.

    Parameters
    ----------
    rate : float or schedule, default 0.001, as in the paper
    beta1, beta2 : float in [0, 1), default 0.9 and 0.999, as in the paper
    epsilon : float, at least 0, default 1e-8, as in the paper
    epsilon_form : "paper", "uncorrected" or "inside", default "paper"
        Where epsilon stands. "uncorrected": beside the root of v before its correction, ``p -= rate
        sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)``, the paper's "epsilon hat", used by
        scikit-learn. "inside": ``sqrt(v' + epsilon)``, used by the course.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1 and section 2.

    Examples
    --------
    >>> from dnn import Adam
    >>> Adam().rate
    0.001
    """

    rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_form: str = "paper"

    def __post_init__(self) -> None:
        schedule_of(self.rate)
        check_real("beta1", self.beta1, 0.0, 1.0)
        check_real("beta2", self.beta2, 0.0, 1.0)
        check_real("epsilon", self.epsilon, 0.0)
        check_name("epsilon_form", self.epsilon_form, EPSILON_FORMS)

    @property
    def kernel(self) -> str:
        """Name of the update in the core."""
        return "adam"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, the rate apart."""
        form = EPSILON_FORMS.index(self.epsilon_form)
        return (float(self.beta1), float(self.beta2), float(self.epsilon), float(form))


EPSILON_FORMS = ("paper", "uncorrected", "inside")
Optimizer: TypeAlias = SGD | Adam
OPTIMIZERS: dict[str, Optimizer] = {"sgd": SGD(), "adam": Adam()}


def optimizer_of(optimizer: Any) -> Optimizer:
    """Return the optimizer that a name or an object stands for."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[check_name("optimizer", optimizer, OPTIMIZERS)]
