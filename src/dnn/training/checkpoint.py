"""Copies of the parameters that a training keeps: the last good ones, and the running average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from .optimizer_state import OptimizerState
    from .trainers import Trainer

# Flops between two copies of parameters and state, for each of their bytes, and steps: copying, and the
# forward pass that tells whether they are worth it, then take at most 5 % and 2 % of the time.
FLOPS_PER_BYTE = 400
STEPS_PER_COPY = 20


class Checkpoint:
    """The last good parameters and state: copied at most once per chunk, and only if their loss is finite."""

    def __init__(self, params: np.ndarray, optimizer: OptimizerState, trainer: Trainer) -> None:
        self.live = (params, optimizer.slots)
        self.trainer = trainer
        self.kept = (params.copy(), optimizer.slots.copy())
        self.n_steps = trainer.step  # at the time of the copy
        self.steps = 0  # since the copy

    def due(self, flops_per_step: float) -> bool:
        """Return whether so much was computed since the last copy that another one is cheap in comparison."""
        bytes_kept = sum(array.nbytes for array in self.live)
        return self.steps >= STEPS_PER_COPY and self.steps * flops_per_step >= FLOPS_PER_BYTE * bytes_kept

    def keep(self, loss: float) -> None:
        """Copy parameters and state if the loss that they give is finite."""
        if np.isfinite(loss) and _core.all_finite(self.live[0]):
            for kept, live in zip(self.kept, self.live, strict=True):
                kept[...] = live
            self.n_steps = self.trainer.step
        self.steps = 0

    def put_back(self) -> None:
        """Restore the copy."""
        for kept, live in zip(self.kept, self.live, strict=True):
            live[...] = kept
        self.trainer.step = self.n_steps


class RunningAverage:
    """The running average of the parameters, ``mean = ema mean + (1 - ema) params`` after each step.

    The trainer updates it; without ema there is none, and nothing is done.
    """

    def __init__(self, params: np.ndarray, ema: float | None) -> None:
        self.params = params
        self.mean = None if ema is None else params.copy()
        self.rate = 0.0 if ema is None else 1 - ema

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the parameters for the length of a ``with`` block."""
        if self.mean is None:
            yield
            return
        params = self.params.copy()
        self.put()
        try:
            yield
        finally:
            self.params[:] = params

    def put(self) -> None:
        """Put the average in the place of the parameters."""
        if self.mean is not None:
            self.params[:] = self.mean
