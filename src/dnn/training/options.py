"""The options of a training."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks as checks
from .._optional import need
from ..data.streams import StreamedRows
from .history import Event
from .stopping import StoppingRule

# Flops of a chunk: a tenth of a second at the rate of a good core.
CHUNK = 5e9

Callback = Callable[[Event], object]


def callbacks_of(callbacks: Any) -> tuple[Callback, ...]:
    """Return the functions that are called after each epoch, checked."""
    try:
        functions = tuple(callbacks)
    except TypeError:
        functions = (None,)
    if not all(map(callable, functions)):
        hint = f": did you mean [{getattr(callbacks, '__name__', callbacks)}]?" if callable(callbacks) else ""
        raise TypeError(f"callbacks must be a list of functions, got {callbacks!r}{hint}")
    return functions


@dataclass
class FitOptions:
    """The options of a training, checked when they are made.

    The options and their defaults are those of `Network.fit`, except for the following ones.

    Parameters
    ----------
    validate : callable or None
        ``validate()`` returns the loss on the validation set.
    stopping : StoppingRule or None
        A further rule that may end the training.
    first_order : ndarray (N,) or None
        The order of the first epoch, if ``order(0)`` has been called already.
    chunk : float
        Flops per call of the core. Any other value gives the same bits.
    streamed : StreamedRows or None
        What the rows are read from, in place of arrays.
    unit : str
        What the progress bar calls an epoch.
    two_sweeps : bool or None
        Whether a step updates the weights in a second sweep; None: only where it must.
    """

    epochs: int = 20
    batch_size: int | None = 128
    clip_norm: float | None = None
    ema: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    max_seconds: float | None = None
    shuffle: bool = True
    order: Callable[[int], Any] | None = None
    record: str = "epoch"
    callbacks: tuple[Callback, ...] = ()
    progress: bool = False
    validate: Callable[[], float] | None = None
    stopping: StoppingRule | None = None
    first_order: np.ndarray | None = None
    chunk: float = CHUNK
    two_sweeps: bool | None = None
    checkpoint: str | os.PathLike[str] | None = None
    every: int | float | None = None
    resume: bool = False
    streamed: StreamedRows | None = None
    unit: str = "epoch"

    def __post_init__(self) -> None:
        checks.check_integer("epochs", self.epochs, 1)
        if self.batch_size is not None:
            checks.check_integer("batch_size", self.batch_size, 1)
        if self.clip_norm is not None:
            checks.check_real("clip_norm", self.clip_norm, 0.0, above=True)
        if self.ema is not None:
            checks.check_real("ema", self.ema, 0.0, 1.0)
        checks.check_real("min_delta", self.min_delta, 0.0)
        if self.patience is not None:
            checks.check_integer("patience", self.patience, 1)
            if self.validate is None:
                raise ValueError("patience must come with X_val and y_val, got none")
        if self.max_seconds is not None:
            checks.check_real("max_seconds", self.max_seconds, 0.0, above=True)
        if self.order is not None and not callable(self.order):
            raise TypeError(f"order must be a function of the epoch, got {self.order!r}")
        self._check_checkpoint()
        if self.streamed is not None and self.batch_size is None:
            raise ValueError("batch_size must be a number of rows with a source, got None")
        if self.streamed is not None and self.order is not None:
            raise ValueError("order must not be given with a source, whose rows have no numbers")
        checks.check_name("record", self.record, ("epoch", "step"))
        checks.check_boolean("shuffle", self.shuffle)
        if checks.check_boolean("progress", self.progress):
            _progress_bar_type()

    def _check_checkpoint(self) -> None:
        if self.checkpoint is not None and not isinstance(self.checkpoint, (str, os.PathLike)):
            raise TypeError(f"checkpoint must be a path or None, got {self.checkpoint!r}")
        resume = checks.check_boolean("resume", self.resume)
        if self.checkpoint is None and (resume or self.every is not None):
            raise ValueError(f"{'resume' if resume else 'every'} must come with checkpoint, got none")
        if isinstance(self.every, (float, np.floating)):
            self.every = checks.check_real("every", self.every, 0.0, above=True)
        elif self.every is not None:
            self.every = checks.check_integer("every", self.every, 1)

    @property
    def gathers(self) -> bool:
        """Whether the rows of a batch are gathered by their row numbers, not read in their order."""
        return self.order is not None or (self.shuffle and self.batch_size is not None)

    def progress_bar(self) -> Any:
        """Return a progress bar, or None with ``progress=False``: over epochs, or over rows of a source."""
        if not self.progress:
            return None
        if self.streamed is None:
            return _progress_bar_type()(total=self.epochs, unit=self.unit)
        n_rows = self.streamed.stream.source.n_rows
        total = None if n_rows is None else n_rows * self.epochs
        return _progress_bar_type()(total=total, unit=" rows", unit_scale=True)


def _progress_bar_type() -> Any:
    """Return the class of progress bars: tqdm, or an error that says how to install it."""
    return need("tqdm.auto", "progress=True", "all").tqdm
