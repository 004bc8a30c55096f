"""Losses: the functions that training minimizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from . import _core
from ._checks import check_name, check_real
from ._frozen import value


@value
class Huber:
    """The loss huber: ``r^2 / 2`` for residuals ``|r| <= delta``, otherwise ``delta (|r| - delta / 2)``.

    Parameters
    ----------
    delta : float above 0, default 1
        The threshold, in units of the target.

    References
    ----------
    Huber (1964), Robust estimation of a location parameter, section 4.

    Examples
    --------
    >>> from dnn import Huber, Network
    >>> Network([1, 1], init="zeros").losses([[0], [0]], [0.5, 3], loss=Huber(1.0)).tolist()
    [0.125, 2.5]
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_real("delta", self.delta, 0.0, above=True)


@value
class Quantile:
    """The pinball loss, with which outputs predict quantiles of the target, with one output for each level.

    The loss is ``max(level (y - z), (level - 1) (y - z))``, summed over outputs. The target may be one column
    for all levels. The outputs may cross in regions with few data: ``np.sort(net(X), axis=1)`` sorts them and
    never increases the loss.

    Parameters
    ----------
    levels : float or tuple of float in (0, 1), increasing, default 0.5, the median

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles, equation 2.1.

    Examples
    --------
    >>> from dnn import Network, Quantile
    >>> net = Network([1, 2], init="zeros")
    >>> net.losses([[0]], [2.0], loss=Quantile((0.25, 0.75))).tolist()
    [2.0]
    """

    levels: float | tuple[float, ...] = 0.5

    def __post_init__(self) -> None:
        given: Any = self.levels
        if (
            isinstance(given, (str, bytes))
            or not isinstance(given, (Sequence, np.ndarray))
            or not np.ndim(given)
        ):
            given = (given,)
        levels = tuple(check_real("levels", level, 0.0, 1.0, above=True) for level in given)
        if not levels or any(a >= b for a, b in pairwise(levels)):
            raise ValueError(f"levels must increase, got {self.levels!r}")
        object.__setattr__(self, "levels", levels)


@value
class LogLoss:
    """The loss log_loss with smoothed targets ``(1 - s) y + s / K`` (K = 2 for sigmoid).

    Parameters
    ----------
    label_smoothing : float in [0, 1), default 0
        The share s.
    cap : float above 0, or None, default None
        Upper limit of the reported loss of one example, which does not change the gradients. scikit-learn's
        reported losses have a limit of ``-log(eps)``, 36.04 in float64.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), Rethinking the inception architecture for computer
    vision, section 7.

    Examples
    --------
    >>> from dnn import LogLoss, Network
    >>> net = Network([1, 2], output="softmax", init="zeros")
    >>> net.losses([[0]], [1], loss=LogLoss(label_smoothing=0.1)).round(4).tolist()
    [0.6931]
    """

    label_smoothing: float = 0.0
    cap: float | None = None

    def __post_init__(self) -> None:
        check_real("label_smoothing", self.label_smoothing, 0.0, 1.0)
        if self.cap is not None:
            check_real("cap", self.cap, 0.0, above=True)


LossFunction: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Loss: TypeAlias = str | Huber | Quantile | LogLoss | LossFunction


class LossSpec(NamedTuple):
    """A loss for an output: its entry in the core's table and its parameters, or a custom function."""

    name: str
    info: _core.LossInfo
    par: tuple[float, ...]
    function: LossFunction | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The classes of the core's tables do not pickle
        return _spec_again, (self.name, self.info.id, self.par, self.function)


def _spec_again(name: str, id_: str, *others: Any) -> LossSpec:
    return LossSpec(name, _core.LOSSES[id_], *others)


def loss_of(loss: Any, output: str, n_outputs: int) -> LossSpec:
    """Return the specification of a loss for these outputs."""
    table = _core.LOSSES.values()
    par: tuple[float, ...] | None = None
    if isinstance(loss, Huber):
        loss, par = "huber", (float(loss.delta),)
    elif isinstance(loss, LogLoss):
        loss, par = "log_loss", (float(loss.label_smoothing), float(loss.cap or 0))
    elif isinstance(loss, Quantile):
        assert isinstance(loss.levels, tuple)
        loss, par = "quantile", loss.levels
    elif callable(loss) and not isinstance(loss, type):
        return LossSpec(getattr(loss, "__name__", "function"), _core.LOSSES["squared_error"], (), loss)
    name = check_name("loss", loss, ["auto", *dict.fromkeys(info.name for info in table)])
    if name == "auto":
        fitting = [info.name for info in table if info.output == output]
        name = fitting[0] if fitting else "squared_error"
    wanted = []
    for info in table:
        if info.name == name:
            if info.output == output or (not info.output and not _core.ACTIVATIONS[output].row_wise):
                return LossSpec(name, info, _loss_par(info, par, n_outputs))
            wanted.append(info.output or "an element-wise activation")
    raise ValueError(f"loss {name!r} must have an output of {' or '.join(wanted)}, got {output!r}")


def _loss_par(info: _core.LossInfo, given: tuple[float, ...] | None, n_outputs: int) -> tuple[float, ...]:
    """Return the parameters of a loss, or its defaults if none are given."""
    defaults = {"huber": (Huber().delta,), "log_loss": (LogLoss().label_smoothing, 0.0), "quantile": (0.5,)}
    par = defaults.get(info.name, ()) if given is None else given
    if info.n_par < 0:
        if len(par) not in (1, n_outputs):
            raise ValueError(
                f"loss Quantile must have 1 level, or {n_outputs} for {n_outputs} outputs, got {len(par)}"
            )
        par = par * (n_outputs // len(par))
    return par
