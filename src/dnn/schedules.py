"""Schedules: what the learning rate is at each step.

All but `OnPlateau` are pure: a rate depends on the number of its step alone. Epochs are counted in steps, so
that what is said in epochs may be a fraction of one, and where a run is cut never changes a rate.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from ._checks import check_integer, check_real
from ._frozen import value


class Schedule:
    """What a schedule is: `rates`, and where it `watches` the loss, `start` and `observe`.

    A subclass with its own `rates` may be given wherever a rate is wanted. It must give the same rates,
    however the steps are cut into calls.

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
        """Whether it is to be told of the loss after each epoch."""
        return False

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        raise NotImplementedError(
            f"{type(self).__name__} must have a method rates(first, n, steps_per_epoch)"
        )

    def start(self) -> Schedule:
        """Return what gives the rates of one training: itself, or with `watches` an object that learns.

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
        """Take in the loss after an epoch; what does not watch forgets it.

        Parameters
        ----------
        loss : float
            val_loss, or without a validation set the loss of the epoch.

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

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        return np.full(n, float(self.rate))


@value
class StepDecay(Schedule):
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

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
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
        0.5, scikit-learn's default for networks, keeps the sum of the rates unbounded: training never stands
        still; 1 is the fastest fall that does.

    Notes
    -----
    scikit-learn's "invscaling". In its ``SGDRegressor`` each row is a step; its ``MLPClassifier`` changes the
    rate only at the end of an epoch, and t is then 1 + the rows seen.

    References
    ----------
    Robbins and Monro (1951), A stochastic approximation method: convergence is sure where the sum of the
    rates is infinite and that of their squares finite, a power in (0.5, 1].

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
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        divisors: np.ndarray = np.power(_steps(first + 1, n), float(self.power))
        return float(self.rate) / divisors


@value
class Exponential(Schedule):
    """A rate that falls by `factor` every `every` epochs, smoothly: a little at each step.

    Step t, counted from 0, has the rate ``rate * factor^(t / (every * steps an epoch))``; `StepDecay` is the
    same in stairs.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first step.
    factor : float in (0, 1)
        What `every` epochs multiply it by.
    every : float above 0, default 1
        Epochs, or a fraction of one.

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
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        periods = _steps(first, n) / (float(self.every) * steps_per_epoch)
        return float(self.rate) * np.power(float(self.factor), periods)


@value
class Cosine(Schedule):
    """Half a wave of the cosine from `rate` down to `final` over `epochs`, then `final`.

    Parameters
    ----------
    rate : float, at least 0
        The rate of the first step.
    epochs : float above 0
        Length of the way down; usually as many as `fit` is given.
    final : float, at least 0, default 0
        The rate from there on. The default is the paper's choice.

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
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        way = _steps(first, n) / (float(self.epochs) * steps_per_epoch)
        return _half_wave(way, float(self.rate), float(self.final))


@value
class OneCycle(Schedule):
    """One cycle: up from a fraction of `rate` to all of it, then down to next to nothing; both half cosines.

    Parameters
    ----------
    rate : float, at least 0
        The rate at the peak. It may be several times what a constant rate could be, see `find_rate`.
    epochs : float above 0
        Length of the cycle; usually as many as `fit` is given. Afterwards the rate stays at its last.
    initial : float in [0, 1), default 1/25
        The first rate, as a fraction of `rate`.
    peak : float in (0, 1), default 0.3
        Where the peak stands, as a fraction of the cycle.
    final : float in [0, 1), default 1e-4
        The last rate, as a fraction of `rate`.

    Notes
    -----
    The paper's cycle is of straight lines and lets the momentum fall as the rate rises; the cosine and the
    defaults of `initial` and `peak` are fastai's, and the momentum stays.

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
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        way = _steps(first, n) / (float(self.epochs) * steps_per_epoch)
        rate, peak = float(self.rate), float(self.peak)
        up = _half_wave(way / peak, rate * self.initial, rate)
        down = _half_wave((way - peak) / (1 - peak), rate, rate * self.final)
        return np.where(way < peak, up, down)


@value
class WarmUp(Schedule):
    """A rate that rises over the first epochs in equal steps to where `then` begins, and goes on as `then`.

    With n steps of warm-up they have 1/n, 2/n, ..., n/n of the first rate of `then`, which counts its own
    steps from the end of the warm-up.

    Parameters
    ----------
    epochs : float above 0
        Length of the warm-up, rounded to whole steps, at least one.
    then : float or schedule
        What comes after it.

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
        """Whether `then` does."""
        return schedule_of(self.then).watches

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        then = schedule_of(self.then)
        n_steps = max(1, round(float(self.epochs) * steps_per_epoch))
        n_warm = min(max(n_steps - first, 0), n)
        rising = then.rates(0, 1, steps_per_epoch)[0] * (_steps(first + 1, n_warm) / n_steps)
        after = then.rates(max(first - n_steps, 0), n - n_warm, steps_per_epoch)
        return np.concatenate([rising, after])

    def start(self) -> Schedule:
        """Return the same warm-up before a `then` that has been started."""
        return WarmUp(self.epochs, schedule_of(self.then).start())

    def observe(self, loss: float) -> None:
        """Hand the loss after an epoch on to `then`."""
        schedule_of(self.then).observe(loss)


@value
class OnPlateau(Schedule):
    """A rate that is multiplied by `factor` whenever the loss has stopped falling.

    It watches val_loss, or the loss of training without a validation set.

    Parameters
    ----------
    rate : float, at least 0
        The first rate.
    factor : float in (0, 1), default 0.5
        What each step down multiplies it by.
    patience : int, at least 1, default 5
        Epochs in a row without a fall before a step down, as in `Network.fit`: choose fewer than there.
    threshold : float in [0, 1), default 1e-4
        What counts as a fall: by more than this fraction of the lowest loss so far. A fraction, so that the
        unit of the targets does not matter; the default is PyTorch's.
    min_rate : float, at least 0, default 0
        The rate never falls below.

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
        """Return the rates (n,) before any step down; those of a training are given by `start`."""
        return np.full(n, float(self.rate))

    def start(self) -> Plateau:
        """Return what gives the rates of one training and observes its losses."""
        return Plateau(self)


class Plateau(Schedule):
    """An `OnPlateau` at work: mutable, one for each training.

    Attributes
    ----------
    rate : float
        The rate now.
    lowest : float
        The loss that the next is held against; infinity before the first.
    waited : int
        Epochs since it fell or since the last step down.
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
        """Return the rates (n,) of steps first, first + 1, ..., as the rate is now."""
        return np.full(n, self.rate)

    def observe(self, loss: float) -> None:
        """Take in the loss after an epoch, and lower the rate if it has not fallen for long enough."""
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
    """Return the schedule that a rate stands for."""
    return rate if isinstance(rate, Schedule) else Constant(check_real(name, rate, 0.0))


def _steps(first: int, n: int) -> np.ndarray:
    return np.arange(first, first + n, dtype=np.float64)


def _half_wave(way: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Half a cosine from begin, where way is 0 or less, to end, where it is 1 or more."""
    wave: np.ndarray = 0.5 * (1 + np.cos(np.pi * np.clip(way, 0.0, 1.0)))
    return end + (begin - end) * wave
