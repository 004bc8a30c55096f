"""What a training reports: its history, the event at the end of an epoch, errors and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class DivergedError(ValueError):
    """A loss or a weight is no longer finite; the last good weights are in place.

    Attributes
    ----------
    epoch : int
        The epoch, counted from 0, in which it was noticed.
    last_loss : float
        The last finite cost of a batch; NaN where there was none.

    Examples
    --------
    >>> from dnn import SGD, DivergedError, Network
    >>> try:
    ...     Network([1, 1], random_state=0).fit([[1e6]], [1], optimizer=SGD(1.0), epochs=50)
    ... except DivergedError as error:
    ...     print("lower rate" in str(error))
    True
    """

    def __init__(self, epoch: int, last_loss: float, what: str, findings: Sequence[str] = ()) -> None:
        self.epoch = epoch
        self.last_loss = last_loss
        listed = "".join(f"\n- {finding}" for finding in findings)
        super().__init__(
            f"training diverged in epoch {epoch}: {what}; the last finite loss of a batch was {last_loss:g}. "
            "Try a lower rate, inputs scaled to a spread of about 1, or dtype='float64'. "
            f"The last good weights are in place.{listed and ' What can be measured:'}{listed}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # By default it would be made from `args`, which are not those of __init__: unpickling the error of a
        # worker would fail, and end the whole pool
        return _error_again, (type(self), self.args, vars(self))


def _error_again(kind: type[DivergedError], args: tuple[Any, ...], state: dict[str, Any]) -> DivergedError:
    """Return an error as it was before pickling."""
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class NoProgressWarning(UserWarning):
    """Training made no progress, or cannot make much; the message says what can be measured.

    The loss did not fall, or ended above that of a constant prediction; no validation loss or score was
    finite, so that it could choose no weights; or different values became equal in float32.

    Examples
    --------
    >>> import warnings
    >>> from dnn import SGD, Network, NoProgressWarning
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = Network([1, 1]).fit([[1e3], [2e3]], [1, 2], optimizer=SGD(1e-30), epochs=100)
    >>> caught[0].category is NoProgressWarning
    True
    """


@dataclass
class History:
    """The history of a training, which `Network.fit` returns.

    Attributes
    ----------
    loss : list of float
        For each epoch the sum over its batches of (cost of the batch before its step, penalties included) x
        rows / N.
    val_loss : list of float
        For each epoch the mean loss on the validation set after it, without penalties; empty without one.
    rate : list of float
        For each epoch the rate of its first step.
    step_loss : list of float
        The cost of each step before its update, with ``record="step"``.
    seconds : float
        Time taken.
    best_epoch : int or None
        The epoch, counted from 0, with the lowest val_loss, whose weights are in place; None where no
        val_loss was finite, and those of the last epoch are.
    stopped_by : str
        "epochs", "patience", "max_seconds", "callback"; with L-BFGS also "converged", "evaluations", or
        "line_search" where no step lowers the cost any more; of the estimators "tol"; "" until `fit` returns.
    loss_name : str
        The loss that was minimized.

    Examples
    --------
    >>> from dnn import Network
    >>> history = Network([1, 1], init="zeros").fit([[1], [2]], [2, 4], epochs=3)
    >>> history.loss_name, len(history.loss), history.loss[0], history.stopped_by
    ('squared_error', 3, 5.0, 'epochs')
    """

    loss_name: str
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best_epoch: int | None = None
    stopped_by: str = ""

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curve on matplotlib axes `ax`, on new ones if None, and return them."""
        from ..inspection import plotting

        return plotting.learning_curve(self, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in a dict of numbers, strings and lists, which JSON accepts.

        Examples
        --------
        >>> import json
        >>> from dnn import History
        >>> json.dumps(History("log_loss").to_dict())[:26]
        '{"loss_name": "log_loss", '
        """
        return {
            name: value.copy() if isinstance(value, list) else value for name, value in vars(self).items()
        }


@dataclass
class StreamHistory(History):
    """The history of a training on a `RowSource`: that of every training, and which rows were read.

    Attributes
    ----------
    n_rows, n_skipped : list of int
        For each epoch the rows trained on, and the bad rows that were left out.
    skipped : list of str
        Where the first ten bad rows are.

    Examples
    --------
    >>> from dnn import Network, sources
    >>> history = Network([1, 1], init="zeros").fit(sources.arrays([[1], [2]], [2, 4]), epochs=2)
    >>> history.loss[0], history.n_rows, history.n_skipped
    (5.0, [2, 2], [0, 0])
    """

    n_rows: list[int] = field(default_factory=list)
    n_skipped: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Event:
    """The argument of a callback at the end of an epoch.

    Attributes
    ----------
    net : Network
        The network in training; its parameters may be read and written.
    epoch : int
        The epoch that has ended, counted from 0.
    history : History
        The history so far.

    Examples
    --------
    >>> from dnn import Network
    >>> net = Network([1, 1], init="zeros")
    >>> seen = []
    >>> history = net.fit([[1]], [2], epochs=9, callbacks=[lambda e: seen.append(e.epoch) or e.stop()])
    >>> seen, history.stopped_by
    ([0], 'callback')
    """

    def __init__(self, net: Any, epoch: int, history: History) -> None:
        self.net = net
        self.epoch = epoch
        self.history = history
        self.stopped = False

    def stop(self) -> None:
        """End the training after this epoch."""
        self.stopped = True
