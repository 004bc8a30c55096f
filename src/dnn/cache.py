"""The cache of a forward pass, which the backward pass reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core
from .data import arrays as data


class Cache:
    """The cache that `Network.forward` returns for `Network.backward`. Only Z and A may be read.

    Attributes
    ----------
    Z : tuple of ndarray (N, units)
        Pre-activations of each layer, ``A_prev @ W + b``; those of the last layer are the logits.
    A : tuple of ndarray (N, units)
        Outputs of each layer, f(Z); in training after dropout.

    Examples
    --------
    >>> from dnn import Network
    >>> _, cache = Network([2, 3, 1], random_state=0).forward([[1, 2]])
    >>> [A.shape for A in cache.A]
    [(1, 3), (1, 1)]
    """

    def __init__(
        self,
        plan: _core.Plan,
        X: np.ndarray,
        *,
        logits: bool,
        single: bool,
        changes: int,
        training: bool,
        masks: Sequence[np.ndarray | None] | None,
        seed: int,
    ) -> None:
        self.plan = plan
        self.X = X
        self.logits = logits  # whether the logits were asked for
        self.single = single  # whether one row was given
        self.changes = changes  # number of changes of the parameters when it was made
        self.masks = masks
        self.seed = seed
        self.layout = _core.cache_layout(plan, X.itemsize, len(X), training)
        self.block = _core.aligned_bytes(self.layout.cache_bytes)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "a Cache must not be pickled or copied: it belongs to the network that made it; keep X, and call "
            "forward again"
        )

    def _view(self, slot: int, Z: bool) -> np.ndarray:
        """Return Z or A (N, units) of layer number `slot`, counted from 1."""
        z, a, stride = self.layout.place(slot)
        shape = (len(self.X), self.plan.units(slot))
        return np.ndarray(shape, self.X.dtype, self.block, z if Z else a, (stride, self.X.itemsize))

    def _d_out(self, d_out: Any) -> np.ndarray:
        """Return the gradient of what `forward` returned as the core reads it (N, O), checked."""
        shape, dtype = (len(self.X), self.plan.n_outputs), self.X.dtype
        d = d_out if isinstance(d_out, np.ndarray) else np.asarray(d_out)
        if d.ndim == 1 and (self.single or shape[1] == 1) and d.size == shape[0] * shape[1]:
            d = d.reshape(shape)
        if d.shape != shape:
            hint = ": did you mean y[:, None]?" if d.shape == shape[:1] * 2 and shape[1] == 1 else ""
            raise ValueError(f"d_out must have shape {shape}, got {d.shape}{hint}")
        if d.dtype != dtype or not d.flags.c_contiguous or not d.flags.aligned:
            d = data.converted(d, dtype, "d_out")
        return d

    @property
    def Z(self) -> tuple[np.ndarray, ...]:
        """Pre-activations of each layer."""
        return tuple(self._view(slot, True) for slot in range(1, self.plan.n_ops + 1))

    @property
    def A(self) -> tuple[np.ndarray, ...]:
        """Outputs of each layer."""
        return tuple(self._view(slot, False) for slot in range(1, self.plan.n_ops + 1))
