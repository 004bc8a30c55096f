"""Schedules: the learning rate of each step.

In all schedules except for `OnPlateau`, a rate depends on the number of its step only. Epochs are counted in
steps, so that lengths in epochs may be fractions, and the division of a run into chunks never changes a rate.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from ._checks import check_integer, check_real
from ._frozen import value


class Schedule:
    """Base class of schedules: `rates`, and if it watches the loss, `watches`, `start` and `observe`.

    A subclass with its own `rates` can be used in place of a rate. It must return the same rates for any
    division of the steps into calls.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import SGD, Network, Schedule
    >>> class Sawtooth(Schedule):
    ...     def rates(self, first, n, steps_per_epoch):
    ...         return 0.1 / (1 + np.arange(first, first + n) % steps_per_epoch)
    >>> history = Network([1, 1]).fit([[0.0], [1.0]], [1.0, 3.0], optimizer=SGD(Sawtooth()), epochs=2)
    >>> history.rate
    [0.1, 0.1]
    """

    __slots__ = ()

    @property
    def watches(self) -> bool:
        """Whether `observe` must be called with the loss after each epoch."""
        return False

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        raise NotImplementedError(
            f"{type(self).__name__} must have a method rates(first, n, steps_per_epoch)"
        )

    def start(self) -> Schedule:
        """Return the schedule of one training run: itself, or with `watches` a mutable object.

        Examples
        --------
        >>> from dnn import Constant, OnPlateau
        >>> Constant(0.1).start()
        Constant(rate=0.1)
        >>> OnPlateau(0.1).start().rate
        0.1
        """
        return self

    def observe(self, loss: float) -> None:
        """Receive the loss after an epoch; schedules that do not watch it ignore it.

        Parameters
        ----------
        loss : float
            val_loss, or the training loss if there is no validation set.

        Examples
        --------
        >>> from dnn import OnPlateau
        >>> rate = OnPlateau(0.8, factor=0.5, patience=2).start()
        >>> for loss in (3.0, 1.0, 1.0, 1.0):
        ...     rate.observe(loss)
        >>> rate.rates(0, 2, 1).tolist()
        [0.4, 0.4]
        """


@value
class Constant(Schedule):
    """A constant rate. A plain number means the same.

    Examples
    --------
    >>> from dnn import Constant
    >>> Constant(0.1).rates(0, 3, 1).tolist()
    [0.1, 0.1, 0.1]
    """

    rate: float

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        return np.full(n, float(self.rate))


@value
class StepDecay(Schedule):
    """A rate that is multiplied by `factor` after every `every` epochs.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first epochs.
    factor : float in (0, 1), default 0.5
        The factor of each decay.
    every : int, at least 1, default 10
        Number of epochs between decays.

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

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        epochs = np.arange(first, first + n) // steps_per_epoch
        return float(self.rate) * np.power(float(self.factor), epochs // self.every)


@value
class InverseScaling(Schedule):
    """The rate ``rate / t^power`` at step t, counted from 1.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first step.
    power : float, at least 0, default 0.5
        With 0.5, scikit-learn's default for networks, the sum of the rates is unbounded, so that training
        never stops making progress; 1 is the largest power with this property.

    Notes
    -----
    This is scikit-learn's "invscaling". Its ``SGDRegressor`` takes a step per row; its ``MLPClassifier``
    changes the rate only at the end of an epoch, with t = 1 + the number of rows processed.

    References
    ----------
    Robbins and Monro (1951), A stochastic approximation method: convergence is guaranteed if the sum of the
    rates is infinite and that of their squares finite, which is a power in (0.5, 1].

    Examples
    --------
    >>> from dnn import InverseScaling
    >>> InverseScaling(0.6, power=1).rates(0, 3, 1).round(3).tolist()
    [0.6, 0.3, 0.2]
    """

    rate: float
    power: float = 0.5

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("power", self.power, 0.0)

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        divisors: np.ndarray = np.power(_steps(first + 1, n), float(self.power))
        return float(self.rate) / divisors


@value
class Exponential(Schedule):
    """A rate that falls smoothly, by `factor` in `every` epochs.

    Step t, counted from 0, has the rate ``rate * factor^(t / (every * steps_per_epoch))``; `StepDecay` is the
    same with discrete decays.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first step.
    factor : float in (0, 1)
        The factor per `every` epochs.
    every : float above 0, default 1
        Number of epochs, which may be a fraction.

    Examples
    --------
    >>> from dnn import Exponential
    >>> Exponential(0.8, factor=0.25).rates(0, 5, 2).round(3).tolist()
    [0.8, 0.4, 0.2, 0.1, 0.05]
    """

    rate: float
    factor: float
    every: float = 1

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("factor", self.factor, 0.0, 1.0, above=True)
        check_real("every", self.every, 0.0, above=True)

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        periods = _steps(first, n) / (float(self.every) * steps_per_epoch)
        return float(self.rate) * np.power(float(self.factor), periods)


@value
class Cosine(Schedule):
    """Cosine decay from `rate` to `final` over `epochs`, then `final`.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first step.
    epochs : float above 0
        Length of the decay; usually the number of epochs of `fit`.
    final : float, at least 0, default 0
        The rate after the decay. The default is that of the paper.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts, equation 5, with one
    period and no restart.

    Examples
    --------
    >>> from dnn import Cosine
    >>> Cosine(0.4, epochs=4).rates(0, 6, 1).round(3).tolist()
    [0.4, 0.341, 0.2, 0.059, 0.0, 0.0]
    """

    rate: float
    epochs: float
    final: float = 0.0

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("epochs", self.epochs, 0.0, above=True)
        check_real("final", self.final, 0.0)

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        way = _steps(first, n) / (float(self.epochs) * steps_per_epoch)
        return _half_wave(way, float(self.rate), float(self.final))


@value
class OneCycle(Schedule):
    """One cycle: a rise from a fraction of `rate` to `rate`, then a fall to nearly 0, both as half cosines.

    Parameters
    ----------
    rate : float, at least 0
        The rate at the peak. It may be several times the best constant rate, see `find_rate`.
    epochs : float above 0
        Length of the cycle; usually the number of epochs of `fit`. Afterwards the rate keeps its last value.
    initial : float in [0, 1), default 1/25
        The first rate, as a fraction of `rate`.
    peak : float in (0, 1), default 0.3
        The position of the peak, as a fraction of the cycle.
    final : float in [0, 1), default 1e-4
        The last rate, as a fraction of `rate`.

    Notes
    -----
    The cycle of the paper consists of straight lines, and lowers the momentum while the rate rises. The
    cosine and the defaults of `initial` and `peak` are those of fastai, and the momentum is constant.

    References
    ----------
    Smith (2018), A disciplined approach to neural network hyper-parameters, part 1, section 4.1.

    Examples
    --------
    >>> from dnn import OneCycle
    >>> OneCycle(1.0, epochs=8, initial=0.1, peak=0.25, final=0.0).rates(0, 9, 1).round(2).tolist()
    [0.1, 0.55, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """

    rate: float
    epochs: float
    initial: float = 1 / 25
    peak: float = 0.3
    final: float = 1e-4

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("epochs", self.epochs, 0.0, above=True)
        check_real("initial", self.initial, 0.0, 1.0)
        check_real("peak", self.peak, 0.0, 1.0, above=True)
        check_real("final", self.final, 0.0, 1.0)

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        way = _steps(first, n) / (float(self.epochs) * steps_per_epoch)
        rate, peak = float(self.rate), float(self.peak)
        up = _half_wave(way / peak, rate * self.initial, rate)
        down = _half_wave((way - peak) / (1 - peak), rate, rate * self.final)
        return np.where(way < peak, up, down)


@value
class WarmUp(Schedule):
    """A rate that rises linearly over the first epochs to the first rate of `then`, and continues as `then`.

    The n steps of the warm-up have 1/n, 2/n, ..., n/n of the first rate of `then`, which counts its own steps
    from the end of the warm-up.

    Parameters
    ----------
    epochs : float above 0
        Length of the warm-up, rounded to whole steps, at least one.
    then : float or schedule
        The rate or schedule after the warm-up.

    References
    ----------
    Goyal et al. (2017), Accurate, large minibatch SGD: training ImageNet in 1 hour, section 2.2.

    Examples
    --------
    >>> from dnn import StepDecay, WarmUp
    >>> WarmUp(0.5, StepDecay(0.8, factor=0.5, every=1)).rates(0, 8, 4).tolist()
    [0.4, 0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4]
    """

    epochs: float
    then: Rate

    def __post_init__(self) -> None:
        check_real("epochs", self.epochs, 0.0, above=True)
        schedule_of(self.then, "then")

    @property
    def watches(self) -> bool:
        """Whether `then` watches the loss."""
        return schedule_of(self.then).watches

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps per epoch."""
        then = schedule_of(self.then)
        n_steps = max(1, round(float(self.epochs) * steps_per_epoch))
        n_warm = min(max(n_steps - first, 0), n)
        rising = then.rates(0, 1, steps_per_epoch)[0] * (_steps(first + 1, n_warm) / n_steps)
        after = then.rates(max(first - n_steps, 0), n - n_warm, steps_per_epoch)
        return np.concatenate([rising, after])

    def start(self) -> Schedule:
        """Return the same warm-up with `then` started."""
        return WarmUp(self.epochs, schedule_of(self.then).start())

    def observe(self, loss: float) -> None:
        """Pass the loss after an epoch on to `then`."""
        schedule_of(self.then).observe(loss)


@value
class OnPlateau(Schedule):
    """A rate that is multiplied by `factor` whenever the loss has stopped falling.

    It watches val_loss, or the training loss if there is no validation set.

    Parameters
    ----------
    rate : float, at least 0
        The first rate.
    factor : float in (0, 1), default 0.5
        The factor of each decay.
    patience : int, at least 1, default 5
        Number of successive epochs without a fall before a decay. Choose fewer than for `patience` of
        `Network.fit`.
    threshold : float in [0, 1), default 1e-4
        The loss must fall by more than this fraction of the lowest loss so far. It is relative, so that the
        unit of the targets does not matter; the default is that of PyTorch.
    min_rate : float, at least 0, default 0
        The lower limit of the rate.

    Examples
    --------
    >>> from dnn import SGD, Network, OnPlateau
    >>> OnPlateau(0.1).watches, OnPlateau(0.1).rates(0, 3, 1).tolist()
    (True, [0.1, 0.1, 0.1])
    """

    rate: float
    factor: float = 0.5
    patience: int = 5
    threshold: float = 1e-4
    min_rate: float = 0.0

    def __post_init__(self) -> None:
        check_real("rate", self.rate, 0.0)
        check_real("factor", self.factor, 0.0, 1.0, above=True)
        check_integer("patience", self.patience, 1)
        check_real("threshold", self.threshold, 0.0, 1.0)
        check_real("min_rate", self.min_rate, 0.0)
        if self.min_rate > self.rate:
            raise ValueError(f"min_rate must be at most the rate {self.rate:g}, got {self.min_rate!r}")

    @property
    def watches(self) -> bool:
        """True."""
        return True

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) before any decay; `start` gives those of a training run."""
        return np.full(n, float(self.rate))

    def start(self) -> Plateau:
        """Return an object that gives the rates of one training run and observes its losses."""
        return Plateau(self)


class Plateau(Schedule):
    """The mutable state of an `OnPlateau` schedule during one training run.

    Attributes
    ----------
    rate : float
        The present rate.
    lowest : float
        The lowest loss so far; infinity before the first.
    waited : int
        Number of epochs since the loss fell or since the last decay.
    """

    def __init__(self, spec: OnPlateau) -> None:
        self.spec = spec
        self.rate = float(spec.rate)
        self.lowest = math.inf
        self.waited = 0

    def __repr__(self) -> str:
        return f"Plateau({self.spec!r}, rate={self.rate:g}, lowest={self.lowest:g}, waited={self.waited})"

    @property
    def watches(self) -> bool:
        """True."""
        return True

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., which all have the present rate."""
        return np.full(n, self.rate)

    def observe(self, loss: float) -> None:
        """Receive the loss after an epoch, and lower the rate if it has not fallen for `patience` epochs."""
        margin = self.spec.threshold * abs(self.lowest) if math.isfinite(self.lowest) else 0.0
        if math.isfinite(loss) and loss < self.lowest - margin:
            self.lowest, self.waited = float(loss), 0
            return
        self.waited += 1
        if self.waited >= self.spec.patience:
            self.rate = max(self.rate * self.spec.factor, float(self.spec.min_rate))
            self.waited = 0


Rate: TypeAlias = float | Schedule


def schedule_of(rate: Any, name: str = "rate") -> Schedule:
    """Return the schedule for a rate or a schedule."""
    return rate if isinstance(rate, Schedule) else Constant(check_real(name, rate, 0.0))


def _steps(first: int, n: int) -> np.ndarray:
    return np.arange(first, first + n, dtype=np.float64)


def _half_wave(way: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Return half a cosine from begin, for way <= 0, to end, for way >= 1."""
    wave: np.ndarray = 0.5 * (1 + np.cos(np.pi * np.clip(way, 0.0, 1.0)))
    return end + (begin - end) * wave
