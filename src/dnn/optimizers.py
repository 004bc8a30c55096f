"""Optimizers: rules that update parameters by their gradient. `kernel` is the name in the core's table."""

from __future__ import annotations

from typing import Any, TypeAlias

from ._checks import check_boolean, check_integer, check_name, check_real
from ._frozen import value
from .schedules import Rate, schedule_of


@value
class SGD:
    """Gradient descent: ``p -= rate * g``, or with a momentum mu ``v = mu v - rate g; p += v``.

    Parameters
    ----------
    rate : float or schedule, default 0.01
    momentum : float in [0, 1), default 0
    nesterov : bool, default False
        ``p += mu v - rate g`` with the same v, as in scikit-learn and Keras.
    averaged : bool, default False
        The form of the course, an exponential average of the gradients: ``v = mu v + (1 - mu) g; p -= rate
        v``.

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
        check_boolean("nesterov", self.nesterov)
        check_boolean("averaged", self.averaged)
        if self.nesterov and self.averaged:
            raise ValueError(
                "nesterov and averaged must not both be True: the averaged form has no Nesterov step"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must have a momentum above 0, got 0")

    @property
    def kernel(self) -> str:
        """Name of the update in the core's table."""
        if self.nesterov:
            return "nesterov"
        if self.averaged:
            return "averaged"
        return "momentum" if self.momentum else "sgd"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, except for the rate."""
        return () if self.kernel == "sgd" else (float(self.momentum),)


@value
class Adam:
    """Adaptive moments: steps from moving averages m of the gradient g and v of g^2 for each parameter.

    With m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t), ``p -= rate m' / (sqrt(v') + epsilon)``.

    Parameters
    ----------
    rate : float or schedule, default 0.001, as in the paper
    beta1, beta2 : float in [0, 1), default 0.9 and 0.999, as in the paper
    epsilon : float, at least 0, default 1e-8, as in the paper
    epsilon_form : "paper", "uncorrected" or "inside", default "paper"
        The place of epsilon. "uncorrected": added to the root of v before its bias correction, ``p -= rate
        sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)``, the paper's "epsilon hat", as in
        scikit-learn. "inside": ``sqrt(v' + epsilon)``, as in the course.

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
        """Name of the update in the core's table."""
        return "adam"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, except for the rate."""
        form = EPSILON_FORMS.index(self.epsilon_form)
        return (float(self.beta1), float(self.beta2), float(self.epsilon), float(form))


EPSILON_FORMS = ("paper", "uncorrected", "inside")


@value
class AdamW:
    """Adam with decoupled weight decay: ``W -= rate * weight_decay * W`` before each step, never on b.

    Parameters
    ----------
    rate, beta1, beta2, epsilon
        As in `Adam`.
    weight_decay : float, at least 0, default 0.01, as in PyTorch

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization, algorithm 2; the decay is multiplied
    by the rate, as is usual in practice.

    Examples
    --------
    >>> from dnn import AdamW
    >>> AdamW(1e-3, weight_decay=0.1).kernel
    'adam'
    """

    rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        Adam(self.rate, self.beta1, self.beta2, self.epsilon)  # checks
        check_real("weight_decay", self.weight_decay, 0.0)

    @property
    def kernel(self) -> str:
        """Name of the update in the core's table."""
        return "adam"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, except for the rate."""
        return (float(self.beta1), float(self.beta2), float(self.epsilon), 0.0)


@value
class RMSprop:
    """Gradient descent with gradients divided by the root of their mean square.

    ``v = rho v + (1 - rho) g^2``, ``p -= rate g / (sqrt(v) + epsilon)``; with a momentum mu ``u = mu u + g /
    (sqrt(v) + epsilon); p -= rate u``.

    Parameters
    ----------
    rate : float or schedule, default 0.001
    rho : float in [0, 1), default 0.9, as in the reference
    epsilon : float, at least 0, default 1e-7, as in Keras
    momentum : float in [0, 1), default 0

    References
    ----------
    Hinton, Srivastava and Swersky (2012), Neural networks for machine learning, lecture 6e.

    Examples
    --------
    >>> from dnn import RMSprop
    >>> RMSprop(1e-3, momentum=0.9).kernel
    'rmsprop_momentum'
    """

    rate: Rate = 1e-3
    rho: float = 0.9
    epsilon: float = 1e-7
    momentum: float = 0.0

    def __post_init__(self) -> None:
        schedule_of(self.rate)
        check_real("rho", self.rho, 0.0, 1.0)
        check_real("epsilon", self.epsilon, 0.0)
        check_real("momentum", self.momentum, 0.0, 1.0)

    @property
    def kernel(self) -> str:
        """Name of the update in the core's table."""
        return "rmsprop_momentum" if self.momentum else "rmsprop"

    @property
    def hyper(self) -> tuple[float, ...]:
        """Hyper-parameters of the update, except for the rate."""
        return (float(self.rho), float(self.epsilon), float(self.momentum))[: 3 if self.momentum else 2]


@value
class LBFGS:
    """Limited-memory BFGS by `scipy.optimize`, in float64 with full batches: for small data and networks.

    `fit` takes at most `epochs` iterations. There are no mini-batches, learning rates, dropout or clipping.

    Parameters
    ----------
    history : int, at least 1, default 10
        Number of corrections that approximate the curvature.
    gtol : float, at least 0, default 1e-5
        Stop if no component of the gradient is larger.
    ftol : float, at least 0, default 1e-12
        Stop if an iteration lowers the cost by less, relatively.
    line_search : int, at least 1, default 50
        Maximum number of trial steps in one direction.
    max_evaluations : int, at least 1, or None, default None
        Stop after this number of evaluations of the cost; None: a hundred per iteration.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu (1995), A limited memory algorithm for bound constrained optimization.

    Examples
    --------
    >>> from dnn import LBFGS, Network
    >>> net = Network([1, 1], dtype="float64", random_state=0)
    >>> history = net.fit([[0], [1], [2]], [1, 3, 5], optimizer=LBFGS(), epochs=100)
    >>> net.params.round(4).tolist()
    [2.0, 1.0]
    """

    history: int = 10
    gtol: float = 1e-5
    ftol: float = 1e-12
    line_search: int = 50
    max_evaluations: int | None = None

    def __post_init__(self) -> None:
        check_integer("history", self.history, 1)
        check_integer("line_search", self.line_search, 1)
        if self.max_evaluations is not None:
            check_integer("max_evaluations", self.max_evaluations, 1)
        check_real("gtol", self.gtol, 0.0)
        check_real("ftol", self.ftol, 0.0)


Optimizer: TypeAlias = SGD | Adam | AdamW | RMSprop
OPTIMIZERS: dict[str, Optimizer | LBFGS] = {
    "sgd": SGD(),
    "adam": Adam(),
    "adamw": AdamW(),
    "rmsprop": RMSprop(),
    "lbfgs": LBFGS(),
}


def optimizer_of(optimizer: Any) -> Optimizer | LBFGS:
    """Return the optimizer for a name or an object."""
    if isinstance(optimizer, (Optimizer, LBFGS)):
        return optimizer
    return OPTIMIZERS[check_name("optimizer", optimizer, OPTIMIZERS)]
